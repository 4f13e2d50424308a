"""Line L08: whatever was refused, ended or looked at is recorded with who it was."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from server.identity.demo import Account
from tests.attacks.lines.recorded import (
    documents,
    documents_of,
    prepare,
    recorded,
)
from tests.e2e.evidence import ask, call, effects, insert, marker, until
from tests.e2e.test_endings import BUSY, call_body
from tests.e2e.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.gateways]


@pytest.fixture(scope="module")
def world(module_worlds: Callable[..., World]) -> World:
    made = prepare(module_worlds())
    norah = {"norah": Account("norah", (), "nobody")}
    made.provider.provider.accounts = {**made.provider.provider.accounts, **norah}
    made.start()
    return made


async def test_l08_a_denied_call_is_recorded_with_who_made_it(world: World) -> None:
    async with httpx2.AsyncClient(timeout=60) as http:
        assert (await call(http, world, "DROP TABLE orders", "sandbox"))["isError"]
    denied = (await recorded(world, "decision", "sql.ddl"))[-1]
    assert (denied["principal"], denied["agent"]) == ("demo:rita", "test-agent")
    assert (denied["effect"], denied["target"]) == ("deny", "sandbox")


async def test_l08_a_failed_sign_in_is_recorded_without_the_token(world: World) -> None:
    forged = world.token("rita")[:-6] + "AAAAAA"
    async with httpx2.AsyncClient(timeout=60) as http:
        headers = {"Authorization": f"Bearer {forged}"}
        assert (await http.get(f"{world.url}/api/whoami", headers=headers)).status_code == 401
    (failed, *_) = await recorded(world, "sign_in_failed")
    assert forged not in json.dumps(failed)


async def test_l08_a_cancelled_call_is_recorded_as_cancelled(world: World) -> None:
    session = await left_behind(world, BUSY)
    (outcome,) = await until(lambda: documents_of(world, session, "outcome"))
    assert outcome["status"] == "cancelled"
    (opened,) = await documents_of(world, session, "session_opened")
    assert opened["principal"]["id"] == "demo:rita"


async def left_behind(world: World, sql: str) -> str:
    """The session of a caller that leaves while its statement runs."""
    body, headers = call_body("modern", sql)
    body["params"]["arguments"]["target"] = "sandbox"
    headers["Authorization"] = f"Bearer {world.token('rita')}"
    running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE $1"
    async with httpx2.AsyncClient() as http, world.journal() as watch:
        asked = asyncio.create_task(http.post(f"{world.url}/mcp", json=body, headers=headers))
        await until(lambda: watch.fetchval(running, f"{sql[:24]}%"))
        asked.cancel()
        await asyncio.wait({asked})
        bodies = "SELECT session FROM records JOIN bodies USING (stream, sequence) WHERE body = $1"
        return str(await watch.fetchval(f"{bodies} ORDER BY at DESC", sql.encode()))


async def test_l08_a_caller_that_leaves_during_the_commit_is_recorded_by_what_the_target_did(
    world: World,
) -> None:
    mark = marker()
    world.direct_execute(
        "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(0.7); RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER linger AFTER INSERT ON effects DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION linger()"
    )
    body, headers = call_body("modern", insert(mark))
    body["params"]["arguments"]["target"] = "sandbox"
    headers["Authorization"] = f"Bearer {world.token('rita')}"
    committing = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = 'COMMIT'"
    try:
        async with httpx2.AsyncClient() as http, world.direct() as watch:
            asked = asyncio.create_task(http.post(f"{world.url}/mcp", json=body, headers=headers))
            await until(lambda: watch.fetchval(committing))
            asked.cancel()
            await asyncio.wait({asked})
        async with world.journal() as journal:
            found = (
                "SELECT session FROM records JOIN bodies USING (stream, sequence) WHERE body = $1"
            )
            session = await journal.fetchval(found, insert(mark).encode())
        outcome = await until(lambda: ran(world, session))
    finally:
        world.direct_execute("DROP TRIGGER linger ON effects; DROP FUNCTION linger")
    assert (outcome["status"], (await effects(world))[mark]) == ("completed", 1)


async def ran(world: World, session: str) -> dict[str, Any] | None:
    """The outcome of what ran. A trigger that is new to the gateway has it judge once more."""
    outcomes = await documents_of(world, session, "outcome")
    return next((o for o in outcomes if o["status"] != "CatalogChanged"), None)


async def test_l08_a_statement_out_of_time_is_recorded_as_such(world: World) -> None:
    async with httpx2.AsyncClient(timeout=60) as http:
        answer = await call(http, world, BUSY, "brief")
    assert answer["isError"]
    (intent, *_) = [i for i in await documents(world, "intent", BRIEF) if i["target"] == "brief"]
    (outcome,) = await until(lambda: documents_of(world, intent["session"], "outcome"))
    failed = await documents_of(world, intent["session"], "failed")
    assert outcome["status"] == "Denied" or failed[0]["sqlstate"] == "57014"


BRIEF = '"kind":"SqlStatement"'


async def test_l08_a_refused_approval_is_recorded_with_who_refused_it(world: World) -> None:
    async with httpx2.AsyncClient(timeout=60) as http:
        answer = await call(http, world, insert(marker()), "shop")
    ticket = json.loads(answer["content"][0]["text"])["approval_id"]
    await ask(world, f"approvals/{ticket}/decision", {"approve": False}, account="victor")
    decided = (await recorded(world, "intent", ticket))[-1]
    assert (decided["principal"], decided["action"]["approve"]) == ("demo:victor", False)
    asked = await recorded(world, "decision", ticket)
    assert asked[0]["principal"] == "demo:rita"


async def test_l08_changed_policies_are_recorded_and_so_are_those_that_do_not_load(
    world: World,
) -> None:
    file = world.directory / "policies" / "more.cedar"
    loaded = len(await documents(world, "policy_loaded"))
    file.write_text("permit (principal, action, nonsense);")
    rejected = await recorded(world, "policy_rejected")
    assert "more.cedar" in rejected[-1]["why"]
    file.write_text('@id("more") forbid (principal, action, resource) when { false };')

    async def taken_in() -> bool:
        return len(await documents(world, "policy_loaded")) > loaded

    await until(taken_in)
    file.unlink()


async def test_l08_who_looks_at_a_recording_is_recorded_and_who_may_not_is_refused(
    world: World,
) -> None:
    async with httpx2.AsyncClient(timeout=60) as http:
        await call(http, world, "SELECT 1", "sandbox")
        (opened, *_) = await recorded(world, "session_opened", "demo:rita")
        path = f"{world.url}/api/sessions/{opened['session']}/records"
        for account, status in (("victor", 200), ("rita", 403), ("norah", 403)):
            headers = {"Authorization": f"Bearer {world.token(account)}"}
            assert (await http.get(path, headers=headers)).status_code == status
    looked = await recorded(world, "intent", '"kind":"ReadRecording"')
    seen = {(look["principal"], look["action"]["session"]) for look in looked}
    assert ("demo:victor", opened["session"]) in seen
    refused = await recorded(world, "decision", '"kind":"ReadRecording"')
    assert {"demo:rita", "demo:norah"} <= {look["principal"] for look in refused}


@pytest.mark.parametrize(
    "path", ["..%2f..%2fetc%2fpasswd", "%2e%2e", "..", "a%00b", "%2fetc%2fpasswd", "x" * 65]
)
async def test_l08_an_id_that_is_a_path_leads_nowhere(world: World, path: str) -> None:
    headers = {"Authorization": f"Bearer {world.token('victor')}"}
    async with httpx2.AsyncClient(timeout=60) as http:
        for end in ("", "/records"):
            answer = await http.get(f"{world.url}/api/sessions/{path}{end}", headers=headers)
            assert answer.status_code == 404
            assert "root:" not in answer.text
