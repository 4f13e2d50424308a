"""What administrators ask of webhooks: how they stand, dead letters, trying one."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from policies.errors import Denied, Refusal
from server.webhooks import messages, slack
from server.webhooks.deliveries import Counts, DeadLetter
from server.webhooks.dispatcher import Dispatcher
from server.webhooks.sender import Delivered, Refused
from server.webhooks.settings import Webhook


@dataclass(frozen=True, slots=True)
class WebhookView:
    """One configured webhook and how it stands; where it leads is not said."""

    name: str
    format: str
    events: tuple[str, ...]
    groups: tuple[str, ...]
    counts: Counts


@dataclass(frozen=True, slots=True)
class Tested:
    """What a test came to; `why` is empty where the receiver took it."""

    delivered: bool
    why: str


@dataclass(frozen=True, slots=True)
class WebhookDesk:
    """Answers for one gateway. Who may ask has been asked of the gate before."""

    dispatcher: Dispatcher

    async def webhooks(self) -> Sequence[WebhookView]:
        """Those of the configuration, by name. Raises `BackendUnavailable`, as all of these do."""
        configured = {w.name: w for w in self.dispatcher.settings.webhooks}
        counts = await self.dispatcher.deliveries.counts(configured)
        return [_view(configured[each.name], each) for each in counts]

    async def failed(self) -> Sequence[DeadLetter]:
        """Dead letters, the newest first."""
        return await self.dispatcher.deliveries.dead()

    async def retry(self, delivery: str | None) -> int:
        """Begin again with one dead letter, or with all of them: how many. Raises `Denied`."""
        names = [w.name for w in self.dispatcher.settings.webhooks]
        revived = await self.dispatcher.deliveries.revive(names, delivery)
        if delivery is not None and not revived:
            raise Denied(
                Refusal(
                    "DELIVERY_UNKNOWN",
                    "There is no such dead letter of a webhook that is configured.",
                    "See the list: ostiary webhooks failed.",
                )
            )
        return revived

    async def test(self, name: str) -> Tested:
        """Send a test event now. Raises `Denied` (WEBHOOK_UNKNOWN)."""
        webhook = next((w for w in self.dispatcher.settings.webhooks if w.name == name), None)
        if webhook is None:
            raise Denied(
                Refusal(
                    "WEBHOOK_UNKNOWN",
                    "No webhook of this name is configured.",
                    "See the list: ostiary webhooks list.",
                )
            )
        now = datetime.now(UTC)
        outcome = await self.dispatcher.sender.post(
            webhook,
            slack.sample_message(name)
            if webhook.format == "slack"
            else messages.sample_document(name, now),
            identifier=f"msg_test_{secrets.token_hex(12)}",
            now=now,
        )
        match outcome:
            case Delivered():
                return Tested(delivered=True, why="")
            case Refused(why):
                return Tested(delivered=False, why=why)


def _view(webhook: Webhook, counts: Counts) -> WebhookView:
    return WebhookView(webhook.name, webhook.format, webhook.events, webhook.groups, counts)
