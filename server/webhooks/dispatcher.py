"""Sees to it that receivers are told: looks for news, claims, sends, tries again, gives up.

Any number of gateways may do so on one store. What they send is sent at least once, always with
the same `webhook-id`. No call ever waits for any of it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import groupby
from typing import Final, Protocol

from policies.errors import BackendUnavailable
from recordings.journal import Journal, Json, Record
from recordings.store import STORE_ERRORS, Store
from server.approvals.notices import CHANNEL, LOOK_AGAIN
from server.approvals.tickets import Ticket
from server.previews.stored import StoredPreviews
from server.webhooks import messages, slack
from server.webhooks.deliveries import Deliveries, Delivery
from server.webhooks.messages import News
from server.webhooks.sender import Delivered, Refused, Sender
from server.webhooks.settings import Notifications, Retries, Webhook

_log = logging.getLogger(__name__)

LEASE_BEYOND_TIMEOUT: Final = 30.0  # seconds
_TIMES_LONGER: Final = 4.0
_JITTER: Final = 0.25
_IN_ORDER: Final = ("asked", "approved")


class Tickets(Protocol):
    async def get(self, ticket: str) -> Ticket:
        """One ticket. Raises `Denied` where there is none, and `BackendUnavailable`."""
        ...

    def page(self, ticket: str) -> str:
        """The URL of its approval page, or nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Delivers for one gateway."""

    deliveries: Deliveries
    tickets: Tickets
    journal: Journal
    sender: Sender
    settings: Notifications
    look_every: float

    @classmethod
    @asynccontextmanager
    async def dispatching(
        cls,
        store: Store,
        tickets: Tickets,
        journal: Journal,
        settings: Notifications,
        *,
        look_every: float = LOOK_AGAIN,
    ) -> AsyncIterator[Dispatcher]:
        """While open, receivers are told. Without webhooks there is nothing to do, or to listen."""
        async with AsyncExitStack() as lifetime:
            # Where there are no webhooks, no time of the start goes into reading roots of trust.
            tls = None if settings.webhooks else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            opening = Sender.opened(settings.retries.timeout, tls)
            sender = await lifetime.enter_async_context(opening)
            made = cls(Deliveries(store), tickets, journal, sender, settings, look_every)
            tasks = made._start(store) if settings.webhooks else []
            lifetime.push_async_callback(_stop, tasks)
            yield made

    def _start(self, store: Store) -> list[asyncio.Task[None]]:
        bells = [asyncio.Event() for _ in self.settings.webhooks]
        works = [self._listen(store, bells)]
        works += [self._serve(w, b) for w, b in zip(self.settings.webhooks, bells, strict=True)]
        tasks = [asyncio.create_task(work, name="webhooks") for work in works]
        for task in tasks:
            task.add_done_callback(_say_why)
        return tasks

    async def _serve(self, webhook: Webhook, bell: asyncio.Event) -> None:
        """One receiver's own loop: a slow one makes no other wait."""
        away = False
        while True:
            bell.clear()
            try:
                wait = await self._turn(webhook)
                away = False
            except BackendUnavailable as error:
                if not away:
                    _log.warning("webhook %s waits: %s", webhook.name, error)
                wait, away = self.look_every, True
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await bell.wait()

    async def _turn(self, webhook: Webhook) -> float:
        """Deliver what is due; seconds until the next look."""
        await self.deliveries.introduce([webhook.name])
        await self.deliveries.notice(webhook)
        lease = timedelta(seconds=self.settings.retries.timeout + LEASE_BEYOND_TIMEOUT)
        claimed = await self.deliveries.claim(webhook.name, lease)
        if claimed:
            await asyncio.gather(*(self._in_order(webhook, some) for some in _by_ticket(claimed)))
            return 0.0
        due = await self.deliveries.next_due(webhook.name)
        return self.look_every if due is None else min(self.look_every, due)

    async def _listen(self, store: Store, bells: Sequence[asyncio.Event]) -> None:
        """Ring when a ticket changes. Away from the store, each loop looks again by itself."""
        while True:
            with suppress(*STORE_ERRORS):
                await store.listen(CHANNEL, partial(_ring, bells))
            await asyncio.sleep(self.look_every)

    async def _in_order(self, webhook: Webhook, of_one_ticket: Sequence[Delivery]) -> None:
        for delivery in of_one_ticket:
            try:
                await self._try(webhook, delivery)
            except BackendUnavailable as error:
                # Its lease ends, and then somebody tries again.
                _log.warning("delivery %s to webhook %s: %s", delivery.id, webhook.name, error)

    async def _try(self, webhook: Webhook, delivery: Delivery) -> None:
        try:
            await self._deliver(webhook, delivery)
        except BackendUnavailable:
            raise
        except Exception:  # noqa: BLE001 -- the boundary: what can't be worded must not keep
            # other news back.
            _log.exception("delivery %s to webhook %s failed", delivery.id, webhook.name)
            await self._settle(webhook, delivery, Refused("the gateway failed; see its log"))

    async def _deliver(self, webhook: Webhook, delivery: Delivery) -> None:
        ticket = await self.tickets.get(delivery.ticket)
        news = self._news(webhook, delivery, ticket)
        document = worded(webhook, replace(news, changed=await self._changed(ticket)))
        outcome = await self.sender.post(
            webhook, document, identifier=delivery.id, now=delivery.now
        )
        match outcome:
            case Delivered():
                await self.deliveries.delivered(delivery)
            case Refused():
                await self._settle(webhook, delivery, outcome)

    async def _changed(self, ticket: Ticket) -> int | None:
        found = await StoredPreviews(self.deliveries.store).of([ticket.id])
        return found[ticket.id].changed if ticket.id in found else None

    def _news(self, webhook: Webhook, delivery: Delivery, ticket: Ticket) -> News:
        return News(
            event=delivery.event,
            ticket=ticket,
            page=self.tickets.page(ticket.id),
            in_full=webhook.statement == "full",
            noticed_at=delivery.noticed_at,
        )

    async def _settle(self, webhook: Webhook, delivery: Delivery, refused: Refused) -> None:
        """Try again later, or give up: then it is recorded first."""
        if not refused.gone and delivery.tries < self.settings.retries.tries:
            wait = backoff(self.settings.retries, delivery.tries, asked_for=refused.wait)
            await self.deliveries.postpone(delivery, wait, refused.why)
            return
        _log.error(
            "webhook %s: delivery %s (%s of %s) is a dead letter after %d tries: %s",
            webhook.name,
            delivery.id,
            delivery.event,
            delivery.ticket,
            delivery.tries,
            refused.why,
        )
        await self.journal.commit(_failed_record(delivery, refused))
        await self.deliveries.bury(delivery, refused.why)


def worded(webhook: Webhook, news: News) -> dict[str, Json]:
    """The body in the receiver's format."""
    return slack.message(news) if webhook.format == "slack" else messages.document(news)


def backoff(retries: Retries, tries: int, *, asked_for: float = 0.0) -> timedelta:
    """The wait after so many tries: longer each time, spread, and as long as was asked for."""
    wait = min(retries.first_wait * _TIMES_LONGER ** (tries - 1), retries.longest_wait)
    spread = wait * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret in it
    return timedelta(seconds=max(spread, asked_for))


def _by_ticket(claimed: Iterable[Delivery]) -> list[list[Delivery]]:
    """What belongs to one ticket is told one after the other: first that it was asked."""
    order = {event: place for place, event in enumerate(_IN_ORDER)}
    ranked = sorted(claimed, key=lambda d: (d.ticket, order.get(d.event, len(order))))
    return [list(some) for _, some in groupby(ranked, key=lambda d: d.ticket)]


def _failed_record(delivery: Delivery, refused: Refused) -> Record:
    document: dict[str, Json] = {
        "webhook": delivery.webhook,
        "delivery": delivery.id,
        "ticket": delivery.ticket,
        "event": delivery.event,
        "tries": delivery.tries,
        "why": refused.why,
    }
    return Record("", "webhook_failed", document)


def _ring(bells: Sequence[asyncio.Event], _notice: str) -> None:
    for bell in bells:
        bell.set()


async def _stop(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _say_why(task: asyncio.Task[None]) -> None:
    """A loop ends by a defect only; the gateway goes on, and says so."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.critical("no webhook is sent any more, until a restart", exc_info=error)
