"""A nursery whose PostgreSQL analysis does what a comment in the statement says (tests only).

It stands for what no list of known killers has: a parser that hangs, dies, or was taken over.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import sleep as sleep_for

from policies.sql import postgres
from policies.sql.catalog import Catalog
from policies.sql.facts import SqlEffect, SqlFacts
from server.parsing import nursery, wire
from server.parsing.worker import MEMORY


def analyse(text: str, catalog: Catalog) -> SqlFacts:
    for word, act in ACTS.items():
        if f"/* {word} */" in text:
            return replace(postgres.analyse("SELECT 1", catalog), functions=frozenset(act()))
    return postgres.analyse(text, catalog)


def sleep() -> Iterator[str]:
    """Late, and not by work of its own."""
    sleep_for(60)
    yield ""


def slow() -> Iterator[str]:
    """What many statements at once, or a busy machine, make of one that is harmless."""
    sleep_for(0.05)
    yield from ()


def hang() -> Iterator[str]:
    while True:
        yield from ()


def crash() -> Iterator[str]:
    os.kill(os.getpid(), signal.SIGSEGV)
    yield ""


def bomb() -> Iterator[str]:
    """More memory than a worker may have, less than the machine has."""
    yield str(len(bytearray(MEMORY)))


def environment() -> Iterator[str]:
    """What a parser could give away."""
    yield from os.environ
    yield from os.environ.values()


def reach_out() -> Iterator[str]:
    """The names of whatever a parser can get that it should not."""
    ways: dict[str, Callable[[], object]] = {
        "file": lambda: Path("/etc/passwd").read_bytes(),
        "written file": lambda: Path("/tmp/ostiary-parser").write_bytes(b"x"),
        "socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "socket pair": socket.socketpair,
        "pipe": os.pipe,
        "removed file": lambda: Path("/tmp/ostiary-parser-remove").rmdir(),
        "renamed file": lambda: Path("/tmp/ostiary-parser-remove").rename(
            "/tmp/ostiary-parser-new"
        ),
        "made directory": lambda: Path("/tmp/ostiary-parser-made").mkdir(),
        "mode": lambda: Path("/tmp/ostiary-parser-remove").chmod(0o777),
        "parent's end": lambda: os.kill(os.getppid(), 0),
        "process": os.fork,
        "program": lambda: os.execv("/bin/true", ["true"]),
        "priority": lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19),
        "memory of the parent": lambda: read_memory(os.getppid()),
    }
    for name, way in ways.items():
        with suppress(OSError):
            way()
            yield name


def read_memory(pid: int) -> None:
    """Raises OSError where another process's memory is out of reach."""
    libc = ctypes.CDLL(None, use_errno=True)
    content = ctypes.create_string_buffer(8)
    ours = struct.pack("PN", ctypes.addressof(content), 8)
    theirs = struct.pack("PN", id(None), 8)
    got = libc.process_vm_readv(pid, ours, 1, theirs, 1, 0)
    if got < 0:
        raise OSError(ctypes.get_errno(), "process_vm_readv")


def shout(content: bytes) -> None:
    """Write to whatever is open."""
    for descriptor in range(32):
        with suppress(OSError):
            os.write(descriptor, content)


def garbage() -> Iterator[str]:
    shout(wire.HEADER.pack(12) + b"no document!")
    yield ""


def flood() -> Iterator[str]:
    shout(wire.HEADER.pack(0xFFFFFFFF))
    yield ""


def twice() -> Iterator[str]:
    """Facts for a statement that nobody has asked about."""
    facts = SqlFacts(SqlEffect.READ)
    shout(wire.answer_frame(1_000_000, facts))
    yield ""


def no_facts() -> Iterator[str]:
    shout(wire.HEADER.pack(36) + b'{"about":1,"facts":{"effect":"read"}')
    yield ""


def slander() -> Iterator[str]:
    """Facts, and a claim that they took a thousand years. The first answer of a worker is 1."""
    shout(wire.answer_frame(1, SqlFacts(SqlEffect.READ), 3e10))
    sleep_for(60)
    yield ""


ACTS: Mapping[str, Callable[[], Iterator[str]]] = {
    "sleep": sleep,
    "hang": hang,
    "slow": slow,
    "crash": crash,
    "bomb": bomb,
    "environment": environment,
    "reach out": reach_out,
    "garbage": garbage,
    "flood": flood,
    "twice": twice,
    "no facts": no_facts,
    "slander": slander,
}


if __name__ == "__main__":
    nursery.run({"postgres": analyse})
