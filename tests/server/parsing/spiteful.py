"""A nursery whose PostgreSQL analysis does what a comment in the statement says (tests only).

It stands for what no list of known killers has: a parser that hangs, dies, or was taken over.
"""

from __future__ import annotations

import os
import signal
import socket
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
    }
    for name, way in ways.items():
        with suppress(OSError):
            way()
            yield name


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


ACTS: Mapping[str, Callable[[], Iterator[str]]] = {
    "sleep": sleep,
    "hang": hang,
    "crash": crash,
    "bomb": bomb,
    "environment": environment,
    "reach out": reach_out,
    "garbage": garbage,
    "flood": flood,
    "twice": twice,
    "no facts": no_facts,
}


if __name__ == "__main__":
    nursery.run({"postgres": analyse})
