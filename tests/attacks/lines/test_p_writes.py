"""Lines P08 to P16 and P41: changes that look like reads, cursors, and COPY."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from tests.attacks.lines.guard import (
    NO_NAME,
    WAITING,
    Guard,
    Verdicts,
    everything,
    mcp_verdict,
    wire_verdict,
)
from tests.attacks.lines.leaks import found_in_bytes
from tests.attacks_sql.doors import knocking, listener
from tests.server.protocols.raw_client import tags

pytestmark = pytest.mark.anyio

OPAQUE = "SQL_NOT_UNDERSTOOD"
WHOLE = "no-whole-table-changes"


async def test_p08_a_change_inside_a_read_is_a_change(guard: Guard) -> None:
    await guard.refuses(
        WHOLE,
        "WITH x AS (DELETE FROM orders RETURNING *) SELECT * FROM x",
        "WITH x AS (SELECT 1), y AS (UPDATE orders SET status = 'x' RETURNING 1) SELECT * FROM x",
        "INSERT INTO copies WITH x AS (DELETE FROM orders RETURNING id) SELECT id, 'x' FROM x",
        "WITH x AS NOT MATERIALIZED (DELETE FROM orders) SELECT 1",
        "SELECT 1 UNION (WITH x AS (DELETE FROM orders RETURNING 1) SELECT 1)",
    )
    await guard.waits(
        "WITH x AS (DELETE FROM orders WHERE id = 1 RETURNING *) SELECT * FROM x",
        "WITH x AS (INSERT INTO copies VALUES (1, 'x')) SELECT 1",
        "WITH RECURSIVE x AS (DELETE FROM orders WHERE id = 1 RETURNING id) SELECT * FROM x",
        "WITH x AS (UPDATE orders SET status = 'x' WHERE id = 1) VALUES (1)",
        "WITH x AS (DELETE FROM orders WHERE id = 1) TABLE customers",
    )
    await guard.refuses(
        OPAQUE,
        "EXPLAIN ANALYZE WITH x AS (DELETE FROM orders WHERE id = 1) SELECT 1",
    )
    declared = "DECLARE c CURSOR FOR WITH x AS (DELETE FROM orders WHERE id = 1) SELECT 1"
    await guard.refuses("NAME_OF_SESSION", declared)


async def test_p08_a_change_deeper_inside_never_runs(guard: Guard) -> None:
    """The server's own grammar lets a changing WITH stand only at the top; the gate asks first."""
    before = await guard.state()
    for sql in (
        "WITH a AS (WITH x AS (DELETE FROM orders WHERE id = 1) SELECT 1) SELECT * FROM a",
        "SELECT * FROM (WITH x AS (DELETE FROM orders WHERE id = 1 RETURNING 1) SELECT 1) y",
        "SELECT (WITH x AS (DELETE FROM orders WHERE id = 1 RETURNING 1) SELECT 1)",
        "VALUES ((WITH x AS (DELETE FROM orders WHERE id = 1) SELECT 1))",
        "SELECT 1 WHERE EXISTS (WITH x AS (DELETE FROM orders WHERE id = 1) SELECT 1)",
    ):
        verdicts = (await guard.ask(sql)).verdicts
        assert (sql, verdicts.mcp, verdicts.simple) == (sql, "APPROVAL_PENDING", "APPROVAL_NEEDED")
        assert (sql, verdicts.extended) in ((sql, "0A000"), (sql, "APPROVAL_NEEDED"))
    for sql in (
        "COPY (WITH x AS (DELETE FROM orders WHERE id = 1 RETURNING 1) SELECT 1) TO STDOUT",
        "COPY (DELETE FROM orders WHERE id = 1 RETURNING *) TO STDOUT",
    ):
        assert (sql, (await guard.ask(sql)).verdicts.simple != "OK") == (sql, True)
    assert await guard.state() - before == set()


async def test_p09_a_table_that_explain_would_make_is_not_made(guard: Guard) -> None:
    await guard.refuses(
        OPAQUE,
        "EXPLAIN (ANALYZE) CREATE TABLE evil_copy AS SELECT * FROM orders",
        "EXPLAIN ANALYZE SELECT * INTO evil_copy FROM orders",
        "EXPLAIN ANALYZE CREATE TEMP TABLE evil_copy AS SELECT 1",
        "EXPLAIN ANALYZE CREATE MATERIALIZED VIEW evil_copy AS SELECT 1",
        "EXPLAIN ANALYZE CREATE TABLE evil_copy AS EXECUTE p",
        "EXPLAIN ANALYZE EXECUTE p",
        "EXPLAIN CREATE TABLE evil_copy AS SELECT * FROM orders",
        "EXPLAIN SELECT 1 AS a INTO evil_copy UNION SELECT 2",
        "EXPLAIN ANALYZE REFRESH MATERIALIZED VIEW m_copies",
        "EXPLAIN ANALYZE DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    )


SPELLINGS = (
    *("ANALYZE", "(ANALYZE)", "(ANALYZE true)", "(ANALYZE on)", "(ANALYZE 1)", "(ANALYZE 2)"),
    *("(analyze 'on')", "(VERBOSE, ANALYZE)", "ANALYSE", "(ANALYSE)", "ANALYZE VERBOSE"),
    *("/**/ANALYZE/**/", "\rANALYZE\v", "\f(\fANALYZE\f)", '("analyze")', '("ANALYZE")'),
    *("(ANALYZE off, ANALYZE on)", "(ANALYZE on, ANALYZE off)", "(ANALYZE 0.5)", "(ANALYZE -1)"),
    *("(ANALYZE 'TRUE')", '(U&"\\0061nalyze")', "(ANALYZE, BUFFERS, WAL)", "--\rANALYZE"),
    *("(FORMAT json, ANALYZE true)", "(ANALYZE U&'\\006fn')", "(SERIALIZE text, ANALYZE)"),
)


async def test_p10_no_spelling_of_explain_analyze_runs_a_change(guard: Guard) -> None:
    await guard.refuses(
        OPAQUE, *(f"EXPLAIN {each} DELETE FROM orders WHERE id = 1" for each in SPELLINGS)
    )
    await guard.refuses(OPAQUE, "EXPLAIN ANALYZE SELECT * FROM orders WHERE id = 1 FOR UPDATE")
    await guard.runs(
        "EXPLAIN DELETE FROM orders WHERE id = 1",
        "EXPLAIN (ANALYZE off) UPDATE orders SET status = 'x' WHERE id = 1",
    )


async def test_p11_a_read_makes_no_table(guard: Guard) -> None:
    await guard.refuses(
        OPAQUE,
        "SELECT * INTO evil_copy FROM orders",
        "SELECT * INTO TEMP evil_copy FROM orders",
        "SELECT 1 AS a INTO UNLOGGED TABLE evil_copy",
        "(SELECT * INTO evil_copy FROM orders)",
        "SELECT 1 AS a INTO pg_temp.customers",
        "SELECT 1 INTO evil_copy UNION SELECT 2",
        "CREATE TABLE evil_copy AS SELECT 1",
        "CREATE TABLE evil_copy AS TABLE customers WITH NO DATA",
        "CREATE TEMP TABLE customers AS SELECT 1 AS id",
        "CREATE TEMP TABLE customers (id int)",
        "CREATE TEMPORARY VIEW customers AS SELECT 1 AS ssn",
        "CREATE TEMP SEQUENCE evil_copy",
        "CREATE MATERIALIZED VIEW evil_copy AS SELECT 1",
    )
    await guard.refuses("SQL_NOT_UNDERSTOOD", "CREATE TABLE pg_temp.customers (id int)")


async def test_p12_locking_rows_is_a_change(guard: Guard) -> None:
    locks = ("UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE", "UPDATE NOWAIT", "SHARE SKIP LOCKED")
    await guard.waits(
        *(f"SELECT * FROM orders WHERE id = 1 FOR {lock}" for lock in locks),
        "SELECT * FROM (SELECT * FROM orders FOR UPDATE) x",
        "WITH x AS (SELECT * FROM orders FOR SHARE) SELECT * FROM x",
        "SELECT (SELECT id FROM orders LIMIT 1 FOR KEY SHARE)",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM orders FOR UPDATE)",
        "TABLE orders FOR UPDATE",
        "SELECT o.id FROM customers c, orders o FOR UPDATE OF o",
        "SELECT id FROM orders o WHERE id = (SELECT max(id) FROM (TABLE orders FOR SHARE) p)",
    )
    await guard.refuses(OPAQUE, "SELECT * FROM (SELECT 1 AS x) x FOR UPDATE")
    locked = "SELECT count(*) FROM pg_locks WHERE mode = 'RowShareLock' AND locktype = 'relation'"
    assert await guard.direct.fetchval(locked) == 0


async def test_p13_blocks_and_procedures_are_not_run(guard: Guard) -> None:
    await guard.refuses(
        OPAQUE,
        "DO $$BEGIN DELETE FROM orders; END$$",
        "DO 'BEGIN PERFORM poke(''x''); END'",
        "DO LANGUAGE plpython3u 'import os'",
        "DO 'BEGIN END' LANGUAGE plpgsql",
        "CALL change_orders()",
        "CALL public.change_orders()",
        "CALL poke('a')",
        "CALL pg_catalog.upper('a')",
    )
    await guard.refuses("FUNCTION_NOT_ALLOWED", "SELECT change_orders()", "SELECT public.poke('a')")


async def test_p14_what_is_prepared_is_judged_by_what_it_is(guard: Guard) -> None:
    by_name = "APPROVAL_BY_NAME"
    await guard.answers(
        {
            "PREPARE q AS DELETE FROM orders": Verdicts("NAME_OF_SESSION", WHOLE, WHOLE),
            "PREPARE q (text) AS INSERT INTO copies VALUES (1, $1)": Verdicts(
                "NAME_OF_SESSION", by_name, by_name
            ),
            "EXECUTE q": NO_NAME,
            "EXECUTE q(1)": NO_NAME,
        }
    )
    await guard.refuses(
        OPAQUE,
        "CREATE TABLE evil_copy AS EXECUTE q",
        "CREATE TEMP TABLE evil_copy AS EXECUTE q",
        "EXPLAIN ANALYZE EXECUTE q",
    )
    before = await guard.state()
    async with listener(guard.world) as client:
        for text, code in (("DELETE FROM orders", WHOLE), ("SELECT id FROM orders", "OK")):
            client.send(f.Parse("q", text), f.Sync())
            assert wire_verdict(await client.until_ready()) == code
            # By SQL it can't be run: only what SQL prepared is known by its name.
            assert wire_verdict(await client.query("EXECUTE q")) == "NAME_UNKNOWN"
        await client.query("DEALLOCATE q")
        client.send(f.Parse("q", "DELETE FROM orders"), f.Bind("", "q"), f.Execute(""), f.Sync())
        assert wire_verdict(await client.until_ready()) == WHOLE
        client.send(f.Bind("", "q"), f.Execute(""), f.Sync())
        assert wire_verdict(await client.until_ready()) in ("OK", "26000", "42501", "UNKNOWN")
    assert await guard.state() - before == set()


async def test_p15_no_cursor_is_read_past_the_gate(guard: Guard) -> None:
    await guard.refuses(
        OPAQUE,
        "DECLARE c CURSOR WITH HOLD FOR SELECT ssn FROM customers",
        "DECLARE c BINARY INSENSITIVE SCROLL CURSOR FOR SELECT ssn FROM customers",
        "DELETE FROM orders WHERE CURRENT OF c",
    )
    unknown = ("FETCH ALL FROM c", "FETCH BACKWARD 1 FROM c", "MOVE 1 IN c")
    await guard.answers(dict.fromkeys(unknown, NO_NAME))
    async with listener(guard.world) as client:
        await client.query("BEGIN")
        client.send(f.Parse("", "SELECT ssn, reverse(ssn) FROM customers"), f.Bind("p", ""))
        client.send(f.Execute("p", 1), f.Sync())
        replies = await client.until_ready()
        # The portal is a cursor for SQL too.
        for sql in ("FETCH ALL FROM p", "MOVE 1 IN p"):
            replies += await client.query(sql)
            assert wire_verdict(replies) == "NAME_UNKNOWN"
    assert found_in_bytes(everything(replies)) == set()


async def test_p15_a_portal_is_not_gone_on_with_once_the_agent_is_blocked(guard: Guard) -> None:
    agent = f"doomed-{secrets.token_hex(4)}"
    async with knocking(guard.world) as client:
        token = guard.world.token("rita", agent=agent)
        await client.log_in(token, {"user": "rita", "database": "shop"})
        await client.query("BEGIN")
        client.send(f.Parse("", "SELECT id FROM orders"), f.Bind("p", ""), f.Execute("p", 1))
        client.send(f.Sync())
        assert tags(await client.until_ready()) == "12DsZT"
        blocked = guard.world.cli("victor", "agents", "block", agent, "--reason", "a test")
        assert blocked.returncode == 0, blocked.stderr
        client.send(f.Execute("p", 1), f.Sync())
        replies = await client.to_the_end()
    refusals = [r.text("C") for r in replies if isinstance(r, b.ErrorResponse)]
    assert set(refusals) <= {"42501", "57P01", "28000"}
    assert "D" not in tags(replies)


async def test_p16_no_file_and_no_program_is_reached_by_copy(guard: Guard, tmp_path: Path) -> None:
    path = tmp_path / "owned"
    await guard.refuses(
        OPAQUE,
        f"COPY orders TO '{path}'",
        f"COPY orders TO PROGRAM 'cat > {path}'",
        f"COPY (SELECT 1) TO '{path}' WITH CSV",
        f"COPY orders FROM PROGRAM 'touch {path}; echo'",
        "COPY orders FROM '/etc/passwd'",
        "COPY copies (t) FROM PROGRAM 'curl http://169.254.169.254'",
        "COPY (DELETE FROM orders RETURNING *) TO '/dev/null'",
        "COPY orders FROM STDIN WHERE poke(status) = 'a'",
    )
    assert not path.exists()
    await guard.waits("COPY orders FROM STDIN", "COPY customers (id, name) FROM STDIN")
    await guard.refuses("WRITE_BACK", "COPY customers (id, ssn) FROM STDIN")


COPIED = (
    "COPY customers TO STDOUT",
    "COPY customers (ssn) TO STDOUT (FORMAT binary)",
    "COPY (SELECT ssn, email, phone FROM customers) TO STDOUT",
    "COPY (SELECT reverse(ssn) FROM customers) TO STDOUT WITH CSV HEADER",
    "COPY (SELECT customers FROM customers) TO STDOUT (FORCE_QUOTE *, FORMAT csv)",
    "COPY m_copies TO STDOUT",
    "COPY vip TO STDOUT",
    "COPY BINARY customers TO STDOUT",
    "COPY customers (id, ssn) TO STDOUT (DELIMITER '5')",
    "COPY (TABLE contacts) TO STDOUT (NULL 'x')",
)


async def test_p16_what_is_copied_out_is_masked_or_refused(guard: Guard) -> None:
    before = await guard.state()
    for sql in COPIED:
        assert mcp_verdict(await guard.mcp(sql)) != "OK"
        async with knocking(guard.world) as client:
            login = {"user": "rita", "database": "shop"}
            await client.log_in(guard.world.token("rita"), login)
            for ask in (f.Query(sql), f.Parse("", sql)):
                client.send(ask, f.Bind("", ""), f.Execute(""), f.Sync())
            client.writer.write_eof()
            replies = await client.to_the_end()
        assert (sql, found_in_bytes(everything(replies))) == (sql, set())
    assert await guard.state() - before == set()


async def test_p41_a_condition_that_says_nothing_is_none(guard: Guard) -> None:
    nothing = (
        *("", "WHERE true", "WHERE 1=1", "WHERE 'a' = 'a'", "WHERE id = id", "WHERE NOT false"),
        *("WHERE id IS NOT NULL OR id IS NULL", "WHERE id > 0 OR 1 = 1", "WHERE (SELECT true)"),
        *("WHERE now() IS NOT NULL", "WHERE EXISTS (SELECT 1 FROM customers)", "WHERE 2 > 1"),
        *("WHERE random() >= 0", "WHERE orders.id IN (orders.id)", "WHERE id - id = 0"),
        *("WHERE id BETWEEN id AND id", "WHERE true IS TRUE", "WHERE coalesce(true, id = 1)"),
    )
    await guard.refuses(
        WHOLE,
        *(f"DELETE FROM orders {where}" for where in nothing[:15]),
        *(f"UPDATE orders SET status = 'x' {where}" for where in nothing[:15]),
        "DELETE FROM orders USING customers",
        "DELETE FROM orders USING customers WHERE customers.id = 1",
        "DELETE FROM orders AS o USING orders AS p WHERE p.id = 1",
        "UPDATE orders SET status = 'x' FROM customers c WHERE c.id = 1",
        "UPDATE orders SET status = 'x' WHERE $1",
        "UPDATE orders SET status = 'x' WHERE status LIKE '%'",
        "UPDATE orders SET status = 'x' WHERE id > 0 OR id <= 0",
    )
    await guard.refuses(OPAQUE, "DELETE FROM orders WHERE CURRENT OF c")


async def test_p41_a_condition_that_is_true_of_every_row_still_waits_for_a_person(
    guard: Guard,
) -> None:
    """That `id > 0` holds for all rows can't be told; the approver sees the whole statement."""
    before = await guard.state()
    for sql in (
        "DELETE FROM orders WHERE id > 0",
        "UPDATE orders SET status = 'x' WHERE status LIKE '%'",
        "UPDATE orders SET status = 'x' WHERE id IN (SELECT id FROM orders)",
        "UPDATE orders SET status = 'x' WHERE id <> -1",
        "UPDATE orders SET status = 'x' WHERE id > 0 OR id <= 0",
    ):
        assert (await guard.ask(sql)).verdicts in (WAITING, Verdicts.all(WHOLE))
    assert await guard.state() - before == set()
