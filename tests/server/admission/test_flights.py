"""Sessions in flight: counted, and ended from outside with the refusal as their answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from policies.errors import BackendUnavailable, Denied
from policies.model import Blockable, BlockAgent, Channel, Principal
from server.admission import Admission
from server.admission.settings import Limits
from tests.fixtures.postgres import PostgresDatabase
from tests.server.admission.conftest import Gateway, gateway

pytestmark = pytest.mark.anyio

SEAN = Principal("corp:sean", "Sean", "ostiary-cli")
RITA = Principal("corp:rita", "Rita", "claude-code")
ROY = Principal("corp:roy", "Roy", "cursor")
BLOCK = BlockAgent(Blockable.AGENT, "claude-code", "leaks")


class Call:
    """A session that runs until it is ended, and then cleans up."""

    def __init__(self, admission: Admission, principal: Principal) -> None:
        self.admission, self.principal = admission, principal
        self.started, self.cleaned = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with self.admission.session(self.principal):
            self.started.set()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)  # an answer of the target's, on the way out
                self.cleaned.set()

    async def end(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


async def started(gateway: Gateway, principal: Principal) -> Call:
    call = Call(gateway.admission, principal)
    async with asyncio.timeout(5):
        await call.started.wait()
    return call


async def test_a_block_ends_what_runs_after_it_has_cleaned_up(here: Gateway) -> None:
    ritas, roys = await started(here, RITA), await started(here, ROY)
    await here.switch.block(SEAN, BLOCK, channel=Channel.API)
    async with asyncio.timeout(5):
        with pytest.raises(Denied) as denied:
            await ritas.task
    assert denied.value.refusal.code == "AGENT_BLOCKED"
    assert "cancelled" in denied.value.refusal.next_step
    assert ritas.cleaned.is_set()
    assert not roys.task.done()
    await roys.end()


async def test_a_block_ends_what_runs_at_another_gateway(here: Gateway, elsewhere: Gateway) -> None:
    call = await started(elsewhere, RITA)
    await here.switch.block(SEAN, BLOCK, channel=Channel.API)
    async with asyncio.timeout(5):
        with pytest.raises(Denied):
            await call.task


async def test_a_call_that_was_cut_off_is_recorded(here: Gateway) -> None:
    call = await started(here, RITA)
    await here.switch.block(SEAN, BLOCK, channel=Channel.API)
    with pytest.raises(Denied):
        await call.task
    (record,) = await here.recorded("decision")
    assert record["principal"] == RITA.id
    assert record["refusal"]["code"] == "AGENT_BLOCKED"


async def test_somebody_elses_cancellation_stays_one(here: Gateway) -> None:
    call = await started(here, RITA)
    call.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.task


async def test_a_failure_while_cleaning_up_does_not_hide_the_refusal(here: Gateway) -> None:
    async def fails_to_clean_up() -> None:
        async with here.admission.session(RITA):
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise BackendUnavailable("the target is gone") from None

    begun = asyncio.Event()
    task = asyncio.create_task(fails_to_clean_up())
    await begun.wait()
    await here.switch.block(SEAN, BLOCK, channel=Channel.API)
    with pytest.raises(Denied):
        await task


def _returns() -> None:
    pass


def _raises() -> None:
    raise ValueError("a bug")


@pytest.mark.parametrize("how", [_returns, _raises])
async def test_a_session_that_ended_counts_no_more(here: Gateway, how: Callable[[], None]) -> None:
    with suppress(ValueError):
        async with here.admission.session(RITA):
            how()
    for account in here.admission.accounts.of(RITA, 0.0):
        assert account.running == 0


async def test_parallel_sessions_share_what_may_run_at_once(
    database: PostgresDatabase,
) -> None:
    limits = Limits.model_validate({"per_principal": {"concurrent": 3}})
    async with gateway(database, limits) as here:
        calls = [await started(here, RITA) for _ in range(3)]
        with pytest.raises(Denied) as denied:
            async with here.admission.session(RITA):
                raise AssertionError("a fourth session began")
        assert denied.value.refusal.code == "TOO_MANY_CALLS"
        await calls[0].end()
        async with here.admission.session(RITA):
            pass
        for call in calls[1:]:
            await call.end()
