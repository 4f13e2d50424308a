"""The approval page of a whole gateway, with the demo's identity provider and no browser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attacks.attacker import Attacker, open_attacker
from tests.e2e.certificates import Certificates
from tests.e2e.world import World
from tests.server.console.visitor import visiting

pytestmark = [pytest.mark.anyio, pytest.mark.gateways]


async def asked(attacker: Attacker, sql: str) -> str:
    """The path of the page that a refused call names."""
    pending = await attacker.sql(sql)
    path = f"/approvals/{pending['approval_id']}"
    assert attacker.world.url + path in json.dumps(pending)
    return path


async def test_what_is_approved_on_the_page_runs(world: World) -> None:
    sql = "UPDATE orders SET status = 'on the page' WHERE id = 31"
    changed = "SELECT status = 'on the page' FROM orders WHERE id = 31"
    async with open_attacker(world) as rita, visiting(world.url) as victor:
        path = await asked(rita, sql)
        await victor.sign_in("victor", path)
        assert "Waiting for your decision" in (await victor.read("/approvals")).text
        assert not await rita.direct(changed)
        assert (await victor.decide(path, "approve", "fine")).status_code == 303
        assert "approved, has not run yet" in (await victor.read(path)).text
        assert (await rita.sql(sql))["code"] == "OK"
        assert await rita.direct(changed)
        assert "approved, has run" in (await victor.read(path)).text
        assert await rita.recorded("approval_decided", '"channel":"web"') >= 1


async def test_a_call_that_waits_is_told_of_a_denial_on_the_page(world: World) -> None:
    sql = "UPDATE orders SET status = 'never' WHERE id = 32"
    async with open_attacker(world) as rita, visiting(world.url) as victor:
        path = await asked(rita, sql)
        waiting = {"approval_id": path.rpartition("/")[2]}
        told = asyncio.create_task(rita.call("approval_wait", waiting))
        await victor.sign_in("victor", path)
        await victor.decide(path, "deny", "not today")
        async with asyncio.timeout(30):
            assert "not today" in json.dumps(await told)
        assert not await rita.direct("SELECT status = 'never' FROM orders WHERE id = 32")


async def test_a_requester_withdraws_and_a_reviewer_takes_an_approval_back(world: World) -> None:
    async with open_attacker(world) as rita, visiting(world.url) as own:
        path = await asked(rita, "UPDATE orders SET status = 'w' WHERE id = 33")
        await own.sign_in("rita", path)
        assert (await own.read(path)).buttons == ["withdraw"]
        await own.decide(path, "withdraw")
        assert "withdrawn" in (await own.read(path)).text
    sql = "UPDATE orders SET status = 'r' WHERE id = 33"
    async with open_attacker(world) as rita, visiting(world.url) as victor:
        path = await asked(rita, sql)
        await victor.sign_in("victor", path)
        await victor.decide(path, "approve")
        assert (await victor.read(path)).buttons == ["revoke"]
        await victor.decide(path, "revoke", "a mistake")
        assert (await rita.sql(sql))["code"] != "OK"
        assert not await rita.direct("SELECT status = 'r' FROM orders WHERE id = 33")


async def test_who_comes_and_goes_is_recorded(world: World) -> None:
    async with open_attacker(world) as journal, visiting(world.url) as vera:
        await vera.sign_in("vera")
        fields = (await vera.read("/approvals")).forms["/approvals/logout"]
        await vera.post("/approvals/logout", fields)
        await vera.get("/approvals/callback?code=x&state=y")
        assert await journal.recorded("sign_in", "demo:vera") == 1
        assert await journal.recorded("sign_out", "demo:vera") == 1
        assert await journal.recorded("sign_in_failed", "cookie: missing") == 1


async def test_a_flood_of_failed_sign_ins_does_not_fill_the_store(world: World) -> None:
    async with open_attacker(world) as journal, visiting(world.url) as anybody:
        await anybody.get("/approvals/callback?error=access_denied")
        before = await journal.recorded("sign_in_failed")
        for _ in range(100):
            answer = await anybody.get("/approvals/callback?error=access_denied")
            assert answer.status_code == 403
        assert await journal.recorded("sign_in_failed") <= before + 2


async def test_over_tls_the_cookies_are_for_this_host_alone(
    worlds: Callable[..., World], tmp_path: Path
) -> None:
    world = worlds(tls=Certificates.make(tmp_path))
    world.start()
    async with visiting(world.url, verify=world.trust) as victor:
        back = await victor.sign_in("victor")
        cookies = [c for c in back.headers.get_list("set-cookie") if "_session=" in c]
        assert len(cookies) == 1
        assert cookies[0].startswith("__Host-ostiary_session=")
        assert {"Secure", "HttpOnly", "Path=/"} <= set(cookies[0].split("; "))
        assert "victor" in (await victor.get("/approvals")).text


async def test_a_gateway_without_a_client_for_it_has_no_page(
    worlds: Callable[..., World],
) -> None:
    world = worlds()
    (issuer,) = world.configuration()["identity"]["issuers"]
    issuer.pop("console")
    world.settings = {"identity": {"issuers": [issuer]}}
    world.start()
    async with open_attacker(world) as rita, visiting(world.url) as anybody:
        for path in ("/approvals", "/approvals/login?issuer=demo", "/approvals/callback"):
            assert (await anybody.get(path)).status_code == 404
        pending = await rita.sql("UPDATE orders SET status = 'x' WHERE id = 34")
        assert "/approvals/" not in json.dumps(pending)


async def test_a_block_ends_the_session_of_a_person_and_of_the_page_itself(world: World) -> None:
    for named in (("--person", "demo:vera"), ("ostiary-console",)):
        async with open_attacker(world), visiting(world.url) as vera, asyncio.timeout(60):
            await vera.sign_in("vera")
            assert "demo:vera" in (await vera.get("/approvals")).text
            blocked = world.cli("victor", "agents", "block", *named, "--reason", "left the house")
            assert blocked.returncode == 0, blocked.stderr
            while (answer := await vera.get("/approvals")).status_code == 200:
                await asyncio.sleep(0.1)
            assert answer.status_code == 403
            assert "left the house" in answer.text
            unblocked = world.cli("victor", "agents", "unblock", *named)
            assert unblocked.returncode == 0, unblocked.stderr
            while "Sign in with demo" not in (await vera.get("/approvals")).text:
                await asyncio.sleep(0.1)
