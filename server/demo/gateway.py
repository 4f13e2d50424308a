"""The two servers of the demo: its identity provider in this process, the gateway in its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import httpx2
import uvicorn
from starlette.types import ASGIApp

from policies.errors import BackendUnavailable, ConfigError
from server.demo.command_line import program

HOST: Final = "127.0.0.1"
PORTS: Final = 3
"""The gateway's, the identity provider's, and that of the gateway's PostgreSQL listener."""
_READY_WITHIN: Final = 60.0  # seconds
_STOPPED_WITHIN: Final = 15.0  # seconds


def check_ports(first: int) -> None:
    """The gateway's port and the next ones, see `PORTS`. Raises `ConfigError`."""
    for port in range(first, first + PORTS):
        if not _is_free(port):
            raise ConfigError(
                f"port {port} on {HOST} is in use; choose another: make demo PORT={_free(first)}"
            )


def _free(after: int) -> int:
    """The next ports that are all free."""
    candidates = range(after + 1, 65_000)
    return next((p for p in candidates if all(map(_is_free, range(p, p + PORTS)))), after + 1)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


class _Server(uvicorn.Server):
    """Leaves signals to the demo, which has a database to stop as well."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def identity_provider(app: ASGIApp, port: int) -> AsyncIterator[None]:
    """Serve the demo's identity provider on loopback."""
    server = _Server(
        uvicorn.Config(app, host=HOST, port=port, log_level="critical", lifespan="off", ws="none")
    )
    serving = asyncio.create_task(server.serve())
    try:
        yield
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def gateway(configuration: Path, url: str, log: Path) -> AsyncIterator[asyncio.Task[int]]:
    """`ostiary serve`, ready; the task ends with the process, should it end by itself.

    Raises `BackendUnavailable` when it does not come up.
    """
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *program("serve", "--config", str(configuration)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # the terminal's Ctrl-C is for the demo, which then ends it
        )
    ended = asyncio.create_task(process.wait())
    try:
        await _until_ready(url, ended, log)
        yield ended
    finally:
        await _stop(process, ended)


async def _until_ready(url: str, ended: asyncio.Task[int], log: Path) -> None:
    try:
        async with asyncio.timeout(_READY_WITHIN), httpx2.AsyncClient() as http:
            while not ended.done():
                with suppress(httpx2.HTTPError):
                    if (await http.get(f"{url}/healthz")).status_code == 200:
                        return
                await asyncio.sleep(0.1)
    except TimeoutError:
        pass
    raise BackendUnavailable(f"the gateway did not start:\n{_last_lines(log)}")


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:]) + f"\n(from {log})"


async def _stop(process: asyncio.subprocess.Process, ended: asyncio.Task[int]) -> None:
    if ended.done():
        return
    process.terminate()
    try:
        await asyncio.wait_for(asyncio.shield(ended), _STOPPED_WITHIN)
    except TimeoutError:
        process.kill()
        await ended
