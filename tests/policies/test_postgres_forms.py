"""Facts of single forms: limits, locks, COPY, sequences, samples, JSON and XML, row values."""

from __future__ import annotations

import pytest

from policies.sql.facts import SqlEffect
from policies.sql.postgres import analyse
from tests.policies.catalogs import catalog
from tests.policies.test_postgres_facts import facts, use


@pytest.mark.parametrize("text", ["", " \n", ";", ";;", "-- nothing"])
def test_an_empty_text_holds_no_statement_and_does_nothing(text: str) -> None:
    found = facts(text)
    assert found.read_only
    assert (found.kinds, found.statement_count, found.tables) == ({"empty"}, 0, ())


def test_a_text_of_several_statements_says_how_many() -> None:
    assert analyse("SELECT 1; SELECT 2; SELECT 3", catalog()).statement_count == 3
    assert facts("SELECT 1").statement_count == 1


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("SELECT id FROM users LIMIT 5", 5),
        ("SELECT id FROM users LIMIT 0", 0),
        ("SELECT id FROM users FETCH FIRST ROW ONLY", 1),
        ("SELECT id FROM users UNION SELECT id FROM orders LIMIT 7", 7),
        ("WITH a AS (SELECT 1 LIMIT 2) SELECT * FROM a LIMIT 99999999999", 99999999999),
        ("SELECT id FROM users", None),
        ("SELECT id FROM users LIMIT ALL", None),
        ("SELECT id FROM users LIMIT $1", None),
        ("SELECT id FROM users LIMIT 1 + 1", None),
        ("SELECT id FROM users LIMIT 99999999999999999999", None),
        ("SELECT id FROM users ORDER BY id FETCH FIRST 3 ROWS WITH TIES", None),
        ("SELECT id FROM (SELECT id FROM users LIMIT 5) u", None),
        ("INSERT INTO orders (id) SELECT id FROM users LIMIT 5", None),
    ],
)
def test_the_limit_is_the_constant_of_the_outermost_query(text: str, limit: int | None) -> None:
    assert facts(text).limit == limit


@pytest.mark.parametrize("strength", ["UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE"])
def test_row_locks_are_named_wherever_they_stand(strength: str) -> None:
    lock = f"for_{strength.lower().replace(' ', '_')}"
    assert facts(f"SELECT id FROM users FOR {strength}").locks == {lock}
    nested = facts(f"SELECT 1 FROM (SELECT id FROM users FOR {strength} NOWAIT) u")
    assert nested.locks == {lock}
    assert nested.effect is SqlEffect.WRITE


def test_operators_and_casts_are_named() -> None:
    found = facts(
        "SELECT id::text || 'x', CAST('{1}' AS int[]) FROM users WHERE id BETWEEN 1 AND 2"
        " AND name OPERATOR(pg_catalog.~) 'x' AND dept_id IN (SELECT id FROM departments)"
    )
    assert found.operators == {"||", ">=", "<=", "~", "="}
    assert found.casts == {"text", "int4[]"}


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("COPY users TO STDOUT", {"*"}),
        ("COPY users (id, name) TO STDOUT WITH (FORMAT csv, HEADER)", {"id", "name"}),
        ("COPY (SELECT id FROM users) TO STDOUT", {"id"}),
    ],
)
def test_copy_to_the_client_is_a_read(text: str, columns: set[str]) -> None:
    found = facts(text)
    assert found.effect is SqlEffect.READ
    assert "copy" in found.kinds
    assert use(found, "public.users", "select").columns == columns


def test_what_copy_sends_is_clean_by_the_same_proof() -> None:
    # id, name, email, ssn, dept_id, password_hash
    assert facts("COPY users TO STDOUT").clean_outputs == {0, 1, 4}
    assert facts("COPY (SELECT ssn, id FROM users) TO STDOUT").clean_outputs == {1}


def test_a_sequence_named_in_a_call_is_read() -> None:
    for name in ("'s1'", "'public.s1'", "'\"s1\"'::regclass"):
        found = facts(f"SELECT currval({name})")
        assert use(found, "public.s1", "select").kind == "sequence"


def test_a_function_in_attribute_notation_is_called_with_the_row() -> None:
    found = facts("SELECT u.row_to_json FROM users u")
    assert found.functions == {"pg_catalog.row_to_json"}
    assert found.clean_outputs == set()
    assert found.labels_read == {"pii", "secret"}


def test_a_field_of_a_subquerys_row_carries_what_the_row_carries() -> None:
    found = facts("SELECT (SELECT u FROM users u LIMIT 1).ssn, (ROW(1, 2)).f2")
    assert found.clean_outputs == {1}


def test_a_sample_reads_its_table() -> None:
    found = facts("SELECT ssn FROM users TABLESAMPLE bernoulli (10) REPEATABLE (1)")
    assert use(found, "public.users", "select").columns == {"ssn"}


def test_a_column_qualified_by_the_database_is_that_column() -> None:
    found = facts("SELECT tmpl.public.users.ssn FROM tmpl.public.users")
    assert found.clean_outputs == set()


def test_json_and_xml_carry_what_they_are_made_of() -> None:
    found = facts(
        "SELECT json_object('a': ssn), json_value('1', '$'), xmlelement(name a, ssn),"
        " json_arrayagg(id ORDER BY ssn), ssn IS JSON, json_array(SELECT ssn FROM users)"
        " FROM users GROUP BY ssn"
    )
    assert found.clean_outputs == {1}
    assert "pg_catalog.json_object" in found.functions


def test_columns_of_json_table_and_xmltable_carry_what_their_document_carries() -> None:
    found = facts(
        "SELECT t.v, t.n, x.v, d.id FROM users, departments d,"
        " JSON_TABLE(ssn, '$' COLUMNS (v text PATH '$.a', NESTED '$.b' COLUMNS (n int))) t,"
        " XMLTABLE('/r' PASSING '<r/>' COLUMNS v text PATH '.') x"
    )
    assert found.clean_outputs == {2, 3}
