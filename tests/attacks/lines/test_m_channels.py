"""Lines M15 and M17 to M21: notices, statistics, copies, cursors, settings; and what is kept."""

from __future__ import annotations

import asyncio
import base64
import json

import httpx2
import pytest

from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from tests.attacks.lines.guard import (
    NO_NAME,
    Guard,
    Verdicts,
    everything,
    mcp_verdict,
    wire_verdict,
)
from tests.attacks.lines.leaks import found, found_in_bytes
from tests.attacks_sql.doors import approved, listener

pytestmark = pytest.mark.anyio

NOT_ALLOWED = "FUNCTION_NOT_ALLOWED"
OPAQUE = "SQL_NOT_UNDERSTOOD"
SENSITIVE = "RELATION_SENSITIVE"
COPIES = "no-copies-of-labelled-values"


async def test_m15_no_notice_carries_a_value(guard: Guard) -> None:
    await guard.refuses(
        OPAQUE,
        "DO $$BEGIN RAISE NOTICE '%', (SELECT ssn FROM customers LIMIT 1); END$$",
        "DO $$BEGIN RAISE EXCEPTION '%', (SELECT ssn FROM customers LIMIT 1); END$$",
        "ANALYZE VERBOSE customers",
        "VACUUM VERBOSE customers",
        "CALL change_orders()",
    )
    await guard.refuses(
        "SETTING_NOT_ALLOWED",
        *("SET client_min_messages = debug5", "SET client_min_messages = debug1"),
        *("SET debug_print_plan = on", "SET debug_print_parse = on", "SET log_statement = 'all'"),
        *("SET log_min_messages = debug5", "SET log_min_duration_statement = 0"),
        *(
            "SET log_error_verbosity = verbose",
            "SET track_activities = on",
            "SET debug_pretty_print = on",
        ),
    )
    await guard.refuses(
        NOT_ALLOWED,
        "SELECT set_config('client_min_messages', 'debug5', false)",
        "SELECT set_config('debug_print_plan', 'on', false)",
        "SELECT talk()",
    )


async def test_m15_a_notice_of_an_approved_change_is_not_passed_on(guard: Guard) -> None:
    """A trigger of somebody's says the value aloud; no NoticeResponse reaches the client."""
    await guard.direct.execute(
        "CREATE TABLE shouts (id int); CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE WARNING '%', (SELECT ssn FROM customers WHERE id = 1);"
        " RAISE NOTICE '%', (SELECT reverse(ssn) FROM customers WHERE id = 1)"
        " USING DETAIL = (SELECT email FROM customers WHERE id = 1); RETURN NEW; END$$;"
        "CREATE TRIGGER shout BEFORE INSERT ON shouts FOR EACH ROW EXECUTE FUNCTION shout()"
    )
    try:
        sql = "INSERT INTO shouts VALUES (1)"
        async with asyncio.timeout(30):
            while mcp_verdict(await guard.mcp(sql)) == "RELATION_UNKNOWN":
                pass
        async with listener(guard.world) as client:
            asked = await client.query(sql)
            (error,) = [r for r in asked if isinstance(r, b.ErrorResponse)]
            ticket = next(
                w for w in error.text("M").split() + error.text("H").split() if w.startswith("ap_")
            )
            decided = guard.world.cli("victor", "approvals", "approve", ticket.strip(".,:;()"))
            assert decided.returncode == 0, decided.stderr
            replies = await client.query(sql)
        assert wire_verdict(replies) == "OK"
        assert [r for r in replies if isinstance(r, b.NoticeResponse)] == []
        assert found_in_bytes(everything(replies)) == set()
        said = await approved(guard.world, sql)
        assert (said.code, found(said.text)) == ("", set())
    finally:
        await guard.direct.execute("DROP TABLE shouts; DROP FUNCTION shout()")


async def test_m17_no_sample_of_the_values_is_shown(guard: Guard) -> None:
    await guard.direct.execute(
        "CREATE STATISTICS people_mcv (mcv) ON ssn, name FROM customers; ANALYZE customers"
    )
    await guard.refuses(
        SENSITIVE,
        "SELECT most_common_vals::text, histogram_bounds::text FROM pg_stats",
        "SELECT stavalues1::text FROM pg_statistic",
        "SELECT stavalues1 FROM pg_catalog.pg_statistic WHERE starelid = 'customers'::regclass",
        *("SELECT * FROM pg_stats_ext", "SELECT * FROM pg_stats_ext_exprs"),
        "SELECT stxdmcv::text FROM pg_statistic_ext_data",
        "SELECT stxdmcv::bytea FROM pg_statistic_ext_data",
        *("SELECT query FROM pg_stat_activity", "SELECT * FROM pg_stat_statements"),
        "SELECT statement FROM pg_cursors",
    )
    await guard.refuses(
        NOT_ALLOWED,
        "SELECT * FROM v_statistics",
        "SELECT * FROM v_statistic",
        "SELECT * FROM v_others",
        "SELECT * FROM pg_mcv_list_items((SELECT NULL::pg_mcv_list))",
        "SELECT pg_stat_get_backend_activity(1)",
        "SELECT * FROM pg_stat_get_activity(NULL)",
        "SELECT current_query()",
    )


async def test_m18_no_copy_takes_a_value_to_where_it_is_shown(guard: Guard) -> None:
    await guard.refuses(
        COPIES,
        "INSERT INTO copies SELECT id, ssn FROM customers",
        "INSERT INTO copies SELECT id, reverse(ssn) FROM customers RETURNING t",
        "INSERT INTO copies VALUES (1, (SELECT to_jsonb(c)::text FROM customers c LIMIT 1))",
        "INSERT INTO copies TABLE m_copies",
        "UPDATE customers SET name = ssn WHERE id = 1 RETURNING name",
        "UPDATE customers SET (name, notes) = (ssn, email) WHERE id = 1",
        "UPDATE copies SET t = c.ssn FROM customers c WHERE copies.id = c.id",
        "UPDATE customers SET email = 'x@' || replace(ssn, '-', '') || '.com' WHERE id = 1",
        "WITH a AS (SELECT ssn FROM customers) INSERT INTO copies (t) SELECT ssn FROM a",
        "INSERT INTO customers (id, name, ssn) VALUES (1, 'x', 'y')"
        " ON CONFLICT (id) DO UPDATE SET name = customers.ssn",
        "INSERT INTO copies SELECT id, count(nullif(ssn LIKE '2%', false))::text"
        " FROM customers GROUP BY id",
        "CREATE VIEW public.evil_view AS SELECT ssn FROM customers",
    )
    before = await guard.state()
    for sql in (
        *(
            "CREATE TABLE public.ev AS SELECT ssn FROM customers",
            "CREATE TABLE public.ev (LIKE customers)",
        ),
        *("SELECT ssn INTO ev FROM customers", "CREATE TEMP TABLE ev AS TABLE customers"),
        "CREATE MATERIALIZED VIEW public.ev AS SELECT ssn FROM customers",
        "CREATE TABLE public.ev (a text DEFAULT (SELECT ssn FROM customers LIMIT 1))",
        *("ALTER TABLE customers RENAME COLUMN ssn TO x", "ALTER TABLE customers RENAME TO x"),
        "ALTER TABLE customers ALTER ssn TYPE varchar USING reverse(ssn)",
        "ALTER TABLE copies INHERIT customers",
        "CREATE TABLE public.ev () INHERITS (customers)",
        "ALTER TABLE customers ADD x text GENERATED ALWAYS AS (ssn) STORED",
        "CREATE INDEX i ON customers (reverse(ssn))",
        "MERGE INTO copies k USING customers c ON k.id = c.id WHEN NOT MATCHED THEN"
        " INSERT VALUES (c.id, c.ssn)",
    ):
        verdicts = (await guard.ask(sql)).verdicts
        assert (sql, verdicts.mcp in (OPAQUE, COPIES, "no-schema-changes", "42601")) == (sql, True)
        assert (sql, verdicts.simple != "OK") == (sql, True)
    assert await guard.state() - before == set()
    await guard.masks("SELECT x || '' FROM m_copies", "SELECT reverse(mail) FROM contacts")
    answer = await guard.ask("SELECT * FROM v_typed")
    assert (answer.verdicts, answer.leaks) == (Verdicts.all("OK"), set())


async def test_m19_no_cursor_no_copy_and_no_large_object_shows_it(guard: Guard) -> None:
    outside = Verdicts("NAME_OF_SESSION", "25P01", "25P01")  # of a transaction
    await guard.answers(
        {
            "DECLARE c CURSOR FOR SELECT ssn FROM customers": outside,
            "FETCH ALL FROM c": NO_NAME,
        }
    )
    await guard.refuses(
        OPAQUE,
        "DECLARE c BINARY CURSOR WITH HOLD FOR SELECT ssn FROM customers",
        "COPY customers TO PROGRAM 'cat'",
        "COPY (SELECT ssn FROM customers) TO '/tmp/ostiary-leak'",
    )
    await guard.refuses(
        NOT_ALLOWED,
        *(
            "SELECT lo_get(4711)",
            "SELECT loread(lo_open(4711, 262144), 100)",
            "SELECT lo_open(4711, 1)",
        ),
        "SELECT encode(lo_get(4711), 'hex')",
    )
    await guard.refuses(SENSITIVE, "SELECT data FROM pg_largeobject", "TABLE pg_largeobject")
    async with listener(guard.world) as client:
        await client.query("BEGIN")
        await client.query("DECLARE c CURSOR FOR SELECT ssn, reverse(ssn) FROM customers")
        fetched = await client.query("FETCH ALL FROM c")
        assert (wire_verdict(fetched), found_in_bytes(everything(fetched))) == ("OK", set())
        client.send(f.Parse("s", "SELECT ssn, reverse(ssn) FROM customers ORDER BY id"))
        client.send(f.Bind("p", "s", result_formats=(1,)), f.Execute("p", 1), f.Sync())
        replies = await client.until_ready()
        for most in (1, 1, 0):
            client.send(f.Execute("p", most), f.Sync())
            replies += await client.until_ready()
    assert found_in_bytes(everything(replies)) == set()


async def test_m20_no_string_is_run_and_no_setting_keeps_a_value(guard: Guard) -> None:
    await guard.refuses(
        NOT_ALLOWED,
        "SELECT set_config('x.y', ssn, false) FROM customers",
        "SELECT set_config('application_name', ssn, false) FROM customers",
        "SELECT set_config('search_path', ssn, false) FROM customers",
        "SELECT query_to_xml('SELECT ssn FROM customers', false, false, '')",
        "SELECT table_to_xml('customers', false, false, '')",
        "SELECT ts_stat('SELECT to_tsvector(ssn) FROM customers')",
        "SELECT * FROM crosstab('SELECT ssn, 1, 2 FROM customers') AS t (a text, b int)",
        "SELECT dblink('dbname=x', 'SELECT ssn FROM customers')",
    )
    await guard.refuses(
        "SETTING_NOT_ALLOWED",
        *("SELECT current_setting('x.y')", "SHOW x.y", "SHOW ALL", "SET x.y = 'z'"),
        "SELECT current_setting(ssn) FROM customers",
        "SELECT current_setting('x.' || 'y')",
        "SELECT current_setting(name) FROM customers",
    )


async def test_m21_nothing_around_the_rows_carries_a_value(guard: Guard) -> None:
    await guard.refuses(
        NOT_ALLOWED,
        "SELECT pg_notify('x', ssn) FROM customers",
        "SELECT * FROM crosstab('SELECT 1, ssn, 2 FROM customers', 'SELECT ssn FROM customers')"
        " AS t (a int, b int)",
        "SELECT * FROM json_populate_record(NULL::customers,"
        " (SELECT to_json(c) FROM customers c LIMIT 1))",
        "SELECT jsonb_populate_recordset(NULL::customers, jsonb_agg(c)) FROM customers c",
    )
    await guard.masks(
        "SELECT json_object_agg(ssn, 1) FROM customers",
        "SELECT jsonb_build_object(ssn, 1) FROM customers",
        "SELECT json_object(ARRAY[ssn], ARRAY['x']) FROM customers",
        "SELECT jsonb_set('{}', ARRAY[ssn], '1') FROM customers",
    )
    async with listener(guard.world) as client:
        replies = []
        for sql in (
            "SET application_name = 'x'",
            "SELECT ssn FROM customers",
            'SELECT reverse(ssn) AS "x" FROM customers',
            "SELECT ssn::varchar(11), ssn::char(11) FROM customers",
            "SELECT ssn FROM customers LIMIT 2",
            "SHOW application_name",
        ):
            replies += await client.query(sql)
    kinds = {type(r).__name__ for r in replies}
    assert kinds <= {
        "RowDescription",
        "RowRun",
        "CommandComplete",
        "ReadyForQuery",
        "ParameterStatus",
    }
    assert found_in_bytes(everything(replies)) == set()
    tags = [r.command for r in replies if isinstance(r, b.CommandComplete)]
    assert tags == ["SET", "SELECT 4", "SELECT 4", "SELECT 4", "SELECT 2", "SHOW"]


async def test_m21_nothing_that_is_kept_holds_what_was_masked(guard: Guard) -> None:
    """The recording as an auditor reads it, tickets as their requester does, and the log."""
    for sql in (
        *("SELECT ssn, reverse(ssn), email FROM customers", "SELECT ssn::int FROM customers"),
        *(
            "TABLE customers",
            "SELECT to_jsonb(c) FROM customers c",
            "EXPLAIN SELECT * FROM customers",
        ),
        "UPDATE customers SET balance = balance + 0 WHERE ssn LIKE '2%' RETURNING customers",
    ):
        await guard.ask(sql)
    recorded = await guard.mcp("SELECT ssn, reverse(ssn), phone FROM customers")
    assert recorded.structured_content is not None
    session = recorded.structured_content["session"]
    async with httpx2.AsyncClient(base_url=guard.world.url, timeout=60) as http:
        auditor = {"Authorization": f"Bearer {guard.world.token('victor')}"}
        async with asyncio.timeout(30):
            while "session_closed" not in (
                shown := (await http.get(f"/api/sessions/{session}/records", headers=auditor)).text
            ):
                await asyncio.sleep(0.05)
        requester = {"Authorization": f"Bearer {guard.world.token('rita')}"}
        tickets = (await http.get("/api/approvals", headers=requester)).text
    lines = [json.loads(line) for line in shown.splitlines()]
    assert {"rows", "answer"} & {line["kind"] for line in lines}
    plain = [line["body"].encode() for line in lines if line["body_encoding"] == "utf-8"]
    coded = [base64.b64decode(line["body"]) for line in lines if line["body_encoding"] == "base64"]
    bodies = plain + coded
    assert any(b"***-**-9991" in body for body in bodies)
    assert [found_in_bytes(body) for body in bodies if found_in_bytes(body)] == []
    assert (found(shown), found(tickets), found(guard.world.log.read_text())) == (
        set(),
        set(),
        set(),
    )


async def test_m21_nor_does_any_record_or_ticket_of_all_these_attacks(guard: Guard) -> None:
    """What was delivered, refused or failed; the statements are the attackers' own words."""
    async with asyncio.timeout(30):
        rows = await guard.store.fetch(
            "SELECT r.kind, r.document::text AS d, b.body FROM records r"
            " LEFT JOIN bodies b USING (stream, sequence)"
        )
    said = {"rows", "columns", "failed", "done", "outcome", "answer", "decision"}
    told = {row["kind"] for row in rows}
    assert said & told >= {"rows", "columns", "outcome", "answer", "decision"}
    words = " ".join(row["d"] for row in rows if row["kind"] in said)
    assert found(words) == set()
    holds = ("rows", "answer")
    delivered = b"".join(row["body"] for row in rows if row["kind"] in holds and row["body"])
    assert found_in_bytes(delivered) == set()
    tickets = await guard.store.fetchval("SELECT string_agg(t::text, ' ') FROM tickets t")
    assert found(tickets or "") == set()
