"""`make bench`: result sets on their way through the gateway, beside decoding and encoding them.

A server's bytes go in at the codec as sockets bring them, are shaped as the gate shapes them
(limit, mask, record) with the real recognizers in their worker, and come out as the client gets
them. The other side decodes each row, masks cell by cell, and encodes each row. Both run on one
core together with the worker, so that what is printed is per core; `cpu` is by processor time
instead of the clock, which other programs on the machine disturb less. A step is the processor
time that the gateway's process worked without giving anybody else a turn. The bounds are for
`cpu`, in the median of the rounds. Ends with 1 if one is missed.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Final

import uvloop

from masking.cells import Masker
from masking.operators import PseudonymKey
from masking.scanning import ScanWorker
from masking.shapes import ColumnShape, Mask, Scan, Treatment
from masking.spans import NOT_SCANNED
from policies.model import Decision, Effect, MaskLabels, Target
from policies.sql.catalog import Catalog, Relation
from policies.sql.catalog import Column as CatalogColumn
from policies.sql.facts import SqlEffect, SqlFacts, TableName
from recordings.batches import each, one_by_one
from recordings.events import Columns, Event, Rows
from recordings.journal import Record
from recordings.rows import decode_postgres, encode_postgres
from server.backends import Backend, ColumnRule, Snapshot
from server.obligations import Delivery, Shaping, shape
from server.parsing.in_process import InProcess
from server.protocols.postgres.codec import NEED_DATA, BackendReader, RowRun
from server.protocols.postgres.plan import Asks
from server.protocols.postgres.wording import worded
from tests.bench.calls import cores, on
from tests.bench.processors import processor_seconds_of
from tests.bench.result_sets import TABLE, Bound, ResultSet, orders, users
from tests.masking.plain import PlainMasker

ROWS: Final = 60_000
PLAIN_ROWS: Final = 3_000
ROUNDS: Final = 3
READ: Final = 128 * 1024
TICK: Final = 0.001  # seconds
KEY: Final = PseudonymKey(b"k" * 32)
LABEL: Final = "personal"


@dataclass(slots=True)
class Journal:
    """Takes every record and keeps none: the store is measured elsewhere."""

    taken: int = 0

    def accept_now(self, record: Record) -> bool:
        self.taken += len(record.body)
        return True


@dataclass(slots=True)
class Taken:
    """What passing rows took, a round: seconds by the clock, and of the processor."""

    rows: int
    bytes: int = 0
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    longest: float = 0.0

    def print(self, name: str, bound: Bound | None = None) -> bool:
        """Whether the bound is met."""
        clock, processor = median(self.seconds), median(self.processor)
        megabytes = self.bytes / 1e6
        met = bound is None or (
            megabytes / processor >= bound.megabytes and self.rows / processor >= bound.rows
        )
        print(
            f"{name:40} {megabytes / clock:8.2f} {megabytes / processor:8.2f}"
            f" {self.rows / clock:10.0f} {self.rows / processor:10.0f}"
            f" {self.longest * 1000:8.1f}   {bound or ''}"
            f"{'' if met else ' MISSED'}",
            flush=True,
        )
        return met


def shaping(results: ResultSet, masker: Masker) -> Shaping:
    """What the gate would make for a statement that reads the table."""
    name = TableName("public", "measured")
    columns = tuple(
        CatalogColumn(
            c.name, c.number, "text", frozenset({LABEL} if c.name in results.operators else ())
        )
        for c in results.columns
    )
    relation = Relation(name, TABLE, "r", columns)
    catalog = Catalog(
        version="1",
        database="bench",
        search_path=("public",),
        relations={name: relation},
        functions={},
        operators=frozenset(),
        types=frozenset(),
        by_oid={TABLE: relation},
    )
    rules = {(name, c): ColumnRule(LABEL, operator) for c, operator in results.operators.items()}
    backend = Backend(
        Target("bench", "postgres", "production"),
        connector=None,  # type: ignore[arg-type]  # shaping never connects
        rules=rules,
        analyst=InProcess(),
    )
    backend.snapshot = Snapshot(catalog, 0.0)
    return Shaping(
        session="s",
        decision=Decision(Effect.PERMIT, "1", (MaskLabels(frozenset({LABEL}), "mask"),)),
        facts=SqlFacts(SqlEffect.READ),
        backend=backend,
        masker=masker,
        journal=Journal(),  # type: ignore[arg-type]  # speaks the one method that shaping calls
        delivery=Delivery(),
        native=True,
    )


async def received(sent: bytes, results: ResultSet) -> AsyncIterator[Event]:
    """The server's bytes as events, a read at a time."""
    yield Columns(results.columns)
    reader = BackendReader()
    for start in range(0, len(sent), READ):
        await asyncio.sleep(0)
        reader.receive_data(sent[start : start + READ])
        while (run := reader.next_event()) is not NEED_DATA:
            assert isinstance(run, RowRun)
            yield Rows(run.frames, run.count)


async def passed(sent: bytes, results: ResultSet, masker: Masker) -> bytes:
    how, out = shaping(results, masker), bytearray()
    async for event in each(shape(one_by_one(received(sent, results)), how)):
        out += worded(event, Asks.EXECUTE, None)
    if NOT_SCANNED in how.delivery.masked:
        raise RuntimeError("the scan worker died or was late: this measures nothing")
    return bytes(out)


async def plainly(sent: bytes, results: ResultSet, masker: Masker, worker: ScanWorker) -> bytes:
    shapes = [ColumnShape(c.name, c.type, c.modifier, c.binary) for c in results.columns]
    operators = results.operators
    how: list[Treatment] = [
        Mask(operators[c.name], LABEL, LABEL) if c.name in operators else Scan()
        for c in results.columns
    ]
    plain, out = PlainMasker(KEY, worker, shapes, how), bytearray()
    async for event in received(sent, results):
        if isinstance(event, Rows):
            out += encode_postgres(await plain.rows(decode_postgres(event.frames)))
    return bytes(out)


class Turns:
    """Looks every millisecond how long others have worked before its turn came."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        while True:
            begun = time.thread_time()
            await asyncio.sleep(TICK)
            self.longest = max(self.longest, time.thread_time() - begun)


def processor_seconds() -> float:
    """Of this process and of its workers, which live as long as it."""
    pids = [os.getpid(), *(child.pid for child in multiprocessing.active_children())]
    return sum(processor_seconds_of(pid) for pid in pids if pid is not None)


async def measured(taken: Taken, sent: bytes, act: Callable[[], Awaitable[bytes]]) -> bytes:
    taken.bytes, turns = len(sent), Turns()
    watching = asyncio.ensure_future(turns.watch())
    begun, spent = time.perf_counter(), processor_seconds()
    out = await act()
    taken.seconds.append(time.perf_counter() - begun)
    taken.processor.append(processor_seconds() - spent)
    watching.cancel()
    taken.longest = max(taken.longest, turns.longest)
    return out


async def compare(
    make: Callable[[int, int], ResultSet], bound: Bound | None, worker: ScanWorker
) -> bool:
    """Both sides in turn, so that a disturbance meets both; they must deliver the same.

    Each round has rows of its own, of which the worker remembers nothing.
    """
    masker, name = Masker(KEY, worker), make(0, 0).name
    fast, plain = Taken(ROWS), Taken(PLAIN_ROWS)
    for number in range(ROUNDS):
        few, many = make(PLAIN_ROWS, 2 * number), make(ROWS, 2 * number + 1)
        sent = encode_postgres(few.rows)
        slowly = await measured(plain, sent, partial(plainly, sent, few, masker, worker))
        assert await passed(sent, few, masker) == slowly
        sent = encode_postgres(many.rows)
        await measured(fast, sent, partial(passed, sent, many, masker))
    met = fast.print(name, bound)
    plain.print("  decoded, cell by cell, encoded")
    return met


async def warmed(worker: ScanWorker) -> None:
    """As it is in a gateway a few seconds after its start."""
    worker.warm()
    async with asyncio.timeout(60):
        while not worker.clears:
            await asyncio.sleep(0.05)


async def measure() -> bool:
    print(
        f"{'rows, per core':40} {'MB/s':>8} {'cpu MB/s':>8} {'rows/s':>10} {'cpu rows/s':>10}"
        f" {'step ms':>8}"
    )
    async with ScanWorker() as worker:
        await warmed(worker)
        met = [
            await compare(partial(orders, held=0.0), None, worker),
            await compare(partial(orders, held=0.01), Bound(megabytes=20), worker),
            await compare(orders, None, worker),
            await compare(users, Bound(rows=60_000), worker),
        ]
    return all(met)


def main() -> int:
    core, _ = cores()
    with on(core):
        met = uvloop.run(measure())
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
