"""Connections that one-shot calls share, one set a role; each is reset and checked before reuse."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from policies.errors import BackendUnavailable, ProtocolError
from server.credentials import Credentials, Role
from server.protocols.mysql.link import Link, open_link
from server.protocols.mysql.login import LoginRefused
from server.protocols.mysql.target import MysqlTarget

if TYPE_CHECKING:
    from server.gate import Grant

log = logging.getLogger("ostiary.mysql")

RESET_TIMEOUT: Final = 10.0  # seconds for KILL, drain and reset together
ENDING: Final = 0.02  # seconds in which the rest of an answer comes that is on its way already
WAIT_TIMEOUT: Final = 30.0  # seconds that a call waits for a connection to come free


async def _stopped(link: Link) -> None:
    """Hear all that was asked of the server; what takes long is stopped."""
    with suppress(TimeoutError):
        async with asyncio.timeout(ENDING):
            await _heard(link)
    if not link.conversation.idle:
        await link.cancel()
        await _heard(link)


async def _heard(link: Link) -> None:
    while link.conversation.oldest is not None:
        await link.finish_turn()


@dataclass(slots=True)
class Pool:
    """At most `target.connections` connections for each role."""

    target: MysqlTarget
    credentials: Credentials
    _idle: dict[Role, deque[Link]] = field(default_factory=dict)
    _room: dict[Role, asyncio.Semaphore] = field(default_factory=dict)
    _returning: set[asyncio.Task[None]] = field(default_factory=set)
    _closed: bool = False

    @asynccontextmanager
    async def lease(self, grant: Grant, role: Role | None = None) -> AsyncIterator[Link]:
        """A connection of this role, or of the one that the grant needs, while the context lasts.

        What still runs when the context is left is stopped at the server before anybody else gets
        the connection. Raises `BackendUnavailable`.
        """
        link = await self.take(grant, role)
        try:
            yield link
        finally:
            await self.give_back(link)

    async def take(self, grant: Grant, role: Role | None = None) -> Link:
        """A connection to be given back whatever happens."""
        role = role or ("writer" if grant.writes else "reader")
        room = self._room.get(role)
        if room is None:
            room = self._room[role] = asyncio.Semaphore(self.target.connections)
        await self._wait(room)
        try:
            idle = self._idle.setdefault(role, deque())
            while idle:
                link = idle.popleft()  # the one that was given back first has had the most time
                if link.usable:
                    return link
                link.close()
            return await open_link(self.target, self.credentials.read(grant, role), role)
        except BaseException:
            room.release()
            raise

    async def give_back(self, link: Link) -> None:
        """Reset it for the next one; whoever gives it back waits only for what runs to be stopped.

        A task of its own: the caller may be cancelled, and the server still has to be told.
        """
        running = not link.conversation.idle
        returning = asyncio.ensure_future(self._take_back(link))
        self._returning.add(returning)
        returning.add_done_callback(self._returning.discard)
        if running:
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

    async def _take_back(self, link: Link) -> None:
        try:
            async with asyncio.timeout(RESET_TIMEOUT):
                if not link.closed:
                    await _stopped(link)
                    await link.reset()
        except (OSError, TimeoutError, ProtocolError, LoginRefused) as error:
            log.info("target %s: connection closed: %s", self.target.name, type(error).__name__)
            link.close()
        except BaseException:
            link.close()
            raise
        finally:
            self._room[link.role].release()
            if self._closed:
                link.close()
            elif not link.closed:
                self._idle[link.role].append(link)
