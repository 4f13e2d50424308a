"""A parser process: catalogs and statements in, facts out, one after another. Nothing else.

It may open no file and no socket, start no process, and take no more memory than it is given.
What goes wrong in here ends it, and the gateway refuses the statement.
"""

from __future__ import annotations

import marshal
import os
import pickle
import resource
import signal
import socket
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from time import process_time
from typing import Any, BinaryIO, Final

from policies.sql.catalog import Catalog, Relation
from policies.sql.facts import TableName
from server.parsing import wire
from server.parsing.seccomp import compute_and_answer_only
from server.parsing.wire import Analyse

MEMORY: Final = 512 * 1024 * 1024
"""Bytes of address space: some 80 MB are Python's and the parsers' libraries."""

LONGEST: Final = 3.0
"""Seconds of processor time for one statement, after which the kernel ends the process.

The gateway kills it earlier; this is for a gateway that is stopped itself.
"""

CATALOGS: Final = 64
"""Kept ready: names with the search path and what else belongs to a session."""


class Relations(Mapping[TableName, Relation]):
    """The relations of a catalog, made when they are named: few of 5,000 ever are."""

    def __init__(self, pickled: Mapping[TableName, bytes]) -> None:
        self._pickled = pickled
        self._made: dict[TableName, Relation] = {}

    def __getitem__(self, name: TableName) -> Relation:
        made = self._made.get(name)
        if made is None:
            # Only the gateway writes to this process.
            made = self._made[name] = pickle.loads(self._pickled[name])  # noqa: S301
        return made

    def __contains__(self, name: object) -> bool:
        return name in self._pickled

    def __iter__(self) -> Iterator[TableName]:
        return iter(self._pickled)

    def __len__(self) -> int:
        return len(self._pickled)


class ByOid(Mapping[int, Relation]):
    """The same relations by oid."""

    def __init__(self, names: Mapping[int, TableName], relations: Relations) -> None:
        self._names = names
        self._relations = relations

    def __getitem__(self, oid: int) -> Relation:
        return self._relations[self._names[oid]]

    def __iter__(self) -> Iterator[int]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass(slots=True)
class Catalogs:
    """What this worker was given of its targets' names."""

    _names: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    _made: OrderedDict[tuple[int, bytes], Catalog] = field(default_factory=OrderedDict)

    def learn(self, number: int, blob: bytes) -> None:
        """Names under a number, as `server.parsing.names` writes them."""
        relations, oids, rest = pickle.loads(blob)  # noqa: S301 - the gateway's own
        lazy = Relations(relations)
        self._names[number] = {**rest, "relations": lazy, "by_oid": ByOid(oids, lazy)}

    def forget(self, number: int) -> None:
        del self._names[number]
        for key in [key for key in self._made if key[0] == number]:
            del self._made[key]

    def catalog(self, number: int, around: bytes) -> Catalog:
        """Names in their surroundings: the search path, the version and the like."""
        made = self._made.get((number, around))
        if made is None:
            made = Catalog(**self._names[number], **marshal.loads(around))  # noqa: S302
            self._made[number, around] = made
            if len(self._made) > CATALOGS:
                self._made.popitem(last=False)
        return made


def serve(connection: socket.socket, analyses: Mapping[str, Analyse]) -> None:
    """Answer until the gateway's end closes, as it does when the gateway dies."""
    catalogs = Catalogs()
    requests = connection.makefile("rb")
    confine()
    connection.sendall(wire.answer_frame(os.getpid()))
    while (content := _frame(requests)) is not None:
        match marshal.loads(content):  # noqa: S302 - the gateway's own
            case (wire.ANALYSE, int(number), str(dialect), int(names), bytes(around), str(text)):
                signal.setitimer(signal.ITIMER_PROF, LONGEST)
                begun = process_time()
                facts = analyses[dialect](text, catalogs.catalog(names, around))
                connection.sendall(wire.answer_frame(number, facts, process_time() - begun))
                signal.setitimer(signal.ITIMER_PROF, 0)
            case (wire.NAMES, int(number), bytes(blob)):
                catalogs.learn(number, blob)
                connection.sendall(wire.answer_frame(number))
            case (wire.FORGET, int(number)):
                catalogs.forget(number)


def confine() -> None:
    """No more files, sockets or processes, no cores, and no more memory than MEMORY.

    Nor any other call to the system than computing and answering need.

    What is open already stays so: that is the connection to the gateway, and nothing else.
    """
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for limit in (
        resource.RLIMIT_NOFILE,
        resource.RLIMIT_NPROC,
        resource.RLIMIT_FSIZE,
        resource.RLIMIT_CORE,
    ):
        resource.setrlimit(limit, (0, 0))
    compute_and_answer_only()


def _frame(requests: BinaryIO) -> bytes | None:
    header = requests.read(wire.HEADER.size)
    if len(header) < wire.HEADER.size:
        return None
    (length,) = wire.HEADER.unpack(header)
    content = requests.read(length)
    return content if len(content) == length else None
