"""The fast path, held to plain Presidio; what it can't know it leaves to it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import islice

import pytest
from presidio_analyzer import EntityRecognizer, Pattern, PatternRecognizer, RecognizerResult
from presidio_analyzer.nlp_engine import NlpArtifacts

from masking.engine import LONGEST_TEXT
from masking.fast import scanner as scanner_module
from masking.fast.scanner import FastScanner
from masking.spans import NOT_SCANNED, Span
from tests.masking.fast.comparing import Compared, compared, compared_in_processes
from tests.masking.generated import cells, fuzzed
from tests.masking.test_recognizers import CARDS, FOUND, HARMLESS


@pytest.mark.parametrize("context", ["", "note", "home_phone", "customer_ssn", "card_no"])
def test_known_texts_alone_together_and_beyond_ascii(fast: FastScanner, context: str) -> None:
    texts = [*(text for text, _ in FOUND), *HARMLESS, *CARDS]
    texts += [f"日本 {text} é" for text in texts]
    plain = [fast.plain.analyze(text, context) for text in texts]
    assert fast.spans(texts, context) == plain
    assert [FastScanner.spans(fast, [text], context)[0] for text in texts] == plain


def test_a_slice_of_generated_cells(fast: FastScanner) -> None:
    found = compared(fast, islice(cells(seed=1), 3_000))
    assert found.differing == []
    assert found.with_spans > 500


def test_a_slice_of_fuzzed_cells(fast: FastScanner) -> None:
    found = compared(fast, islice(fuzzed(seed=1), 1_000))
    assert found.differing == []
    assert found.with_spans > 200


def _checked(found: Compared, at_least: int) -> None:
    print(f"{found.cells} cells, {found.distinct} distinct, {found.beyond_ascii} beyond ASCII,")
    print(f"{found.with_spans} with spans, {len(found.differing)} differ")
    assert found.differing == []
    assert found.cells >= at_least


@pytest.mark.full
def test_a_million_generated_cells() -> None:
    _checked(compared_in_processes("repeating", 1_000_000), 1_000_000)


@pytest.mark.full
def test_two_hundred_thousand_fuzzed_cells() -> None:
    _checked(compared_in_processes("fuzzed", 200_000), 200_000)


class _Unknown(EntityRecognizer):
    """A recognizer that says nothing of itself."""

    def __init__(self, act: Callable[[str], None]) -> None:
        self._act = act
        super().__init__(supported_entities=["UNKNOWN"], name="Unknown")

    def load(self) -> None:
        """Nothing to load."""

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None
    ) -> list[RecognizerResult]:
        self._act(text)
        return [RecognizerResult("UNKNOWN", 0, 3, 0.9)] if text.startswith("odd") else []


def _nothing(text: str) -> None:
    """What a recognizer does before it looks."""


def test_a_recognizer_of_which_nothing_is_known_sees_every_text() -> None:
    seen: list[str] = []
    fast = FastScanner([_Unknown(seen.append)])
    assert fast.spans(["even", "odd one", "é"], "") == [[], [Span(0, 3, "UNKNOWN", 0.9)], []]
    assert seen == ["even", "odd one", "é"]


def test_a_recognizer_that_raises_masks_its_text_and_no_other() -> None:
    def fail(text: str) -> None:
        if "bad" in text:
            raise RuntimeError

    found = FastScanner([_Unknown(fail)]).spans(["odd one", "bad one", "good"], "")
    assert found == [[Span(0, 3, "UNKNOWN", 0.9)], [Span(0, 7, NOT_SCANNED)], []]


@pytest.mark.parametrize(
    ("pattern", "score", "context"),
    [
        (r"^EMP-\d{6}$", 0.6, []),
        (r"\bZ[0-9]{4}\b", 0.3, ["badge"]),
        (r"\p{Lu}{3}-\d{3}", 0.7, []),  # not understood: it always runs
        (r"(\d)\1{5}", 0.6, []),
        (r"code\s+\w{4}", 0.2, ["geheim", "schlüssel"]),
    ],
)
def test_custom_patterns_find_what_plain_presidio_finds(
    pattern: str, score: float, context: list[str]
) -> None:
    own = PatternRecognizer("OWN", patterns=[Pattern("own", pattern, score)], context=context)
    fast = FastScanner([own])
    texts = [
        *("EMP-123456", "x EMP-123456", "a\nEMP-123456\nb", "Z1234", "badge Z1234", "é Z1234"),
        *("Badges: Z1234", "ABC-123", "ÄÖÜ-١٢٣", "777777", "code abcd", "code\nabcd"),
        *("Schlüssel code abcd", "geheim code abcd"),
    ]
    for column in ("", "badge", "badge_no", "schlüssel"):
        assert fast.spans(texts, column) == [fast.plain.analyze(t, column) for t in texts]
    assert any(fast.spans(texts, "badge_schlüssel"))


class _Sure(_Unknown):
    """One that finds all of a text, for certain, in "all" and the first half in "half"."""

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None
    ) -> list[RecognizerResult]:
        end = len(text) // 2 if text.startswith("half") else len(text)
        score = 0.9 if text.startswith("less") else 1.0
        return [RecognizerResult("UNKNOWN", 0, end, score)]


def test_what_lies_in_all_of_a_certain_text_is_not_looked_for() -> None:
    seen: list[str] = []

    class Late(PatternRecognizer):  # type: ignore[misc, unused-ignore]
        def invalidate_result(self, pattern_text: str) -> None:
            seen.append(pattern_text)

    late = Late("OWN", patterns=[Pattern("own", r"[a-z]+ [0-9]{4}", 0.6)], context=["badge"])
    fast = FastScanner([late, _Sure(_nothing)])
    texts = ["all 1111", "half 2222", "less 3333", "all 4444 and 5555"]
    for column in ("", "badge"):
        found = fast.spans(texts, column)
        assert set(seen) == {"half 2222", "less 3333"}
        assert found == [fast.plain.analyze(text, column) for text in texts]
        seen.clear()


def test_equal_texts_of_a_column_are_searched_once_and_remembered() -> None:
    seen: list[str] = []
    fast = FastScanner([_Unknown(seen.append)])
    fast.spans(["odd one", "odd one"], "note")
    fast.spans(["odd one"], "note")
    assert seen == ["odd one"]
    fast.spans(["odd one"], "other")
    assert seen == ["odd one", "odd one"]


def test_a_text_beyond_the_limit_goes_whole_and_its_neighbours_do_not(fast: FastScanner) -> None:
    long = "x" * LONGEST_TEXT + " bob@example.com"
    found = fast.column("", ["paid", long, "eve@example.com"])
    assert found[1] == [Span(0, len(long), NOT_SCANNED)]
    assert [span.entity for span in found[2]] == ["EMAIL_ADDRESS"]
    assert 0 not in found


def test_silenced_warnings_do_not_hide_a_pattern_that_gave_up(fast: FastScanner) -> None:
    logging.disable(logging.WARNING)
    try:
        assert fast.spans(["a@b"], "")[0][0].entity == NOT_SCANNED
    finally:
        logging.disable(logging.NOTSET)


def test_without_hyperscan_the_same_is_found(
    fast: FastScanner, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(scanner_module, "AVAILABLE", False)
    slow = FastScanner()
    assert "hyperscan is not installed" in caplog.text
    assert slow.prefilter is None
    texts = [text for text, _ in FOUND]
    assert slow.spans(texts, "phone") == fast.spans(texts, "phone")
