"""Tasks in a real store, as two gateways on it see them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import JsonValue

from policies.errors import BackendUnavailable
from policies.model import Principal
from recordings.store import Store
from server.mcp.task_rows import MOST_OPEN, Ending, StoredTasks, TaskRow
from server.mcp.task_wire import LOST, detailed
from server.mcp.tasks import Opening, Tasks, Underway
from tests.fixtures.gateway import ALICE, CAROL
from tests.fixtures.postgres import PostgresDatabase

pytestmark = pytest.mark.anyio
LATER = datetime(2040, 1, 1, tzinfo=UTC)
ALICES_OTHER_AGENT = Principal(ALICE.id, ALICE.name, "another-agent", ALICE.groups)


@pytest.fixture
async def store(database: PostgresDatabase) -> AsyncIterator[Store]:
    store = await Store.open(database.dsn)
    yield store
    await store.close()


@pytest.fixture
async def rows(store: Store) -> StoredTasks:
    return StoredTasks(store)


async def created(rows: StoredTasks, owner: Principal = ALICE, task: str = "task_1") -> TaskRow:
    row = await rows.create(owner, task, "ap_1", "Waiting for ap_1.", LATER)
    assert row is not None
    return row


async def run_out(store: Store, column: str) -> None:
    """As if the time of every task in this column had passed."""
    script = {
        "alive_until": "UPDATE tasks SET alive_until = clock_timestamp() - interval '1 s'",
        "expires_at": "UPDATE tasks SET expires_at = clock_timestamp() - interval '1 s'",
    }[column]
    await store.pool.execute(script)


async def test_a_task_is_seen_by_its_own_principal_and_agent_only(rows: StoredTasks) -> None:
    row = await created(rows)
    assert await rows.get(ALICE, "task_1", LOST) == row
    assert await rows.get(CAROL, "task_1", LOST) is None
    assert await rows.get(ALICES_OTHER_AGENT, "task_1", LOST) is None


async def test_the_time_to_live_counts_from_the_creation(rows: StoredTasks) -> None:
    row = await created(rows)
    milliseconds = (row.expires_at - row.created_at) / timedelta(milliseconds=1)
    assert detailed(row)["ttlMs"] == round(milliseconds)
    assert row.expires_at == LATER


async def test_a_task_ends_once(rows: StoredTasks) -> None:
    await created(rows)
    await rows.finish("task_1", Ending("completed", result={"content": ["a\0b"]}))
    await rows.finish("task_1", Ending("cancelled"))
    row = await rows.get(ALICE, "task_1", LOST)
    assert row is not None
    assert (row.status, row.result) == ("completed", {"content": ["a\0b"]})


async def test_the_tasks_of_a_gateway_that_died_have_failed(
    rows: StoredTasks, store: Store
) -> None:
    await created(rows)
    await run_out(store, "alive_until")
    row = await StoredTasks(store).get(ALICE, "task_1", LOST)
    assert row is not None
    assert row.status == "failed"
    assert row.error == LOST.error
    assert await rows.renew(["task_1"]) == {}
    await rows.finish("task_1", Ending("completed", result={}))
    assert await rows.get(ALICE, "task_1", LOST) == row


async def test_a_lease_that_ran_out_is_not_taken_up_again(rows: StoredTasks, store: Store) -> None:
    """Somebody may have been told already that the task is lost."""
    await created(rows)
    await run_out(store, "alive_until")
    assert await rows.renew(["task_1"]) == {}


async def test_what_has_expired_is_gone_results_included(rows: StoredTasks, store: Store) -> None:
    await created(rows)
    await rows.finish("task_1", Ending("completed", result={"content": []}))
    await run_out(store, "expires_at")
    assert await rows.get(ALICE, "task_1", LOST) is None
    await rows.sweep()
    assert await store.pool.fetchval("SELECT count(*) FROM tasks") == 0


async def test_at_most_so_many_are_open_for_one_principal_even_at_the_same_moment(
    rows: StoredTasks,
) -> None:
    attempts = [
        rows.create(ALICE, f"task_{number}", "ap_1", "", LATER) for number in range(MOST_OPEN + 5)
    ]
    made = await asyncio.gather(*attempts)
    assert sum(row is not None for row in made) == MOST_OPEN
    assert await rows.create(ALICES_OTHER_AGENT, "task_a", "ap_1", "", LATER) is None
    assert await rows.create(CAROL, "task_c", "ap_1", "", LATER) is not None
    open_one = await rows.renew([f"task_{number}" for number in range(MOST_OPEN + 5)])
    await rows.finish(next(iter(open_one)), Ending("cancelled"))
    assert await rows.create(ALICE, "task_b", "ap_1", "", LATER) is not None


async def test_each_answer_counts_once_and_only_to_what_was_asked(rows: StoredTasks) -> None:
    await created(rows)
    await rows.require("task_1", {"one": {}, "two": {}})
    assert await rows.answer("task_1", {"one": {"action": "accept"}, "x": 1}) == {
        "one": {"action": "accept"}
    }
    assert await rows.answer("task_1", {"one": {"action": "decline"}}) == {}
    row = await rows.get(ALICE, "task_1", LOST)
    assert row is not None
    assert (row.status, set(row.requests)) == ("input_required", {"two"})
    await rows.answer("task_1", {"two": "\0"})
    look = (await rows.renew(["task_1"]))["task_1"]
    assert look.answers == {"one": {"action": "accept"}, "two": "\0"}


async def test_two_gateways_share_a_task(store: Store) -> None:
    """One runs it; the other tells its state, hands over an answer, and ends it."""
    first, second = Tasks(StoredTasks(store), 0.01), Tasks(StoredTasks(store), 0.01)
    asked = asyncio.Event()

    async def work(underway: Underway) -> Mapping[str, JsonValue]:
        await underway.rows.require(underway.id, {"key": {"method": "elicitation/create"}})
        while "key" not in underway.answers:
            await underway.answered.wait()
            underway.answered.clear()
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with first.running(), second.running(), asyncio.timeout(20):
        made = await first.start(ALICE, Opening("ap_1", "Waiting.", LATER), work)
        assert made is not None
        task = str(made["taskId"])
        while not (row := await second.get(ALICE, task)) or row.status != "input_required":
            await asyncio.sleep(0.01)
        await second.update(task, {"key": {"action": "accept"}})
        await asked.wait()
        await second.cancel(task)
        while first.jobs:
            await asyncio.sleep(0.01)
        row = await second.get(ALICE, task)
        assert row is not None
        assert row.status == "cancelled"


async def test_a_task_that_was_lost_does_not_begin(store: Store) -> None:
    """Whoever was told that it failed may have repeated the call."""
    tasks, began, go_on = Tasks(StoredTasks(store), 60), asyncio.Event(), asyncio.Event()
    ran: list[str] = []

    async def work(underway: Underway) -> Mapping[str, JsonValue]:
        began.set()
        await go_on.wait()
        await underway.claim()
        ran.append(underway.id)
        return {}

    async with tasks.running(), asyncio.timeout(20):
        made = await tasks.start(ALICE, Opening("ap_1", "", LATER), work)
        assert made is not None
        await began.wait()
        await run_out(store, "alive_until")
        go_on.set()
        while tasks.jobs:
            await asyncio.sleep(0.01)
    assert ran == []


async def test_a_store_that_is_away_is_said_to_be(database: PostgresDatabase) -> None:
    store = await Store.open(database.dsn)
    await store.close()
    with pytest.raises(BackendUnavailable):
        await StoredTasks(store).get(ALICE, "task_1", LOST)
