"""The look at a statement's text before any parser: what it counts, and what can't hide from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.sql.not_understood import NotUnderstood
from policies.sql.prescan import MAXIMUM_BYTES, MAXIMUM_DEPTH, MAXIMUM_OPERATORS, encode


def code(text: str) -> str:
    """The code of the refusal; empty for what a parser may see."""
    try:
        encode(text)
    except NotUnderstood as refused:
        return refused.code
    return ""


@pytest.mark.parametrize("pair", ["()", "[]", "{}"])
def test_brackets_may_nest_so_deep_and_no_deeper(pair: str) -> None:
    opening, closing = pair[0], pair[1]
    deepest = opening * MAXIMUM_DEPTH + closing * MAXIMUM_DEPTH
    assert code(f"SELECT {deepest}, {deepest}") == ""
    assert code(f"SELECT {opening}{deepest}{closing}") == "SQL_TOO_DEEP"


def test_closing_brackets_in_a_string_hide_no_opening_ones() -> None:
    assert code("SELECT '" + ")" * 1_000 + "', " + "(" * 81 + "1" + ")" * 81) == "SQL_TOO_DEEP"


def test_thousands_of_flat_lists_are_no_depth() -> None:
    assert code("INSERT INTO t VALUES " + ", ".join(["(1, (2), 'x')"] * 3_000)) == ""


@given(st.text(alphabet="()", max_size=400))
def test_depth_is_what_counting_one_by_one_finds(brackets: str) -> None:
    level = deepest = 0
    for bracket in brackets:
        level = level + 1 if bracket == "(" else max(level - 1, 0)
        deepest = max(deepest, level)
    # Two levels more may be seen where nothing closes.
    if deepest > MAXIMUM_DEPTH:
        assert code(f"SELECT {brackets}") == "SQL_TOO_DEEP"
    if deepest <= MAXIMUM_DEPTH - 2:
        assert code(f"SELECT {brackets}") == ""


@pytest.mark.parametrize(
    "part", ["+1", " AND x", " Or x", " not x", "::a", "[1]", "||x", " <> x", " UNION SELECT 1"]
)
def test_operators_and_keywords_are_counted(part: str) -> None:
    some, more = MAXIMUM_OPERATORS // 2 - 2, MAXIMUM_OPERATORS + 1
    assert code("SELECT 1" + part * some) == ""
    assert code("SELECT 1" + part * more) in ("SQL_TOO_COMPLEX", "SQL_TOO_LONG")


def test_dates_in_plain_strings_are_no_operators_and_names_no_keywords() -> None:
    assert code("SELECT 1 IN (" + ", ".join(["'2024-01-01'"] * 3_000) + ")") == ""
    assert code("SELECT " + ", ".join(["order_and, isin, _or, caseé"] * 1_500)) == ""


def test_operators_between_strings_are_each_counted() -> None:
    assert code("SELECT ''" + "+''" * 3_000) == "SQL_TOO_COMPLEX"


def test_the_bytes_count_not_the_characters() -> None:
    assert code("SELECT '" + "x" * (MAXIMUM_BYTES - 9) + "'") == ""
    assert code("SELECT '" + "x" * (MAXIMUM_BYTES - 8) + "'") == "SQL_TOO_LONG"
    assert code("SELECT '" + "é" * (MAXIMUM_BYTES // 2) + "'") == "SQL_TOO_LONG"


def test_what_is_no_text_for_a_parser_is_refused() -> None:
    assert code("SELECT 1\0") == "SQL_NUL"
    assert code("SELECT '\ud800'") == "SQL_SYNTAX"
