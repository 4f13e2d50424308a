"""Ways round an approval, the kill switch and the limits that a second attacker tried."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
import pytest

from server.api.approvals import MOST_WATCHES
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from tests.attacks.attacker import Attacker
from tests.attacks_sql.doors import listener
from tests.server.protocols.raw_client import Reply, errors

pytestmark = [pytest.mark.anyio, pytest.mark.gateways]

INT4 = 23


@pytest.fixture(autouse=True)
async def nothing_waits(attacker: Attacker) -> None:
    await attacker.stored("UPDATE tickets SET expires_at = clock_timestamp()")


async def asked(attacker: Attacker, sql: str, **arguments: Any) -> str:
    said = await attacker.sql(sql, **arguments)
    assert said["code"] == "APPROVAL_PENDING", said
    return str(said["approval_id"])


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE orders SET status='https://'WHERE(id=60)OR(id>0)AND('a@b'='a@b')",
        "UPDATE orders SET status='x://u:'WHERE(id=60)OR(id>0)AND('a@b'='a@b')",
        "UPDATE orders SET status='x'/*://b?token=*/WHERE(id)>0",
    ],
)
async def test_no_code_hides_behind_the_mark_of_a_removed_secret(
    attacker: Attacker, sql: str
) -> None:
    ticket = await asked(attacker, sql)
    shown = await attacker.api("GET", f"/api/approvals/{ticket}", "victor")
    assert shown.json()["text"] == sql


def ticket_in(replies: list[Reply]) -> str:
    [error] = [r for r in replies if isinstance(r, b.ErrorResponse)]
    words = " ".join(error.text(part) for part in "MDH")
    assert "ticket ap_" in words, words
    return "ap_" + words.split("ticket ap_")[1].split(".")[0].split(";")[0].split(" ")[0]


async def test_the_types_that_a_client_declares_are_part_of_what_was_approved(
    attacker: Attacker,
) -> None:
    """As text, '9' < '10' is false; as numbers it is true, and the row is changed."""
    sql = "UPDATE orders SET status = 'typed' WHERE id = 61 AND $1 < $2"
    async with listener(attacker.world) as client:

        async def run(types: tuple[int, ...]) -> list[Reply]:
            bind = f.Bind("", "", parameters=(b"9", b"10"))
            client.send(f.Parse("", sql, types), bind, f.Execute(""), f.Sync())
            return await client.until_ready()

        ticket = ticket_in(await run(()))
        assert (await attacker.decide(ticket)).status_code == 200
        assert ticket_in(await run((INT4, INT4))) != ticket
        assert not errors(await run(()))
    assert await attacker.direct("SELECT status FROM orders WHERE id = 61") == "new"


@asynccontextmanager
async def watching(attacker: Attacker, account: str) -> AsyncIterator[httpx2.Response]:
    headers = {"Authorization": f"Bearer {attacker.world.token(account)}"}
    url = f"{attacker.world.url}/api/approvals/watch"
    async with attacker.http.stream("GET", url, headers=headers) as response:
        yield response


async def test_a_watch_ends_when_its_watcher_is_blocked(attacker: Attacker) -> None:
    switch = {"kind": "person", "name": "demo:victor", "reason": "left the company"}
    async with watching(attacker, "victor") as response:
        assert response.status_code == 200
        try:
            blocked = await attacker.api("POST", "/api/agents/block", "vera", json=switch)
            assert blocked.status_code == 200
            async with asyncio.timeout(10):
                async for _line in response.aiter_lines():
                    pass
        finally:
            await attacker.api("POST", "/api/agents/unblock", "vera", json=switch)


async def test_one_person_holds_so_many_watches_open_and_no_more(attacker: Attacker) -> None:
    """Each looks at the store every few seconds; requests a minute do not bound them."""
    async with AsyncExitStack() as lifetime:
        statuses = [
            (await lifetime.enter_async_context(watching(attacker, "norah"))).status_code
            for _ in range(MOST_WATCHES + 2)
        ]
        assert statuses == [200] * MOST_WATCHES + [403] * 2
        async with watching(attacker, "victor") as response:
            assert response.status_code == 200


@pytest.mark.parametrize(
    "until",
    [
        "9999-12-31T23:59:59-12:00",
        "0001-01-01T00:00:00+12:00",
        "2000-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
        "2030-01-01T00:00:00",
        -1,
        1e300,
        True,
    ],
)
async def test_an_absurd_end_of_a_block_breaks_nothing(attacker: Attacker, until: Any) -> None:
    switch = {"kind": "agent", "name": "nobody's", "reason": ""}
    answer = await attacker.api(
        "POST", "/api/agents/block", "vera", json={**switch, "until": until}
    )
    assert answer.status_code in (200, 400, 403), answer.text
    assert (await attacker.api("GET", "/api/agents", "vera")).status_code == 200
    assert (await attacker.sql("SELECT 1"))["code"] == "OK"
    await attacker.api("POST", "/api/agents/unblock", "vera", json=switch)


async def test_a_block_of_somebody_who_never_came_says_so(attacker: Attacker) -> None:
    """Else a name that is written in another way is a kill switch that stops nobody."""
    assert (await attacker.sql("SELECT 1", account="roy"))["code"] == "OK"
    for name, seen in (("demo:roy", True), ("demo:Roy", False), ("roy", False)):
        switch = {"kind": "person", "name": name}
        try:

            async def told(switch: Any = switch) -> bool:
                answer = await attacker.api("POST", "/api/agents/block", "vera", json=switch)
                return bool(answer.json()["seen"])

            async with asyncio.timeout(10):  # who came is written down every two seconds
                while await told() is not seen:
                    await asyncio.sleep(0.1)
        finally:
            await attacker.api("POST", "/api/agents/unblock", "vera", json=switch)


async def test_a_requester_whose_shown_name_is_somebody_elses_is_told_by_their_id(
    attacker: Attacker,
) -> None:
    ticket = await asked(attacker, "UPDATE orders SET status = 'who' WHERE id = 62")
    await attacker.stored("UPDATE tickets SET principal_name = 'vera' WHERE id = $1", ticket)
    review = await attacker.call("review_approvals", {"approval_id": ticket}, account="victor")
    shown = attacker.world.cli("victor", "approvals", "show", ticket).stdout
    for text in (review["text"], shown):
        assert "demo:rita" in text


@pytest.mark.parametrize("act", ["decision", "revocation"])
async def test_a_comment_keeps_no_password(attacker: Attacker, act: str) -> None:
    ticket = await asked(attacker, f"UPDATE orders SET status = '{act}' WHERE id = 63")
    comment = "not this way: ALTER USER x PASSWORD 'canary-in-comment'"
    body = {"comment": comment, **({"approve": False} if act == "decision" else {})}
    answer = await attacker.api("POST", f"/api/approvals/{ticket}/{act}", "victor", json=body)
    assert answer.status_code == 200
    kept = "SELECT count(*) FROM records WHERE document LIKE '%canary-in-comment%'"
    assert await attacker.stored(kept) == 0
    assert "canary-in-comment" not in answer.text


async def test_a_row_that_a_cursor_points_at_is_not_put_to_an_approver(attacker: Attacker) -> None:
    """Which row that is changes between the approval and the run."""
    sql = "UPDATE orders SET status = 'cursor' WHERE CURRENT OF c"
    assert (await attacker.sql(sql))["code"] not in ("OK", "APPROVAL_PENDING")
