"""The lexer finds the literals that PostgreSQL's own finds, and takes any text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postgast import PgQueryError, pg_query_pb2, scan

from policies.sql.tokens import Kind, content, tokens
from tests.policies.catalogs import statements

STATEMENTS = [row["sql"] for row in statements()]
COMMENT_AFTER_QUOTE = re.compile(r"'\s*--")
STRINGS = frozenset({"SCONST", "USCONST", "BCONST", "XCONST"})
PIECES = st.sampled_from(
    [
        *("'", "''", '"', "\\", "E'", "e'", "U&'", 'U&"', "n'", "x'", "$$", "$a$", "$a", "$1"),
        *(
            "/*",
            "*/",
            "--",
            "\n",
            "\r",
            "\t",
            " ",
            "a",
            "password",
            "1",
            ";",
            "(",
            ",",
            "=",
            "||",
            "é",
        ),
    ]
)


def literals(text: str) -> list[tuple[int, int]]:
    """Where our literals stand, in bytes; a prefix that PostgreSQL counts as a word left out."""
    found = []
    for token in tokens(text):
        if token.kind is Kind.LITERAL:
            is_national = text[token.start] in "nN"
            start = len(text[: token.start + is_national].encode())
            found.append((start, len(text[: token.end].encode())))
    return found


def reference(text: str) -> list[tuple[int, int]] | None:
    """What libpg_query's scanner finds; `None` where it gives up.

    Unlike the server's, it ends a literal that goes on after a comment; then it is no reference.
    """
    if COMMENT_AFTER_QUOTE.search(text):
        return None
    try:
        found = scan(text).tokens
    except (PgQueryError, UnicodeDecodeError):
        return None
    names = pg_query_pb2.Token.Name
    return [(t.start, t.end) for t in found if names(t.token) in STRINGS]


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.lists(PIECES, min_size=1, max_size=24).map("".join))
def test_literals_stand_where_postgresql_s_own_lexer_finds_them(text: str) -> None:
    expected = reference(text)
    if expected is not None:
        assert literals(text) == expected


@pytest.mark.parametrize("sql", STATEMENTS[:400:3])
def test_literals_of_the_corpus_are_found(sql: str) -> None:
    expected = reference(sql) if "\0" not in sql else None
    assert expected is None or literals(sql) == expected


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(alphabet=st.characters(codec=None), max_size=200) | st.lists(PIECES).map("".join))
def test_any_text_is_taken_apart_without_a_gap(text: str) -> None:
    found = list(tokens(text))
    position = 0
    for token in found:
        assert position <= token.start < token.end <= len(text)
        assert not text[position : token.start].strip()
        position = token.end
    assert not text[position:].strip()


def test_a_literal_goes_on_after_a_comment_as_the_server_reads_it() -> None:
    (token,) = tokens("E'a' -- c\n  'b\\'c'")
    assert content(token).text == "ab'c"


@pytest.mark.parametrize(
    ("literal", "says"),
    [
        ("'a''b'", "a'b"),
        (r"E'a\'b\\c\x41\101\u0041\n'", "a'b\\cAAA\n"),
        (r"U&'d\0061t\+000061 \\'", "data \\"),
        ("$tag$it's$tag$", "it's"),
        ("'left open", "left open"),
        ("$$left open", "left open"),
    ],
)
def test_what_a_literal_says_is_read_with_its_escapes_undone(literal: str, says: str) -> None:
    (token,) = tokens(literal)
    inner = content(token)
    assert inner.text == says
    assert [literal[inner.place(i)] for i, c in enumerate(says) if c == literal[inner.place(i)]]
    assert inner.place(len(says)) == inner.end
