from __future__ import annotations

import logging
import subprocess
import sys

import pytest
from presidio_analyzer import AnalyzerEngine, Pattern, PatternRecognizer, pattern_recognizer

from masking import engine
from masking.anonymizer import Anonymizer
from masking.engine import LONGEST_TEXT, Scanner, recognizers
from masking.spans import NOT_SCANNED, Span, substitute
from tests.masking.test_recognizers import FOUND

NO_NETWORK = """
import socket
def refuse(*arguments, **keywords):
    raise AssertionError("the network was used")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
socket.create_connection = refuse
from masking.fast.scanner import FastScanner
texts = ["bob@example.com a/b@corp.internal https://example.org/?x=1", "call (415) 555-0134"]
print(sum(map(len, FastScanner().spans(texts, "email"))))
"""


def test_scanning_uses_no_network() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_NETWORK], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("3", "")


def test_the_gateway_side_does_not_import_presidio() -> None:
    code = "import sys, masking.cells, masking.scanning; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    roots = {name.partition(".")[0] for name in done.stdout.split()}
    assert roots.isdisjoint({"presidio_analyzer", "presidio_anonymizer", "spacy", "phonenumbers"})


def test_equal_texts_are_searched_once(scanner: Scanner, monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []
    analyze = AnalyzerEngine.analyze

    def counted(self: AnalyzerEngine, text: str, language: str, context: list[str]) -> object:
        searched.append(text)
        return analyze(self, text, language, context=context)

    monkeypatch.setattr(AnalyzerEngine, "analyze", counted)
    found = scanner.spans(["bob@example.com", "eve@example.com", "bob@example.com"], "")
    assert [len(spans) for spans in found] == [1, 1, 1]
    assert searched == ["bob@example.com", "eve@example.com"]


def test_a_pattern_that_gives_up_masks_the_whole_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern_recognizer, "REGEX_TIMEOUT_SECONDS", 0.01)
    slow = PatternRecognizer("SLOW", patterns=[Pattern("slow", r"(?:a?){60}a{60}@!", 1.0)])
    text = "a" * 59 + "@ and what stands behind it"
    assert Scanner([slow]).spans([text], "") == [[Span(0, len(text), NOT_SCANNED)]]


def test_silenced_warnings_do_not_hide_a_pattern_that_gave_up(scanner: Scanner) -> None:
    logging.disable(logging.WARNING)
    try:
        assert scanner.spans(["a@b"], "")[0][0].entity == NOT_SCANNED
    finally:
        logging.disable(logging.NOTSET)


def test_a_text_beyond_the_limit_is_masked_whole(scanner: Scanner) -> None:
    text = "x" * LONGEST_TEXT + " bob@example.com"
    assert scanner.spans([text], "") == [[Span(0, len(text), NOT_SCANNED)]]


def test_a_phone_behind_more_numbers_than_one_search_tries_is_found(scanner: Scanner) -> None:
    text = "1 \n" * 70_000 + "(415) 555-0134"
    assert substitute(text, scanner.spans([text], "")[0]).endswith("<PHONE_NUMBER>")


def test_a_phone_behind_many_candidates_on_one_line_is_found(scanner: Scanner) -> None:
    text = "1a" * 70_000 + " (415) 555-0134"
    assert substitute(text, scanner.spans([text], "")[0]).endswith(" <PHONE_NUMBER>")


def test_entities_in_a_long_text_are_found_from_end_to_end(scanner: Scanner) -> None:
    text = "\n".join(f"line {n} of somebody{n}@example.com" for n in range(2_000))
    assert len(scanner.spans([text], "")[0]) == 2_000


def test_a_private_key_longer_than_a_piece_goes_from_end_to_end(scanner: Scanner) -> None:
    body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC" * 2_000
    text = f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----"
    assert [(s.start, s.end) for s in scanner.spans([text], "")[0]] == [(0, len(text))]


def test_the_registry_is_the_curated_one() -> None:
    entities = {entity for r in recognizers() for entity in r.supported_entities}
    assert {"EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "US_SSN"} < entities
    assert entities.isdisjoint({"URL", "DATE_TIME", "UK_NHS", "MEDICAL_LICENSE", "PERSON"})
    assert engine.THRESHOLD == 0.5


@pytest.mark.parametrize("text", [text for text, _ in FOUND])
def test_presidios_anonymizer_writes_the_same_text(scanner: Scanner, text: str) -> None:
    spans = scanner.spans([text], "")[0]
    assert Anonymizer().substitute(text, spans) == substitute(text, spans)


def test_neighbouring_entities_are_masked_one_by_one(scanner: Scanner) -> None:
    text = "4111111111111111 5500000000000004"
    spans = scanner.spans([text], "")[0]
    assert Anonymizer().substitute(text, spans) == "<CREDIT_CARD> <CREDIT_CARD>"
