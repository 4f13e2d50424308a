"""Where Presidio lets values through, or reports what is none: `masking` in the project's notes,
part A.4, by number. Items 11 to 13 (hashes, threads, growth) are shown where their code is tested:
pseudonyms, the scan worker, names.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
from presidio_analyzer import Pattern, PatternRecognizer, pattern_recognizer

from masking.anonymizer import Anonymizer
from masking.engine import Scanner, recognizers
from masking.entities import PACKS, Recognition
from masking.spans import NOT_SCANNED, Span, substitute


def _masked(scanner: Scanner, text: str, column: str = "") -> str:
    return substitute(text, scanner.spans([text], column)[0])


def test_a4_1_a_phone_is_found_behind_more_numbers_than_one_search_tries(scanner: Scanner) -> None:
    text = "1 \n" * 70_000 + "(415) 555-0134"
    assert _masked(scanner, text).endswith("\n<PHONE_NUMBER>")


def test_a4_2_a_pattern_that_gives_up_masks_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern_recognizer, "REGEX_TIMEOUT_SECONDS", 0.01)
    slow = PatternRecognizer("SLOW", patterns=[Pattern("slow", r"(?:a?){60}a{60}@!", 1.0)])
    text = "a" * 59 + "@ what stands behind it"
    assert Scanner([slow]).spans([text], "") == [[Span(0, len(text), NOT_SCANNED)]]


def test_a4_3_neighbouring_cards_are_masked_one_by_one(scanner: Scanner) -> None:
    text = "4111111111111111 5500000000000004"
    spans = scanner.spans([text], "")[0]
    assert Anonymizer().substitute(text, spans) == "<CREDIT_CARD> <CREDIT_CARD>"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("GET /users/bob@example.com", "GET /users/<EMAIL_ADDRESS>"),
        ("a/b@example.com", "a/<EMAIL_ADDRESS>"),
        ("bob@corp.local", "<EMAIL_ADDRESS>"),
        ("bob@db.internal", "<EMAIL_ADDRESS>"),
        ("root@localhost", "<EMAIL_ADDRESS>"),
        ("bob%40example.com", "<EMAIL_ADDRESS>"),
        ("bob%2Btag%40example.com", "<EMAIL_ADDRESS>"),
        ("user=bob@example.com", "user=<EMAIL_ADDRESS>"),
        ("https://app.example.org/login?email=bob@example.com",
         "https://app.example.org/login?email=<EMAIL_ADDRESS>"),
        ("bob+tag@example.com", "<EMAIL_ADDRESS>"),
        ("björn@bücher.example", "<EMAIL_ADDRESS>"),
        ("bob@xn--bcher-kva.example", "<EMAIL_ADDRESS>"),
        ('"john doe"@example.com', "<EMAIL_ADDRESS>"),
        ("ann@[10.0.0.1]", "<EMAIL_ADDRESS>"),
    ],
)  # fmt: skip
def test_a4_4_an_address_is_found_as_it_is_and_no_more(
    scanner: Scanner, text: str, masked: str
) -> None:
    assert _masked(scanner, text) == masked


@pytest.mark.parametrize(
    "card",
    [
        "2221000000000009",  # Mastercard's 2-series
        "2720992593319364",
        "4000000000000000006",  # 19 digits of Visa
        "501800000009",  # 12 digits of Maestro
        "213100000000001",  # JCB, 15 digits
    ],
)
def test_a4_5_cards_of_every_range_and_length_are_found(scanner: Scanner, card: str) -> None:
    assert _masked(scanner, card) == "<CREDIT_CARD>"


@pytest.mark.parametrize("text", ["db.internal", "repo.git", "prod.cluster.local", "a.a." * 2_500])
def test_a4_6_hosts_are_no_urls_and_no_load(scanner: Scanner, text: str) -> None:
    assert scanner.spans([text], "") == [[]]
    assert "URL" not in {e for r in scanner.recognizers for e in r.supported_entities}


@pytest.mark.parametrize("column", ["description", "shipping_zip", "order_number", "calling_code"])
def test_a4_7_a_part_of_a_word_is_no_context(scanner: Scanner, column: str) -> None:
    assert scanner.spans(["4155550134", "123456789"], column) == [[], []]


def test_a4_8_a_check_digit_alone_proves_nothing() -> None:
    everything = Scanner(recognizers(Recognition(packs=PACKS)))
    assert everything.spans(["9434765919", "3fbb1388568aa7"], "id") == [[], []]


def test_a4_9_one_value_is_one_entity(scanner: Scanner) -> None:
    assert _masked(scanner, "mail bob@example.com") == "mail <EMAIL_ADDRESS>"
    assert _masked(scanner, "+1 415 555 0134") == "<PHONE_NUMBER>"


def test_a4_10_what_scores_next_to_nothing_does_not_count(scanner: Scanner) -> None:
    assert scanner.spans(["12345678", "123456789", "A1234567"], "") == [[], [], []]


WITHOUT_NETWORK = """
import socket
def refuse(*arguments, **keywords):
    raise AssertionError("the network was used")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
socket.create_connection = socket.gethostbyname = refuse
from masking.engine import Scanner, recognizers
from masking.entities import PACKS, Recognition
everything = Scanner(recognizers(Recognition(packs=PACKS)))
texts = ["bob@example.com https://example.org/?x=1 AB 12 34 56 C", "a/b@corp.internal"]
print(sum(map(len, everything.spans(texts, "email"))))
"""


def test_no_pack_uses_the_network() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NETWORK],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("3", "")
