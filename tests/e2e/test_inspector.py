"""MCP Inspector, a client that is not ours, in both eras of the protocol."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.policy_sets import with_self_confirmation
from tests.e2e.programs import Inspector, Ran, folder_of_programs, said
from tests.e2e.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.programs]
ERAS = pytest.mark.parametrize("era", ["modern", "legacy"])
TOOLS = {
    "rita": {"run_sql", "list_targets", "approval_wait"},
    "victor": {"run_sql", "list_targets", "approval_wait", "review_approvals"},
}


@pytest.fixture(scope="module")
def inspector() -> Iterator[Inspector]:
    folder = folder_of_programs()
    home = Path(tempfile.mkdtemp(prefix="ostiary-", dir="/tmp"))  # a socket's path must be short
    yield Inspector(folder, home)
    shutil.rmtree(home, ignore_errors=True)


def result(ran: Ran) -> dict[str, Any]:
    found = ran.output["result"]
    assert isinstance(found, dict)
    return found


def problem(ran: Ran) -> dict[str, Any]:
    """What a tool answered with an error; Inspector ends with 5 then."""
    assert ran.code == 5, ran
    assert result(ran)["isError"]
    document = json.loads(said(result(ran)))
    assert isinstance(document, dict)
    return document


@ERAS
@pytest.mark.parametrize("account", ["rita", "victor"])
def test_the_tools_of_this_identity_are_listed(
    world: World, inspector: Inspector, era: str, account: str
) -> None:
    listed = inspector.cli(world, era, "--method", "tools/list", account=account)
    assert listed.code == 0, listed.stderr
    assert {tool["name"] for tool in result(listed)["tools"]} == TOOLS[account]


def test_the_schemas_of_the_tools_pass_the_portability_lint(
    world: World, inspector: Inspector
) -> None:
    """A cell of a result is any JSON value, and that is the one thing that the lint notes."""
    linted = inspector.cli(world, "modern", "--method", "tools/list", "--strict", account="victor")
    assert linted.code == 0, linted.stderr
    noted = [line.split(": ")[1] for line in linted.stderr.splitlines() if "Path: " in line]
    assert noted == ["outputSchema.properties.rows.items.items"], linted.stderr


@ERAS
def test_a_read_comes_back_masked(world: World, inspector: Inspector, era: str) -> None:
    sql = "SELECT id, email FROM customers ORDER BY id"
    ran = inspector.call(world, era, "run_sql", target="shop", sql=sql)
    assert ran.code == 0, ran.stderr
    content = result(ran)["structuredContent"]
    assert [row[0] for row in content["rows"]] == [1, 2, 3]
    assert set(content["masked_columns"]) == {"email"}
    assert "canary" not in ran.stdout + ran.stderr


@ERAS
def test_targets_are_listed_with_what_they_want(
    world: World, inspector: Inspector, era: str
) -> None:
    ran = inspector.call(world, era, "list_targets")
    assert ran.code == 0, ran.stderr
    assert "approval by dba" in said(result(ran))


async def test_a_client_without_forms_gets_through_an_approval(
    world: World, inspector: Inspector
) -> None:
    sql = "UPDATE orders SET status = 'inspected' WHERE id = 21"
    changed = "SELECT status = 'inspected' FROM orders WHERE id = 21"
    async with world.direct() as direct:
        pending = problem(inspector.call(world, "legacy", "run_sql", target="shop", sql=sql))
        assert pending["status"] == "pending_approval"
        assert not await direct.fetchval(changed)
        ticket = pending["approval_id"]
        approved = world.cli("victor", "approvals", "approve", ticket)
        assert approved.returncode == 0, approved.stderr
        waited = inspector.call(world, "legacy", "approval_wait", approval_id=ticket)
        assert result(waited)["structuredContent"]["status"] == "approved"
        done = inspector.call(world, "legacy", "run_sql", target="shop", sql=sql)
        assert done.code == 0, done.stdout
        assert await direct.fetchval(changed)
    again = problem(inspector.call(world, "legacy", "run_sql", target="shop", sql=sql))
    assert again["approval_id"] != ticket


@pytest.mark.parametrize(("verdict", "code"), [("approve", 0), ("deny", 5)])
async def test_a_client_that_takes_tasks_follows_one_to_its_end(
    world: World, inspector: Inspector, verdict: str, code: int
) -> None:
    """Inspector's command line declares the extension in the modern era."""
    sql = f"UPDATE orders SET status = '{verdict}' WHERE id = 23"
    query = (
        "SELECT t.ticket FROM tasks t JOIN tickets k ON k.id = t.ticket"
        " WHERE k.document -> 'action' ->> 'text' = $1"
    )
    call = asyncio.create_task(
        asyncio.to_thread(inspector.call, world, "modern", "run_sql", target="shop", sql=sql)
    )
    async with world.journal() as journal, world.direct() as direct, asyncio.timeout(90):
        while (ticket := await journal.fetchval(query, sql)) is None:
            assert not call.done(), call.result()
            await asyncio.sleep(0.05)
        assert world.cli("victor", "approvals", verdict, ticket).returncode == 0
        ran = await call
        assert ran.code == code, ran.stdout
        status = await direct.fetchval("SELECT status FROM orders WHERE id = 23")
    assert status != "deny"
    assert verdict == "deny" or status == "approve"


@pytest.fixture(scope="module")
def confirming(
    module_worlds: Callable[..., World], inspector: Inspector
) -> Iterator[tuple[World, Inspector]]:
    world = module_worlds(approvals={"expire_after": "15m", "hold": "10s"})
    policies = with_self_confirmation(world.directory / "policies")
    world.settings = {**world.settings, "policies": str(policies)}
    world.start()
    yield world, inspector
    inspector.do("any", "daemon", "stop")


@ERAS
async def test_a_form_in_mcpdo_confirms_ones_own_update(
    confirming: tuple[World, Inspector], era: str
) -> None:
    world, inspector = confirming
    sql = f"UPDATE orders SET status = 'formed-{era}' WHERE id = 22"
    changed = f"SELECT status = 'formed-{era}' FROM orders WHERE id = 22"
    connection = inspector.connect(world, era)
    async with world.direct() as direct:
        for answer, runs in (("--decline", False), ("comment:=mine", True)):
            asked = inspector.do(connection, "tools/call", "run_sql", "target:=shop", f"sql:={sql}")
            form = asked.output["elicitationPending"]
            assert sql in json.dumps(form), form
            assert not await direct.fetchval(changed)
            inspector.do(connection, "elicitation/respond", form["elicitationId"], answer)
            assert bool(await direct.fetchval(changed)) is runs


@ERAS
async def test_a_page_in_mcpdo_is_opened_and_somebody_else_approves(
    confirming: tuple[World, Inspector], era: str
) -> None:
    """What a DBA must approve: mcpdo shows the page, in the modern era that of a task."""
    world, inspector = confirming
    number = 9101 if era == "modern" else 9102
    sql = f"INSERT INTO orders (id, customer_id) VALUES ({number}, 1)"
    inserted = f"SELECT count(*) FROM orders WHERE id = {number}"
    connection = inspector.connect(world, era, elicit="url")
    async with world.direct() as direct:
        asked = inspector.do(connection, "tools/call", "run_sql", "target:=shop", f"sql:={sql}")
        page = asked.output["elicitationPending"]
        ticket = page_ticket(world, json.dumps(page))
        assert await direct.fetchval(inserted) == 0
        approved = world.cli("victor", "approvals", "approve", ticket)
        assert approved.returncode == 0, approved.stderr
        ended = inspector.do(connection, "elicitation/respond", page["elicitationId"], "--done")
        assert ended.code == 0, ended
        assert await direct.fetchval(inserted) == 1


@ERAS
async def test_a_page_that_mcpdo_declines_denies_nothing(
    confirming: tuple[World, Inspector], era: str
) -> None:
    world, inspector = confirming
    number = 9103 if era == "modern" else 9104
    sql = f"INSERT INTO orders (id, customer_id) VALUES ({number}, 1)"
    connection = inspector.connect(world, era, elicit="both")
    async with world.direct() as direct, world.journal() as journal:
        asked = inspector.do(connection, "tools/call", "run_sql", "target:=shop", f"sql:={sql}")
        page = asked.output["elicitationPending"]
        ticket = page_ticket(world, json.dumps(page))
        inspector.do(connection, "elicitation/respond", page["elicitationId"], "--decline")
        assert await direct.fetchval("SELECT count(*) FROM orders WHERE id = $1", number) == 0
        state = await journal.fetchval("SELECT state FROM tickets WHERE id = $1", ticket)
    assert state == "pending"


def page_ticket(world: World, shown: str) -> str:
    """The ticket whose page is shown."""
    found = re.search(re.escape(world.url) + r"/approvals/(ap_[A-Za-z0-9_-]+)", shown)
    assert found, shown
    return found[1]
