"""Scans one target for its administrators: asks the gate, samples table by table, judges, records.

Values are searched in the scan worker and dropped; what leaves here are proposals.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import anyio

from masking.errors import MaskingFailed
from masking.scanning import ScanText, SpanFinder
from masking.spans import NOT_SCANNED
from policies.errors import BackendUnavailable, Denied, ProtocolError
from policies.model import (
    AccessRequest,
    Channel,
    Connect,
    Decision,
    Effect,
    Principal,
    ScanTarget,
)
from policies.sql.catalog import Catalog, Column, Relation
from policies.sql.facts import TableName
from policies.sql.names import is_sensitive, readable
from policies.sql.not_understood import NotUnderstood
from recordings.journal import Json, Record
from recordings.rows import Row
from server import records
from server.backends import CATALOG_AGE, Backend
from server.gate import Gate, Grant, new_session
from server.refusals import unknown_target, unmet
from server.sampling import NotSampled
from server.scanning.clues import kind_of_type
from server.scanning.judging import Judged, judged

MOST_TABLES: Final = 2000
MOST_COLUMNS: Final = 200
"""Of one table; those after them are not looked at, and the answer says so."""

CELLS: Final = 20_000
"""Of one query, each up to 500 characters: a wide table is read some columns at a time."""

MOST_RECORDED: Final = 1000  # proposals in the recording, which says how many there were
MOST_CHARACTERS: Final = 20_000  # of one column; Presidio takes two seconds at worst

_STORED: Final = frozenset({"table", "partitioned_table", "materialized_view"})
_NAMED: Final = _STORED | {"view", "partition"}
_SYSTEM: Final = ("pg_", "information_schema")


@dataclass(frozen=True, slots=True)
class ScannedTable:
    """What one table's sample says; `trouble` where it could not be sampled.

    `left_out`: so many columns, the last ones, were not looked at.
    """

    table: TableName
    rows: int = 0
    columns: tuple[Judged, ...] = ()
    trouble: str = ""
    left_out: int = 0


@dataclass(slots=True)
class Scan:
    """One scan under way: its tables in order, and what came of it, for the recording.

    `left_out`: so many tables, the last ones by name, are not looked at.
    """

    session: str
    tables: tuple[TableName, ...]
    left_out: int = 0
    scanned: int = 0
    proposed: list[str] = field(default_factory=list)
    status: str = "interrupted"

    def note(self, found: ScannedTable) -> None:
        self.scanned += 1
        rules = (c for c in found.columns if c.rule is not None)
        self.proposed += [f"{found.table}.{c.column}: {c.rule.label}" for c in rules if c.rule]

    def outcome(self) -> Record:
        document: dict[str, Json] = {
            "status": self.status,
            "tables": self.scanned,
            "left_out": self.left_out,
            "proposals": len(self.proposed),
            "proposed": [*self.proposed[:MOST_RECORDED]],
        }
        return Record(self.session, "outcome", document)


@dataclass(frozen=True, slots=True)
class ScanDesk:
    """Scans what the gate lets be scanned."""

    gate: Gate
    finder: SpanFinder

    @asynccontextmanager
    async def scanning(
        self, principal: Principal, target: str, action: ScanTarget, names: Sequence[str]
    ) -> AsyncIterator[tuple[Scan, AsyncIterator[ScannedTable]]]:
        """One scan of the tables of these names, or of all; its outcome is recorded in any case.

        Raises `Denied`, `BackendUnavailable`, and `ProtocolError` for a table that is not there.
        """
        async with self.gate.admission.session(principal):
            grant, backend, every = await self._granted(principal, target, action, names)
            tables = every[:MOST_TABLES]
            chosen_names = tuple(table.name for table in tables)
            scan = Scan(grant.request.session, chosen_names, len(every) - len(tables))
            try:
                async with aclosing(self._tables(scan, grant, backend, tables)) as found:
                    yield scan, found
            finally:
                with anyio.CancelScope(shield=True):
                    await self.gate.journal.commit(scan.outcome())

    async def _granted(
        self, principal: Principal, target: str, action: ScanTarget, names: Sequence[str]
    ) -> tuple[Grant, Backend, Sequence[Relation]]:
        """The gate's answer first: who may not scan learns nothing of the target's tables."""
        self.gate.admission.check(principal)
        backend = self.gate.backends.get(target)
        asked = AccessRequest(
            principal=principal,
            target=backend.target if backend else None,
            action=action,
            channel=Channel.API,
            now=datetime.now(UTC),
            session=new_session(),
        )
        if backend is None:
            await self._refuse(asked, Denied(unknown_target(target)))
        decision = self.gate.decide(asked)
        if decision.effect is not Effect.PERMIT or decision.obligations:
            await self._refuse(asked, self._denied(asked, decision, target))
        assert backend is not None  # noqa: S101 -- refused above
        tables = await self._chosen(backend, names)
        scanned = tuple(t.name for t in tables[:MOST_TABLES])
        action = ScanTarget(scanned, action.columns, action.rows)
        request = AccessRequest(
            principal, backend.target, action, Channel.API, asked.now, asked.session
        )
        return await self.gate.granted(request), backend, tables

    async def _chosen(self, backend: Backend, names: Sequence[str]) -> Sequence[Relation]:
        """By a catalog that is young, and for a table that is not in it by one that is new."""
        if backend.age() > CATALOG_AGE:
            await self.gate.read_catalog(backend)
        try:
            return chosen(backend, names)
        except ProtocolError:
            await self.gate.read_catalog(backend)
            return chosen(backend, names)

    async def _refuse(self, asked: AccessRequest, denied: Denied) -> None:
        version = self.gate.decision_point.version
        decision = Decision(Effect.DENY, version, refusal=denied.refusal)
        await self.gate.journal.commit(records.decided(asked, decision))
        raise denied

    def _denied(self, asked: AccessRequest, decision: Decision, target: str) -> Denied:
        """A target that one may not connect to is one that is not there."""
        connect = AccessRequest(
            asked.principal, asked.target, Connect(), asked.channel, asked.now, asked.session
        )
        if self.gate.decide(connect).effect is not Effect.PERMIT:
            return Denied(unknown_target(target))
        return Denied(decision.refusal or unmet(decision))

    async def _tables(
        self, scan: Scan, grant: Grant, backend: Backend, tables: Sequence[Relation]
    ) -> AsyncGenerator[ScannedTable]:
        for relation in tables:
            found = await self._table(grant, backend, relation)
            scan.note(found)
            yield found
        scan.status = "done"

    async def _table(self, grant: Grant, backend: Backend, relation: Relation) -> ScannedTable:
        action = grant.request.action
        assert isinstance(action, ScanTarget)  # noqa: S101 -- granted for nothing else
        wanted = _columns(relation, action.columns)
        columns = wanted[:MOST_COLUMNS]
        searched = [c for c in columns if _is_searched(c)]
        texts: dict[str, list[str]] = {}
        count = 0
        try:
            refuse_code(relation, backend.catalog)
            for part in _parts(searched, max(1, CELLS // action.rows)):
                rows = await backend.connector.sample(grant, relation.name, [c.name for c in part])
                texts |= {c.name: _texts(rows, i) for i, c in enumerate(part)}
                count = max(count, len(rows))
        except NotSampled as why:
            return ScannedTable(relation.name, trouble=str(why))
        found = [await self._judged(c, texts.get(c.name, [])) for c in columns]
        return ScannedTable(relation.name, count, tuple(found), left_out=len(wanted) - len(columns))

    async def _judged(self, column: Column, texts: list[str]) -> Judged:
        asked = [ScanText(text, column.name) for text in texts]
        try:
            spans = await self.finder.spans(asked)
        except MaskingFailed as error:
            raise BackendUnavailable("the scan worker does not start") from error
        looked_at = [inside[0].entity for inside in spans if inside]
        if looked_at and set(looked_at) == {NOT_SCANNED}:
            raise BackendUnavailable("the scan worker does not start, or is late")
        return judged(column.name, column.type, texts, spans, labels=column.labels)


def chosen(backend: Backend, names: Sequence[str]) -> Sequence[Relation]:
    """The relations to scan, by name: those named, or every table. Raises `ProtocolError`."""
    catalog = backend.catalog
    if not names:
        every = (r for r in catalog.relations.values() if _is_scanned(r, _STORED))
        return sorted(every, key=lambda r: r.name)
    found: dict[TableName, Relation] = {}
    for name in names:
        schema, _, table = name.rpartition(".")
        relation = catalog.resolve(schema or None, table)
        if relation is None or not _is_scanned(relation, _NAMED):
            raise ProtocolError(f"there is no table {name} to scan: say schema.table")
        found[relation.name] = relation
    return [found[name] for name in sorted(found)]


def _is_scanned(relation: Relation, kinds: Iterable[str]) -> bool:
    system = relation.name.schema.startswith(_SYSTEM) or is_sensitive(relation.name)
    return relation.kind_name in kinds and not system


def _columns(relation: Relation, named: Sequence[str]) -> Sequence[Column]:
    """In the table's order; those of types with a user's cast are not read."""
    wanted = [c for c in relation.columns if not named or c.name in named]
    return sorted(wanted, key=lambda c: c.number)


def _parts(columns: Sequence[Column], most: int) -> Iterable[Sequence[Column]]:
    return (columns[start : start + most] for start in range(0, len(columns), most))


def refuse_code(relation: Relation, catalog: Catalog) -> None:
    """Raises `NotSampled` where a sample would run users' code, or reach another server.

    The administrator's scan lends the reader's rights to whatever is in a view or an index.
    """
    behind = (catalog.relations.get(reached.name) for reached in relation.behind)
    try:
        for each in (relation, *(r for r in behind if r is not None)):
            readable(each, location=None)
    except NotUnderstood as why:
        raise NotSampled(why.reason) from None


def _is_searched(column: Column) -> bool:
    return not column.user_code and kind_of_type(column.type) in ("text", "number", "address")


def _texts(rows: Sequence[Row], position: int) -> list[str]:
    """A column's values; NULL and what is empty say nothing."""
    cells = (row[position] for row in rows)
    texts = (cell.decode("utf-8", "replace") for cell in cells if cell is not None)
    kept: list[str] = []
    room = MOST_CHARACTERS
    for text in texts:
        room -= len(text)
        if room < 0:
            break
        if text.strip():
            kept.append(text)
    return kept
