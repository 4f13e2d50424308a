"""What gate, connectors and previews know of each other. Trying out is a connector's work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from policies.model import AccessRequest
from recordings.events import Column
from recordings.rows import Row
from server.approvals.tickets import Ticket


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a change that was tried out and rolled back.

    `before` are a few of the rows, `after` the same rows in the same order; empty where they can't
    be told. Nothing is masked yet.
    """

    changed: int
    columns: tuple[Column, ...] = ()
    before: tuple[Row, ...] = ()
    after: tuple[Row, ...] = ()


class NotTried(Exception):
    """It is not tried out; the text says why, in words for an approver."""


class Previewing(Protocol):
    """Tries out what waits for approval, for those who decide."""

    async def begin(self, asked: AccessRequest, ticket: Ticket) -> None:
        """Start it, if policy allows that; the caller waits for nothing of it."""
        ...


@dataclass(frozen=True, slots=True)
class NoPreviews:
    """A gateway, or a test, that tries nothing out."""

    async def begin(self, asked: AccessRequest, ticket: Ticket) -> None:
        """Nothing."""


NO_PREVIEWS: Final = NoPreviews()
