"""What could hurt a parser is refused before it sees it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from policies.sql.facts import SqlEffect
from tests.policies.mysql.catalogs import facts, refusal

_DEADLINE = 60  # seconds, for the whole of a process on a busy machine

KILLERS = {
    "date": "SELECT " + "DATE(" * 30 + "x" + ")" * 30,
    "decimal": "SELECT " + "DECIMAL(" * 30 + "1,1" + ")" * 30,
    "varchar": "SELECT " + "VARCHAR(" * 30 + "1" + ")" * 30,
    "array": "SELECT " + "ARRAY[" * 30 + "1" + "]" * 30,
    "struct": "SELECT " + "STRUCT<" * 30 + "INT" + ">" * 30,
    "subscripts": "SELECT a" + "[1]" * 3000,
    "joins": "SELECT * FROM users a " + "JOIN users b " * 30,
    "nested joins": "SELECT * FROM users a " + "JOIN (SELECT * FROM users c " * 28 + ")" * 28,
    "brackets": "SELECT " + "(" * 500 + "1" + ")" * 500,
    "derived tables": "(SELECT * FROM " * 7800,
    "case": "SELECT " + "CASE WHEN " * 500 + "1" + " THEN 1 END" * 500,
    "not": "SELECT " + "NOT " * 500 + "1",
    "minus": "SELECT " + "- " * 500 + "1",
    "sum": "SELECT " + "1+" * 22_000 + "1",
    "comments": "SELECT " + "/*" * 30_000,
    "open comments": "SELECT 1 " + "/* " * 20_000 + "*/ " * 20_000,
    "quotes": "SELECT " + "''" * 30_000 + "'",
    "escapes": "SELECT '" + "\\'" * 30_000,
    "dashes": "SELECT 1" + "-" * 60_000,
    "equal": "SELECT 1 FROM users WHERE " + "id = " * 1900 + "id",
    "equal in a change": "DELETE FROM orders WHERE " + "id = " * 1900 + "id",
    "or": "DELETE FROM orders WHERE " + "id = 1 OR " * 900 + "id = 2",
    "list": "SELECT 1 IN (" + "1," * 30_000 + "1)",
    "some list": "SELECT 1 IN (" + "1," * 5_000 + "1)",
    "rows": "INSERT INTO departments VALUES " + "(1,'a')," * 7_000 + "(1,'a')",
    "some rows": "INSERT INTO departments VALUES " + "(1,'a')," * 1_000 + "(1,'a')",
    "columns": "SELECT " + "a.id," * 12_000 + "1 FROM users a",
    "stars": "SELECT " + "*," * 20_000 + "1 FROM users a",
    "intervals": "SELECT " + "INTERVAL (" * 30 + "1" + ")" * 30,
    "unions": "SELECT 1 " + "UNION SELECT 1 " * 900,
    "some unions": "SELECT 1 " + "UNION SELECT 1 " * 60,
    "sources": "SELECT 1 FROM " + ", ".join(f"users a{i}" for i in range(3000)),
}  # fmt: skip

_ANALYSE_ALL = """
import json
from tests.policies.mysql.catalogs import facts
from tests.policies.mysql.test_gate import KILLERS
found = {name: facts(sql) for name, sql in KILLERS.items()}
print(json.dumps({n: f.opaque.code if f.opaque else f.effect.value for n, f in found.items()}))
"""


@pytest.fixture(scope="module")
def answered() -> dict[str, str]:
    """Each killer's refusal, or effect, from a process that is killed at the deadline."""
    command = [sys.executable, "-c", _ANALYSE_ALL]
    done = subprocess.run(command, check=True, timeout=_DEADLINE, capture_output=True, text=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_no_statement_holds_the_analysis_up(answered: dict[str, str]) -> None:
    """One that takes 2^n never ends."""
    assert answered.keys() == KILLERS.keys()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("decimal", "SQL_NOT_UNDERSTOOD"),
        ("varchar", "SQL_NOT_UNDERSTOOD"),
        ("array", "SQL_SYNTAX"),
        ("subscripts", "SQL_SYNTAX"),
        ("joins", "SQL_TOO_COMPLEX"),
        ("nested joins", "SQL_TOO_COMPLEX"),
        ("brackets", "SQL_TOO_DEEP"),
        ("derived tables", "SQL_TOO_LONG"),
        ("case", "SQL_TOO_DEEP"),
        ("not", "SQL_TOO_DEEP"),
        ("minus", "SQL_TOO_DEEP"),
        ("sum", "SQL_TOO_COMPLEX"),
        ("comments", "SQL_COMMENT"),
        ("open comments", "SQL_TOO_LONG"),
        ("dashes", "SQL_TOO_COMPLEX"),
        ("sources", "SQL_TOO_COMPLEX"),
        ("list", "SQL_TOO_COMPLEX"),
        ("rows", "SQL_TOO_COMPLEX"),
    ],
)
def test_a_parser_killer_is_refused_with_its_reason(
    answered: dict[str, str], name: str, code: str
) -> None:
    assert answered[name] == code


@pytest.mark.parametrize("name", ["or", "some list", "some rows", "some unions"])
def test_long_plain_statements_are_understood(answered: dict[str, str], name: str) -> None:
    assert answered[name] in ("read", "write")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 20 + "1" + ")" * 20,
        "SELECT " + "lower(" * 20 + "'A'" + ")" * 20,
        "SELECT " + "(SELECT " * 15 + "1" + ")" * 15,
        "SELECT * FROM users a JOIN users b JOIN users c ON c.id = b.id ON b.id = a.id",
    ],
)
def test_ordinary_nesting_is_understood(sql: str) -> None:
    assert facts(sql).effect is SqlEffect.READ


@pytest.mark.parametrize("sql", ["", ";", "  ", "-- c", "/* ping */", "# c\n;"])
def test_a_text_without_a_statement_is_a_read_of_nothing(sql: str) -> None:
    found = facts(sql)
    assert (found.effect, found.kinds, found.tables) == (SqlEffect.READ, {"empty"}, ())


@pytest.mark.parametrize("sql", ["SELECT 1;", "SELECT 1 ; -- c", "SELECT ';'"])
def test_a_trailing_semicolon_is_no_second_statement(sql: str) -> None:
    assert facts(sql).effect is SqlEffect.READ


@pytest.mark.parametrize("sql", ["SELECT 1; SELECT 2", "SELECT 1;;", ";;", "COMMIT; DELETE FROM t"])
def test_several_statements_are_refused(sql: str) -> None:
    assert refusal(sql) == "SQL_MULTIPLE_STATEMENTS"


def test_a_refusal_says_where_in_bytes() -> None:
    found = facts("SELECT 'é', sleep(1)")
    assert found.opaque is not None
    start, end = found.opaque.span or (0, 0)
    assert "SELECT 'é', sleep(1)".encode()[start:end] == b"sleep"
    assert found.opaque.next_step
