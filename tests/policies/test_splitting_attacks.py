"""Texts of several statements, cut by the gateway and by the server's own grammar: the same cuts.

Where every part is one statement to the grammar, the whole text is those statements in that order,
and nothing else: otherwise something would run that was not judged.
"""

from __future__ import annotations

import random
import re
from typing import Any, Final

import pytest

from policies.sql.not_understood import NotUnderstood, SeveralStatements
from policies.sql.parser import _statements, parse_one
from policies.sql.splitting import split

# What one lexer could take for the end of a statement, and another one for the middle of a literal.
FRAGMENTS: Final = (
    *(";", ";", ";", " ", "\n", "\r", "\t", "\v", "\f", "\xa0", "\x85", "\u2028", "\ufeff"),
    *("SELECT 1", "SELECT 2", "SELECT 'a'", "DROP TABLE t", "SELECT a", " AS b", ", 3", "(", ")"),
    *("'", "''", "\\'", "E'", "e'\\\\'", "U&'", 'u&"', "N'", "B'", "x'", '"', '""', "'a'\n'b'"),
    *("$$", "$a$", "$A$", "$1", "$1$", "a$", "$", "$é$", "1$$", "1a", "0x", "1e", "1_0", "._"),
    *("--", "-- ;", "--\r", "--\n", "/*", "*/", "/*/", "**/", "/**/", "//*", "/* ; */", "/*;/*;*/"),
    *("+", "-", "*", "/", "@", "@-", "+-", "::int", "UESCAPE '!'", "BEGIN ATOMIC", "END", ":", "="),
    *("BEGIN", "COMMIT", "é", "E", "U&", "\\", "\\;", "OPERATOR(pg_catalog.+)", "[1;2]", "{;}"),
)
_PLACES: Final = re.compile(r"(location|stmt_len|_len)$")
KNOWN: Final = (
    "SELECT 1 /* ; */; SELECT $a$ ; $a$; SELECT 'x;y'; -- ;\nSELECT 2",
    "SELECT 'a' --;\n'b;'; SELECT 2",
    "SELECT E'\\';'; SELECT 2",
    "SELECT '\\'; SELECT 2 --'",
    "SELECT U&'\\;' ; SELECT 2",
    'SELECT 1 AS "a;""b;"; SELECT 2',
    "SELECT 1 --;\r; SELECT 2",
    "SELECT $é$;$é$; SELECT 2",
    "SELECT a$$; SELECT 2 AS b$$",
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 3",
    "SELECT U&\"a'\n'b\" ; SELECT 2",
    "CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2); SELECT 3",
)


def statements(text: str) -> list[Any] | None:
    """The statements of a text without their places; None for what is no SQL."""
    try:
        return [without_places(found["stmt"]) for found in _statements(text.encode())]
    except NotUnderstood:
        return None


def one(text: str) -> list[Any] | None:
    try:
        parse_one(text.encode())
    except (NotUnderstood, SeveralStatements):
        return None
    return statements(text)


def without_places(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {k: without_places(v) for k, v in tree.items() if not _PLACES.search(k)}
    return [without_places(item) for item in tree] if isinstance(tree, list) else tree


def check(text: str) -> bool:
    """Whether all parts are statements."""
    parts = split(text)
    assert "".join(parts) == text
    found = [one(part) for part in parts]
    understood = [statement for part in found if part is not None for statement in part]
    if None in found:
        return False
    assert statements(text) == understood, (text, parts)
    return len(parts) > 1


@pytest.mark.parametrize("text", KNOWN)
def test_texts_that_mislead_lexers_are_cut_as_the_server_does_or_not_understood(text: str) -> None:
    check(text)


@pytest.mark.parametrize("seed", range(8))
def test_random_texts_are_cut_as_the_server_does_or_not_understood(seed: int) -> None:
    chance = random.Random(seed)
    whole = 0
    for _ in range(1500):
        text = "".join(chance.choices(FRAGMENTS, k=chance.randint(2, 9)))
        whole += check(chance.choice(("SELECT 1;", "", "SELECT 'x")) + text)
    assert whole > 3


def test_what_would_take_long_to_cut_is_left_whole() -> None:
    for text in ("SELECT 1;" * 101, "SELECT 1; " + "x" * 9_000, "'" * 8_000 + ";", "/*;" * 2_500):
        assert split(text) == (text,) or len(text) <= 8 * 1024
