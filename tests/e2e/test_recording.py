"""What the recording holds after real calls, through the command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import httpx2
import pytest

from tests.e2e.test_endings import call_body
from tests.e2e.test_main_job import refusal, run_sql
from tests.e2e.world import BACKEND_PASSWORD, World

pytestmark = pytest.mark.anyio


async def test_a_call_is_recorded_from_intent_to_outcome_as_it_was_delivered(world: World) -> None:
    async with world.mcp("rita") as client:
        result = await run_sql(client, "SELECT id, email FROM customers WHERE id = 1")
    assert result.structured_content is not None
    session = result.structured_content["session"]
    exported = world.cli("victor", "sessions", "export", session, "--format", "ndjson")
    assert exported.returncode == 0, exported.stderr
    kinds = [json.loads(line)["kind"] for line in exported.stdout.splitlines()]
    for earlier, later in zip(
        ["session_opened", "intent", "columns", "rows", "done", "outcome"],
        ["intent", "columns", "rows", "done", "outcome", "session_closed"],
        strict=True,
    ):
        assert kinds.index(earlier) < len(kinds) - 1 - kinds[::-1].index(later)
    assert "ada.canary" not in exported.stdout
    replayed = world.cli("victor", "sessions", "replay", session)
    assert "SELECT id, email FROM customers WHERE id = 1" in replayed.stdout


async def test_a_requester_may_not_read_recordings(world: World) -> None:
    refused = world.cli("rita", "sessions", "list")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr


async def test_a_refusal_is_recorded(world: World) -> None:
    async with world.mcp("rita") as client:
        refusal(await run_sql(client, "DROP TABLE orders"))
    async with world.journal() as journal:
        bodies = await journal.fetch("SELECT body FROM bodies")
    assert b"DROP TABLE orders" in {row[0] for row in bodies}


async def test_the_chain_verifies_and_a_flipped_bit_is_named(
    worlds: Callable[..., World],
) -> None:
    world = worlds()
    world.start()
    async with world.mcp("rita") as client:
        await run_sql(client, "SELECT 1")
    verified = world.cli("victor", "sessions", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    async with world.journal() as journal:
        await journal.execute(
            "UPDATE bodies SET body = set_byte(body, 0, get_byte(body, 0) # 1)"
            " WHERE body = 'SELECT 1'::bytea"
        )
    broken = world.cli("victor", "sessions", "verify")
    assert broken.returncode == 1
    assert "NOT GOOD: stream 1, record" in broken.stdout


async def test_secrets_occur_in_no_result_log_error_or_recording(
    worlds: Callable[..., World],
) -> None:
    world = worlds()
    world.start()
    token = world.token("rita")
    values = ("ada.canary@example.com", "219-09-9991", BACKEND_PASSWORD, token)
    statements = [
        "SELECT * FROM customers",
        "SELECT ssn::int FROM customers",
        "SELECT notes, 'ada.canary@example.com' FROM customers",
        "SELECT current_setting('password')",
        "DROP TABLE customers",
    ]
    shown = ""
    async with world.mcp("rita") as client:
        for sql in statements:
            result = await run_sql(client, sql)
            shown += str(result.content) + json.dumps(result.structured_content)
    world.stop()
    async with world.journal() as journal:
        records = await journal.fetch("SELECT * FROM records")
        delivered = await journal.fetch(
            "SELECT b.body FROM bodies b JOIN records r USING (stream, sequence)"
            " WHERE r.kind = 'rows'"
        )
    stored = str(records) + "".join(row[0].decode("latin-1") for row in delivered)
    log = world.log.read_text()
    for value in values:
        assert value not in shown
        assert value not in log
        assert value not in stored


async def test_a_kill_between_intent_and_outcome_is_closed_as_interrupted(
    worlds: Callable[..., World],
) -> None:
    world = worlds()
    world.start()
    async with world.direct() as direct, httpx2.AsyncClient(timeout=60) as http:
        lock = direct.transaction()
        await lock.start()
        await direct.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        body, headers = call_body("modern", "SELECT count(*) FROM orders")
        headers["Authorization"] = f"Bearer {world.token('rita')}"
        call = asyncio.create_task(http.post(f"{world.url}/mcp", json=body, headers=headers))
        async with world.direct() as watch, asyncio.timeout(10):
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            while not await watch.fetchval(waiting):
                await asyncio.sleep(0.02)
        world.kill()
        await lock.rollback()
        with pytest.raises(httpx2.TransportError):
            await call
    world.start()
    # A store that has just started gives live gateways a minute to take their locks again.
    async with world.journal() as journal, asyncio.timeout(150):
        closed = (
            "SELECT count(*) FROM records"
            " WHERE kind = 'session_closed' AND document LIKE '%interrupted%'"
        )
        while not await journal.fetchval(closed):
            await asyncio.sleep(0.1)
    assert world.cli("victor", "sessions", "verify").returncode == 0
