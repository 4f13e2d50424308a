"""The main job with the SDK's client, `ostiary serve` and PostgreSQL: identity to recording."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import mcp.types as t
import pytest
from mcp import Client

from tests.e2e.world import World

pytestmark = pytest.mark.anyio
MODES = pytest.mark.parametrize("mode", ["auto", "legacy"])


def words(result: Any) -> str:
    assert isinstance(result, t.CallToolResult)
    return "".join(c.text for c in result.content if isinstance(c, t.TextContent))


async def run_sql(client: Client, sql: str, **arguments: Any) -> t.CallToolResult:
    result = await client.call_tool("run_sql", {"target": "shop", "sql": sql, **arguments})
    assert isinstance(result, t.CallToolResult)
    return result


def refusal(result: t.CallToolResult) -> dict[str, Any]:
    assert result.is_error, words(result)
    document = json.loads(words(result))
    assert isinstance(document, dict)
    return document


@MODES
async def test_a_read_comes_back_masked_by_column_and_scanned_for_the_rest(
    world: World, mode: str
) -> None:
    async with world.mcp("rita", mode=mode) as client:
        result = await run_sql(client, "SELECT id, email, ssn, notes FROM customers ORDER BY id")
    assert not result.is_error, words(result)
    content = result.structured_content
    assert content is not None
    assert content["row_count"] == 3
    assert set(content["masked_columns"]) >= {"email", "ssn"}
    everything = json.dumps(content) + words(result)
    for secret in ("ada.canary", "219-09-9991", "ada.second@example.com"):
        assert secret not in everything
    assert "9991" in everything  # keep_last(4) keeps them


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT mail FROM contacts",
        "SELECT upper(email) FROM customers",
        "SELECT c.email AS harmless FROM customers AS c",
        "SELECT string_agg(ssn, ',') FROM customers",
        "WITH x AS (SELECT ssn AS a FROM customers) SELECT a FROM x",
        "SELECT reverse(email) FROM contacts JOIN customers USING (id)",
        "SELECT encode(ssn::bytea, 'hex') FROM customers",
        "UPDATE customers SET balance = balance WHERE id = 1 RETURNING email",
    ],
)
async def test_a_labelled_value_comes_out_of_no_expression(world: World, sql: str) -> None:
    async with world.mcp("rita") as client:
        result = await run_sql(client, sql)
    shown = words(result) + json.dumps(result.structured_content)
    for value in ("ada.canary@example.com", "219-09-9991"):
        forms = (value, value.upper(), value[::-1], value.encode().hex())
        assert not any(form in shown for form in forms)


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("DROP TABLE orders", "FORBIDDEN"),
        ("UPDATE orders SET status = 'x'", "FORBIDDEN"),
        ("UPDATE orders SET status = 'x' WHERE 1 = 1", "FORBIDDEN"),
        ("DELETE FROM orders", "FORBIDDEN"),
        ("SELECT 1; DELETE FROM orders", "SQL_MULTIPLE_STATEMENTS"),
        ("SELECT pg_read_file('/etc/passwd')", "FUNCTION_NOT_ALLOWED"),
        ("EXPLAIN ANALYZE CREATE TABLE evil AS SELECT 1", "SQL_NOT_UNDERSTOOD"),
        ("COPY orders TO PROGRAM 'cat'", "SQL_NOT_UNDERSTOOD"),
        ("DO $$BEGIN DELETE FROM orders; END$$", "SQL_NOT_UNDERSTOOD"),
        ("SELECT set_config('transaction_read_only', 'off', false)", "FUNCTION_NOT_ALLOWED"),
        ("SET TRANSACTION READ WRITE", "SQL_NOT_UNDERSTOOD"),
        ("SELECT * FROM nowhere", "RELATION_UNKNOWN"),
        ("SELEC 1", "SQL_SYNTAX"),
        ("SELECT 1\0", "SQL_NUL"),
        ("SELECT '" + "x" * 70_000 + "'", "SQL_TOO_LONG"),
    ],
)
async def test_what_is_refused_says_why_and_changes_nothing(
    world: World, sql: str, code: str
) -> None:
    state = "SELECT (SELECT count(*) FROM orders WHERE status = 'new'), to_regclass('evil')"
    async with world.direct() as direct, world.mcp("rita") as client:
        before = await direct.fetchrow(state)
        said = refusal(await run_sql(client, sql))
        assert await direct.fetchrow(state) == before
    assert said["code"] == code, said
    assert said["reason"]
    assert said["next_step"]


async def test_a_refusal_names_its_policy(world: World) -> None:
    async with world.mcp("rita") as client:
        said = refusal(await run_sql(client, "DROP TABLE orders"))
        assert said["policy"] == "no-schema-changes"
        said = refusal(await run_sql(client, "UPDATE orders SET status = 'x'"))
    assert "WHERE" in said["next_step"]


@MODES
async def test_an_approved_write_runs_once_and_the_same_call_asks_again(
    world: World, mode: str
) -> None:
    sql = f"UPDATE orders SET status = 'approved-{mode}' WHERE id = 7"
    async with world.direct() as direct, world.mcp("rita", mode=mode) as client:
        pending = refusal(await run_sql(client, sql, reason="a customer asked"))
        assert pending["status"] == "pending_approval"
        ticket = pending["approval_id"]
        assert await direct.fetchval("SELECT status FROM orders WHERE id = 7") != f"approved-{mode}"
        refused = world.cli("rita", "approvals", "approve", ticket)
        assert refused.returncode == 1, refused
        approved = world.cli("victor", "approvals", "approve", ticket, "--comment", "fine")
        assert approved.returncode == 0, approved
        waited = await client.call_tool("approval_wait", {"approval_id": ticket, "wait_seconds": 5})
        assert isinstance(waited, t.CallToolResult)
        assert waited.structured_content is not None
        assert waited.structured_content["status"] == "approved"
        done = await run_sql(client, sql, reason="a customer asked")
        assert not done.is_error, words(done)
        assert await direct.fetchval("SELECT status FROM orders WHERE id = 7") == f"approved-{mode}"
        again = refusal(await run_sql(client, sql, reason="a customer asked"))
        assert again["status"] == "pending_approval"
        assert again["approval_id"] != ticket


async def test_an_approval_is_for_these_bytes_only(world: World) -> None:
    sql = "UPDATE orders SET status = 'bound' WHERE id = 8"
    async with world.direct() as direct, world.mcp("rita") as client:
        ticket = refusal(await run_sql(client, sql))["approval_id"]
        assert world.cli("victor", "approvals", "approve", ticket).returncode == 0
        for other in (sql + " ", sql.replace("8", "9"), sql.replace("bound", "BOUND")):
            assert refusal(await run_sql(client, other))["approval_id"] != ticket
        changed = "SELECT count(*) FROM orders WHERE lower(status) = 'bound'"
        assert await direct.fetchval(changed) == 0
        async with world.mcp("victor") as reviewer:
            refusal(await run_sql(reviewer, sql))
        assert await direct.fetchval(changed) == 0


async def test_a_waiting_call_goes_on_when_the_reviewer_approves_by_elicitation(
    worlds: Any,
) -> None:
    world = worlds(approvals={"expire_after": "15m", "hold": "20s"})
    world.start()

    async def approve(_context: object, params: Any) -> t.ElicitResult:
        assert "UPDATE orders" in params.message
        return t.ElicitResult(action="accept", content={"decision": "approve", "comment": "ok"})

    sql = "UPDATE orders SET status = 'held' WHERE id = 9 RETURNING id, status"
    async with world.mcp("rita") as client:
        call = asyncio.create_task(run_sql(client, sql))
        client_of_reviewers = world.mcp(
            "victor", agent="demo-reviewer", elicitation_callback=approve
        )
        async with client_of_reviewers as reviewer:
            async with asyncio.timeout(15):
                while not call.done():
                    await reviewer.call_tool("review_approvals", {})
        result = await call
    assert not result.is_error, words(result)
    assert result.structured_content is not None
    assert result.structured_content["rows"] == [[9, "held"]]


async def test_pages_of_a_result_follow_the_cursor(world: World) -> None:
    seen: list[int] = []
    arguments: dict[str, Any] = {}
    async with world.mcp("rita") as client:
        while True:
            result = await run_sql(
                client, "SELECT id FROM orders ORDER BY id", max_rows=120, **arguments
            )
            content = result.structured_content
            assert content is not None, words(result)
            seen += [row[0] for row in content["rows"]]
            if not content["truncated"]:
                break
            arguments = {"cursor": content["next_cursor"]}
    assert seen == list(range(1, 301))


async def test_parameters_are_bound_not_pasted(world: World) -> None:
    async with world.mcp("rita") as client:
        result = await run_sql(
            client,
            "SELECT count(*) FROM orders WHERE status = $1 AND id < $2",
            params=["'; DROP TABLE orders; --", 5],
        )
    assert result.structured_content is not None, words(result)
    assert result.structured_content["rows"] == [[0]]


async def test_an_unknown_target_and_a_hidden_tool_say_no_more_than_that(world: World) -> None:
    async with world.mcp("rita") as client:
        missing = await client.call_tool("run_sql", {"target": "nowhere", "sql": "SELECT 1"})
        assert refusal(missing)["code"] == "TARGET_UNKNOWN"
        hidden = words(await client.call_tool("review_approvals", {}))
        unknown = words(await client.call_tool("no_such_tool", {}))
    assert hidden.replace("review_approvals", "X") == unknown.replace("no_such_tool", "X")


async def test_a_statement_that_touches_a_label_gets_our_words_for_its_error(
    world: World,
) -> None:
    async with world.mcp("rita") as client:
        said = refusal(await run_sql(client, "SELECT ssn::int FROM customers"))
    assert said["sqlstate"] == "22P02"
    assert "219-09-9991" not in json.dumps(said)


async def test_a_connection_outlives_what_clients_keep_one_for(world: World) -> None:
    """Whoever closes first decides: a call that meets the server's closing is lost.

    httpx, with which the SDK's client calls, keeps an idle connection for 5 s.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    for idle in (6, 0):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        length = next(line for line in head.splitlines() if line.startswith(b"content-length"))
        await reader.readexactly(int(length.partition(b":")[2]))
        await asyncio.sleep(idle)
    writer.close()
