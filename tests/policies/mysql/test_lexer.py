"""The lexer sees what the server sees, or refuses."""

from __future__ import annotations

import pytest

from policies.sql.mysql.lexer import Kind, tokens
from policies.sql.not_understood import NotUnderstood


def values(text: str) -> list[str]:
    return [token.value for token in tokens(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT/**/ssn/**/FROM/**/users", ["SELECT", "ssn", "FROM", "users"]),
        ("SELECT\x0bssn\x0cFROM\tusers", ["SELECT", "ssn", "FROM", "users"]),
        ("SELECT name #\n, ssn", ["SELECT", "name", ",", "ssn"]),
        ("SELECT 1 -- c\n, 2", ["SELECT", "1", ",", "2"]),
        ("SELECT 5--1", ["SELECT", "5", "-", "-", "1"]),
        ("SELECT 1 --", ["SELECT", "1"]),
        ("SELECT 1 --\x01 c\n, 2", ["SELECT", "1", ",", "2"]),
        ("SELECT @@GLOBAL.sql_mode, .5", ["SELECT", "sql_mode", ",", ".5"]),
        ("x BETWEEN .5 AND .6", ["x", "BETWEEN", ".5", "AND", ".6"]),
        ("SELECT'a'", ["SELECT", "a"]),
        (r"SELECT 'a\'b', 'c''d', ""\"e\"\"f\"", ["SELECT", "a'b", ",", "c'd", ",", 'e"f']),
        (r"SELECT 'a\\', 'b'", ["SELECT", "a\\", ",", "b"]),
        ("SELECT `a``b`", ["SELECT", "a`b"]),
        (r"SELECT `a` , '\`'", ["SELECT", "a", ",", "`"]),
        ("SELECT N'x', X'41', b'1', 0x41, 0b1", ["SELECT", "x", ",", "X'41'", ",", "b'1'", ",",
                                                 "0x41", ",", "0b1"]),
        ("SELECT 1.5e-3, .5, 1e5, 1.", ["SELECT", "1.5e-3", ",", ".5", ",", "1e5", ",", "1."]),
        ("SELECT * FROM 1tab", ["SELECT", "*", "FROM", "1tab"]),
        ("SELECT @@session.sql_mode", ["SELECT", "sql_mode"]),
        ("a<=>b<>c!=d<=e>=f<<g>>h||i&&j->'k'->>'l'", ["a", "<=>", "b", "<>", "c", "!=", "d",
         "<=", "e", ">=", "f", "<<", "g", ">>", "h", "||", "i", "&&", "j", "->", "k", "->>", "l"]),
    ],
)  # fmt: skip
def test_tokens_are_those_of_the_server(text: str, expected: list[str]) -> None:
    assert values(text) == expected


@pytest.mark.parametrize(
    ("text", "keywords"),
    [
        ("SELECT select FROM t", ["SELECT", "SELECT", "FROM", "T"]),
        ("t.select", ["", ""]),
        ("select.t", ["", ""]),
        ("t . select", ["T", "SELECT"]),
        (r"\N", ["NULL"]),
        ("`select`", [""]),
    ],
)
def test_next_to_a_dot_every_word_is_a_name(text: str, keywords: list[str]) -> None:
    words = [t.word for t in tokens(text) if t.kind in (Kind.WORD, Kind.NAME)]
    assert words == keywords


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("SELECT 'abc", "SQL_SYNTAX"),
        ("SELECT 'a''b", "SQL_SYNTAX"),
        (r"SELECT 'a\'", "SQL_SYNTAX"),
        ('SELECT "abc', "SQL_SYNTAX"),
        ("SELECT `abc", "SQL_SYNTAX"),
        ("SELECT 1 /* c", "SQL_SYNTAX"),
        ("SELECT 1 /*/", "SQL_SYNTAX"),
        ("SELECT 1 /* /* */ */", "SQL_COMMENT"),
        ("SELECT 1 /*!99999 c */", "SQL_COMMENT"),
        ("SELECT 1 /*M! c */", "SQL_COMMENT"),
        ("SELECT /*+ c */ 1", "SQL_COMMENT"),
        ("SELECT 1 # c\rFROM t", "SQL_COMMENT"),
        ("SELECT 1\x01", "SQL_CHARACTER"),
        ("SELECT\u00a01", "SQL_CHARACTER"),
        ("SELECT 1\uff1b", "SQL_CHARACTER"),
        ("SELECT straße", "SQL_CHARACTER"),
        ("SELECT `a\x01`", "SQL_CHARACTER"),
        ("SELECT `a `", "SQL_CHARACTER"),
        ("SELECT ``", "SQL_CHARACTER"),
        ("SELECT `\U0001f600`", "SQL_CHARACTER"),
        ("SELECT @a", "SQL_VARIABLE"),
        ("SELECT @@a.b", "SQL_VARIABLE"),
        ("SELECT @@`a`", "SQL_VARIABLE"),
        ("SELECT 1e1FROM t", "SQL_SYNTAX"),
        ("SELECT 0x4G", "SQL_SYNTAX"),
        ("SELECT x'4'", "SQL_SYNTAX"),
        ("SELECT t.1e1", "SQL_SYNTAX"),
        ("SELECT t .5", "SQL_SYNTAX"),
        ("SELECT a BETWEEN.5 AND 1", "SQL_SYNTAX"),
        ("SELECT a[1]", "SQL_SYNTAX"),
        ("SELECT {d '2020-01-01'}", "SQL_SYNTAX"),
        ("SELECT :a", "SQL_SYNTAX"),
        ("SELECT $1", "SQL_SYNTAX"),
        (r"SELECT 1\G", "SQL_SYNTAX"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(text: str, code: str) -> None:
    with pytest.raises(NotUnderstood) as refused:
        tokens(text)
    assert refused.value.code == code
