"""`ostiary demo`: a sample database, an identity provider, a gateway between them, and a tour."""

from __future__ import annotations

import asyncio
import signal
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from policies.errors import ConfigError
from server import embedded
from server.demo import shop
from server.demo.command_line import CommandLine, Psql
from server.demo.farewell import farewell
from server.demo.gateway import HOST, check_ports, gateway, identity_provider
from server.demo.stage import Stage
from server.demo.tour import Tour, play
from server.embedded import EmbeddedServer
from server.identity.demo import TOKEN_SECONDS, VICTOR, DemoProvider
from server.identity.demo_routes import DemoRoutes
from server.keys import KeyRing
from server.system_account import write_private

After = Callable[["Place", asyncio.Task[int]], Awaitable[None]]
"""What comes after the tour."""

AGENT: Final = "demo-agent"
REVIEWER: Final = "demo-reviewer"
"""The reviewer's own client: the starter policies take decisions from its forms."""

_STORE: Final = "ostiary"
_CONFIGURATION: Final = Path(__file__).parent / "ostiary.yaml"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the demo lives: its directory and its ports."""

    state: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def issuer(self) -> str:
        return f"http://{HOST}:{self.port + 1}"

    @property
    def postgres(self) -> int:
        """The port of the gateway's PostgreSQL listener."""
        return self.port + 2

    @property
    def configuration(self) -> Path:
        return self.state / "ostiary.yaml"


def run(arguments: Namespace) -> int:
    """Play the tour, then stay until interrupted. 0 if every step did what it says, else 1.

    `arguments`: `port`, `state` (a directory), `tour_only` (end after the tour). Raises
    `ConfigError` for a port or a directory that is in use, `BackendUnavailable`.
    """
    place = Place(Path(arguments.state).absolute(), int(arguments.port))
    after = _nothing if arguments.tour_only else _stay
    try:
        return asyncio.run(_run(place, after))
    except asyncio.CancelledError:  # by SIGTERM; what was started has been stopped
        return 1


async def _run(place: Place, after: After) -> int:
    check_ports(place.port)
    _end_on_sigterm()
    async with AsyncExitStack() as lifetime:
        return await _play(place, lifetime, after)


def _end_on_sigterm() -> None:
    """As on Ctrl-C: the database is stopped as well, and not left behind."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


async def _play(place: Place, lifetime: AsyncExitStack, after: After) -> int:
    stage = Stage.on_terminal()
    stage.prose([f"Setting up the demo in {place.state} …"])
    database = await _database(place, lifetime)
    tokens = await _identity(place, lifetime)
    log = place.state / "gateway.log"
    ended = await lifetime.enter_async_context(gateway(place.configuration, place.url, log))
    async with _direct(database) as direct:
        command_line = CommandLine(place.url, tokens["victor"])
        psql = Psql(HOST, place.postgres, shop.DATABASE)
        passed = await play(Tour(stage, f"{place.url}/mcp", tokens, direct, command_line, psql))
    stage.prose(_verdict(stage))
    await after(place, ended)
    return 0 if passed and not ended.done() else 1


async def _nothing(_place: Place, _ended: asyncio.Task[int]) -> None:
    """The tour was all."""


async def _stay(place: Place, ended: asyncio.Task[int]) -> None:
    """Say what to paste, until the gateway ends by itself or somebody ends the demo."""
    for line in farewell(place.url, place.state, place.postgres):
        print(line, flush=True)
    try:
        await asyncio.wait([ended])
        print(f"The gateway has ended; see {place.state / 'gateway.log'}", flush=True)
    except asyncio.CancelledError:
        print("\nStopping the demo …", flush=True)  # this is how it ends well


def _verdict(stage: Stage) -> list[str]:
    if not stage.failures:
        return ["", f"All {stage.steps} steps did what they say."]
    return ["", "NOT everything did what it says:", *(f"  {f}" for f in stage.failures)]


# --- setting up ----------------------------------------------------------------------------------


async def _database(place: Place, lifetime: AsyncExitStack) -> EmbeddedServer:
    """The server of the store and the shop, with a new shop, and everything that refers to it."""
    _make_state(place.state)
    server = await embedded.start(place.state / "postgres")
    if server.lock is None:
        raise ConfigError(
            f"a demo runs in {place.state} already; stop it, or choose: make demo STATE=other"
        )
    lifetime.push_async_callback(server.stop)
    roles = shop.roles_in(place.state)
    await _recreate(server, shop.DATABASE)
    async with _direct(server) as superuser:
        await shop.create(superuser, roles)
    await _keys(place, server)
    _write_configuration(place, server)
    return server


def _make_state(state: Path) -> None:
    """What is secret in it is readable by its owner only; the server's account must pass."""
    state.mkdir(parents=True, exist_ok=True)


async def _keys(place: Place, server: EmbeddedServer) -> None:
    """A store that an older key ring wrote can't be verified with a new one: both are new."""
    path = place.state / "keys.json"
    if not path.exists():
        KeyRing.create(path)
        await _recreate(server, _STORE)


async def _recreate(server: EmbeddedServer, database: str) -> None:
    connection = await asyncpg.connect(server.dsn("postgres"), timeout=30)
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
        await connection.execute(f'CREATE DATABASE "{database}"')
    finally:
        await connection.close()


def _write_configuration(place: Place, server: EmbeddedServer) -> None:
    text = _CONFIGURATION.read_text()
    values = {
        "@LISTEN@": f"{HOST}:{place.port}",
        "@POSTGRES@": f"{HOST}:{place.postgres}",
        "@URL@": place.url,
        "@ISSUER@": place.issuer,
        "@SOCKETS@": str(server.socket_directory),
    }
    for name, value in values.items():
        text = text.replace(name, value)
    write_private(place.configuration, text)


async def _identity(place: Place, lifetime: AsyncExitStack) -> dict[str, str]:
    """Serve the provider; a token for each account, kept in a file for pasting."""
    provider = DemoProvider(directory=place.state, issuer=place.issuer, audience=f"{place.url}/mcp")
    app = DemoRoutes(provider).app()
    await lifetime.enter_async_context(identity_provider(app, place.port + 1))
    agents = {VICTOR.name: REVIEWER}
    tokens = {
        name: provider.token(name, seconds=TOKEN_SECONDS, agent=agents.get(name, AGENT))
        for name in provider.accounts
    }
    for name, token in tokens.items():
        write_private(place.state / f"{name}.token", token + "\n")
    return tokens


@asynccontextmanager
async def _direct(server: EmbeddedServer) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(server.dsn(shop.DATABASE), timeout=30)
    try:
        yield connection
    finally:
        await connection.close()
