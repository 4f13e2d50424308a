"""A change tried out: run in a transaction that never commits, counted, looked at, rolled back.

The exact statement that was judged runs, with its parameters. What is looked at comes from texts of
our own (`policies.sql.changed_rows`). It is refused where a rollback would not undo everything
(`preview_checks`). Not in here: whether policy allows it, and masks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from policies.errors import ProtocolError
from policies.model import Parameter, SqlPreview
from policies.sql.changed_rows import (
    LONGEST,
    MOST_ROWS,
    ChangedRows,
    changed_rows,
    changes_once,
    quoted_table,
    writes_few_rows,
)
from policies.sql.facts import SqlEffect, SqlFacts, TableName, TableUse
from policies.sql.tokens import Kind, tokens
from recordings.rows import Row
from server.connections import CatalogChanged
from server.previewing import NotTried, Tried
from server.protocols.postgres.asking import Answer, Refused, ask, require_unchanged
from server.protocols.postgres.catalog_reader import CatalogReader
from server.protocols.postgres.link import Link, unavailable
from server.protocols.postgres.pool import Pool, command
from server.protocols.postgres.preview_checks import CHECK, HARMLESS, KEY, SESSIONS, VARYING

if TYPE_CHECKING:
    from server.gate import Grant

LOCK_TIME: Final = 1.0  # seconds that it waits for others' locks
CHECK_TIME: Final = 5.0  # seconds for looking into the target's catalog, before any row is locked
STATEMENT_TIME: Final = 2.0  # seconds for each statement on rows; it locks them no longer
UNCOUNTED_TIME: Final = 0.5  # seconds for a change of nobody knows how many rows
PATIENCE: Final = 15.0  # seconds in all, for a server that says nothing
MOST_BYTES: Final = 1 << 20  # of rows that are looked at
_TEXT: Final = 25  # pg_type.oid of text
_TABLES: Final = frozenset({"table", "partitioned_table", "partition"})
_KINDS: Final = frozenset({"select", "insert", "update", "delete"})


@dataclass(frozen=True, slots=True)
class Change:
    """A statement that may be tried out, as far as can be told without the target."""

    table: TableName
    oid: int
    facts: SqlFacts
    text: str
    parameters: tuple[Parameter, ...]

    @property
    def checked(self) -> bytes:
        """What the target is asked about it."""
        uses = [u for u in self.facts.tables if u.verb != "select" and not u.through]
        written = {"insert"} & {use.verb for use in uses} or _says_default(self.text)
        return orjson.dumps(
            {
                "table": quoted_table(self.table),
                "written": str(self.oid),
                "used": [str(oid) for _, oid in self.facts.objects],
                "verbs": sorted({use.verb for use in uses}),
                "set": sorted({c for use in uses if use.verb == "update" for c in use.columns}),
                "defaults": bool(written),
                "functions": sorted(self.facts.functions),
                "harmless": list(HARMLESS),
            }
        )


def change_of(facts: SqlFacts | None, text: str, parameters: tuple[Parameter, ...] = ()) -> Change:
    """The change, if it is of a kind that is tried out. Raises `NotTried`."""
    if facts is None or facts.opaque is not None or facts.effect is not SqlEffect.WRITE:
        raise NotTried("only INSERT, UPDATE and DELETE are tried out")
    if not facts.kinds <= _KINDS:
        raise NotTried("only INSERT, UPDATE and DELETE are tried out")
    written = {use.table for use in facts.tables if use.verb != "select" and not use.through}
    if len(written) != 1 or len(facts.kinds - {"select"}) != 1:
        raise NotTried("it changes more than one table, or in more than one way")
    _require_tables(facts.tables)
    if " " in facts.catalog:
        raise NotTried("it was asked for in a session with a search path of its own")
    if facts.labels_copied:
        raise NotTried("it copies masked values, and whether that succeeds tells about them")
    if facts.functions & SESSIONS:
        raise NotTried("what it does hangs on the session that it runs in")
    _require_plain(text)
    (table,) = written
    oid = dict(facts.objects).get(table)
    if oid is None:
        raise NotTried(f"{table} is not known to be there")
    return Change(table, oid, facts, text, parameters)


def _require_plain(text: str) -> None:
    """That it is one change, of few rows, and short. Raises `NotTried`."""
    if len(text.encode("utf-8", "replace")) > LONGEST:
        raise NotTried(f"it is longer than {LONGEST} bytes")
    if not changes_once(text):
        raise NotTried("it changes rows in a WITH too, and only the last count would be known")
    if not writes_few_rows(text):
        raise NotTried("the rows that it inserts come from a query")


def _require_tables(uses: Sequence[TableUse]) -> None:
    odd = next((use for use in uses if use.kind not in _TABLES), None)
    if odd is not None:
        raise NotTried(f"{odd.table} is a {odd.kind.replace('_', ' ')}, not a plain table")


def _says_default(text: str) -> bool:
    return any(token.kind is Kind.WORD and token.value == "default" for token in tokens(text))


async def tried(pool: Pool, reader: CatalogReader, grant: Grant, columns: Sequence[str]) -> Tried:
    """Try the granted change out; `columns` are those of its table that are looked at.

    Raises `NotTried`, and `BackendUnavailable`. Whatever happens, nothing is committed: the
    connection is given back only after a ROLLBACK, or is dropped.
    """
    action = grant.request.action
    if not isinstance(action, SqlPreview):
        raise TypeError("only a preview was granted")
    change = await asyncio.to_thread(change_of, grant.request.facts, action.text, action.parameters)
    seconds = min(STATEMENT_TIME, grant.decision.time_limit or STATEMENT_TIME)
    async with pool.lease(grant) as link:
        try:
            with link.patient(PATIENCE):
                return await _Attempt(link, reader, change, seconds).tried(columns)
        except (OSError, TimeoutError, ProtocolError):
            link.close()
            raise unavailable(link.target.name) from None


@dataclass(frozen=True, slots=True)
class _Attempt:
    link: Link
    reader: CatalogReader
    change: Change
    seconds: float

    async def tried(self, columns: Sequence[str]) -> Tried:
        try:
            await self._begin()
            await self._check()
            return await self._look(columns)
        except CatalogChanged:
            raise NotTried("the target has been changed since it was asked for") from None
        except Refused as refused:
            raise NotTried(_SAID.get(refused.sqlstate, _FAILED).format(refused.sqlstate)) from None

    async def _begin(self) -> None:
        """One snapshot, so that what is counted is what is changed; and who made triggers waits."""
        await command(
            self.link,
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE;"
            f" SET LOCAL lock_timeout = {round(LOCK_TIME * 1000)};"
            f" {_limit(CHECK_TIME)}",
        )
        # LOCK takes no snapshot: the first one comes when nothing that is used can change any more.
        await self._run(f"LOCK TABLE {quoted_table(self.change.table)} IN ROW EXCLUSIVE MODE")
        for table in sorted({use.table for use in self.change.facts.tables if not use.through}):
            await self._run(f"LOCK TABLE {quoted_table(table)} IN ACCESS SHARE MODE")

    async def _check(self) -> None:
        await require_unchanged(self.link, self.reader, self.change.facts)
        document = Parameter(self.change.checked)
        for words, found in (await self._run(CHECK, (document,))).rows:
            raise NotTried(f"{(found or b'').decode()} {(words or b'').decode()}")
        await self._run(_limit(self.seconds))

    async def _look(self, columns: Sequence[str]) -> Tried:
        change = self.change
        known = await asyncio.to_thread(changed_rows, change.text, change.table, columns)
        if change.facts.functions & VARYING:
            known = None  # every look would find other rows
        counted, shown = await self._before(known)
        if counted is not None and counted > MOST_ROWS:
            raise NotTried(f"it would change more than {MOST_ROWS} rows")
        if counted is None:
            await self._run(_limit(min(UNCOUNTED_TIME, self.seconds)))
        changed = _count((await ask(self.link, change.text, change.parameters, most=0)).tag)
        if known is None or shown is None or counted != changed:
            return Tried(changed)  # the rows that were looked at may be others
        after = await self._after(known, shown)
        return Tried(changed, shown.columns, tuple(shown.rows), tuple(after))

    async def _before(self, known: ChangedRows | None) -> tuple[int | None, Answer | None]:
        """How many rows there are, and some of them; nothing where the target refuses that."""
        if known is None:
            return None, None
        await self._run("SAVEPOINT ostiary_sample")
        parameters = _for(known, self.change.parameters)
        try:
            counted = await self._run(known.count, parameters)
            shown = await self._run(known.sample, parameters)
        except Refused as refused:
            if refused.sqlstate in _SAID:
                raise  # the change itself would fare no better
            await self._run("ROLLBACK TO SAVEPOINT ostiary_sample")
            return None, None
        return int(counted.rows[0][0] or b"0"), shown

    async def _after(self, known: ChangedRows, shown: Answer) -> list[Row]:
        """The rows again, in the order of before; none unless each is found once."""
        try:
            key = [(row[0] or b"").decode() for row in await self._key()]
            places = [known.columns.index(name) for name in key]
            again = known.again(key, len(shown.rows))
            if again is None:
                return []
            types = [shown.columns[place].type for place in places]
            values = [
                Parameter(row[place], type=type_)
                for row in shown.rows
                for place, type_ in zip(places, types, strict=True)
            ]
            found = await self._run(again, tuple(values))
        except (Refused, ValueError):
            return []
        by_key = {tuple(row[place] for place in places): row for row in found.rows}
        if len(by_key) != len(found.rows):
            return []  # tables that inherit hold rows with the same keys
        rows = [by_key.get(tuple(row[place] for place in places)) for row in shown.rows]
        return [row for row in rows if row is not None] if None not in rows else []

    async def _key(self) -> list[Row]:
        return (await self._run(KEY, (Parameter(str(self.change.oid).encode()),))).rows

    async def _run(self, text: str, parameters: tuple[Parameter, ...] = ()) -> Answer:
        return await ask(self.link, text, parameters, most=MOST_BYTES)


def _limit(seconds: float) -> str:
    return f"SET LOCAL statement_timeout = {max(1, round(seconds * 1000))}"


def _for(known: ChangedRows, parameters: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    """The parameters that the WHERE names; NULL of a known type in the places of the others."""
    unused = Parameter(None, type=_TEXT)
    last = max(known.parameters, default=0)
    numbered = enumerate(parameters[:last], start=1)
    return tuple(p if n in known.parameters else unused for n, p in numbered)


def _count(tag: str) -> int:
    """The number at the end of a command tag: "UPDATE 3", "INSERT 0 3"."""
    number = tag.rpartition(" ")[2]
    if not number.isdigit():
        raise ProtocolError("a change without a count")
    return int(number)


_FAILED: Final = "the target refused it (SQLSTATE {})"
_SAID: Final = {
    "55P03": "somebody else holds a lock that it needs (SQLSTATE {})",
    "40001": "somebody else was changing the same rows (SQLSTATE {})",
    "40P01": "somebody else was changing the same rows (SQLSTATE {})",
    "57014": "it took too long (SQLSTATE {})",
}
