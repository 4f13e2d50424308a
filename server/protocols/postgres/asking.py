"""Questions of the gateway's own on one connection: a text, its parameters, its whole answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from policies.model import Parameter
from policies.sql.facts import SqlFacts
from recordings.events import Column, Columns, Done, Failed, Rows
from recordings.rows import Row, decode_postgres
from server.connections import CatalogChanged
from server.protocols.postgres import frontend as f
from server.protocols.postgres.catalog_reader import CatalogReader
from server.protocols.postgres.fingerprints import CHANGED, CHECKS
from server.protocols.postgres.link import Link

MOST_BYTES: Final = 4 << 20  # of one answer
_TOO_LARGE: Final = "54000"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `tag` is the command's own, as in "UPDATE 3"."""

    columns: tuple[Column, ...]
    rows: list[Row]
    tag: str


class Refused(Exception):
    """The target's error: its own words are data, and `failed` says whose they are."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.sqlstate)
        self.failed = failed

    @property
    def sqlstate(self) -> str:
        return self.failed.sqlstate


async def ask(
    link: Link, text: str, parameters: tuple[Parameter, ...] = (), *, most: int = MOST_BYTES
) -> Answer:
    """One statement by the extended protocol, so that it is one. Raises `Refused`.

    An answer of more than `most` bytes is refused when it has ended; 0: its rows are dropped.
    """
    types = tuple(p.type for p in parameters)
    await _send(link, f.Parse("", text, types), *_run("", parameters))
    return await _answer(link, most)


async def prepare(link: Link, name: str, text: str, parameters: tuple[Parameter, ...]) -> None:
    """Have a statement parsed, which takes its locks and runs nothing. Raises `Refused`."""
    await _send(link, f.Parse(name, text, tuple(p.type for p in parameters)))
    await _answer(link, 0)


async def run(link: Link, name: str, parameters: tuple[Parameter, ...]) -> Answer:
    """Run what was prepared. Raises `Refused`."""
    await _send(link, *_run(name, parameters))
    return await _answer(link, MOST_BYTES)


async def require_unchanged(link: Link, reader: CatalogReader, facts: SqlFacts | None) -> None:
    """Make sure, in the transaction at hand, that what the facts hang on is as it was read.

    Facts of no catalog hang on nothing. Raises `CatalogChanged`.
    """
    if facts is None or not facts.catalog:
        return
    known = reader.fingerprints(facts.catalog)
    if known is None:
        raise CatalogChanged
    expected = known.expected(facts)
    asked = (expected.relations, expected.names, expected.functions, expected.state)
    try:
        values = tuple(Parameter(value.encode()) for value in asked)
        await ask(link, CHECKS[expected.check], values)
    except Refused as refused:
        if refused.sqlstate != CHANGED:
            raise
        reader.doubt()
        raise CatalogChanged from None


def _run(name: str, parameters: tuple[Parameter, ...]) -> tuple[f.Command, ...]:
    formats = tuple(int(p.binary) for p in parameters)
    values = tuple(p.value for p in parameters)
    return f.Bind("", name, parameter_formats=formats, parameters=values), f.Execute("")


async def _send(link: Link, *messages: f.Command) -> None:
    link.conversation.begin(None)
    sent = (link.conversation.send(message) for message in (*messages, f.Sync()))
    link.write(b"".join(sent))
    await link.drain()


async def _answer(link: Link, most: int) -> Answer:
    columns: tuple[Column, ...] = ()
    rows: list[Row] = []
    tag, size = "", 0
    failed: Failed | None = None
    turn = link.conversation.oldest
    while turn is not None and link.conversation.oldest is turn:
        match await link.event():
            case Columns(found):
                columns = found
            case Rows(frames) if size <= most and most:
                size += len(frames)
                rows += decode_postgres(frames) if size <= most else ()
            case Done(said):
                tag = said
            case Failed() as error:
                failed = error
            case _:
                pass
    if size > most:
        failed = failed or Failed(_TOO_LARGE, "the answer is too large")
    if failed is not None:
        raise Refused(failed)
    return Answer(columns, rows, tag)
