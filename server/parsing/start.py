"""The gateway's end of the nursery: starts it with nothing of the gateway's, forks and kills."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from server.parsing import wire

NURSERY: Final = "server.parsing.nursery"

# Where some builds of Python find their own library. Nothing else of the environment is needed.
_KEPT: Final = ("LD_LIBRARY_PATH",)


class Nursery:
    """A running nursery. `ended` is called once, when it is gone."""

    def __init__(self, program: str, dialects: Sequence[str], ended: Callable[[], None]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", program, *dialects],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # a trace could hold parts of statements
                cwd="/",
                env={name: os.environ[name] for name in _KEPT if name in os.environ},
                start_new_session=True,
            )
        ours.setblocking(False)
        self._control = ours
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(ours.fileno(), self._hear)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def fork(self) -> socket.socket:
        """The gateway's end of a connection to a new worker, which says its process id first."""
        ours, theirs = socket.socketpair()
        with theirs, suppress(OSError):  # a nursery that is gone ends: ours will, too
            socket.send_fds(self._control, [wire.ORDER.pack(wire.FORK, 0)], [theirs.fileno()])
        ours.setblocking(False)
        return ours

    def kill_worker(self, pid: int) -> None:
        """Have a worker killed, if it is one, and its process id given back."""
        with suppress(OSError):
            self._control.send(wire.ORDER.pack(wire.KILL, pid))

    def kill(self) -> None:
        """End it, and by that every worker: the kernel sends each of them a SIGKILL too."""
        self._process.kill()

    def close(self) -> None:
        """End it, and wait until it is gone."""
        self._loop.remove_reader(self._control.fileno())
        self._control.close()
        self._process.kill()
        self._process.wait()

    def _hear(self) -> None:
        with suppress(BlockingIOError, ConnectionError):
            if self._control.recv(1):
                return  # it has nothing to say
        self._loop.remove_reader(self._control.fileno())
        self._ended()
