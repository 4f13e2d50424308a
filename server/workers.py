"""`ostiary serve --workers N`: several gateways on the same ports and one store, as one program.

The program opens the ports, keeps an embedded store, and starts a worker anew when one ends. Each
worker is a gateway like any other on the store; it has a socket of its own besides, by which the
others pass on what can only be answered there.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from policies.errors import ConfigError
from server import embedded
from server.config import Configuration, load
from server.native.accepting import listening

_log = logging.getLogger("ostiary.workers")

MOST: Final = 64
HTTP: Final = "http"
"""The HTTP door among the sockets; listeners are there by their number."""

VARIABLE: Final = "OSTIARY_WORKER"
_AGAIN_AFTER: Final = 1.0  # seconds
_NEVER_STARTED: Final = 10.0
"""Seconds within which a first worker that ends is one that can't start, and ends the program."""
_STOPPED_WITHIN: Final = 30.0


@dataclass(frozen=True, slots=True)
class Worker:
    """What a worker has from the program: open files by door, and where the workers' sockets are.

    `alive` is a pipe that ends with the program.
    """

    number: int
    count: int
    doors: Mapping[str, Sequence[int]]
    directory: str
    alive: int

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Worker | None:
        """None for a gateway by itself."""
        given = environment.get(VARIABLE)
        return cls(**json.loads(given)) if given else None

    def sockets(self, door: str) -> list[socket.socket]:
        """The listening sockets of a door."""
        return [socket.socket(fileno=os.dup(number)) for number in self.doors[door]]

    def place(self, number: int) -> Path:
        """Where a worker listens for the others."""
        return Path(self.directory) / f"{number}.sock"

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """While open, the process is told to stop when the program is gone."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self.alive, os.kill, os.getpid(), signal.SIGTERM)
        try:
            yield
        finally:
            loop.remove_reader(self.alive)


async def serve(path: Path, workers: int) -> int:
    """Run so many workers until SIGINT or SIGTERM; 1 where they can't start.

    Raises `ConfigError`, and `BackendUnavailable` for an embedded store.
    """
    if not 1 <= workers <= MOST:
        raise ConfigError(f"--workers {workers}: write a number from 1 to {MOST}")
    configuration = load(path)
    async with AsyncExitStack() as lifetime:
        if configuration.store.url is None:
            store = await embedded.start(configuration.state / "postgres")
            lifetime.push_async_callback(store.stop)
        opened = lifetime.enter_context(ExitStack())
        doors = await _open(configuration, opened)
        directory = opened.enter_context(tempfile.TemporaryDirectory(prefix="ostiary-"))
        ours, theirs = os.pipe()
        opened.callback(os.close, theirs)
        opened.callback(os.close, ours)
        program = _Program(path, workers, doors, directory, ours)
        return await program.run()


async def _open(configuration: Configuration, opened: ExitStack) -> dict[str, list[int]]:
    places = {HTTP: configuration.gateway.listen}
    places |= {str(n): each.listen for n, each in enumerate(configuration.listeners)}
    doors: dict[str, list[int]] = {}
    for door, place in places.items():
        sockets = await listening(place.host, place.port or 0)
        for each in sockets:
            opened.enter_context(each)
        doors[door] = [each.fileno() for each in sockets]
    return doors


@dataclass(slots=True)
class _Program:
    path: Path
    workers: int
    doors: Mapping[str, Sequence[int]]
    directory: str
    alive: int
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _processes: dict[int, asyncio.subprocess.Process] = field(default_factory=dict)

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, self._stopping.set)
        keeping = [asyncio.create_task(self._keep(number)) for number in range(self.workers)]
        stopping = asyncio.create_task(self._stop())
        failed = [code for code in await asyncio.gather(*keeping) if code]
        stopping.cancel()
        return 1 if failed else 0

    async def _keep(self, number: int) -> int:
        """One worker after the other; the code of one that can't start, else 0."""
        loop = asyncio.get_running_loop()
        first = True
        while not self._stopping.is_set():
            begun = loop.time()
            process = await self._start(number)
            self._processes[number] = process
            if self._stopping.is_set():
                process.terminate()
            code = await process.wait()
            del self._processes[number]
            if self._stopping.is_set():
                break
            if first and loop.time() - begun < _NEVER_STARTED:
                self._stopping.set()
                return code or 1
            _log.error("worker %d ended with %d; another one is started", number, code)
            first = False
            await asyncio.sleep(_AGAIN_AFTER)
        return 0

    async def _start(self, number: int) -> asyncio.subprocess.Process:
        worker = Worker(number, self.workers, self.doors, self.directory, self.alive)
        files = [file for files in self.doors.values() for file in files]
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "server.cli", "serve", "--config", str(self.path)),
            env={**os.environ, VARIABLE: json.dumps(asdict(worker))},
            pass_fds=(*files, self.alive),
            start_new_session=True,  # an interrupt at a terminal is the program's to hear
        )

    async def _stop(self) -> None:
        """Tell all of them, and end those that do not hear."""
        await self._stopping.wait()
        for process in tuple(self._processes.values()):
            process.terminate()
        await asyncio.sleep(_STOPPED_WITHIN)
        for process in tuple(self._processes.values()):
            process.kill()
