"""Lines P17 to P24 and P36: functions that reach files, networks and other sessions."""

from __future__ import annotations

import pytest

from server.protocols.postgres import frontend as f
from tests.attacks.lines.guard import Guard, Verdicts, mcp_verdict, wire_verdict
from tests.attacks_sql.doors import listener

pytestmark = pytest.mark.anyio

NOT_ALLOWED = "FUNCTION_NOT_ALLOWED"
NOTIFICATIONS = "NOTIFICATIONS"
OPAQUE = "SQL_NOT_UNDERSTOOD"
PASSWD = "'/etc/passwd'"


def selects(*calls: str) -> list[str]:
    return [f"SELECT {call}" for call in calls]


async def test_p17_no_file_of_the_server_is_read_or_written(guard: Guard) -> None:
    await guard.refuses(
        NOT_ALLOWED,
        *selects(
            *(
                f"{name}({PASSWD})"
                for name in ("pg_read_file", "pg_read_binary_file", "pg_stat_file")
            ),
            *("pg_ls_dir('/')", "pg_ls_logdir()", "pg_ls_waldir()", "pg_ls_tmpdir()"),
            *("pg_ls_archive_statusdir()", "pg_ls_replslotdir('x')", "pg_ls_summariesdir()"),
            *("pg_ls_logicalmapdir()", "pg_ls_logicalsnapdir()", "pg_current_logfile()"),
            f"lo_import({PASSWD})",
            f"lo_import({PASSWD}, 1)",
            *("lo_export(4711, '/tmp/x')", "lo_from_bytea(0, 'x')", "lo_create(0)", "lo_creat(1)"),
            *("lo_put(4711, 0, 'x')", "lo_open(4711, 131072)", "loread(0, 100)", "lowrite(0, 'x')"),
            *("lo_unlink(4711)", "lo_truncate(0, 0)", "lo_oid(4711)"),
            *(
                "pg_file_write('/tmp/x', 'x', false)",
                "pg_file_unlink('/tmp/x')",
                "pg_file_sync('x')",
            ),
            *("pg_file_rename('a', 'b')", "pg_logdir_ls()"),
        ),
    )
    await guard.refuses(OPAQUE, "SELECT * FROM passwords", "TABLE passwords")
    await guard.refuses("RELATION_SENSITIVE", "SELECT * FROM pg_largeobject")


async def test_p18_nor_by_a_function_in_from(guard: Guard) -> None:
    await guard.refuses(
        NOT_ALLOWED,
        f"SELECT * FROM pg_read_file({PASSWD})",
        f"SELECT * FROM ROWS FROM (pg_read_file({PASSWD}))",
        f"SELECT * FROM ROWS FROM (pg_read_file({PASSWD})) WITH ORDINALITY",
        f"SELECT * FROM orders, LATERAL pg_read_file({PASSWD}) x",
        f"SELECT * FROM orders LEFT JOIN pg_read_file({PASSWD}) x ON true",
        f"SELECT * FROM orders CROSS JOIN LATERAL (SELECT pg_read_file({PASSWD})) y",
        f"SELECT * FROM generate_series(1, length(pg_read_file({PASSWD})))",
        "SELECT * FROM pg_ls_dir('/') AS t(x)",
        "SELECT * FROM (VALUES (pg_read_file('x'))) v",
        f"SELECT 1 FROM orders NATURAL JOIN pg_read_file({PASSWD})",
    )
    await guard.refuses(
        NOT_ALLOWED,
        "SELECT * FROM orders TABLESAMPLE SYSTEM (length(pg_read_file('x')))",
        "SELECT * FROM JSON_TABLE(pg_read_file('x')::jsonb, '$' COLUMNS (a int PATH '$'))",
        "SELECT * FROM XMLTABLE('/a' PASSING (pg_read_file('x')::xml) COLUMNS x text PATH '.')",
    )
    await guard.refuses(OPAQUE, "SELECT * FROM ROWS FROM (generate_series(1, 2), pg_ls_dir('/'))")


async def test_p19_nor_under_any_spelling_of_its_name(guard: Guard) -> None:
    names = (
        *('"pg_read_file"', "pg_catalog.pg_read_file", 'pg_catalog . "pg_read_file"'),
        *("PG_READ_FILE", "Pg_Catalog.Pg_Read_File", 'U&"pg_read_fil\\0065"', '"PG_READ_FILE"'),
        *(
            'U&"\\0070g_read_file"',
            'U&"pg\\+00005Fread_file"',
            "pg_catalog/**/./**/pg_read_file/**/",
        ),
        *(
            "U&\"pg_read_fil!0065\" UESCAPE '!' ",
            'pg_catalog."pg_read_file"',
            "shop.pg_catalog.pg_read_file",
        ),
        *("pg_catalog\n.\v\fpg_read_file\r", 'U&"pg_catalo\\0067".U&"pg_read_file"'),
    )
    await guard.refuses(NOT_ALLOWED, *(f"SELECT * FROM {name}({PASSWD})" for name in names))
    await guard.refuses(NOT_ALLOWED, *(f"SELECT {name}({PASSWD})" for name in names))
    # As an attribute, which is a call without one in the tree.
    await guard.refuses(
        "COLUMN_UNKNOWN",
        f"SELECT x.pg_read_file FROM (SELECT {PASSWD}::text) x",
        f"SELECT t.pg_read_file FROM (SELECT {PASSWD}::text AS t) t",
        "SELECT pg_read_file FROM (SELECT 1) x",
    )
    await guard.refuses(
        OPAQUE,
        f"SELECT ({PASSWD}::text).pg_read_file",
        "SELECT (t).pg_read_file FROM (SELECT 'x'::text AS t) s",
    )


async def test_p20_no_statement_in_a_string_is_run(guard: Guard) -> None:
    change, read = "'DELETE FROM orders RETURNING *'", "'SELECT ssn FROM customers'"
    tail = "false, false, ''"
    await guard.refuses(
        NOT_ALLOWED,
        *selects(
            f"query_to_xml({change}, {tail})",
            f"query_to_xml({read}, {tail})",
            f"query_to_xml_and_xmlschema({change}, {tail})",
            f"query_to_xmlschema({read}, {tail})",
            *(f"cursor_to_xml('c', 1, {tail})", f"cursor_to_xmlschema('c', {tail})"),
            *(f"table_to_xml('customers', {tail})", f"table_to_xmlschema('customers', {tail})"),
            *(f"schema_to_xml('public', {tail})", f"database_to_xml({tail})"),
            *(f"ts_stat({read})", f"ts_rewrite('a'::tsquery, {read})"),
            *(f"dblink('dbname=postgres', {read})", f"dblink_exec('dbname=x', {change})"),
            *("dblink_connect('x')", "dblink_connect_u('x', 'y')", f"dblink_open('c', {read})"),
            *(
                f"dblink_send_query('x', {change})",
                "dblink_get_connections()",
                "dblink_disconnect()",
            ),
            *("xpath_table('a', 'b', 'c', 'd', 'e')", f"pg_background_launch({change})"),
            f"cron.schedule('x', '* * * * *', {change})",
            *("http_get('http://169.254.169.254')", "plpgsql_check_function('poke(text)')"),
            *("lo_manage()", f"public.crosstab({read})", f"crosstab2({read})"),
        ),
        f"SELECT * FROM ts_stat({read})",
        f"SELECT * FROM crosstab({read}) AS t (a text, b text)",
        f"SELECT * FROM crosstab({read}, {read}) AS t (a text, b text)",
        "SELECT * FROM connectby('customers', 'ssn', 'ssn', '1', 0) AS t (a text, b text, c int)",
        f"SELECT * FROM dblink('dbname=postgres', {read}) AS t (a text)",
    )
    held = await guard.mcp(
        "SELECT query_to_xml($1, false, false, '')", params=["DELETE FROM orders"]
    )
    assert mcp_verdict(held) == NOT_ALLOWED


async def test_p21_no_other_session_and_no_server_is_controlled(guard: Guard) -> None:
    victim = await guard.direct.fetchval("SELECT pg_backend_pid()")
    await guard.refuses(
        NOT_ALLOWED,
        *selects(
            *(f"pg_terminate_backend({victim})", f"pg_cancel_backend({victim})"),
            f"pg_terminate_backend(id) FROM (VALUES ({victim})) v(id)",
            *("pg_reload_conf()", "pg_rotate_logfile()", "pg_switch_wal()", "pg_promote()"),
            *("pg_create_restore_point('x')", "pg_backup_start('x')", "pg_backup_stop()"),
            *("pg_wal_replay_pause()", "pg_wal_replay_resume()", "pg_log_standby_snapshot()"),
            *(f"pg_log_backend_memory_contexts({victim})", "pg_stat_reset()"),
            *("pg_stat_reset_shared('bgwriter')", "pg_stat_reset_slru('x')"),
            *("pg_stat_reset_single_table_counters(1)", "pg_stat_reset_backend_stats(1)"),
            *("pg_stat_statements_reset()", "pg_import_system_collations('public')"),
            *(
                "pg_stat_force_next_flush()",
                "pg_stat_clear_snapshot()",
                "pg_stop_making_pinned_objects()",
            ),
            "pg_restore_relation_stats('schemaname', 'public', 'relname', 'orders', 'relpages', 1)",
            "pg_clear_relation_stats('public', 'orders')",
            "pg_clear_attribute_stats('public', 'orders', 'id', false)",
            "binary_upgrade_set_next_pg_type_oid(1)",
        ),
    )
    await guard.refuses(
        "RELATION_SENSITIVE", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    )
    assert await guard.direct.fetchval("SELECT pg_backend_pid()") == victim


async def test_p22_no_slot_and_no_message_is_written(guard: Guard) -> None:
    await guard.refuses(
        NOT_ALLOWED,
        *selects(
            *("pg_create_physical_replication_slot('x')", "pg_drop_replication_slot('x')"),
            "pg_create_logical_replication_slot('x', 'test_decoding')",
            *("pg_copy_physical_replication_slot('x', 'y')", "pg_sync_replication_slots()"),
            *(
                "pg_logical_slot_get_changes('x', NULL, NULL)",
                "pg_replication_slot_advance('x', '0/0')",
            ),
            "pg_logical_slot_peek_changes('x', NULL, NULL)",
            "pg_logical_slot_get_binary_changes('x', NULL, NULL)",
            *(
                "pg_logical_emit_message(false, 'a', 'b')",
                "pg_logical_emit_message(true, 'a', 'b')",
            ),
            *("pg_replication_origin_create('x')", "pg_replication_origin_drop('x')"),
            *("pg_replication_origin_session_setup('x')", "pg_replication_origin_session_reset()"),
            "pg_replication_origin_advance('x', '0/0')",
        ),
        "SELECT * FROM pg_logical_slot_peek_changes('x', NULL, NULL)",
    )


async def test_p23_what_holds_up_the_server_is_refused(guard: Guard) -> None:
    await guard.refuses(
        NOT_ALLOWED,
        *selects(
            *("pg_sleep(1)", "pg_sleep_for('1s')", "pg_sleep_until(now() + interval '1s')"),
            *("repeat('x', 1000000000)", "pg_advisory_lock(1)", "pg_advisory_xact_lock(1)"),
            *("pg_try_advisory_lock(1)", "pg_advisory_lock_shared(1)", "pg_prewarm('orders')"),
            "id FROM orders WHERE pg_sleep(1) IS NULL",
            "set_config('statement_timeout', '0', false)",
        ),
    )
    await guard.refuses(OPAQUE, "LOCK TABLE orders", "LOCK orders IN ROW SHARE MODE NOWAIT")
    # The lock that a read takes: outside of a transaction the server takes none.
    shared = "LOCK orders IN ACCESS SHARE MODE NOWAIT"
    await guard.answers({shared: Verdicts("OK", "25P01", "25P01")})
    await guard.refuses(
        "SETTING_NOT_ALLOWED",
        *("SET work_mem = '10GB'", "SET temp_file_limit = -1"),
        "SET max_parallel_workers_per_gather = 64",
    )
    # A session may lift the server's: the gateway's own stays (test_time_limits).
    lifted = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    native = Verdicts("SETTING_NOT_ALLOWED", "OK", "OK")
    await guard.answers({f"SET {name} = 0": native for name in (*lifted, "transaction_timeout")})
    await guard.simple("RESET ALL")


ENDLESS = (
    "SELECT count(*) FROM generate_series(1, 1000000000000::bigint)",
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n FROM r) SELECT count(*) FROM r",
    "SELECT count(*) FROM orders a, orders b, orders c, orders d, orders e, orders f",
)


@pytest.mark.full
@pytest.mark.parametrize("sql", ENDLESS)
async def test_p23_what_never_ends_is_ended_in_time(guard: Guard, sql: str) -> None:
    """The starter policies let a statement run for 15 s; what the server says is a cancel."""
    before = await guard.state()
    assert mcp_verdict(await guard.mcp(sql)) in ("57014", "TIME_LIMIT", "SQL_TOO_COMPLEX")
    assert await guard.state() - before == set()


HUGE = (
    pytest.param("SELECT lpad('x', 70000000)", marks=pytest.mark.full),
    pytest.param("SELECT format('%200000000s', 'x')", marks=pytest.mark.full),
    pytest.param(
        "SELECT string_agg(lpad('x', 10000), '') FROM generate_series(1, 20000)",
        marks=pytest.mark.full,
    ),
)


@pytest.mark.parametrize("sql", HUGE)
async def test_p23_a_cell_too_large_for_the_gateway_ends_its_own_call_only(
    guard: Guard, sql: str
) -> None:
    assert mcp_verdict(await guard.mcp(sql)) in ("BACKEND_UNAVAILABLE", "54000", "ROW_TOO_LARGE")
    async with listener(guard.world) as client:
        client.send(f.Query(sql))
        replies = await client.to_the_end()
        assert wire_verdict(replies) in ("08P01", "54000", "57P03")
    await guard.runs("SELECT 1")


async def test_p24_nothing_is_said_to_other_sessions(guard: Guard) -> None:
    await guard.refuses(NOTIFICATIONS, "LISTEN x", 'LISTEN "x"', "NOTIFY x", "NOTIFY x, 'y'")
    await guard.refuses(
        NOT_ALLOWED,
        *selects("pg_notify('x', 'y')", "pg_notify('x', ssn) FROM customers"),
        "SELECT * FROM pg_notify('x', 'y')",
        "SELECT pg_catalog.pg_notify(status, 'y') FROM orders",
    )
    async with listener(guard.world) as client:
        for sql in ("LISTEN x", "SELECT 1"):
            await client.query(sql)
        await guard.direct.execute("NOTIFY x, '219-09-9991'")
        replies = await client.query("SELECT 1")
        assert [r.tag for r in replies if getattr(r, "tag", b"") == b"A"] == []
    guard.notified.clear()


async def test_p36_nothing_is_fetched_from_elsewhere(guard: Guard) -> None:
    await guard.refuses(
        NOT_ALLOWED,
        "SELECT dblink('host=169.254.169.254 dbname=x', 'SELECT 1')",
        "SELECT * FROM dblink('elsewhere', 'SELECT 1') AS t(a text)",
        "SELECT dblink_connect_u('x', 'host=169.254.169.254')",
        "SELECT postgres_fdw_get_connections()",
        "SELECT dblink_fdw_validator(ARRAY['host=x'], 1)",
    )
    await guard.refuses(
        OPAQUE,
        "CREATE SUBSCRIPTION s CONNECTION 'host=169.254.169.254' PUBLICATION p",
        "COPY copies FROM PROGRAM 'curl http://169.254.169.254'",
        "CREATE SERVER s FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host '169.254.169.254')",
        "CREATE FOREIGN TABLE t (a text) SERVER files OPTIONS (program 'id')",
        "IMPORT FOREIGN SCHEMA a FROM SERVER elsewhere INTO public",
        "CREATE USER MAPPING FOR CURRENT_USER SERVER elsewhere",
        "SELECT * FROM passwords",
        "SELECT count(*) FROM passwords",
        "EXPLAIN ANALYZE SELECT * FROM passwords",
        "SELECT * FROM orders UNION ALL SELECT 1, 1, 1, line FROM passwords",
    )
    answer = await guard.ask("SELECT srvname, srvoptions FROM pg_foreign_server")
    assert answer.verdicts == Verdicts.all("OK")
    assert "169.254" not in answer.result.model_dump_json() + str(answer.wire)
