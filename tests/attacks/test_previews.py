"""Ways round what previews and dry runs promise, with a whole gateway that is a superuser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import pytest

from server.previews.previews import MOST_OF_ONE
from tests.attacks.attacker import Attacker, open_attacker
from tests.e2e.policy_sets import starter_copy
from tests.e2e.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.gateways]

WITHIN: Final = 60.0  # seconds
SETUP: Final = """
CREATE SEQUENCE taken;
CREATE FUNCTION take() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN PERFORM nextval('public.taken'); RETURN NEW; END$$;
CREATE SCHEMA other;
CREATE TABLE public.twice (id integer PRIMARY KEY, n integer);
CREATE TABLE other.twice (id integer PRIMARY KEY, n integer);
INSERT INTO public.twice SELECT n, n FROM generate_series(1, 50) AS n;
INSERT INTO other.twice VALUES (1, 1);
CREATE TRIGGER takes BEFORE UPDATE ON public.twice FOR EACH ROW EXECUTE FUNCTION take();
CREATE TABLE long (id integer PRIMARY KEY, t text);
INSERT INTO long VALUES (1, lpad('x', 900, 'x'));
CREATE TABLE pages (id integer PRIMARY KEY, t text);
INSERT INTO pages VALUES (1, '<script>alert(1)</script>' || chr(27) || '[31m' || chr(8238));
CREATE TABLE whole (id integer PRIMARY KEY, n integer) PARTITION BY RANGE (id);
CREATE TABLE whole_1 PARTITION OF whole FOR VALUES FROM (0) TO (1000);
INSERT INTO whole VALUES (1, 1);
CREATE TABLE vault (id integer PRIMARY KEY, code integer);
INSERT INTO vault VALUES (1, 9), (2, 1);
"""
OWN_RULES: Final = """
@id("reviewers-do-not-read-the-whole")
forbid (principal in Group::"dba", action == Action::"sql.select", resource)
when { resource has name && resource.name == "whole" };

@id("the-vault-is-read-with-approval")
@approve("dba")
@reason("The vault is read with approval.")
forbid (principal, action == Action::"sql.select", resource)
when { resource has name && resource.name == "vault" };
"""


@pytest.fixture(scope="module")
def world(module_worlds: Callable[..., World]) -> World:
    made = module_worlds()
    made.direct_execute(SETUP)
    directory = starter_copy(made.directory / "policies")
    (directory / "own.cedar").write_text(OWN_RULES)
    made.settings = {"policies": str(directory)}
    made.start()
    return made


@pytest.fixture
async def attacker(world: World) -> AsyncIterator[Attacker]:
    async with open_attacker(world) as opened:
        yield opened


async def asked(attacker: Attacker, sql: str, *, account: str = "rita", **arguments: Any) -> str:
    said = await attacker.sql(sql, account=account, **arguments)
    assert said["code"] == "APPROVAL_PENDING", said
    return str(said["approval_id"])


async def ended(attacker: Attacker, ticket: str) -> dict[str, Any]:
    """The preview, once it is over."""
    query = "SELECT to_jsonb(p)::text FROM previews p WHERE ticket = $1 AND state <> 'running'"
    async with asyncio.timeout(WITHIN):
        while (found := await attacker.stored(query, ticket)) is None:
            await asyncio.sleep(0.05)
    return dict(json.loads(found))


async def seen(attacker: Attacker, ticket: str, account: str = "victor") -> dict[str, Any]:
    answer = await attacker.api("GET", f"/api/approvals/{ticket}", account)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@asynccontextmanager
async def native(world: World) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(
        host="127.0.0.1",
        port=world.listener,
        user="rita",
        password=world.token("rita"),
        database="shop",
    )
    try:
        yield connection
    finally:
        await connection.close()


async def test_a_session_with_another_search_path_changes_no_table_of_the_usual_one(
    world: World, attacker: Attacker
) -> None:
    async with native(world) as connection:
        await connection.execute("SET search_path = other")
        with pytest.raises(asyncpg.InsufficientPrivilegeError) as refused:
            await connection.execute("UPDATE twice SET n = 99 WHERE id < 40")
    ticket = str(refused.value).split("ticket ")[1].split(".")[0]
    found = await ended(attacker, ticket)
    assert (found["state"], found["changed"]) == ("none", None)
    assert "search path of its own" in found["why"]
    assert await attacker.direct("SELECT is_called FROM taken") is False


async def test_a_change_does_not_hide_behind_the_end_of_what_is_shown(attacker: Attacker) -> None:
    ticket = await asked(attacker, "UPDATE long SET t = t || '; and more' WHERE id = 1")
    await ended(attacker, ticket)
    preview = (await seen(attacker, ticket))["preview"]
    [[_, before]], [[_, after]] = preview["before"], preview["after"]
    assert after == f"{before} (changed further on)"


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE customers SET balance = 1 WHERE ssn LIKE '219%'",
        "UPDATE customers SET balance = 1 WHERE id IN (SELECT id FROM vault WHERE code > 5)",
    ],
)
async def test_rows_are_not_marked_by_what_the_requester_may_not_read_without_approval(
    attacker: Attacker, sql: str
) -> None:
    """A change that was rolled back leaves its number in `xmax` of each row that it met."""
    ticket = await asked(attacker, sql)
    found = await ended(attacker, ticket)
    assert (found["state"], found["changed"], found["sample"]) == ("none", None, None)
    assert "may not read" in found["why"]
    marked = "SELECT count(*) FROM customers WHERE xmax <> 0"
    assert await attacker.direct(marked) == 0


async def test_rows_of_a_partition_are_for_those_who_may_read_the_whole(
    attacker: Attacker,
) -> None:
    ticket = await asked(attacker, "UPDATE whole_1 SET n = 2 WHERE id = 1")
    assert (await ended(attacker, ticket))["sample"] is not None
    preview = (await seen(attacker, ticket))["preview"]
    assert "it changed 1 row. You may not read the table" in preview["sentence"]
    assert not preview.get("before")


async def test_what_stands_in_rows_is_no_page_and_no_terminals_command(
    world: World, attacker: Attacker
) -> None:
    ticket = await asked(attacker, "UPDATE pages SET t = t || '!' WHERE id = 1")
    await ended(attacker, ticket)
    told = await asyncio.to_thread(world.cli, "victor", "approvals", "show", ticket)
    assert "script" in told.stdout
    assert "\x1b" not in told.stdout
    assert "\u202e" not in told.stdout


async def test_nobody_else_is_shown_a_preview_by_its_ticket(attacker: Attacker) -> None:
    ticket = await asked(attacker, "UPDATE orders SET status = 'mine' WHERE id = 91")
    await ended(attacker, ticket)
    assert (await seen(attacker, ticket, "rita"))["preview"] is None
    for account in ("roy", "norah"):
        answer = await attacker.api("GET", f"/api/approvals/{ticket}", account)
        assert answer.status_code in (403, 404)
        assert "1 row" not in answer.text
    for path in ("/api/recordings", f"/api/recordings/{ticket}"):
        answer = await attacker.api("GET", path, "rita")
        assert answer.status_code in (403, 404), path


async def test_one_person_does_not_keep_others_changes_from_being_tried_out(
    world: World, attacker: Attacker
) -> None:
    async with world.direct() as target, target.transaction():
        await target.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        changes = (f"DELETE FROM orders WHERE id = {100 + n}" for n in range(3 * MOST_OF_ONE))
        await asyncio.gather(*(asked(attacker, each) for each in changes))
        others = await asked(attacker, "DELETE FROM orders WHERE id = 5", account="roy")
        left_out = "SELECT count(*) FROM previews WHERE why LIKE 'too many%'"
        assert await attacker.stored(left_out) > 0
        query = "SELECT why FROM previews WHERE ticket = $1"
        assert "too many" not in await attacker.stored(query, others)
    await ended(attacker, others)


async def test_a_dry_run_right_after_a_change_of_names_is_not_planned_by_the_old_labels(
    world: World, attacker: Attacker
) -> None:
    sql = "SELECT id FROM orders WHERE status = 'new'"
    assert (await attacker.sql(sql, dry_run=True))["dry_run"]["plan"]
    await attacker.direct("ALTER TABLE orders RENAME status TO state")
    try:
        said = await attacker.sql(sql, dry_run=True)
    finally:
        await attacker.direct("ALTER TABLE orders RENAME state TO status")
    assert not said.get("dry_run", {}).get("plan"), said


async def test_a_gateway_that_stops_leaves_no_preview_without_an_outcome(
    world: World, attacker: Attacker
) -> None:
    long = (
        "UPDATE orders SET status = 'late' WHERE id IN"
        " (SELECT count(*) FROM orders a, orders b, orders c, orders d, orders e)"
    )
    ticket = await asked(attacker, long)
    begun = "SELECT count(*) FROM records WHERE document::jsonb #>> '{action,ticket}' = $1"
    async with asyncio.timeout(WITHIN):
        while not await attacker.stored(begun, ticket):
            await asyncio.sleep(0.02)
    await asyncio.to_thread(world.stop)
    over = (
        "SELECT count(*) FROM records WHERE kind = 'outcome'"
        " AND document::jsonb ->> 'ticket' = $1 AND document::jsonb ->> 'status' = 'not tried out'"
    )
    assert await attacker.stored(over, ticket) == 1
    state = "SELECT state FROM previews WHERE ticket = $1"
    assert await attacker.stored(state, ticket) == "none"
    await asyncio.to_thread(world.start)
