"""What COPY sends to the client, from its text: the layout, and a query with the same columns."""

from __future__ import annotations

import pytest

from policies.sql.copied import CopiedOut, CopyLayout
from tests.policies.test_postgres_facts import facts

CSV = CopyLayout("csv", ",", "", '"', '"')


def copied(text: str) -> CopiedOut:
    found = facts(text).copied
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("options", "layout", "header"),
    [
        ("", CopyLayout(), False),
        ("(FORMAT text, HEADER)", CopyLayout(), True),
        ("(FORMAT csv)", CSV, False),
        ("CSV HEADER", CSV, True),
        ("WITH CSV QUOTE AS '^' NULL 'x'", CopyLayout("csv", ",", "x", "^", "^"), False),
        ("(FORMAT csv, HEADER on)", CSV, True),
        ("(FORMAT csv, HEADER 0)", CSV, False),
        ("(FORMAT csv, HEADER 1)", CSV, True),
        ("(FORMAT csv, HEADER FALSE)", CSV, False),
        ("(FORMAT csv, NULL '')", CSV, False),
        ("(FORMAT csv, ESCAPE '!')", CopyLayout("csv", ",", "", '"', "!"), False),
        ("(FORMAT csv, FORCE_QUOTE *)", CopyLayout("csv", ",", "", '"', '"', quoted=True), False),
        ("(DELIMITER '|')", CopyLayout("text", "|"), False),
        ("DELIMITERS '|'", CopyLayout("text", "|"), False),
        ("(NULL '\\N')", CopyLayout(), False),
    ],
)
def test_layouts_that_are_read_back(options: str, layout: CopyLayout, header: bool) -> None:
    found = copied(f"COPY users TO STDOUT {options}")
    assert (found.layout, found.header) == (layout, header)


@pytest.mark.parametrize(
    "options",
    [
        *("(FORMAT binary)", "(FORMAT 'CSV')", "(FORMAT nonsense)", "(NULL 'x')", "(NULL '')"),
        *("(DELIMITER 'a')", "(DELIMITER '.')", "(DELIMITER '||')", "(DELIMITER 'ä')"),
        *("(DELIMITER E'\\n')", "(QUOTE '^')", "(FORMAT csv, QUOTE ',')", "(HEADER match)"),
        *("(FORMAT csv, NULL 'a,b')", "(FORMAT csv, NULL '\"')", "(FORMAT csv, NULL 'ä')"),
        *("(FORMAT csv, FORCE_QUOTE (id))", "(FORCE_QUOTE *)", "(FORMAT csv, QUOTE '')"),
        *("(FORMAT csv, FORCE_NULL (id))", "(FORMAT csv, DEFAULT 'x')", "(HEADER 7)"),
        *("(FORMAT csv, FORMAT text)", "(FORMAT)", "(DELIMITER 7)"),
    ],
)
def test_layouts_that_are_not_say_what_to_do(options: str) -> None:
    found = copied(f"COPY users TO STDOUT {options}")
    assert found.layout is None
    assert found.why
    assert found.next_step


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("COPY users TO STDOUT", 'SELECT * FROM ONLY "users"'),
        (
            "COPY public.Users (ID, name) TO STDOUT",
            'SELECT "id", "name" FROM ONLY "public"."users"',
        ),
        ("COPY (SELECT id FROM users) TO STDOUT", "SELECT id FROM users"),
        ("copy -- (\n( select ')' /* ) */, (1) ) TO STDOUT;", " select ')' /* ) */, (1) "),
        ("COPY (VALUES ($$)$$)) TO STDOUT", "VALUES ($$)$$)"),
        ('COPY (SELECT 1 AS ")") TO STDOUT', 'SELECT 1 AS ")"'),
    ],
)
def test_the_columns_are_those_of_a_query(text: str, query: str) -> None:
    assert copied(text).query == query


def test_what_the_client_sends_is_not_copied_out() -> None:
    assert facts("COPY users FROM STDIN").copied is None
    assert facts("SELECT 1").copied is None
