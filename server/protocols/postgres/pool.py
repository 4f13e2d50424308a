"""Connections that one-shot calls share, one set a role; each is reset and checked before reuse."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from policies.errors import BackendUnavailable, ProtocolError
from recordings.events import Failed
from server.credentials import Credentials, Role
from server.protocols.postgres import frontend as f
from server.protocols.postgres.link import Link, open_link
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
    _idle: dict[Role, list[Link]] = field(default_factory=dict)
    _room: dict[Role, asyncio.Semaphore] = field(default_factory=dict)
    _returning: set[asyncio.Task[None]] = field(default_factory=set)
    _closed: bool = False

    @asynccontextmanager
    async def lease(self, grant: Grant) -> AsyncIterator[Link]:
        """A connection of the role that the grant needs, for as long as the context lasts.

        What still runs when the context is left is cancelled at the server before anybody else
        gets the connection. Raises `BackendUnavailable`.
        """
        role: Role = "writer" if grant.writes else "reader"
        room = self._room.setdefault(role, asyncio.Semaphore(self.target.connections))
        await self._wait(room)
        try:
            link = await self._take(grant, role)
        except BaseException:
            room.release()
            raise
        try:
            yield link
        finally:
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

    async def _wait(self, room: asyncio.Semaphore) -> None:
        try:
            async with asyncio.timeout(WAIT_TIMEOUT):
                await room.acquire()
        except TimeoutError:
            message = f"all connections to target {self.target.name} are busy; try again later"
            raise BackendUnavailable(message) from None

    async def _take(self, grant: Grant, role: Role) -> Link:
        idle = self._idle.setdefault(role, [])
        while idle:
            link = idle.pop()
            if await link.usable():
                return link
            link.close()
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
            self._idle.setdefault(role, []).append(link)


def role_settings(target: PostgresTarget, role: Role) -> dict[str, str]:
    """What a pooled connection of a role starts with, and comes back to at DISCARD ALL."""
    read_only = "on" if role == "reader" else "off"
    return {**target.settings(), "default_transaction_read_only": read_only}


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
    if conversation.status != "I" or _parameters(link) != _at_login(link):
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
