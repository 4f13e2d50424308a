"""Connections that one-shot calls share, one set a role; each is reset and checked before reuse."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

from policies.errors import BackendUnavailable, ProtocolError
from recordings.events import Failed
from recordings.rows import encode_postgres
from server.credentials import Credentials, Role
from server.protocols.postgres import frontend as f
from server.protocols.postgres.link import Link, open_link
from server.protocols.postgres.own import Own, queries, synced, tagged, together
from server.protocols.postgres.target import PostgresTarget

if TYPE_CHECKING:
    from server.gate import Grant

log = logging.getLogger("ostiary.postgres")

RESET_TIMEOUT: Final = 10.0  # seconds for cancel, drain, ROLLBACK and DISCARD ALL together
WAIT_TIMEOUT: Final = 30.0  # seconds that a call waits for a connection to come free
# Reported by the server on its own account, not because of what a session did.
_UNRELATED: Final = frozenset({"in_hot_standby"})


@dataclass(slots=True)
class Pool:
    """At most `target.connections` connections for each role."""

    target: PostgresTarget
    credentials: Credentials
    _idle: dict[Role, deque[Link]] = field(default_factory=dict)
    _room: dict[Role, asyncio.Semaphore] = field(default_factory=dict)
    _returning: set[asyncio.Task[None]] = field(default_factory=set)
    _closed: bool = False

    @asynccontextmanager
    async def lease(self, grant: Grant) -> AsyncIterator[Link]:
        """A connection of the role that the grant needs, for as long as the context lasts.

        What still runs when the context is left is cancelled at the server before anybody else
        gets the connection. One whose reset is on its way goes back at once: whoever takes it next
        waits for the server's word that it is as new. Raises `BackendUnavailable`.
        """
        link = await self.take(grant)
        try:
            yield link
        finally:
            await self.give_back(link, grant)

    async def take(self, grant: Grant) -> Link:
        """A connection of the role that the grant needs, to be given back whatever happens."""
        role = _role(grant)
        room = self._room.get(role)
        if room is None:
            room = self._room[role] = asyncio.Semaphore(self.target.connections)
        await self._wait(room)
        try:
            return await self._take(grant, role)
        except BaseException:
            room.release()
            raise

    async def give_back(self, link: Link, grant: Grant) -> None:
        role = _role(grant)
        room = self._room[role]
        if resetting(link):
            self._keep(link, role)
            room.release()
            return
        # A task of its own: the caller may be cancelled, and the server still has to be told.
        returning = asyncio.ensure_future(self._take_back(link, role, room))
        self._returning.add(returning)
        returning.add_done_callback(self._returning.discard)
        await asyncio.shield(returning)

    async def close(self) -> None:
        """Close every connection, those on their way back too."""
        self._closed = True
        while self._returning:
            await asyncio.wait(tuple(self._returning))
        for link in (link for links in self._idle.values() for link in links):
            link.close()
        self._idle.clear()

    async def _as_new(self, link: Link) -> bool:
        """Whether an idle connection can be used; closed if not."""
        try:
            if link.conversation.oldest is not None:
                with link.patient(RESET_TIMEOUT):
                    await finish_reset(link)
        except (OSError, TimeoutError, ProtocolError) as error:
            log.info("target %s: connection closed: %s", self.target.name, type(error).__name__)
        except BaseException:
            link.close()
            raise
        else:
            if link.usable:
                return True
        link.close()
        return False

    async def _wait(self, room: asyncio.Semaphore) -> None:
        if not room.locked():
            await room.acquire()  # there is room, and this does not wait
            return
        try:
            async with asyncio.timeout(WAIT_TIMEOUT):
                await room.acquire()
        except TimeoutError:
            message = f"all connections to target {self.target.name} are busy; try again later"
            raise BackendUnavailable(message) from None

    async def _take(self, grant: Grant, role: Role) -> Link:
        idle = self._idle.setdefault(role, deque())
        while idle:
            link = idle.popleft()  # the one that was given back first has had the most time
            if await self._as_new(link):
                return link
        account = self.credentials.read(grant, role)
        return await open_link(self.target, account, role_settings(self.target, role))

    async def _take_back(self, link: Link, role: Role, room: asyncio.Semaphore) -> None:
        try:
            async with asyncio.timeout(RESET_TIMEOUT):
                await reset(link)
        except (OSError, TimeoutError, ProtocolError) as error:
            log.info("target %s: connection closed: %s", self.target.name, type(error).__name__)
            link.close()
        except BaseException:
            link.close()
            raise
        else:
            self._keep(link, role)
        finally:
            room.release()

    def _keep(self, link: Link, role: Role) -> None:
        if self._closed:
            link.close()
        else:
            self._idle.setdefault(role, deque()).append(link)


def _role(grant: Grant) -> Role:
    return "writer" if grant.writes else "reader"


def role_settings(target: PostgresTarget, role: Role) -> dict[str, str]:
    """What a pooled connection of a role starts with, and comes back to at DISCARD ALL."""
    read_only = "on" if role == "reader" else "off"
    return {**target.settings(), "default_transaction_read_only": read_only}


RESET: Final = object()
"""Owns the turn in which a connection is made as new."""

_AFTER_READ: Final = queries("ROLLBACK", "DISCARD ALL")
_AFTER_COMMIT: Final = queries("DISCARD ALL")
_ALL_BUT_PREPARED: Final = {
    "CLOSE ALL": "CLOSE CURSOR ALL",
    "SET SESSION AUTHORIZATION DEFAULT": "SET",
    "RESET ALL": "RESET",
    "UNLISTEN *": "UNLISTEN",
    "DISCARD TEMP": "DISCARD TEMP",
    "DISCARD SEQUENCES": "DISCARD SEQUENCES",
}
"""With their tags: what DISCARD ALL does, but for advisory locks, prepared statements and plans."""


@lru_cache(maxsize=8)
def _all_but_checks(after: Literal["read", "commit"], checks: int) -> Own:
    """What makes a connection as new, but that so many checks are kept; fails if there is more.

    None but the gateway can have prepared a statement by the protocol.
    """
    ends = {"ROLLBACK": "ROLLBACK", **_ALL_BUT_PREPARED} if after == "read" else _ALL_BUT_PREPARED
    only = (
        "SELECT pg_advisory_unlock_all(),"  # noqa: S608 -- a number
        f" 1 / (count(*) = {checks} AND bool_and(NOT from_sql))::int FROM pg_prepared_statement()"
    )
    return together(ends).then(synced((only, encode_postgres([[b"", b"1"]]) + tagged("SELECT 1"))))


def begin_reset(link: Link, *, after: Literal["read", "commit"]) -> bytes:
    """The bytes that make a connection as new, to be sent right behind what is to end.

    `finish_reset` hears the answer, before the connection is used again.
    """
    link.conversation.begin(RESET)
    if link.checks:
        return link.conversation.send_own(_all_but_checks(after, len(link.checks)))
    return link.conversation.send_own(_AFTER_READ if after == "read" else _AFTER_COMMIT)


def resetting(link: Link) -> bool:
    """Whether a connection waits for nothing but the end of its reset."""
    turn = link.conversation.oldest
    return turn is not None and turn.owner is RESET


async def finish_reset(link: Link) -> None:
    """Make sure that a connection is as new. Raises `ProtocolError` if it is not."""
    if any(isinstance(event, Failed) for event in await link.finish_turn()):
        raise ProtocolError("the connection can't be reset")
    _check(link)


async def reset(link: Link) -> None:
    """Make a connection as new: nothing running, no transaction, no trace of its last user.

    Raises `ProtocolError` if anything is not as it was at login.
    """
    conversation = link.conversation
    if not conversation.idle:
        await link.cancel()
        while conversation.oldest is not None:
            await link.finish_turn()
    statements = ["DISCARD ALL"] if conversation.status == "I" else ["ROLLBACK", "DISCARD ALL"]
    for statement in statements:
        await command(link, statement)
    link.checks = frozenset()
    _check(link)


def _check(link: Link) -> None:
    changed = link.conversation.parameters != link.parameters and (
        _parameters(link) != _at_login(link)
    )
    if changed or link.conversation.status != "I":
        raise ProtocolError("the connection did not come back as it was")


async def command(link: Link, statement: str) -> None:
    """Run one of the gateway's own statements. Raises `ProtocolError` if it fails."""
    link.conversation.begin(None)
    link.write(link.conversation.send(f.Query(statement)))
    await link.drain()
    if any(isinstance(event, Failed) for event in await link.finish_turn()):
        raise ProtocolError(f"{statement} failed")


def _parameters(link: Link) -> dict[str, str]:
    return {k: v for k, v in link.conversation.parameters.items() if k not in _UNRELATED}


def _at_login(link: Link) -> dict[str, str]:
    return {k: v for k, v in link.parameters.items() if k not in _UNRELATED}
