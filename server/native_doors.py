"""The doors of the configuration that speak a target's own protocol."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from policies.errors import ConfigError
from server.config import Configuration, MysqlListener, MysqlTarget, Tls
from server.gate import Gate
from server.native.encryption import server_context
from server.native.live import LiveSessions
from server.native.login import KnownClient, Presented
from server.protocols.mysql import listener as mysql
from server.protocols.mysql.greeting import Kind
from server.protocols.postgres import listener as postgres
from server.protocols.postgres.arriving import ALPN
from server.workers import Worker

log = logging.getLogger("ostiary.native_doors")

RENEW_EVERY: Final = 5.0  # seconds from one look at a certificate's files to the next

_Door = mysql.MysqlListener | postgres.PostgresListener
Identify = Callable[[Presented], Awaitable[KnownClient]]


@asynccontextmanager
async def native_doors(
    configuration: Configuration,
    gate: Gate,
    identify: Identify,
    live: LiveSessions,
    worker: Worker | None = None,
) -> AsyncIterator[None]:
    """All of them, for as long as the context lasts. Raises `ConfigError`."""
    approvals = configuration.approvals
    async with AsyncExitStack() as doors:
        for number, each in enumerate(configuration.listeners):
            door: _Door
            before = _files(each.tls) if each.tls else ()
            protocols = () if isinstance(each, MysqlListener) else (ALPN,)
            if isinstance(each, MysqlListener):
                door = mysql.MysqlListener(
                    gate,
                    identify,
                    tls=_encrypted(each.tls, protocols),
                    live=live,
                    approval_wait=approvals.native,
                    target=each.target or "",
                    kind=_kind(configuration, each),
                )
            else:
                door = postgres.PostgresListener(
                    gate,
                    identify,
                    tls=_encrypted(each.tls, protocols),
                    live=live,
                    approval_wait=approvals.native,
                )
            place = each.listen.host, each.listen.port or 0
            sockets = worker.sockets(str(number)) if worker else ()
            await doors.enter_async_context(door.serving(*place, sockets))
            if each.tls:
                await doors.enter_async_context(renewing(door, each.tls, protocols, before))
        yield


def _encrypted(tls: Tls | None, protocols: Sequence[str]) -> ssl.SSLContext | None:
    return server_context(tls.certificate, tls.key, protocols) if tls else None


@asynccontextmanager
async def renewing(
    door: _Door,
    tls: Tls,
    protocols: Sequence[str],
    before: tuple[object, ...],
    every: float = RENEW_EVERY,
) -> AsyncIterator[None]:
    """New connections get the certificate that the files hold now; `before`: as they were read."""
    watch = asyncio.create_task(_renew(door, tls, protocols, before, every))
    try:
        yield
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


async def _renew(
    door: _Door, tls: Tls, protocols: Sequence[str], before: tuple[object, ...], every: float
) -> None:
    """A pair that can't be taken leaves the old one, until the files change again."""
    while True:
        await asyncio.sleep(every)
        if (now := _files(tls)) == before:
            continue
        before = now
        try:
            door.tls = server_context(tls.certificate, tls.key, protocols)
        except ConfigError as error:
            log.error("the old certificate is kept: %s", error)
        else:
            log.info("the certificate %s is taken for new connections", tls.certificate)


def _files(tls: Tls) -> tuple[object, ...]:
    """What changes whenever the files do."""
    return _file(tls.certificate), _file(tls.key)


def _file(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_ctime_ns


def _kind(configuration: Configuration, listener: MysqlListener) -> Kind:
    """Whose version is told: that of the one target, or of all of them where they are alike."""
    targets = configuration.targets
    named = [targets[listener.target]] if listener.target else list(targets.values())
    kinds = {target.kind for target in named if isinstance(target, MysqlTarget)}
    return "mariadb" if kinds == {"mariadb"} else "mysql"
