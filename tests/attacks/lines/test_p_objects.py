"""Lines P33, P34, P42 and P43: administration, sequences, and every name that a table has."""

from __future__ import annotations

import pytest
from postgast import pg_query_pb2

from policies.sql.grammar import FIELDS
from tests.attacks.lines.guard import Guard, Verdicts
from tests.attacks_sql.doors import approved

pytestmark = pytest.mark.anyio

NOTIFICATIONS = "NOTIFICATIONS"
OPAQUE = "SQL_NOT_UNDERSTOOD"
SENSITIVE = "RELATION_SENSITIVE"
SCHEMA = "no-schema-changes"

# At least one statement for every kind that the grammar has and that is no query.
UTILITIES = (
    *("ALTER SYSTEM SET work_mem = '1MB'", "CREATE EXTENSION citext", "DROP EXTENSION hstore"),
    *("ALTER EXTENSION hstore UPDATE", "ALTER EXTENSION hstore ADD TABLE orders"),
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION upper(text) RETURNS text LANGUAGE sql AS 'SELECT 1'",
    *("CREATE PROCEDURE f() LANGUAGE sql AS 'SELECT 1'", "DROP FUNCTION poke(text)"),
    *("ALTER FUNCTION poke(text) SECURITY DEFINER", "ALTER FUNCTION poke(text) RENAME TO p"),
    "CREATE RULE r AS ON SELECT TO orders DO INSTEAD SELECT 1",
    "CREATE TRIGGER t BEFORE INSERT ON orders EXECUTE FUNCTION poke()",
    "CREATE EVENT TRIGGER t ON ddl_command_start EXECUTE FUNCTION poke()",
    *("ALTER EVENT TRIGGER t DISABLE", "ALTER TRIGGER t ON orders RENAME TO u"),
    *("CREATE PUBLICATION p FOR ALL TABLES", "ALTER PUBLICATION p ADD TABLE orders"),
    "CREATE SUBSCRIPTION s CONNECTION 'host=169.254.169.254' PUBLICATION p",
    *("ALTER SUBSCRIPTION s DISABLE", "DROP SUBSCRIPTION s", "DROP PUBLICATION p"),
    *("CREATE SERVER s FOREIGN DATA WRAPPER dblink_fdw", "ALTER SERVER elsewhere VERSION '2'"),
    "CREATE FOREIGN TABLE f (a text) SERVER files OPTIONS (program 'id')",
    *("CREATE FOREIGN DATA WRAPPER f", "ALTER FOREIGN DATA WRAPPER dblink_fdw NO VALIDATOR"),
    "CREATE USER MAPPING FOR CURRENT_USER SERVER elsewhere",
    "ALTER USER MAPPING FOR CURRENT_USER SERVER elsewhere OPTIONS (SET password 'x')",
    *("DROP USER MAPPING FOR CURRENT_USER SERVER elsewhere", "CREATE LANGUAGE plpython3u"),
    "CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION f(int))",
    "IMPORT FOREIGN SCHEMA a FROM SERVER elsewhere INTO public",
    *("SECURITY LABEL ON TABLE orders IS 'x'", "COMMENT ON TABLE orders IS 'x'"),
    *("GRANT ALL ON orders TO PUBLIC", "REVOKE ALL ON orders FROM PUBLIC"),
    *("GRANT postgres TO PUBLIC", "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC"),
    *("REASSIGN OWNED BY postgres TO PUBLIC", "DROP OWNED BY postgres"),
    *("REFRESH MATERIALIZED VIEW m_copies", "CLUSTER", "CLUSTER orders USING orders_pkey"),
    *("VACUUM", "VACUUM FULL orders", "VACUUM (ANALYZE, VERBOSE) customers", "ANALYZE"),
    *("ANALYZE VERBOSE customers", "REINDEX TABLE orders", "REINDEX DATABASE postgres"),
    *("CHECKPOINT", "LOAD 'plpgsql'", "LOCK TABLE orders", "LISTEN x", "NOTIFY x"),
    "MERGE INTO orders o USING customers c ON o.id = c.id WHEN MATCHED THEN DELETE",
    *("ALTER TABLE customers DISABLE ROW LEVEL SECURITY", "ALTER TABLE orders OWNER TO postgres"),
    *("ALTER TABLE orders SET SCHEMA evil", "ALTER VIEW contacts SET (security_barrier)"),
    *("ALTER TABLE ALL IN TABLESPACE pg_default SET TABLESPACE x", "CREATE SEQUENCE s"),
    *("ALTER SEQUENCE witness_id_seq RESTART", "ALTER TYPE mood ADD VALUE 'x'"),
    *("ALTER POLICY own ON private USING (true)", "CREATE POLICY p ON orders USING (true)"),
    *("CREATE ROLE evil", "ALTER ROLE postgres PASSWORD 'x'", "DROP ROLE postgres"),
    *("CREATE DATABASE evil", "DROP DATABASE postgres", "ALTER DATABASE postgres SET x.y = 1"),
    *("ALTER DATABASE postgres REFRESH COLLATION VERSION", "ALTER ROLE postgres SET x.y = 1"),
    *("CREATE TABLESPACE t LOCATION '/tmp'", "DROP TABLESPACE t"),
    *("ALTER TABLESPACE pg_default SET (seq_page_cost = 1)", "CREATE TYPE t AS (a int)"),
    *("CREATE TYPE t AS ENUM ('a')", "CREATE TYPE t AS RANGE (subtype = int)", "CREATE TYPE t"),
    *("CREATE DOMAIN d AS int", "ALTER DOMAIN small DROP NOT NULL"),
    *("ALTER TYPE pair ADD ATTRIBUTE c int", "CREATE CAST (int AS text) WITH INOUT"),
    "CREATE AGGREGATE a (text) (SFUNC = joined, STYPE = text)",
    "CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = joined)",
    *("ALTER OPERATOR <+> (text, text) OWNER TO postgres", 'CREATE COLLATION c FROM "C"'),
    *(
        "ALTER OPERATOR <+> (text, text) SET (RESTRICT = NONE)",
        'ALTER COLLATION "C" REFRESH VERSION',
    ),
    "CREATE OPERATOR FAMILY f USING btree",
    "ALTER OPERATOR FAMILY f USING btree DROP OPERATOR 1 (int, int)",
    "CREATE OPERATOR CLASS c FOR TYPE int USING btree AS OPERATOR 1 <",
    "CREATE CONVERSION c FOR 'UTF8' TO 'LATIN1' FROM utf8_to_iso8859_1",
    "CREATE TEXT SEARCH CONFIGURATION c (COPY = simple)",
    "ALTER TEXT SEARCH CONFIGURATION simple DROP MAPPING FOR asciiword",
    "ALTER TEXT SEARCH DICTIONARY simple (StopWords = x)",
    "CREATE ACCESS METHOD a TYPE TABLE HANDLER heap_tableam_handler",
    *("CREATE STATISTICS s ON id, status FROM orders", "ALTER STATISTICS measures RENAME TO m"),
    *("ALTER STATISTICS measures SET STATISTICS 1", "CREATE TABLE ev (LIKE customers)"),
    "CREATE TABLE ev PARTITION OF ledger FOR VALUES FROM (1000) TO (2000)",
    *("ALTER LARGE OBJECT 4711 OWNER TO postgres", "SET CONSTRAINTS ALL DEFERRED"),
    *(
        "CREATE TABLE ev OF pair",
        "CREATE UNLOGGED TABLE ev (a int)",
        "CREATE TEMP TABLE ev (a int)",
    ),
    "ALTER INDEX orders_pkey RENAME TO x",
    *("DO 'BEGIN END'", "CALL change_orders()", "SELECT 1 AS a INTO ev"),
    "CREATE TABLE ev AS SELECT 1",
)
# What is understood, so that a policy can say no to it by name.
DEFINITIONS = (
    *("TRUNCATE orders", "TRUNCATE customers, orders CASCADE", "DROP TABLE orders"),
    *("DROP VIEW contacts", "DROP SCHEMA public CASCADE", "CREATE SCHEMA more"),
    *("ALTER TABLE customers RENAME ssn TO plain", "ALTER TABLE customers RENAME TO plain"),
    *("ALTER TABLE customers ADD x int", "ALTER TABLE customers DROP ssn"),
    *("CREATE INDEX i ON orders (status)", "DROP MATERIALIZED VIEW m_copies"),
    "CREATE TABLE public.evil_copy (id int)",
    "CREATE VIEW public.evil_view AS SELECT ssn FROM customers",
)
HARMLESS_KINDS = frozenset(
    {"VariableShowStmt", "ExplainStmt", "TransactionStmt", "VariableSetStmt"}
)


async def test_p33_nothing_of_administration_is_run(guard: Guard) -> None:
    before = await guard.state()
    for sql in UTILITIES:
        verdicts = (await guard.ask(sql)).verdicts
        codes = (OPAQUE, SCHEMA, NOTIFICATIONS)
        assert (sql, verdicts) in [(sql, Verdicts.all(code)) for code in codes]
    for sql in (
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; DELETE FROM orders; END",
        "CREATE RULE r AS ON INSERT TO orders DO ALSO (DELETE FROM orders; SELECT 1)",
    ):
        verdicts = (await guard.ask(sql)).verdicts
        assert (sql, verdicts.mcp, verdicts.simple != "OK") == (sql, OPAQUE, True)
    assert await guard.state() - before == set()


async def test_p33_definitions_are_refused_by_the_starter_policies(guard: Guard) -> None:
    before = await guard.state()
    for sql in DEFINITIONS:
        verdicts = (await guard.ask(sql)).verdicts
        codes = (SCHEMA, OPAQUE, "no-copies-of-labelled-values")
        assert (sql, verdicts) in [(sql, Verdicts.all(code)) for code in codes]
    assert await guard.state() - before == set()


def test_p33_every_other_kind_of_statement_in_the_grammar_is_unknown_to_the_analysis() -> None:
    """The grammar's own list of nodes, against the allow-list: what is new is not let in."""
    kinds = {field.message_type.name for field in pg_query_pb2.Node.DESCRIPTOR.fields}
    statements = {kind for kind in kinds if kind.endswith("Stmt")}
    assert len(statements) > 100
    understood = statements & FIELDS.keys()
    queries = {"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "CopyStmt"}
    defined = {
        *("DropStmt", "TruncateStmt", "CreateSchemaStmt", "CreateStmt", "IndexStmt", "ViewStmt"),
        *("AlterTableStmt", "RenameStmt"),
    }
    session = {"DiscardStmt", "DeallocateStmt", "UnlistenStmt", "ClosePortalStmt", "LockStmt"}
    named = {"PrepareStmt", "ExecuteStmt", "DeclareCursorStmt", "FetchStmt"}
    channels = {"ListenStmt", "NotifyStmt"}
    assert understood <= queries | defined | session | named | channels | HARMLESS_KINDS


async def test_p34_sequences_do_not_move(guard: Guard) -> None:
    name = "witness_id_seq"
    await guard.refuses(
        "FUNCTION_NOT_ALLOWED",
        *(f"SELECT nextval('{name}')", f"SELECT setval('{name}', 100)"),
        f"SELECT pg_catalog.nextval('{name}'::regclass)",
        f"SELECT * FROM nextval('{name}')",
        "SELECT nextval(x) FROM (VALUES ('witness_id_seq'::regclass)) v(x)",
        "SELECT id FROM orders WHERE id < nextval('witness_id_seq')",
        f"SELECT setval('{name}', 1, false) FROM orders",
    )
    await guard.refuses(
        "COLUMN_UNKNOWN", f"SELECT x.nextval FROM (SELECT '{name}'::regclass AS x) AS x"
    )
    # What another session has drawn is not to be seen in this one.
    await guard.direct.execute("INSERT INTO counted (status) VALUES ('x'); DELETE FROM counted")
    await guard.refuses("55000", "SELECT lastval()", f"SELECT currval('{name}')")
    # By a default: the change waits, and with it the sequence.
    await guard.waits(
        "INSERT INTO counted (status) VALUES ('x')", "INSERT INTO counted VALUES (DEFAULT, 'x')"
    )
    await guard.runs(f"SELECT last_value FROM {name}")
    refused = (await guard.ask(f"ALTER SEQUENCE {name} RESTART")).verdicts
    assert refused == Verdicts.all(OPAQUE)


# What a reader of `customers` is to be masked in, whatever it is called.
NAMES = (
    *("customers", "public.customers", '"customers"', '"public"."customers"', "CUSTOMERS"),
    *(
        "Public.Customers",
        'U&"custom\\0065rs"',
        "ONLY customers",
        "ONLY (customers)",
        "customers *",
    ),
    *("public . customers", "public/**/./**/customers", "vip", "m_copies", "ledger", "ledger_1"),
)


async def test_p42_a_table_is_masked_by_every_name_it_has(guard: Guard) -> None:
    for name in NAMES:
        answer = await guard.ask(f"SELECT t.*, t::text FROM {name} AS t")
        assert (name, answer.verdicts, answer.leaks) == (name, Verdicts.all("OK"), set())
        whole = await guard.ask(f"SELECT * FROM {name}")
        assert (name, whole.verdicts, whole.leaks) == (name, Verdicts.all("OK"), set())
    for sql in ("TABLE customers", "TABLE vip", "SELECT * FROM contacts", "TABLE ONLY customers"):
        answer = await guard.ask(sql)
        assert (sql, answer.verdicts, answer.leaks) == (sql, Verdicts.all("OK"), set())
    await guard.refuses(
        "RELATION_UNKNOWN",
        *(
            'SELECT * FROM "Customers"',
            'SELECT * FROM "CUSTOMERS"',
            "SELECT * FROM other.customers",
        ),
        *('SELECT * FROM "public.customers"', "SELECT * FROM elsewhere.public.customers"),
        *("SELECT * FROM people_ssn", "SELECT * FROM pg_temp.customers"),
    )


async def test_p42_what_the_server_keeps_of_others_is_not_shown(guard: Guard) -> None:
    toast = await guard.direct.fetchval(
        "SELECT reltoastrelid::regclass::text FROM pg_class WHERE oid = 'customers'::regclass"
    )
    await guard.refuses(
        SENSITIVE,
        *(
            f"SELECT * FROM {name}"
            for name in (
                *("pg_authid", "pg_shadow", "pg_statistic", "pg_stats", "pg_stats_ext"),
                *("pg_stats_ext_exprs", "pg_statistic_ext_data", "pg_largeobject"),
                *("pg_stat_activity", "pg_stat_replication", "pg_stat_ssl", "pg_user_mapping"),
                *("pg_cursors", "pg_hba_file_rules", "pg_file_settings"),
                *("pg_locks", "pg_prepared_xacts"),
                *("pg_catalog.pg_authid", '"pg_statistic"', 'U&"pg_\\0061uthid"', toast),
                *("information_schema.user_mapping_options", "PG_AUTHID"),
                *("information_schema.foreign_server_options", "pg_toast.pg_toast_1262"),
            )
        ),
        "TABLE pg_authid",
        "SELECT 1 FROM pg_catalog.pg_stats",
        "SELECT (SELECT rolpassword FROM pg_authid LIMIT 1)",
        "WITH x AS (TABLE pg_statistic) SELECT 1 FROM x",
    )
    await guard.refuses(
        "FUNCTION_NOT_ALLOWED",
        *(
            f"SELECT * FROM {view}"
            for view in ("v_statistics", "v_statistic", "v_over", "v_others")
        ),
        *("SELECT * FROM pg_stat_get_activity(NULL)", "SELECT pg_stat_get_backend_activity(1)"),
        *("SELECT pg_show_all_settings()", "SELECT * FROM pg_show_all_settings()"),
        *("SELECT pg_hba_file_rules()", "SELECT s.setting FROM pg_show_all_settings() s"),
    )


async def test_p42_an_approval_for_one_table_is_not_for_another_of_its_name(guard: Guard) -> None:
    """What was approved is bound to the table itself: the name may mean another one by then."""
    sql = "UPDATE evil.swapped SET id = 7 WHERE id = 1"
    await guard.direct.execute("CREATE TABLE evil.swapped AS SELECT 1 AS id")
    try:
        first = await approved(guard.world, sql)
        while first.code == "RELATION_UNKNOWN":
            first = await approved(guard.world, sql)
        assert (first.code, await guard.direct.fetchval("SELECT id FROM evil.swapped")) == ("", 7)
        await guard.direct.execute(
            "DROP TABLE evil.swapped; CREATE TABLE evil.swapped AS SELECT 1 AS id"
        )
        again = (await guard.ask(sql)).verdicts
        assert again.mcp in ("APPROVAL_PENDING", "RELATION_UNKNOWN")
        assert await guard.direct.fetchval("SELECT id FROM evil.swapped") == 1
    finally:
        await guard.direct.execute("DROP TABLE evil.swapped")


async def test_p43_a_cte_of_a_tables_name_is_the_cte_and_the_table_inside_it_the_table(
    guard: Guard,
) -> None:
    shown = {
        "WITH customers AS (SELECT 1 AS ssn) SELECT ssn FROM customers": {"1"},
        "WITH people AS (SELECT 'x' AS ssn) SELECT ssn || '' FROM people": {"x"},
        "WITH pg_authid AS (SELECT 5 AS x) SELECT x FROM pg_authid": {"5"},
        "WITH RECURSIVE customers AS (SELECT 1 AS ssn UNION ALL SELECT ssn + 1 FROM customers"
        " WHERE ssn < 3) SELECT ssn FROM customers": {"1", "2", "3"},
        "SELECT ssn FROM (WITH customers AS (SELECT 4 AS ssn) TABLE customers) x": {"4"},
    }
    for sql, cells in shown.items():
        answer = await guard.ask(sql)
        assert (sql, answer.verdicts, {str(c) for c in answer.cells}) == (
            sql,
            Verdicts.all("OK"),
            cells,
        )
    await guard.masks(
        "WITH customers AS (SELECT reverse(ssn) AS ssn FROM customers) SELECT ssn FROM customers",
        "WITH customers AS (SELECT 1 AS ssn) SELECT reverse(ssn) FROM public.customers",
        "WITH x AS (WITH customers AS (SELECT 'x' AS ssn) SELECT ssn FROM customers)"
        " SELECT reverse(ssn) FROM customers",
        "SELECT reverse(ssn) FROM customers, (WITH customers AS (SELECT 1 AS y) TABLE customers) z",
        "WITH a AS (SELECT reverse(ssn) AS s FROM customers), customers AS (SELECT 'x' AS ssn)"
        " SELECT * FROM a",
        'WITH "Customers" AS (SELECT 1 AS ssn) SELECT reverse(ssn) FROM customers',
        "WITH orders AS (SELECT reverse(ssn) AS id FROM customers) SELECT id FROM orders",
        "WITH customers AS MATERIALIZED (SELECT reverse(ssn) || '' AS name FROM customers)"
        " SELECT c.name FROM customers c",
    )
    await guard.refuses(
        "no-whole-table-changes",
        "WITH orders AS (SELECT 1 AS id) DELETE FROM orders",
        "WITH orders AS (SELECT 1 AS id) UPDATE orders SET status = 'x'",
    )
    await guard.refuses(
        SENSITIVE,
        "WITH x AS (WITH pg_authid AS (SELECT 1) SELECT 1) SELECT rolpassword FROM pg_authid",
        "WITH pg_authid AS (SELECT * FROM pg_authid) SELECT * FROM pg_authid",
    )
