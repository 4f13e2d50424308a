"""The doors of the configuration that speak a target's own protocol."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from policies.errors import ConfigError
from server.config import Configuration, MysqlListener, MysqlTarget, Tls
from server.files import stamp
from server.gate import Gate
from server.identity.certificates import ClientCertificates
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
    clients: ClientCertificates | None = None,
    worker: Worker | None = None,
) -> AsyncIterator[None]:
    """All of them, for as long as the context lasts. Raises `ConfigError`."""
    approvals = configuration.approvals
    async with AsyncExitStack() as doors:
        for number, each in enumerate(configuration.listeners):
            door: _Door
            protocols = () if isinstance(each, MysqlListener) else (ALPN,)
            encryption = Encryption.of(each.tls, protocols, clients) if each.tls else None
            before = encryption.files() if encryption else ()
            tls = encryption.context() if encryption else None
            if isinstance(each, MysqlListener):
                door = mysql.MysqlListener(
                    gate,
                    identify,
                    tls=tls,
                    live=live,
                    approval_wait=approvals.native,
                    target=each.target or "",
                    kind=_kind(configuration, each),
                )
            else:
                door = postgres.PostgresListener(
                    gate,
                    identify,
                    tls=tls,
                    live=live,
                    approval_wait=approvals.native,
                )
            place = each.listen.host, each.listen.port or 0
            sockets = worker.sockets(str(number)) if worker else ()
            await doors.enter_async_context(door.serving(*place, sockets))
            if encryption:
                await doors.enter_async_context(renewing(door, encryption, before))
        yield


@dataclass(frozen=True, slots=True)
class Encryption:
    """What a door's TLS is made from, again whenever a file of it changes."""

    certificate: Path
    key: Path
    protocols: Sequence[str] = ()
    clients: ClientCertificates | None = None

    @classmethod
    def of(cls, tls: Tls, protocols: Sequence[str], clients: ClientCertificates | None) -> Self:
        return cls(tls.certificate, tls.key, protocols, clients)

    def context(self) -> ssl.SSLContext:
        """Raises `ConfigError`."""
        made = server_context(self.certificate, self.key, self.protocols)
        if self.clients is not None:
            self.clients.ask_for(made)
        return made

    def files(self) -> tuple[object, ...]:
        """What changes whenever they do."""
        authority = stamp(self.clients.authority) if self.clients else ()
        return stamp(self.certificate), stamp(self.key), authority


@asynccontextmanager
async def renewing(
    door: _Door,
    encryption: Encryption,
    before: tuple[object, ...],
    every: float = RENEW_EVERY,
) -> AsyncIterator[None]:
    """New connections get the certificate that the files hold now; `before`: as they were read."""
    watch = asyncio.create_task(_renew(door, encryption, before, every))
    try:
        yield
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


async def _renew(
    door: _Door, encryption: Encryption, before: tuple[object, ...], every: float
) -> None:
    """A pair that can't be taken leaves the old one, until the files change again."""
    while True:
        await asyncio.sleep(every)
        if (now := encryption.files()) == before:
            continue
        before = now
        try:
            door.tls = encryption.context()
        except ConfigError as error:
            log.error("the old certificate is kept: %s", error)
        else:
            log.info("the certificate %s is taken for new connections", encryption.certificate)


def _kind(configuration: Configuration, listener: MysqlListener) -> Kind:
    """Whose version is told: that of the one target, or of all of them where they are alike."""
    targets = configuration.targets
    named = [targets[listener.target]] if listener.target else list(targets.values())
    kinds = {target.kind for target in named if isinstance(target, MysqlTarget)}
    return "mariadb" if kinds == {"mariadb"} else "mysql"
