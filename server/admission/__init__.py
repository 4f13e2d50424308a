"""Who may act now, and how much: blocks and limits, before policy is asked.

Not in here: what a principal may do (`policies`), and who may block (`server.admission.switch`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from policies.errors import BackendUnavailable, Denied, Refusal
from policies.model import Principal
from recordings.journal import Journal
from recordings.store import Store
from server.admission.accounts import Accounts
from server.admission.blocks import Blocks, BlockWatch
from server.admission.flights import Flight
from server.admission.refusals import blocked, cut_off
from server.admission.repeats import Repeats
from server.admission.seen import Seen
from server.admission.settings import Limits
from server.admission.switch import KillSwitch
from server.records import refused_call

__all__ = ["Admission", "opened"]

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Admission:
    """One a process: limits are counted in it alone, blocks are the store's.

    What it refuses is noted for the recording without waiting, for every call passes here.
    `clock` in seconds.
    """

    accounts: Accounts
    blocks: Blocks
    seen: Seen
    repeats: Repeats
    clock: Callable[[], float] = time.monotonic
    _flights: set[Flight] = field(default_factory=set)

    def session(self, principal: Principal) -> Flight:
        """One session in flight. Raises `Denied`, on entry or in the middle."""
        return Flight(principal, self)

    def check(self, principal: Principal) -> None:
        """Before each action. Raises `Denied`."""
        self._require_unblocked(principal)
        now = self.clock()
        self._count(principal, self.accounts.statement(self.accounts.of(principal, now), now))

    def request(self, principal: Principal) -> None:
        """Before a door answers a message of whatever kind. Raises `Denied`."""
        self._require_unblocked(principal)
        now = self.clock()
        self.seen.note(principal, now)
        self._count(principal, self.accounts.request(self.accounts.of(principal, now), now))

    def take_off(self, flight: Flight) -> None:
        """One more session. Raises `Denied`."""
        principal, now = flight.principal, self.clock()
        self._require_unblocked(principal)
        self.seen.note(principal, now)
        accounts = self.accounts.of(principal, now)
        self._count(principal, self.accounts.call(accounts, now))
        for account in accounts:
            account.running += 1
        self._flights.add(flight)

    def land(self, flight: Flight) -> None:
        self._flights.remove(flight)
        for account in self.accounts.of(flight.principal, self.clock()):
            account.running -= 1

    def cut_off(self, flight: Flight, reason: Exception) -> None:
        """A session that was ended in the middle is a refusal like any other."""
        if isinstance(reason, Denied):
            self._note(flight.principal, reason.refusal)

    def end_blocked(self) -> None:
        """End what is in flight and would not be let in now."""
        for flight in tuple(self._flights):
            try:
                block = self.blocks.of(flight.principal)
            except BackendUnavailable as unknown:
                flight.end(unknown)
                continue
            if block is not None:
                flight.end(Denied(cut_off(block)))

    def _require_unblocked(self, principal: Principal) -> None:
        block = self.blocks.of(principal)
        if block is not None:
            self._count(principal, blocked(block))

    def _count(self, principal: Principal, refusal: Refusal | None) -> None:
        if refusal is not None:
            self._note(principal, refusal)
            raise Denied(refusal)

    def _note(self, principal: Principal, refusal: Refusal) -> None:
        kind = principal.id, principal.agent, refusal.code
        self.repeats.note(kind, refused_call(principal, "admission", refusal))


@asynccontextmanager
async def opened(
    limits: Limits, store: Store, journal: Journal
) -> AsyncIterator[tuple[Admission, KillSwitch]]:
    """Admission by the store's blocks, and the switch over them. Raises `BackendUnavailable`."""
    admission = Admission(Accounts(limits), Blocks(), Seen(), Repeats(journal))
    watch = BlockWatch(store, admission.blocks, admission.seen, admission.end_blocked)
    await watch.look()
    async with admission.repeats.recording():
        watching = asyncio.create_task(watch.run(), name="blocks")
        watching.add_done_callback(_log_failure)
        try:
            yield admission, KillSwitch(store, journal, watch)
        finally:
            watching.cancel()
            await asyncio.wait([watching])


def _log_failure(watching: asyncio.Task[None]) -> None:
    """Nobody is let in any more once the blocks are stale; here is why."""
    if not watching.cancelled() and (error := watching.exception()) is not None:
        _log.critical("blocks are watched no more", exc_info=error)
