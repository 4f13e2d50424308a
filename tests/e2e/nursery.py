"""A process that has loaded the gateway, and forks one for each life: starting costs no imports.

Run as a program it takes one order a line, and says the new process's number. It opens nothing and
starts no thread before it forks, so a child is what `ostiary serve` is after its imports, and runs
that very command. The mask worker is left out (its program is `false`): nothing here is scanned,
and a thousand workers would import Presidio a thousand times.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.e2e.certificates import Certificates

GONE_WITHIN: Final = 10.0  # seconds


@dataclass(slots=True)
class Nursery:
    """The test's side of it; used with `with`."""

    environment: Mapping[str, str]
    log: Path
    _process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.nursery"],
                env={**self.environment, "SSL_CERT_FILE": str(self._one_certificate())},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        if self._say() != "ready":
            self.close()
            raise AssertionError(self.log.read_text())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _one_certificate(self) -> Path:
        """All that is trusted: to load those of the world takes a third of a start."""
        directory = self.log.parent / "trusted"
        directory.mkdir(exist_ok=True)
        return Certificates.make(directory).authority

    def close(self) -> None:
        """What was forked lives on."""
        assert self._process is not None
        self._process.kill()
        self._process.communicate()

    def fork(self, configuration: Path) -> int:
        """A gateway that begins to start now; its process number."""
        assert self._process is not None
        assert self._process.stdin is not None
        order = {"configuration": str(configuration), "log": str(self.log)}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._say())

    def _say(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def kill(pid: int) -> None:
    """`kill -9`, and wait until it is gone."""
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + GONE_WITHIN
    while alive(pid):
        assert time.monotonic() < deadline, f"{pid} outlives kill -9"
        time.sleep(0.001)


def serve_orders() -> None:
    """The program: load, then fork a gateway for each order."""
    from server import cli  # noqa: PLC0415 -- the test that imports this module loads none of it
    from server.commands import run  # noqa: PLC0415

    assert run.serve is not None
    assert threading.active_count() == 1
    multiprocessing.set_executable(shutil.which("false") or "/bin/false")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are gone at once
    gc.freeze()  # what was loaded is shared by all, and left alone
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become_gateway(order["log"])
            os._exit(cli.main(["serve", "--config", order["configuration"]]))
        print(pid, flush=True)


def _become_gateway(log: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    written = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(written, 1)
    os.dup2(written, 2)


if __name__ == "__main__":
    serve_orders()
