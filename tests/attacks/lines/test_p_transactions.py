"""Lines P01 to P07: several statements in one, transactions and settings that lift the guard."""

from __future__ import annotations

import pytest

from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from tests.attacks.lines.guard import Guard, mcp_verdict, wire_verdict
from tests.attacks_sql.doors import listener

pytestmark = pytest.mark.anyio

WHOLE = "no-whole-table-changes"
SCHEMA = "no-schema-changes"
SEVERAL = "SQL_MULTIPLE_STATEMENTS"


async def several_are_refused(guard: Guard, statements: dict[str, str]) -> None:
    """One text, several statements: refused as such, or, where all are judged, for what one is."""
    before = await guard.state()
    for sql, code in statements.items():
        answer = await guard.ask(sql)
        assert (answer.verdicts.mcp, sql) == (SEVERAL, sql)
        assert (answer.verdicts.extended, sql) in ((SEVERAL, sql), ("42601", sql))
        assert (answer.verdicts.simple, sql) in ((SEVERAL, sql), (code, sql))
    assert await guard.state() - before == set()


async def test_p01_a_change_behind_the_end_of_the_transaction_does_not_run(guard: Guard) -> None:
    await several_are_refused(
        guard,
        {
            "COMMIT; DELETE FROM orders": WHOLE,
            "COMMIT;DELETE FROM orders;": WHOLE,
            "COMMIT; DELETE FROM orders WHERE id = 1": "APPROVAL_NEEDED",
            "BEGIN; COMMIT; DELETE FROM orders WHERE id = 1": "APPROVAL_NEEDED",
            "COMMIT /* ; */; DELETE FROM orders": WHOLE,
            "COMMIT; COMMIT; BEGIN; DROP TABLE orders; COMMIT": SCHEMA,
        },
    )


async def test_p01_no_part_of_a_text_runs_before_all_of_it_was_judged(guard: Guard) -> None:
    """A client's reset and a change in one text; the transaction must not end on the way."""
    async with listener(guard.world) as client:
        await client.query("BEGIN")
        replies = await client.query("COMMIT; SELECT 1; DELETE FROM orders")
        assert wire_verdict(replies) in (SEVERAL, WHOLE)
        assert not any(isinstance(r, b.CommandComplete | b.RowDescription) for r in replies)
        assert replies[-1] == b.ReadyForQuery("E")
        client.send(f.Parse("", "COMMIT; DELETE FROM orders"), f.Bind("", ""))
        client.send(f.Execute(""), f.Sync())
        assert wire_verdict(await client.until_ready()) in (SEVERAL, "42601", "25P02")
    assert await guard.direct.fetchval("SELECT count(*) FROM orders") == 300


async def test_p02_exactly_one_statement_is_one(guard: Guard) -> None:
    await several_are_refused(
        guard,
        {
            "SELECT 1; DROP TABLE orders": SCHEMA,
            "SELECT 1;; DROP TABLE orders": SCHEMA,
            ";SELECT 1; DROP TABLE orders": SCHEMA,
            "SELECT 1; -- x\nDROP TABLE orders": SCHEMA,
            "SELECT 1;/**/DROP TABLE orders": SCHEMA,
            "DROP TABLE orders; SELECT 1": SCHEMA,
        },
    )
    await guard.runs("SELECT 1;", "SELECT 1;;", "SELECT 1; --", ";SELECT 1", "SELECT 1; /* x */ ;")
    for empty in (";", "--", "/* */", "-- DROP TABLE orders", ";;", " "):
        # Nothing to judge, and nothing runs: drivers ask so whether a server is there.
        assert mcp_verdict(await guard.mcp(empty)) == "OK"
        assert wire_verdict(await guard.simple(empty)) == "OK"


async def test_p03_no_end_of_a_transaction_takes_anything_with_it(guard: Guard) -> None:
    await several_are_refused(
        guard,
        {
            "ROLLBACK; DELETE FROM orders": WHOLE,
            "END; DELETE FROM orders": WHOLE,
            "ABORT; DELETE FROM orders": WHOLE,
            "PREPARE TRANSACTION 'x'; DELETE FROM orders": "SQL_NOT_UNDERSTOOD",
            "COMMIT AND CHAIN; DELETE FROM orders": "SQL_NOT_UNDERSTOOD",
            "ROLLBACK AND CHAIN; DELETE FROM orders": "SQL_NOT_UNDERSTOOD",
            "SAVEPOINT a; ROLLBACK TO a; DELETE FROM orders": WHOLE,
        },
    )
    await guard.refuses(
        "SQL_NOT_UNDERSTOOD",
        "PREPARE TRANSACTION 'x'",
        "COMMIT PREPARED 'x'",
        "ROLLBACK PREPARED 'x'",
        "COMMIT AND CHAIN",
        "END AND CHAIN",
        "ROLLBACK AND CHAIN",
        "ABORT AND CHAIN",
    )


async def test_p04_the_transaction_can_not_be_made_to_write_by_a_setting(guard: Guard) -> None:
    await guard.refuses(
        "SETTING_NOT_ALLOWED",
        "SET transaction_read_only = off",
        "SET transaction_read_only TO false",
        'SET "transaction_read_only" = 0',
        "SET SESSION transaction_read_only = off",
        "SET default_transaction_read_only = off",
        "SET U&\"transaction_read\\005fonly\" = 'off'",
    )
    async with listener(guard.world) as client:
        for sql in ("BEGIN READ ONLY", "SET transaction_read_only = off", "DELETE FROM orders"):
            last = wire_verdict(await client.query(sql))
        assert last == WHOLE or last == "25P02"
        await client.query("ROLLBACK")
        await client.query("BEGIN READ ONLY")
        for sql in ("SAVEPOINT a", "SET LOCAL transaction_read_only = off", "ROLLBACK TO a"):
            last = wire_verdict(await client.query(sql))
        assert last == "OK"
        (row,) = [
            r for r in await client.query("SHOW transaction_read_only") if hasattr(r, "frames")
        ]
        assert b"on" in row.frames


async def test_p05_no_transaction_is_begun_for_writing(guard: Guard) -> None:
    await guard.refuses(
        "SQL_NOT_UNDERSTOOD",
        "SET TRANSACTION READ WRITE",
        "BEGIN READ WRITE",
        "BEGIN ISOLATION LEVEL SERIALIZABLE, READ WRITE",
        "START TRANSACTION READ WRITE",
        "BEGIN READ ONLY, READ WRITE",
        "BEGIN READ WRITE, READ ONLY",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY, READ WRITE",
        "SET TRANSACTION SNAPSHOT '00000003-0000001B-1'",
    )


async def test_p06_set_config_lifts_nothing(guard: Guard) -> None:
    await guard.refuses(
        "FUNCTION_NOT_ALLOWED",
        "SELECT set_config('default_transaction_read_only', 'off', false)",
        "SELECT set_config('transaction_read_only', 'off', true)",
        "SELECT set_config('default_' || 'transaction_read_only', 'off', false)",
        "SELECT SET_CONFIG(lower('DEFAULT_TRANSACTION_READ_ONLY'), 'off', false)",
        "SELECT pg_catalog.set_config('search_path'::text, 'evil', false)",
        "SELECT \"set_config\"('role', 'postgres', false)",
        "SELECT set_config(setting_name => 'role', new_value => 'postgres', is_local => false)",
        "SELECT set_config('search_path', (SELECT ssn FROM customers LIMIT 1), false)",
        "SELECT set_config('search_path', status, false) FROM orders",
        "SELECT set_config('search_' || 'path', 'evil', false)",
        "SELECT set_config($$role$$, 'postgres', false)",
        "SELECT set_config(U&'r\\006fle', 'postgres', false)",
        "SELECT set_config('jit', 'off', false), set_config('role', 'postgres', false)",
        "SELECT set_config('jit', ssn, false) FROM customers",
        "SELECT 1 WHERE set_config('row_security', 'off', false) IS NOT NULL",
        "SELECT * FROM set_config('row_security', 'off', false)",
        "EXPLAIN ANALYZE SELECT set_config('role', 'postgres', false)",
        "WITH x AS (SELECT set_config('role', 'postgres', false)) SELECT 1",
    )
    for sql in ("SELECT set_config($1, $2, false)", "SELECT set_config('search_path', $1, false)"):
        count = sql.count("$")
        answered = await guard.mcp(sql, params=["search_path", "evil"][:count])
        assert mcp_verdict(answered) == "FUNCTION_NOT_ALLOWED"


async def test_p07_no_rule_of_the_servers_own_sets_a_setting(guard: Guard) -> None:
    await guard.refuses(
        "RELATION_SENSITIVE",
        "UPDATE pg_settings SET setting = 'off' WHERE name = 'transaction_read_only'",
        "UPDATE pg_catalog.pg_settings SET setting = 'evil' WHERE name = 'search_path'",
        "UPDATE \"pg_catalog\".\"pg_settings\" AS s SET setting = 'x' WHERE s.name = 'role'",
        "WITH x AS (UPDATE pg_settings SET setting = 'off' WHERE name = 'x' RETURNING 1)"
        " SELECT * FROM x",
        "UPDATE pg_class SET relname = 'x' WHERE oid = 1",
        "DELETE FROM pg_proc WHERE proname = 'x'",
        "INSERT INTO pg_settings SELECT * FROM pg_settings",
    )
    # A rule of somebody's on a view, which does something else.
    await guard.refuses("SQL_NOT_UNDERSTOOD", "UPDATE v_writes SET status = 'x' WHERE id = 1")
