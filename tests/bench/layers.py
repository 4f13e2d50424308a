"""`make bench-native`: what each layer of a native door costs for one small statement.

In microseconds of the gateway's own process, each layer by itself with the classes that a door
uses: another process's work, as that of the parsers and the store, is not in it. Statements come
16 at a time where they share something, as the journal's commit.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Final

import uvloop

from masking.cells import Masker
from masking.scanning import ScanWorker
from policies.cedar import CedarDecisionPoint
from policies.memory import RememberingDecisionPoint
from policies.model import Decision, Effect, MaskLabels, SqlStatement
from policies.sql.catalog import Catalog
from policies.sql.facts import TableName
from recordings.chain import DigestKey
from recordings.events import Batch, Column, Columns, Done, Event, Rows
from recordings.journal import Journal
from recordings.rows import encode_postgres
from recordings.store import Store
from server import records
from server.backends import Backend, ColumnRule, Snapshot
from server.obligations import Delivery, Shaping, shape
from server.parsing.in_process import DIALECTS, InProcess
from server.parsing.pool import ParserPool, parsing
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import FrontendReader, FrontendState
from server.protocols.postgres.conversation import Conversation
from server.protocols.postgres.plan import Asks
from server.protocols.postgres.wording import worded
from tests.bench.calls import postgres
from tests.bench.facts import a_request, policies
from tests.bench.masking_rows import KEY, warmed
from tests.policies.catalogs import catalog as a_catalog
from tests.policies.requests import SHOP

ROUNDS: Final = 5
TIMES: Final = 960
TOGETHER: Final = 16
USERS: Final = TableName("public", "users")
SELECT: Final = "SELECT {} FROM users WHERE id = {}"
WHO: Final = "Ada Lovelace of Ockham Park, Surrey"

Act = Callable[[int], Awaitable[object]]


async def cost(name: str, act: Act, *, together: int = 1) -> None:
    """Print the processor time of one, in the median of the rounds."""
    taken = []
    for around in range(-1, ROUNDS):  # the first is to warm up
        begun = time.process_time()
        for number in range(0, TIMES, together):
            first = around * TIMES + number
            await asyncio.gather(*(act(first + i) for i in range(together)))
        if around >= 0:
            taken.append((time.process_time() - begun) / TIMES * 1e6)
    print(f"{name:52} {median(taken):8.1f}", flush=True)


def column(catalog: Catalog, name: str) -> Column:
    """As the server describes it: the id is an integer, all else is text."""
    relation = catalog.relations[USERS]
    found = relation.column(name)
    assert found is not None
    return Column(name, 23 if name == "id" else 25, relation.oid, found.number)


def answer(described: Column) -> bytes:
    """What a server says to a SELECT of one cell."""
    rows = encode_postgres([(WHO.encode(),)])
    ends = b.CommandComplete("SELECT 1").encode() + b.ReadyForQuery("I").encode()
    return b.RowDescription((described,)).encode() + rows + ends


async def passing(catalog: Catalog) -> None:
    client, server = FrontendReader(FrontendState.READY), Conversation()
    said = answer(column(catalog, "name"))

    async def through(number: int) -> bytes:
        client.receive_data(f.Query(SELECT.format("name", number)).encode())
        message = client.next_command()
        assert isinstance(message, f.Query)
        server.begin(None)
        server.send(message)
        server.receive_data(said)
        events, ended = server.next_events()
        assert ended
        return b"".join(worded(event, Asks.QUERY, None) for event in events)

    await cost("pass-through: both codecs, no sockets", through)


async def understanding(pool: ParserPool, catalog: Catalog) -> None:
    async def known(_: int) -> None:
        await pool.facts("postgres", SELECT.format("name", 7), catalog)

    async def alike(number: int) -> None:
        await pool.facts("postgres", SELECT.format("name", 10**6 + number), catalog)

    async def new(number: int) -> None:
        text = SELECT.format(f"name, {10**6 + number} AS n", 7)
        assert (await pool.facts("postgres", text, catalog)).opaque is None

    await cost("facts, known", known)
    await cost("facts, another number at the end", alike)
    await cost("facts, new (and a parser's work in its process)", new)


async def deciding(directory: Path) -> None:
    point = CedarDecisionPoint(policies(directory))
    remembering, request = RememberingDecisionPoint(point), a_request()

    async def new(number: int) -> None:
        point.decide(replace(request, session=str(number)))

    async def known(number: int) -> None:
        remembering.decide(replace(request, session=str(number)))

    await cost("decision by 100 policies, remembered", known)
    await cost("decision by 100 policies, new", new)


async def recording(journal: Journal) -> None:
    request, decision = a_request(), Decision(Effect.PERMIT, "1")
    action = SqlStatement(SELECT.format("name", 7))

    async def commit(number: int) -> None:
        asked = replace(request, action=action, session=str(number))
        await journal.commit(records.intent(asked, decision))

    async def accept(number: int) -> None:
        asked = replace(request, action=action, session=str(number))
        await journal.accept(records.intent(asked, decision))

    name = f"journal, a durable intent, {TOGETHER} at once"
    await cost(name, commit, together=TOGETHER)
    await cost("journal, an intent that is not waited for", accept)
    await journal.flush()


async def shaping(catalog: Catalog, journal: Journal, masker: Masker) -> None:
    rules = {(USERS, "ssn"): ColumnRule("pii", "keep_last(4)")}
    backend = Backend(
        SHOP,
        connector=None,  # type: ignore[arg-type]  # shaping never connects
        rules=rules,
        analyst=InProcess(),
    )
    backend.snapshot = Snapshot(catalog, 0.0)
    decision = Decision(Effect.PERMIT, "1", (MaskLabels(frozenset({"pii"}), "mask"),))

    async def one(name: str, cell: Callable[[int], str]) -> None:
        text = SELECT.format(name, 7)
        facts, described = DIALECTS["postgres"](text, catalog), column(catalog, name)

        async def shaped(number: int) -> None:
            how = Shaping(
                session="s",
                decision=decision,
                facts=facts,
                backend=backend,
                masker=masker,
                journal=journal,
                delivery=Delivery(),
                native=True,
                text=text,
            )
            rows = Rows(encode_postgres([(cell(number).encode(),)]), 1)
            given: list[Event] = [Columns((described,)), rows, Done("SELECT 1", 1)]
            _ = [batch async for batch in shape(at_once(given), how)]

        await cost(f"shaping and recording an answer: {said[name]}", shaped)

    said = {
        "id": "nothing to mask",
        "ssn": "a column that is masked",
        "name": "a text that is searched",
    }
    await one("id", str)
    await one("ssn", lambda number: f"219-09-{number % 9000 + 1000}")
    await one("name", lambda number: f"{WHO}, {number}")
    await journal.flush()


async def at_once(events: Sequence[Event]) -> AsyncIterator[Batch]:
    yield Batch(events, last=True)


async def measure(directory: Path, dsn: str) -> None:
    print(f"{'processor time of the gateway, by layer':52} {'us':>8}")
    catalog = a_catalog()
    await passing(catalog)
    async with parsing(["postgres"]) as pool:
        await understanding(pool, catalog)
    await deciding(directory)
    store = await Store.open(dsn)
    key = DigestKey("bench-1", b"a digest key of thirty-two bytes")
    journal = await Journal.open(store, gateway="bench", digest_key=key)
    try:
        await recording(journal)
        async with ScanWorker() as worker:
            await warmed(worker)
            await shaping(catalog, journal, Masker(KEY, worker))
    finally:
        await journal.close()
        await store.close()


def main() -> int:
    with (
        tempfile.TemporaryDirectory(prefix="ostiary-bench-", dir="/tmp") as place,
        postgres(Path(place) / "postgres") as server,
    ):
        Path(place).chmod(0o711)
        (Path(place) / "policies").mkdir()
        uvloop.run(measure(Path(place) / "policies", server.dsn("postgres")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
