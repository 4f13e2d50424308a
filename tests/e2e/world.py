"""A whole gateway for tests: real PostgreSQL, a real OpenID provider, `ostiary serve` as a process.

The target's roles may do anything there, so that only the gate can refuse; `direct` looks at the
state over a second connection.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx2
import uvicorn
import yaml
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from server.identity.demo import DemoProvider
from server.identity.demo_routes import DemoRoutes
from server.keys import KeyRing
from tests.e2e.certificates import Certificates
from tests.fixtures.postgres import PostgresServer, execute

READY_WITHIN: Final = 30.0
BACKEND_PASSWORD: Final = "canary-backend-password-7f3a"
UNLIMITED: Final = {
    who: {"calls_per_minute": 10**7, "statements_per_minute": 10**8, "concurrent": 1000}
    for who in ("per_principal", "per_agent")
}
"""Tests of load are not about limits."""

SCHEMA: Final = (Path(__file__).parent / "shop.sql").read_text()
PORTS: Final = range(20_000, 32_000)
"""Below those that outgoing connections have, on Linux and elsewhere."""


def free_port() -> int:
    """One that nothing listens on, and that the system gives to no outgoing connection."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


class ProviderThread:
    """The demo identity provider on a port of its own."""

    def __init__(self, directory: Path, audience: str) -> None:
        port = free_port()
        self.provider = DemoProvider(
            directory=directory, issuer=f"http://127.0.0.1:{port}", audience=audience
        )
        app = DemoRoutes(self.provider).app()
        settings = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning")
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        deadline = time.monotonic() + READY_WITHIN
        while not self._server.started:
            assert time.monotonic() < deadline, "the identity provider does not start"
            time.sleep(0.01)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)


@dataclass(slots=True)
class World:
    """One gateway with all it needs; `start` and `kill` may be called again and again."""

    directory: Path
    postgres: PostgresServer
    database: str
    store: str
    provider: ProviderThread
    port: int
    listener: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    tls: Certificates | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return place(self.port, self.tls)

    @property
    def trust(self) -> ssl.SSLContext | bool:
        """What a client of this gateway trusts."""
        return self.tls.trust if self.tls else True

    @property
    def file(self) -> Path:
        return self.directory / "ostiary.yaml"

    @property
    def log(self) -> Path:
        return self.directory / "gateway.log"

    @property
    def direct_dsn(self) -> str:
        return self.postgres.dsn(self.database)

    @property
    def store_dsn(self) -> str:
        return self.postgres.dsn(self.store)

    def configuration(self) -> dict[str, Any]:
        login = {"user": f"{self.database}_admin", "password": "env:E2E_BACKEND_PASSWORD"}
        encrypted = {"tls": self.tls.document} if self.tls else {}
        base: dict[str, Any] = {
            "gateway": {
                "listen": f"127.0.0.1:{self.port}",
                "public_url": self.url,
                **encrypted,
            },
            "store": {"url": "env:E2E_STORE_URL"},
            "keys": f"file:{self.directory}/keys.json",
            "identity": {
                "issuers": [
                    {
                        "name": "demo",
                        "issuer": self.provider.provider.issuer,
                        "audience": f"{self.url}/mcp",
                        "algorithms": ["ES256"],
                        "client_id": "ostiary-cli",
                        "console": {"client_id": "ostiary-console"},
                    }
                ]
            },
            "policies": "starter",
            "approvals": {"expire_after": "15m", "hold": "1s", "native": "200ms"},
            "limits": UNLIMITED,
            "targets": {
                "shop": {
                    "kind": "postgres",
                    "environment": "production",
                    "address": f"unix:{self.postgres.socket_directory}",
                    "database": self.database,
                    "tls": "disable",
                    "reader": login,
                    "writer": login,
                    "columns": [
                        {"column": "public.customers.email", "label": "pii", "mask": "email"},
                        {"column": "public.customers.ssn", "label": "pii", "mask": "keep_last(4)"},
                        {"column": "public.customers.phone", "label": "pii", "mask": "redact"},
                    ],
                }
            },
            "listeners": [{"protocol": "postgres", "listen": f"127.0.0.1:{self.listener}"}],
        }
        return {**base, **self.settings}

    @property
    def environment(self) -> dict[str, str]:
        """The gateway's, with the secrets that its configuration refers to."""
        return {**os.environ, **self.variables}

    def configure(self) -> Path:
        """Write the configuration file."""
        self.file.write_text(yaml.safe_dump(self.configuration()))
        return self.file

    def start(self, *arguments: str) -> None:
        path = self.configure()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "server.cli", "serve", "--config", str(path), *arguments],
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        self._await_ready()

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            try:
                if httpx2.get(f"{self.url}/healthz", verify=self.trust).status_code == 200:
                    return
            except httpx2.TransportError:
                time.sleep(0.05)
        raise AssertionError(f"the gateway does not get ready:\n{self.log.read_text()}")

    @property
    def complaints(self) -> str:
        """What the gateway wrote beside the one line that says what it serves."""
        lines = self.log.read_text().splitlines()
        return "\n".join(line for line in lines if not line.startswith(f"serving {self.url}"))

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=10)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=20)

    def token(self, account: str, *, agent: str = "test-agent", seconds: int = 600) -> str:
        return self.provider.provider.token(account, seconds=seconds, agent=agent)

    @asynccontextmanager
    async def mcp(
        self, account: str, *, mode: str = "auto", agent: str = "test-agent", **client: Any
    ) -> AsyncIterator[Client]:
        headers = {"Authorization": f"Bearer {self.token(account, agent=agent)}"}
        timeout = httpx2.Timeout(30, read=120)
        async with httpx2.AsyncClient(headers=headers, timeout=timeout, verify=self.trust) as http:
            transport = streamable_http_client(f"{self.url}/mcp", http_client=http)
            async with Client(transport, mode=mode, **client) as connected:
                yield connected

    @asynccontextmanager
    async def direct(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        connection = await asyncpg.connect(self.direct_dsn, timeout=10)
        try:
            yield connection
        finally:
            await connection.close()

    def direct_execute(self, script: str) -> None:
        """Run a script on the target, as its superuser, before any test's loop is there."""
        apart(execute(self.direct_dsn, script))

    @asynccontextmanager
    async def journal(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        connection = await asyncpg.connect(self.store_dsn, timeout=10)
        try:
            yield connection
        finally:
            await connection.close()

    def as_user(self, account: str) -> dict[str, str]:
        """The environment of a person's command line."""
        trusted = {"SSL_CERT_FILE": str(self.tls.authority)} if self.tls else {}
        return {
            **os.environ,
            **trusted,
            "OSTIARY_TOKEN": self.token(account, agent="ostiary-cli"),
            "OSTIARY_GATEWAY": self.url,
        }

    def cli(self, account: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "server.cli", *arguments],
            env=self.as_user(account),
            capture_output=True,
            text=True,
            timeout=60,
        )


async def prepare(postgres: PostgresServer, database: str, store: str) -> None:
    """A sample database whose only role, the gateway's, may do anything; and an empty store."""
    admin = await asyncpg.connect(postgres.dsn("postgres"), timeout=10)
    try:
        await admin.execute(f"CREATE DATABASE {database}")
        await admin.execute(f"CREATE DATABASE {store}")
        await admin.execute(
            f"CREATE ROLE {database}_admin SUPERUSER LOGIN PASSWORD '{BACKEND_PASSWORD}'"
        )
    finally:
        await admin.close()
    shop = await asyncpg.connect(postgres.dsn(database), timeout=10)
    try:
        await shop.execute(SCHEMA)
    finally:
        await shop.close()


async def remove(postgres: PostgresServer, database: str, store: str) -> None:
    admin = await asyncpg.connect(postgres.dsn("postgres"), timeout=10)
    try:
        await admin.execute(f"DROP DATABASE {database} WITH (FORCE)")
        await admin.execute(f"DROP DATABASE {store} WITH (FORCE)")
        await admin.execute(f"DROP ROLE {database}_admin")
    finally:
        await admin.close()


def apart(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end on a loop of its own, also where a test's loop is running."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result(timeout=60)


def place(port: int, tls: Certificates | None) -> str:
    return f"{'https' if tls else 'http'}://127.0.0.1:{port}"


def build(
    directory: Path,
    postgres: PostgresServer,
    name: str,
    *,
    tls: Certificates | None = None,
    **settings: Any,
) -> World:
    """A world that is ready to start."""
    apart(prepare(postgres, f"shop_{name}", f"store_{name}"))
    port = free_port()
    provider = ProviderThread(directory, f"{place(port, tls)}/mcp")
    provider.start()
    KeyRing.create(directory / "keys.json")
    store = f"store_{name}"
    return World(
        directory=directory,
        postgres=postgres,
        database=f"shop_{name}",
        store=store,
        provider=provider,
        port=port,
        listener=free_port(),
        settings=settings,
        tls=tls,
        variables={
            "E2E_BACKEND_PASSWORD": BACKEND_PASSWORD,
            "E2E_STORE_URL": postgres.dsn(store),
        },
    )


def tear_down(world: World) -> None:
    world.stop()
    world.provider.stop()
    apart(remove(world.postgres, world.database, world.store))
