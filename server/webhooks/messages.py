"""What a receiver is told of a ticket, as a Standard Webhooks document. Not here: Slack's shape."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from recordings.journal import Json
from server.approvals.tickets import Ticket
from server.approvals.views import Rights, view
from tools.gateway import TicketView

TEST_TYPE: Final = "webhook.test"


@dataclass(frozen=True, slots=True)
class News:
    """One event of one ticket. `page` is the approval page's URL, empty where there is none.

    `in_full`: the statement, its parameters and the reason given belong to it. `changed` is how
    many rows it changed when it was tried out, None where it was not; the rows are not told.
    """

    event: str
    ticket: Ticket
    page: str
    in_full: bool
    noticed_at: datetime
    changed: int | None = None

    @property
    def at(self) -> datetime:
        return self.ticket.asked_at if self.event == "asked" else self.noticed_at

    @property
    def action(self) -> dict[str, Json]:
        action = self.ticket.document["action"]
        assert isinstance(action, dict)  # noqa: S101 -- written by server.approvals.tickets.bind
        return action

    @property
    def facts(self) -> dict[str, Json]:
        facts = self.ticket.document.get("facts")
        return facts if isinstance(facts, dict) else {}

    @property
    def effect(self) -> str:
        return str(self.facts.get("effect", self.action["kind"]))

    @property
    def tables(self) -> list[dict[str, Json]]:
        """`table`, `verb`, `columns` and `labels` of each use, as policy saw them."""
        tables = self.facts.get("tables")
        return [t for t in tables if isinstance(t, dict)] if isinstance(tables, list) else []

    @property
    def shown(self) -> TicketView:
        """The ticket in the words that the page and the command line have for it."""
        return view(self.ticket, self.page, Rights())


def document(news: News) -> dict[str, Json]:
    """The body: type, time and what it is about."""
    ticket, shown = news.ticket, news.shown
    content: dict[str, Json] = {
        "id": ticket.id,
        "url": news.page,
        "state": ticket.state,
        "requester": ticket.principal_name,
        "requester_id": ticket.principal,
        "agent": ticket.agent,
        "target": ticket.target,
        "effect": news.effect,
        "tables": list(news.tables),
        "has_where": news.facts.get("has_where", True),
        **({} if news.changed is None else {"preview_rows": news.changed}),
        "policies": list(shown.policies),
        "digest": ticket.digest.hex(),
        "asked_at": ticket.asked_at.isoformat(),
        "expires_at": ticket.expires_at.isoformat(),
        "progress": list(shown.progress),
        "decided_by": shown.decided_by,
        "decisions": [
            {"name": d.name, "approve": d.approve, "at": d.at.isoformat()} for d in ticket.decisions
        ],
    }
    if news.in_full:
        content |= {
            "text": shown.text,
            "parameters": list(shown.parameters),
            "reason": shown.reason,
        }
    return {"type": f"approval.{news.event}", "timestamp": news.at.isoformat(), "data": content}


def sample_document(name: str, at: datetime) -> dict[str, Json]:
    """The body of `ostiary webhooks test`."""
    sentence = "A test: this receiver is told of approvals in Ostiary."
    return {
        "type": TEST_TYPE,
        "timestamp": at.isoformat(),
        "data": {"webhook": name, "message": sentence},
    }
