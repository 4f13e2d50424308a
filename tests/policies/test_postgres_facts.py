"""What the analysis finds in statements, one behaviour at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.sql.facts import SqlEffect, SqlFacts, TableName, TableUse
from policies.sql.postgres import analyse
from tests.policies.catalogs import catalog


def facts(text: str) -> SqlFacts:
    found = analyse(text, catalog())
    assert found.opaque is None, found.opaque
    return found


def code(text: str) -> str:
    found = analyse(text, catalog())
    assert found.opaque is not None
    assert found.effect is SqlEffect.OPAQUE
    assert found.opaque.reason
    assert found.opaque.next_step
    return found.opaque.code


def use(found: SqlFacts, table: str, verb: str) -> TableUse:
    [match] = [u for u in found.tables if str(u.table) == table and u.verb == verb]
    return match


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1\x00; DELETE FROM users", "SQL_NUL"),
        ("SELECT '" + "x" * 65536 + "'", "SQL_TOO_LONG"),
        ("SELECT " + "(" * 81 + "1" + ")" * 81, "SQL_TOO_DEEP"),
        ("SELECT 1 " + "/*" * 51, "SQL_TOO_COMPLEX"),
        ("SELECT 1" + "+1" * 2001, "SQL_TOO_COMPLEX"),
        ("SELECT 1" + " ISNULL" * 5000, "SQL_TOO_COMPLEX"),
        ("SELECT \ud800", "SQL_SYNTAX"),
        ("SELEC 1", "SQL_SYNTAX"),
        ("SELECT 1; SELECT 2", "SQL_MULTIPLE_STATEMENTS"),
        ("COMMIT; DELETE FROM users", "SQL_MULTIPLE_STATEMENTS"),
        ("DO $$ BEGIN END $$", "SQL_NOT_UNDERSTOOD"),
        ("SELECT * FROM ghosts", "RELATION_UNKNOWN"),
        ("DROP TABLE ghosts", "RELATION_UNKNOWN"),
        ("SELECT * FROM other.public.users", "RELATION_UNKNOWN"),
        ("SELECT * FROM pg_stat_activity", "RELATION_SENSITIVE"),
        ("SELECT * FROM pg_catalog.pg_authid", "RELATION_SENSITIVE"),
        ("UPDATE pg_settings SET setting = 'off'", "RELATION_SENSITIVE"),
        ("SELECT pg_sleep(1)", "FUNCTION_NOT_ALLOWED"),
        ("SELECT U&\"pg_read\\005ffile\"('/x')", "FUNCTION_NOT_ALLOWED"),
        ("SELECT * FROM v_evil", "FUNCTION_NOT_ALLOWED"),
        ("SELECT f_del()", "FUNCTION_NOT_ALLOWED"),
        ("SELECT 1 === 2", "OPERATOR_UNKNOWN"),
        ("SELECT 1 OPERATOR(public.=) 2", "OPERATOR_UNKNOWN"),
        ("SELECT CAST('x'::text AS departments)", "TYPE_UNKNOWN"),
        ("SELECT nothing FROM users", "COLUMN_UNKNOWN"),
        ("SELECT u.f_touch FROM users u", "COLUMN_UNKNOWN"),
        ("SELECT u.row_to_json FROM orders", "COLUMN_UNKNOWN"),
        ("SELECT u.current_setting FROM users u", "COLUMN_UNKNOWN"),
        ("SELECT ('a'::text).f_cast", "SQL_NOT_UNDERSTOOD"),
        ("SELECT (SELECT u FROM users u).f_touch", "SQL_NOT_UNDERSTOOD"),
        ("SELECT (ROW(1)).f2", "SQL_NOT_UNDERSTOOD"),
        ("SELECT currval('s' || '1')", "FUNCTION_NOT_ALLOWED"),
        ("SELECT currval('users')", "RELATION_UNKNOWN"),
        ("SELECT nextval('s1')", "FUNCTION_NOT_ALLOWED"),
        ("SELECT id FROM users TABLESAMPLE f_del (1)", "FUNCTION_NOT_ALLOWED"),
        ("SELECT id FROM users TABLESAMPLE system (f_del())", "FUNCTION_NOT_ALLOWED"),
        ("SELECT json_value('1', '$' DEFAULT f_del() ON ERROR)", "FUNCTION_NOT_ALLOWED"),
        ("SELECT json_query('1', '$' RETURNING departments)", "TYPE_UNKNOWN"),
        ("SELECT json_array(SELECT f_del())", "FUNCTION_NOT_ALLOWED"),
        ("SELECT count(*) FROM generate_series(1, 1e12)", "SQL_TOO_COMPLEX"),
        ("SELECT 1 FROM generate_series(1, 1000), generate_series(0, -99, -1)", "SQL_TOO_COMPLEX"),
        ("SELECT * FROM ft_passwd", "SQL_NOT_UNDERSTOOD"),
        ("CREATE TABLE pg_temp.users (id int)", "SQL_NOT_UNDERSTOOD"),
        ("CREATE TABLE pg_temp_3.users (id int)", "SQL_NOT_UNDERSTOOD"),
        ("CREATE VIEW pg_temp.v AS SELECT 1", "SQL_NOT_UNDERSTOOD"),
        ("CREATE TEMP TABLE users (id int)", "SQL_NOT_UNDERSTOOD"),
        ("SELECT 1 INTO TEMP users", "SQL_NOT_UNDERSTOOD"),
        ("SELECT * FROM pg_temp.users", "RELATION_UNKNOWN"),
        ("UPDATE v_upd SET note = 'x' WHERE id = 1", "SQL_NOT_UNDERSTOOD"),
        ("SELECT 1 INTO copy", "SQL_NOT_UNDERSTOOD"),
        ("CREATE TABLE copy AS SELECT 1", "SQL_NOT_UNDERSTOOD"),
        ("COPY users TO '/x'", "SQL_NOT_UNDERSTOOD"),
        ("COPY users TO PROGRAM 'x'", "SQL_NOT_UNDERSTOOD"),
        ("COPY (DELETE FROM users RETURNING id) TO STDOUT", "SQL_NOT_UNDERSTOOD"),
        ("COPY v_evil TO STDOUT", "FUNCTION_NOT_ALLOWED"),
        ("COPY users (nothing) TO STDOUT", "COLUMN_UNKNOWN"),
        ("COPY users TO STDOUT (ENCODING 'SJIS')", "SQL_NOT_UNDERSTOOD"),
        ("COPY users FROM PROGRAM 'x'", "SQL_NOT_UNDERSTOOD"),
        ("COPY users FROM '/x'", "SQL_NOT_UNDERSTOOD"),
        ("BEGIN READ WRITE", "SQL_NOT_UNDERSTOOD"),
        ("SET TRANSACTION READ WRITE", "SQL_NOT_UNDERSTOOD"),
        ("PREPARE TRANSACTION 'x'", "SQL_NOT_UNDERSTOOD"),
        ("TRUNCATE users CASCADE", "SQL_NOT_UNDERSTOOD"),
        ("EXPLAIN ANALYZE DELETE FROM users WHERE id = 1", "SQL_NOT_UNDERSTOOD"),
        ("EXPLAIN (VERBOSE, ANALYZE) CREATE TABLE x AS SELECT 1", "SQL_NOT_UNDERSTOOD"),
        ("EXPLAIN (ANALYZE off, ANALYZE on) UPDATE users SET id = 1", "SQL_NOT_UNDERSTOOD"),
        ("ALTER TABLE users OWNER TO app", "SQL_NOT_UNDERSTOOD"),
        ("CREATE TABLE t (a text DEFAULT pg_read_file('/x'))", "FUNCTION_NOT_ALLOWED"),
    ],
)
def test_what_is_not_understood_is_opaque_with_a_code(text: str, expected: str) -> None:
    assert code(text) == expected


def test_the_span_of_what_was_not_understood_counts_bytes() -> None:
    text = "SELECT 'é', nextval('s1')"
    opaque = analyse(text, catalog()).opaque
    assert opaque is not None
    assert opaque.span is not None
    start, end = opaque.span
    assert text.encode()[start:end] == b"nextval"


def test_a_syntax_error_is_placed_in_bytes() -> None:
    opaque = analyse("SELECT 'é' FRM users WHERE", catalog()).opaque
    assert opaque is not None
    assert opaque.span is not None


def test_one_semicolon_at_the_end_is_fine() -> None:
    assert facts("SELECT 1;").effect is SqlEffect.READ


def test_a_read_names_its_tables_with_schema_columns_labels_and_place() -> None:
    found = facts("SELECT u.id, u.ssn FROM users u WHERE u.name = $1")
    assert found.effect is SqlEffect.READ
    table = use(found, "public.users", "select")
    assert table.columns == {"id", "ssn", "name"}
    assert table.labels == {"pii"}
    assert table.span == (24, 29)
    assert found.labels_read == {"pii"}
    users = catalog().relations[TableName("public", "users")]
    assert found.objects == ((TableName("public", "users"), users.oid),)


def test_a_star_touches_every_label_of_the_table() -> None:
    table = use(facts("SELECT * FROM users"), "public.users", "select")
    assert table.columns == {"*"}
    assert table.labels == {"pii", "secret"}


def test_a_row_reference_touches_every_label_of_the_table() -> None:
    assert facts("SELECT to_json(u) FROM users u").labels_read == {"pii", "secret"}


def test_a_column_in_a_predicate_counts_as_read() -> None:
    assert facts("SELECT id FROM users WHERE ssn LIKE '1%'").labels_read == {"pii"}


def test_quoted_names_are_other_tables() -> None:
    found = facts('SELECT id FROM "Users"')
    assert [str(u.table) for u in found.tables] == ["public.Users"]


def test_a_cte_hides_the_table_of_its_name_and_still_reads_it_inside() -> None:
    found = facts("WITH users AS (SELECT ssn FROM users) SELECT ssn FROM users")
    assert use(found, "public.users", "select").columns == {"ssn"}


def test_a_qualified_name_goes_past_a_cte() -> None:
    found = facts("WITH users AS (SELECT 1 AS id) SELECT id FROM public.users")
    assert [str(u.table) for u in found.tables] == ["public.users"]


def test_a_recursive_cte_that_names_a_later_one_is_refused() -> None:
    text = "WITH RECURSIVE a AS (SELECT * FROM departments), departments AS (SELECT 1) TABLE a"
    assert code(text) == "SQL_NOT_UNDERSTOOD"


def test_unqualified_system_relations_are_found_in_pg_catalog() -> None:
    assert [str(u.table) for u in facts("SELECT relname FROM pg_class").tables] == [
        "pg_catalog.pg_class"
    ]


def test_functions_are_named_with_their_schema() -> None:
    found = facts("SELECT lower(name), current_date FROM users")
    assert found.functions == {"pg_catalog.lower", "pg_catalog.current_date"}


def test_psql_may_write_operators_with_pg_catalog() -> None:
    assert facts("SELECT 1 OPERATOR(pg_catalog.=) 1").effect is SqlEffect.READ


def test_an_update_reads_what_it_looks_at_and_writes_what_it_assigns() -> None:
    found = facts("UPDATE users SET name = 'x' WHERE id = 1 RETURNING email")
    assert found.effect is SqlEffect.WRITE
    assert use(found, "public.users", "update").columns == {"name"}
    assert use(found, "public.users", "select").columns == {"id", "email"}
    assert found.has_where


def test_a_write_counts_all_labels_since_errors_show_the_row() -> None:
    assert facts("INSERT INTO users (id) VALUES (1)").labels_read == {"pii", "secret"}


def test_a_change_in_a_cte_is_a_write() -> None:
    found = facts("WITH d AS (DELETE FROM orders WHERE id = 1 RETURNING id) SELECT * FROM d")
    assert found.effect is SqlEffect.WRITE
    assert found.kinds == {"select", "delete"}


def test_on_conflict_update_is_an_update_too() -> None:
    found = facts(
        "INSERT INTO orders (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET total = excluded.total"
    )
    assert {u.verb for u in found.tables} == {"insert", "update"}


def test_locking_rows_is_an_update() -> None:
    found = facts("SELECT id FROM users FOR SHARE")
    assert found.effect is SqlEffect.WRITE
    assert use(found, "public.users", "update")


@pytest.mark.parametrize(
    "predicate",
    [
        "true",
        "1 = 1",
        "'a' = 'a'",
        "id = id",
        "NOT (false)",
        "NOT (NOT true)",
        "id = 1 OR true",
        "id = 1 OR 1 = 1",
        "NOT (id = id AND name = 'x')",
        "id IS NULL OR id IS NOT NULL",
        "id IN (1, id)",
        "(id = id) IS TRUE",
        "$1",
        "EXISTS (SELECT 1)",
        "id IS NULL OR NOT (id IS NULL)",
        "id = 1 OR id <> 1",
        "id = 1 OR NOT (1 = id)",
        "id < 5 OR 5 <= id",
        "id = 1 OR (name = 'x' OR id <> 1)",
        "NOT (id = 1 AND NOT (id = 1))",
        "(id = 1) IS NOT TRUE OR id = 1",
        "CASE WHEN id = 1 THEN true ELSE true END",
        "coalesce(id = id, false)",
        "id = ANY (ARRAY[id])",
        "id >= id",
        "id IS NOT DISTINCT FROM id",
        "name LIKE '%'",
        "now() > '2000-01-01'",
        "EXISTS (SELECT 1 FROM departments d WHERE d.id = 1)",
    ],
)
def test_a_predicate_that_names_no_rows_counts_as_none(predicate: str) -> None:
    assert not facts(f"DELETE FROM users WHERE {predicate}").has_where
    assert not facts(f"UPDATE users SET name = 'x' WHERE {predicate}").has_where


@pytest.mark.parametrize(
    "predicate",
    [
        "id = 1",
        "id = 1 AND true",
        "id = 1 OR name = 'x'",
        "NOT (id = 1)",
        "id IN (SELECT user_id FROM orders)",
        "EXISTS (SELECT 1 FROM orders o WHERE o.user_id = users.id)",
        "id = ANY($1)",
        "id IS NULL OR id = 1",
        "id = 1 OR id = 2",
        "id < 5 OR id > 7",
        "name LIKE 'a%'",
        "CASE WHEN id = 1 THEN true ELSE false END",
        "(id = 1) IS TRUE",
    ],
)
def test_a_predicate_over_the_rows_counts(predicate: str) -> None:
    assert facts(f"DELETE FROM users WHERE {predicate}").has_where


def test_without_where_no_rows_are_named() -> None:
    assert not facts("UPDATE users SET name = 'x'").has_where
    assert not facts("WITH d AS (DELETE FROM orders RETURNING 1) SELECT 1 FROM d").has_where


def test_a_join_that_limits_only_the_other_table_names_no_rows() -> None:
    assert not facts("DELETE FROM orders USING users u WHERE u.id = 1").has_where
    assert facts("DELETE FROM orders USING users u WHERE u.id = orders.user_id").has_where


def test_explain_without_analyze_reads_what_it_would_write() -> None:
    found = facts("EXPLAIN DELETE FROM orders")
    assert found.effect is SqlEffect.READ
    assert found.kinds == {"explain", "delete"}
    assert {u.verb for u in found.tables} == {"select"}


@pytest.mark.parametrize("options", ["", "ANALYZE", "(ANALYZE off, FORMAT json)", "(COSTS false)"])
def test_explain_of_a_read_is_a_read(options: str) -> None:
    assert facts(f"EXPLAIN {options} SELECT id FROM users").effect is SqlEffect.READ


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("BEGIN", "begin"),
        ("START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE", "begin"),
        ("COMMIT", "commit"),
        ("ROLLBACK", "rollback"),
        ("SAVEPOINT a", "savepoint"),
        ("ROLLBACK TO a", "rollback_to"),
        ("RELEASE a", "release"),
    ],
)
def test_plain_transaction_statements_are_transactions(text: str, kind: str) -> None:
    found = facts(text)
    assert found.effect is SqlEffect.TRANSACTION
    assert found.kinds == {kind}


def test_show_is_about_the_session_and_changes_nothing() -> None:
    found = facts("SHOW work_mem")
    assert found.effect is SqlEffect.SESSION
    assert found.read_only
    assert not facts("SET application_name = 'x'").read_only


def test_copy_from_stdin_inserts() -> None:
    found = facts("COPY orders (id, note) FROM STDIN WITH (FORMAT csv)")
    assert found.effect is SqlEffect.WRITE
    assert use(found, "public.orders", "insert").columns == {"id", "note"}


@pytest.mark.parametrize(
    ("text", "table", "verb"),
    [
        ("DROP TABLE users", "public.users", "ddl"),
        ("DROP VIEW v_users CASCADE", "public.v_users", "ddl"),
        ("DROP SCHEMA hr CASCADE", "hr.salaries", "ddl"),
        ("DROP SCHEMA hr", "hr.", "ddl"),
        ("CREATE SCHEMA fresh", "fresh.", "ddl"),
        ("CREATE TABLE fresh (id serial PRIMARY KEY, x int DEFAULT 1)", "public.fresh", "ddl"),
        ("CREATE TABLE hr.fresh (id int)", "hr.fresh", "ddl"),
        ("CREATE INDEX ON users (lower(name)) WHERE id > 1", "public.users", "ddl"),
        ("CREATE VIEW fresh AS SELECT id FROM users", "public.fresh", "ddl"),
        ("ALTER TABLE users ADD COLUMN x int, DROP COLUMN name", "public.users", "ddl"),
        ("ALTER TABLE users RENAME COLUMN ssn TO note", "public.users", "ddl"),
        ("TRUNCATE users, orders", "public.orders", "truncate"),
    ],
)
def test_definitions_name_their_objects(text: str, table: str, verb: str) -> None:
    found = facts(text)
    assert found.effect is SqlEffect.DDL
    assert use(found, table, verb)


def test_a_temporary_table_is_refused_since_it_could_hide_another() -> None:
    assert code("CREATE TEMP TABLE users (id int)") == "SQL_NOT_UNDERSTOOD"


@pytest.mark.parametrize("name", ["pg_authid", "pg_catalog.pg_shadow"])
def test_a_sensitive_relation_that_the_catalog_leaves_out_is_still_called_so(name: str) -> None:
    assert code(f"SELECT * FROM {name}") == "RELATION_SENSITIVE"
    emptied = replace(catalog(), relations={})
    opaque = analyse(f"SELECT * FROM {name}", emptied).opaque
    assert opaque is not None
    assert opaque.code == "RELATION_SENSITIVE"
