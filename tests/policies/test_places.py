"""Where a span stands: lines, columns and carets count characters, spans count bytes."""

from __future__ import annotations

import pytest

from policies.places import LONGEST_EXCERPT, place_at, place_of


@pytest.mark.parametrize(
    ("text", "named", "line", "column", "carets"),
    [
        ("SELECT ssn FROM t", "ssn", 1, 8, "       ^^^"),
        ("SELECT\n  ssn\nFROM t", "ssn", 2, 3, "  ^^^"),
        ("SELECT 'ünïcödé', ssn", "ssn", 1, 19, " " * 18 + "^^^"),
        ("SELECT '\u202e\t', ssn", "ssn", 1, 14, " " * 13 + "^^^"),
    ],
)
def test_a_span_of_bytes_is_a_place_in_characters(
    text: str, named: str, line: int, column: int, carets: str
) -> None:
    start = len(text[: text.index(named)].encode())
    place = place_of(text, (start, start + len(named.encode())))
    assert place is not None
    assert (place.line, place.column) == (line, column)
    assert place.offset == text.index(named) + 1
    shown, below = place.excerpt.split("\n")
    assert below == carets
    assert shown[below.index("^") :].startswith(named)
    assert shown.isprintable()


def test_a_long_line_is_shown_round_the_span() -> None:
    text = "SELECT " + "a, " * 1000 + "ssn" + ", b" * 1000
    start = text.index("ssn")
    place = place_of(text, (start, start + 3))
    assert place is not None
    shown, below = place.excerpt.split("\n")
    assert len(shown) == LONGEST_EXCERPT
    assert shown[below.index("^") : below.index("^") + 3] == "ssn"


def test_a_span_that_is_not_in_the_text_has_no_place() -> None:
    assert place_of("SELECT 1", (5, 50)) is None


def test_a_statement_with_a_secret_is_not_quoted() -> None:
    place = place_at("ALTER USER ann PASSWORD 'letmein-9'", 0)
    assert (place.line, place.column, place.excerpt) == (1, 1, "")
