"""Statements that change, escape, or set off somebody's code: none of them runs (P01-P43).

The gateway's roles are superusers, so nothing but the gate says no.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attacks_sql.doors import Doors, driver, everything, listener
from tests.e2e.world import World

pytestmark = pytest.mark.anyio

SEVERAL = [
    "COMMIT; DELETE FROM orders",
    "SELECT 1; DROP TABLE orders",
    "ROLLBACK; DELETE FROM orders",
    "END; DELETE FROM orders",
    "SELECT 1 --\r; DELETE FROM orders",
    "SELECT 'a\\' ; DELETE FROM orders -- '",
    "SELECT $a$;$a$; DELETE FROM orders",
    "SELECT /* /* */ 1 */ 1; DELETE FROM orders",
    "BEGIN; SELECT 1; COMMIT",
]
TRANSACTION = [
    "PREPARE TRANSACTION 'x'",
    "COMMIT AND CHAIN",
    "SET transaction_read_only = off",
    "SET TRANSACTION READ WRITE",
    "BEGIN READ WRITE",
    "START TRANSACTION READ ONLY, READ WRITE",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "SELECT set_config('default_' || 'transaction_read_only', 'off', false)",
    "SELECT pg_catalog.set_config('search_path'::text, 'evil', false)",
    "UPDATE pg_settings SET setting = 'off' WHERE name = 'transaction_read_only'",
]
HIDDEN_CHANGES = [
    "WITH x AS (DELETE FROM orders RETURNING *) SELECT * FROM x",
    "WITH x AS (UPDATE orders SET status = 'x' RETURNING *) SELECT * FROM x",
    "SELECT * FROM (WITH x AS (DELETE FROM orders WHERE id = 1 RETURNING 1) SELECT * FROM x) y",
    "EXPLAIN (ANALYZE) CREATE TABLE evil AS SELECT * FROM orders",
    "EXPLAIN ANALYZE SELECT * INTO evil FROM orders",
    "EXPLAIN ANALYZE CREATE MATERIALIZED VIEW evil AS SELECT 1",
    "EXPLAIN ANALYZE DELETE FROM orders WHERE id = 1",
    "EXPLAIN (VERBOSE, ANALYZE) DELETE FROM orders WHERE id = 1",
    "EXPLAIN (ANALYZE off, ANALYZE on) DELETE FROM orders WHERE id = 1",
    "EXPLAIN (ANALYZE 'on') DELETE FROM orders WHERE id = 1",
    "EXPLAIN (ANALYZE 1) DELETE FROM orders WHERE id = 1",
    "EXPLAIN (ANALYZE 0.5) DELETE FROM orders WHERE id = 1",
    "EXPLAIN ANALYSE\f DELETE FROM orders WHERE id = 1",
    "EXPLAIN ANALYZE EXECUTE p",
    "EXPLAIN ANALYZE SELECT * FROM orders FOR UPDATE",
    "SELECT * INTO evil FROM orders",
    "SELECT * INTO TEMP evil FROM orders",
    "CREATE TABLE evil AS SELECT 1",
    "CREATE TEMP TABLE customers (id int)",
    "DELETE FROM orders WHERE true",
    "DELETE FROM orders WHERE id = id",
    "DELETE FROM orders WHERE id > 0 OR true",
    "DELETE FROM orders WHERE id IS NULL OR id IS NOT NULL",
    "DELETE FROM orders USING customers",
    "DELETE FROM orders WHERE EXISTS (SELECT 1)",
    "UPDATE orders SET status = 'x' WHERE 'a' = 'a'",
]
UTILITIES = [
    "DO $$BEGIN DELETE FROM orders; END$$",
    "CALL anything()",
    "PREPARE q AS DELETE FROM orders",
    "EXECUTE q",
    "DECLARE c CURSOR WITH HOLD FOR SELECT ssn FROM customers",
    "FETCH 1 FROM c",
    "MOVE 1 FROM c",
    "COPY customers TO STDOUT (FORMAT binary)",
    "COPY (DELETE FROM orders RETURNING *) TO STDOUT",
    "COPY orders TO PROGRAM 'cat'",
    "COPY orders FROM PROGRAM 'id'",
    "COPY orders FROM '/etc/passwd'",
    "LOCK TABLE orders",
    "LISTEN x",
    "NOTIFY x, 'y'",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "RESET ROLE",
    "SET search_path = other, public",
    "SET NAMES 'SJIS'",
    "SET client_encoding = 'GBK'",
    "SET standard_conforming_strings = off",
    "SET backslash_quote = on",
    "SET TIME ZONE INTERVAL '1' HOUR TO MINUTE",
    "ALTER SYSTEM SET work_mem = '1MB'",
    "CREATE EXTENSION hstore",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE RULE r AS ON INSERT TO orders DO NOTHING",
    "CREATE TRIGGER t BEFORE INSERT ON orders EXECUTE FUNCTION poke()",
    "CREATE PUBLICATION p FOR ALL TABLES",
    "CREATE SUBSCRIPTION s CONNECTION 'host=169.254.169.254' PUBLICATION p",
    "CREATE SERVER s FOREIGN DATA WRAPPER f",
    "CREATE USER evil SUPERUSER",
    "ALTER ROLE postgres PASSWORD 'x'",
    "ALTER TABLE customers RENAME ssn TO plain",
    "ALTER TABLE customers RENAME TO plain",
    "CREATE VIEW evil AS SELECT ssn FROM customers",
    "CREATE TABLE evil (LIKE customers)",
    "REFRESH MATERIALIZED VIEW m_copies",
    "COMMENT ON TABLE orders IS 'x'",
    "SECURITY LABEL ON TABLE orders IS 'x'",
    "GRANT ALL ON orders TO PUBLIC",
    "REASSIGN OWNED BY postgres TO public",
    "TRUNCATE orders",
    "MERGE INTO orders o USING customers c ON o.id = c.id WHEN MATCHED THEN DELETE",
    "VACUUM orders",
    "ANALYZE VERBOSE customers",
    "CLUSTER orders",
    "REINDEX TABLE orders",
    "CHECKPOINT",
    "LOAD 'x'",
    "IMPORT FOREIGN SCHEMA a FROM SERVER b INTO c",
]
FUNCTIONS = [
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT * FROM pg_read_file('/etc/passwd')",
    "SELECT * FROM ROWS FROM (pg_read_file('/etc/passwd')) WITH ORDINALITY",
    "SELECT * FROM orders, LATERAL pg_read_file('/etc/passwd') x",
    "SELECT U&\"pg_read\\005ffile\"('/etc/passwd')",
    "SELECT * FROM U&\"pg_read_fil!0065\" UESCAPE '!' ('/etc/passwd')",
    "SELECT pg_catalog . \"pg_read_file\"('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT pg_stat_file('/etc/passwd')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '/tmp/x')",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT lo_get(1)",
    "SELECT query_to_xml('DELETE FROM orders', false, false, '')",
    "SELECT table_to_xml('customers', false, false, '')",
    "SELECT database_to_xml(true, false, '')",
    "SELECT ts_stat('SELECT ssn::tsvector FROM customers')",
    "SELECT ts_rewrite('a'::tsquery, 'SELECT ssn::tsquery, ssn::tsquery FROM customers')",
    "SELECT pg_terminate_backend(pg_backend_pid())",
    "SELECT pg_cancel_backend(1)",
    "SELECT pg_reload_conf()",
    "SELECT pg_switch_wal()",
    "SELECT pg_stat_reset()",
    "SELECT pg_create_physical_replication_slot('x')",
    "SELECT pg_logical_emit_message(false, 'a', 'b')",
    "SELECT pg_import_system_collations('public')",
    "SELECT pg_sleep(1)",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_try_advisory_lock(1)",
    "SELECT pg_notify('a', 'b')",
    "SELECT pg_export_snapshot()",
    "SELECT txid_current()",
    "SELECT nextval('witness_id_seq')",
    "SELECT setval('witness_id_seq', 100)",
    "SELECT currval(('witness' || '_id_seq')::regclass)",
    "SELECT pg_stat_get_activity(NULL)",
    "SELECT repeat('x', 1000000000)",
    "SELECT dblink('host=169.254.169.254', 'SELECT 1')",
    "SELECT current_setting('primary_' || 'conninfo')",
    "SELECT current_setting('app.secret')",
    "SELECT count(*) FROM pg_settings WHERE current_setting(name) <> ''",
    "SHOW ALL",
    "SHOW primary_conninfo",
    "SHOW app.secret",
]
USERS_CODE = [
    "SELECT poke('a')",
    "SELECT public.poke('a')",
    "SELECT * FROM poke('a')",
    "SELECT 1 ORDER BY poke('a')",
    "SELECT 1 LIMIT (SELECT length(poke('a')))",
    "SELECT 1 WHERE poke('a') = 'a'",
    "SELECT status FROM orders GROUP BY status HAVING poke(status) = 'a'",
    "SELECT count(*) FILTER (WHERE poke('a') = 'a')",
    "SELECT sum(1) OVER (ORDER BY poke('a'))",
    "VALUES (poke('a'))",
    "SELECT ARRAY(SELECT poke('a'))",
    "EXPLAIN ANALYZE SELECT poke('a')",
    "SELECT leak(1)",
    "SELECT upper(1)",
    "SELECT upper('a')",
    "SELECT gather('a')",
    "SELECT status.poke FROM (SELECT status FROM orders) status",
    "SELECT s.poke FROM (SELECT 'a'::text AS s) AS s",
    "SELECT 'a' <+> 'b'",
    "SELECT 'a' OPERATOR(public.<+>) 'b'",
    "SELECT @@ '/etc/passwd'::text",
    "SELECT 1 ~<=~ 2",
    "SELECT 'a' ~<=~ 'b'",
    "SELECT 1 = ANY (SELECT 2) ORDER BY 1 USING OPERATOR(public.~<=~)",
    "SELECT 'sad'::mood",
    "SELECT 3::small",
    "SELECT '(1,x)'::pair",
    "SELECT p::text FROM typed",
    "SELECT upper(p) FROM typed",
    "SELECT concat(p) FROM typed",
    "SELECT p FROM typed UNION SELECT 'x'::text",
    "SELECT ps::text[] FROM typed",
    "SELECT * FROM typed",
    "SELECT typed FROM typed",
    "SELECT to_json(t) FROM typed t",
    "SELECT x.c || '' FROM typed AS x (a, b, c)",
    "SELECT r::text FROM rowed r",
    "SELECT max(rowed) FROM rowed",
    "INSERT INTO copies SELECT id, p FROM typed",
    "SELECT * FROM v_calls",
    "SELECT * FROM v_casts",
    "SELECT id FROM v_calls",
]
WITHHELD = [
    "SELECT * FROM pg_authid",
    "SELECT passwd FROM pg_shadow",
    "SELECT query FROM pg_stat_activity",
    "SELECT most_common_vals::text FROM pg_stats",
    "SELECT stavalues1::text FROM pg_statistic",
    "SELECT * FROM pg_largeobject",
    "SELECT * FROM pg_hba_file_rules",
    "SELECT * FROM v_statistics",
    "SELECT * FROM v_statistic",
    "SELECT * FROM v_over",
    "SELECT * FROM v_others",
    "SELECT * FROM pg_toast.pg_toast_1262",
    "SELECT * FROM orders TABLESAMPLE poke (10)",
]
# What a lexer that is not the server's could take for something else.
SPELLINGS = [
    "SELECT\u00a01",
    "SELECT\u20281",
    "\ufeffSELECT 1",
    "\u200bSELECT 1",
    "SELECT 1 /*",
    "SELECT 'x",
    "SELECT 1\\; DELETE FROM orders",
    "SELECT 1 FROM JSON_TABLE('[1]', '$' COLUMNS (a int PATH '$' DEFAULT leak(1) ON ERROR)) t",
    "SELECT xmlparse(document '<a/>')",
]
REFUSED = [
    *(*SEVERAL, *TRANSACTION, *HIDDEN_CHANGES, *UTILITIES),
    *(*FUNCTIONS, *USERS_CODE, *WITHHELD, *SPELLINGS),
]
# Refused by the gate; or, where it only wants approval, by the server's own grammar.
REFUSAL_STATES = ("42501", "0A000")
CHANGES = [
    "DELETE FROM orders WHERE id = 1",
    "WITH a AS (DELETE FROM orders WHERE id = 1 RETURNING *) SELECT * FROM a",
    "SELECT * FROM orders WHERE id = 1 FOR UPDATE",
    "SELECT * FROM orders WHERE id = 1 FOR KEY SHARE",
    "SELECT (SELECT id FROM orders WHERE id = 1 FOR SHARE)",
    "INSERT INTO orders (id, customer_id) VALUES (1000, 1) ON CONFLICT (id) DO NOTHING",
    "DELETE FROM orders WHERE NOT (id = 1 AND id = 2)",
]
HARMLESS = [
    "SELECT 1;",
    "SELECT 1;;",
    "SELECT 1; -- x",
    "SELECT /* /* */ DELETE */ 1",
    "SELECT $a$; DROP TABLE orders$a$",
    "SELECT E'\\'; DROP TABLE orders--'",
    "SELECT U&'\\0027; DELETE FROM orders'",
    "SELECT\v1",
    "SELECT\f1",
    "SELECT lower('A'), 'a' || 'b', 1 = 1",
    "SELECT m, r, d FROM typed",
    "SELECT id FROM m_calls",
    "WITH customers AS (SELECT 1 AS ssn) SELECT ssn FROM customers",
    "EXPLAIN (ANALYZE off) DELETE FROM orders WHERE id = 1",
    "SELECT pg_get_viewdef('v_calls'), to_regclass('orders')",
    "SHOW search_path",
    "SELECT id FROM orders TABLESAMPLE SYSTEM (10)",
    "SELECT 1 FROM JSON_TABLE('[1]', '$[*]' COLUMNS (a int PATH '$')) t",
]


@pytest.mark.parametrize("sql", REFUSED)
async def test_what_it_would_do_is_not_done(doors: Doors, sql: str) -> None:
    before = await doors.state()
    through_mcp, through_listener = await doors.mcp(sql), await doors.listener(sql)
    assert await doors.state() == before
    assert through_mcp.refused, through_mcp.text
    assert through_listener.code in REFUSAL_STATES, through_listener


@pytest.mark.parametrize("sql", CHANGES)
async def test_a_change_waits_for_a_person_on_both_doors(doors: Doors, sql: str) -> None:
    before = await doors.state()
    assert (await doors.mcp(sql)).code == "APPROVAL_PENDING"
    assert (await doors.listener(sql)).code == "42501"
    assert await doors.state() == before


@pytest.mark.parametrize("sql", HARMLESS)
async def test_what_only_looks_dangerous_runs(doors: Doors, sql: str) -> None:
    assert (await doors.mcp(sql)).code == ""
    assert (await doors.listener(sql)).code == ""


async def test_no_file_of_the_server_is_written(doors: Doors, tmp_path: Path) -> None:
    path = tmp_path / "owned"
    for sql in (f"COPY orders TO '{path}'", f"COPY orders TO PROGRAM 'cat > {path}'"):
        assert (await doors.mcp(sql)).refused
        assert (await doors.listener(sql)).refused
    assert not path.exists()


async def test_a_parameter_is_never_taken_for_sql(world: World, doors: Doors) -> None:
    async with driver(world) as connection:
        rows = await connection.fetch(
            "SELECT $1::text AS x, count(*) AS n FROM orders WHERE status = $1",
            "'; DELETE FROM orders; --",
        )
    assert rows[0]["n"] == 0
    said = await doors.mcp("SELECT query_to_xml($1, false, false, '')", params=["SELECT 1"])
    assert said.code == "FUNCTION_NOT_ALLOWED"


async def test_settings_of_one_session_do_not_reach_another(world: World, doors: Doors) -> None:
    async with listener(world) as one, listener(world) as other:
        await one.query("SET application_name = 'mine'")
        assert "mine" in everything(await one.query("SHOW application_name"))
        assert "mine" not in everything(await other.query("SHOW application_name"))
    assert (await doors.mcp("SET application_name = 'mine'")).code == ""
    assert "mine" not in (await doors.mcp("SHOW application_name")).text
