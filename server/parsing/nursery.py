"""`python -m server.parsing.nursery DIALECT …`: one process that forks parser processes.

It imports the parsers once, so that a worker that was killed has a successor in milliseconds, and
all of them share that memory. It has one thread, parses nothing and holds nothing of the
gateway's: it is started anew, with an empty environment. Standard input is the gateway's end.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Final

from policies.sql.catalog import Catalog
from server.parsing import wire
from server.parsing.wire import Analyse
from server.parsing.worker import serve

MODULES: Final = {
    "postgres": "policies.sql.postgres",
    "mysql": "policies.sql.mysql",
    "mariadb": "policies.sql.mysql",
}
"""By dialect. Each has an `analyse`."""

_PR_SET_PDEATHSIG: Final = 1
_NOTHING: Final = Catalog("", "", (), {}, {}, frozenset(), frozenset())
# What is imported late, or made at first use, belongs before the fork.
_WARM_UP: Final = ("SELECT 1 + 1, 'a' AS b", "SELECT nothing FROM nowhere", "SELECT (", "")


def run(analyses: Mapping[str, Analyse]) -> None:
    """Fork and kill workers as the gateway says, until its end closes."""
    _outlive_nobody(os.getppid())
    for ignored in (signal.SIGINT, signal.SIGTERM):  # the gateway says when to stop
        signal.signal(ignored, signal.SIG_IGN)
    for analyse in analyses.values():
        for text in _WARM_UP:
            analyse(text, _NOTHING)
    gc.collect()
    gc.freeze()  # else a collection in a worker would copy all of the shared memory
    with socket.socket(fileno=sys.stdin.fileno()) as control:
        _obey(control, analyses)


def _obey(control: socket.socket, analyses: Mapping[str, Analyse]) -> None:
    workers: set[int] = set()
    while True:
        order, received, _, _ = socket.recv_fds(control, wire.ORDER.size, 1)
        if len(order) < wire.ORDER.size:
            return
        what, pid = wire.ORDER.unpack(order)
        if what == wire.FORK:
            with socket.socket(fileno=received[0]) as connection:
                workers.add(_fork(control, connection, analyses))
        elif pid in workers:  # not reaped before, so nobody else can have its id
            workers.remove(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _fork(
    control: socket.socket, connection: socket.socket, analyses: Mapping[str, Analyse]
) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        _outlive_nobody(parent)
        control.close()
        serve(connection, analyses)
    finally:
        os._exit(1)  # never back into the nursery's loop, whatever was raised


def _outlive_nobody(parent: int) -> None:
    """The kernel ends this process when its parent dies, also while it is stopped or busy."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def main() -> None:
    run({dialect: import_module(MODULES[dialect]).analyse for dialect in sys.argv[1:]})


if __name__ == "__main__":
    main()
