"""The kill switch: in force at every gateway, recorded first; who can not look lets nobody in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from policies.errors import BackendUnavailable, Denied
from policies.model import Blockable, BlockAgent, Channel, Principal, UnblockAgent
from server.admission.blocks import STALE, Block, Blocks
from server.admission.settings import Limits
from tests.fixtures.postgres import PostgresDatabase
from tests.recordings.conftest import Outage, outage
from tests.server.admission.conftest import Gateway, gateway

__all__ = ["outage"]

pytestmark = pytest.mark.anyio

SEAN = Principal("corp:sean", "Sean", "ostiary-cli", frozenset({"security"}))
RITA = Principal("corp:rita", "Rita", "claude-code")
ROY = Principal("corp:roy", "Roy", "claude-code")
RITAS_PSQL = Principal("corp:rita", "Rita", "psql")
CLAUDE = BlockAgent(Blockable.AGENT, "claude-code", "leaks")
API = Channel.API


def refusal_of(gateway: Gateway, principal: Principal) -> str:
    """The code of what admission says, "" where it lets in."""
    try:
        gateway.admission.check(principal)
    except Denied as denied:
        return denied.refusal.code
    return ""


async def until(holds: Callable[[], bool]) -> None:
    """Within the 5 s that a block may take."""
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.01)


async def test_a_blocked_agent_is_refused_for_everybody_and_no_other_agent_is(
    here: Gateway,
) -> None:
    await here.switch.block(SEAN, CLAUDE, channel=API)
    assert refusal_of(here, RITA) == refusal_of(here, ROY) == "AGENT_BLOCKED"
    assert refusal_of(here, RITAS_PSQL) == refusal_of(here, SEAN) == ""


async def test_a_blocked_person_is_refused_with_every_agent(here: Gateway) -> None:
    await here.switch.block(SEAN, BlockAgent(Blockable.PERSON, RITA.id), channel=API)
    assert refusal_of(here, RITA) == refusal_of(here, RITAS_PSQL) == "PERSON_BLOCKED"
    assert refusal_of(here, ROY) == ""


async def test_every_door_asks(here: Gateway) -> None:
    await here.switch.block(SEAN, CLAUDE, channel=API)
    for ask in (here.admission.check, here.admission.request):
        with pytest.raises(Denied):
            ask(RITA)
    with pytest.raises(Denied):
        async with here.admission.session(RITA):
            raise AssertionError("the session began")


async def test_the_refusal_says_why_and_until_when(here: Gateway) -> None:
    until_then = datetime.now(UTC) + timedelta(hours=2)
    action = BlockAgent(Blockable.AGENT, "claude-code", "it leaks \x1b[31m", until_then)
    await here.switch.block(SEAN, action, channel=API)
    with pytest.raises(Denied) as denied:
        here.admission.check(RITA)
    assert "it leaks" in denied.value.refusal.reason
    assert "\x1b" not in denied.value.refusal.reason
    assert f"{until_then:%H:%M} UTC" in denied.value.refusal.reason
    assert denied.value.refusal.next_step


async def test_a_block_reaches_another_gateway_by_notice(here: Gateway, elsewhere: Gateway) -> None:
    await here.switch.block(SEAN, CLAUDE, channel=API)
    await until(lambda: refusal_of(elsewhere, RITA) == "AGENT_BLOCKED")
    await elsewhere.switch.unblock(SEAN, UnblockAgent(Blockable.AGENT, "claude-code"), channel=API)
    await until(lambda: refusal_of(here, RITA) == "")


async def test_a_block_is_found_by_looking_where_no_notice_comes(here: Gateway) -> None:
    await here.store.pool.execute(
        "INSERT INTO blocks (kind, name, reason, blocked_by) VALUES ('agent', $1, '', 'x')",
        RITA.agent,
    )
    await until(lambda: refusal_of(here, RITA) == "AGENT_BLOCKED")


async def test_a_gateway_that_starts_later_knows_the_blocks(
    here: Gateway, database: PostgresDatabase
) -> None:
    await here.switch.block(SEAN, CLAUDE, channel=API)
    async with gateway(database, Limits()) as later:
        assert refusal_of(later, RITA) == "AGENT_BLOCKED"
        (block,) = await later.switch.blocks()
    assert (block.kind, block.name) == (Blockable.AGENT, "claude-code")
    assert (block.reason, block.blocked_by) == ("leaks", SEAN.id)


async def test_a_block_ends_by_itself_by_the_stores_clock(here: Gateway) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1)
    action = BlockAgent(Blockable.AGENT, "claude-code", "", soon)
    await here.switch.block(SEAN, action, channel=API)
    assert refusal_of(here, RITA) == "AGENT_BLOCKED"
    await until(lambda: refusal_of(here, RITA) == "")


async def test_what_changes_is_in_the_journal(here: Gateway) -> None:
    await here.switch.block(SEAN, CLAUDE, channel=API)
    action = UnblockAgent(Blockable.AGENT, "claude-code", "it was a test")
    await here.switch.unblock(SEAN, action, channel=API)
    (blocked,) = await here.recorded("agent_blocked")
    (unblocked,) = await here.recorded("agent_unblocked")
    assert blocked["name"] == unblocked["name"] == "claude-code"
    assert (blocked["reason"], unblocked["reason"]) == ("leaks", "it was a test")
    assert blocked["principal"] == unblocked["principal"] == SEAN.id


async def test_what_the_journal_does_not_take_is_not_blocked(here: Gateway) -> None:
    await here.journal.close()
    with pytest.raises(BackendUnavailable):
        await here.switch.block(SEAN, CLAUDE, channel=API)
    assert await here.store.pool.fetchval("SELECT count(*) FROM blocks") == 0


@pytest.mark.parametrize(
    ("action", "code"),
    [
        (BlockAgent(Blockable.AGENT, SEAN.agent), "BLOCKS_ITSELF"),
        (BlockAgent(Blockable.PERSON, SEAN.id), "BLOCKS_ITSELF"),
        (
            BlockAgent(Blockable.AGENT, "x", "", datetime.now(UTC) - timedelta(minutes=1)),
            "PAST_ALREADY",
        ),
    ],
)
async def test_a_block_that_can_not_be_meant_is_refused(
    here: Gateway, action: BlockAgent, code: str
) -> None:
    with pytest.raises(Denied) as denied:
        await here.switch.block(SEAN, action, channel=API)
    assert denied.value.refusal.code == code
    assert await here.switch.blocks() == ()


async def test_taking_back_what_is_not_blocked_is_refused(here: Gateway) -> None:
    with pytest.raises(Denied) as denied:
        await here.switch.unblock(SEAN, UnblockAgent(Blockable.PERSON, "claude-code"), channel=API)
    assert denied.value.refusal.code == "NOT_BLOCKED"


async def test_agents_that_came_are_kept_with_whom_they_acted_for(here: Gateway) -> None:
    here.admission.request(RITA)
    here.admission.request(ROY)
    async with asyncio.timeout(5):
        while len(seen := await here.switch.seen()) < 2:
            await asyncio.sleep(0.05)
    assert {(s.agent, s.principal) for s in seen} == {
        ("claude-code", "corp:rita"),
        ("claude-code", "corp:roy"),
    }


def test_blocks_that_could_not_be_read_for_long_let_nobody_in() -> None:
    now = 1000.0
    blocks = Blocks(clock=lambda: now)
    assert blocks.of(RITA) is None
    now += STALE
    assert blocks.of(RITA) is None
    now += 0.1
    with pytest.raises(BackendUnavailable):
        blocks.of(RITA)
    entry = Block(Blockable.AGENT, "claude-code", "", "x", datetime.now(UTC))
    blocks.replace((entry,), read_at=now)
    assert blocks.of(RITA) == entry


async def test_what_runs_ends_when_the_blocks_can_not_be_read(
    here: Gateway, outage: Outage
) -> None:
    started = asyncio.Event()

    async def running() -> None:
        async with here.admission.session(RITA):
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(running())
    await started.wait()
    await outage.begin()
    # The time since the last look, without waiting for it to pass.
    here.admission.blocks.clock = lambda: time.monotonic() + STALE
    async with asyncio.timeout(10):
        with pytest.raises(BackendUnavailable):
            await task
    with pytest.raises(BackendUnavailable):
        here.admission.check(RITA)
    await outage.end()
    await until(lambda: not here.admission.blocks.stale)
    here.admission.check(RITA)
