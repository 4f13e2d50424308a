"""What each obligation does to the results: limit, mask, record, deliver, in this order."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final, assert_never

from masking.cells import ColumnShape, Keep, Mask, Masker, Plan, Scan, Treatment
from policies.errors import Denied, ProtocolError, Refusal
from policies.model import Decision, LimitRows
from policies.sql.facts import SqlFacts, TableName
from policies.sql.secret_positions import quoting
from recordings.events import (
    Column,
    Columns,
    Done,
    Event,
    Failed,
    Native,
    Pending,
    Results,
    Rows,
)
from recordings.journal import Journal, Json, Record
from recordings.rows import ROW_CODECS
from server.backends import Backend
from server.deadline import Deadline, Passed

RECORDED_BYTES: Final = 1 << 20  # of one result; past it: counts and a hash
TIME_GRACE: Final = 2.0  # seconds past a time limit, after which the gate itself gives up

UNKNOWN_ORIGIN: Final = "its origin could not be resolved"
CHANGED_ORIGIN: Final = "its origin is not the one that the statement was judged by"


@dataclass(slots=True)
class Delivery:
    """What was delivered of one granted action, for its outcome record."""

    rows: int = 0
    bytes: int = 0
    recorded: int = 0
    status: str = "cancelled"
    masked: Counter[str] = field(default_factory=Counter)
    beyond: hashlib._Hash = field(default_factory=hashlib.sha256)

    def document(self, seconds: float) -> dict[str, Json]:
        """What is recorded of it, and how long it took."""
        document: dict[str, Json] = {
            "status": self.status,
            "rows": self.rows,
            "bytes": self.bytes,
            "recorded_bytes": self.recorded,
            "masked": dict(self.masked),
            "milliseconds": round(seconds * 1000, 3),
        }
        if self.bytes > self.recorded:
            document["beyond_sha256"] = self.beyond.hexdigest()
        return document


@dataclass(frozen=True, slots=True)
class Shaping:
    """All that shaping one statement's results needs. Made by the gate, once a grant.

    `text` is the statement, which the target's own words may quote.
    """

    session: str
    decision: Decision
    facts: SqlFacts | None
    backend: Backend
    masker: Masker
    journal: Journal
    delivery: Delivery
    native: bool
    text: str = ""

    @property
    def touches_labels(self) -> bool:
        """Whether the target's own words about this statement may carry a labelled value."""
        if self.facts is None:
            return True
        uses = (use.labels for use in self.facts.tables)
        return bool(self.facts.labels_read or frozenset[str]().union(*uses))


async def shape(raw: Results, shaping: Shaping) -> AsyncGenerator[Event]:
    """Limit, mask, record and pass on each event; nothing is delivered that was not recorded."""
    limit = shaping.decision.time_limit or inf
    deadline = Deadline(limit + TIME_GRACE)  # behind the target's own statement timeout
    plan: Plan | None = None
    try:
        while (event := await deadline.bound(raw)) is not None:
            match event:
                case Columns(columns):
                    plan = _plan(columns, shaping)
                    shaped: Event = _described(columns, plan)
                case Rows():
                    if plan is None:
                        raise ProtocolError("rows came before their description")
                    _within_limit(event, shaping)
                    shaped = await _masked(event, plan, shaping)
                case Failed():
                    shaped = await _scrubbed(event, shaping)
                case Done() | Native() | Pending():
                    shaped = event
                case _:
                    assert_never(event)
            await _record(shaped, shaping)
            yield shaped
    except Passed as passed:
        raise Denied(_too_long(limit)) from passed
    finally:
        deadline.close()


def treatment(column: Column, index: int, shaping: Shaping) -> Treatment:
    """What happens to one output column: by its origin first, by proof second, else masked."""
    masked = shaping.decision.masked_labels
    if column.table == 0:
        return _expression(index, shaping, masked)
    relation = shaping.backend.catalog.by_oid.get(column.table)
    if relation is None or relation.kind == "f":
        return Mask("redact", "unknown", UNKNOWN_ORIGIN)
    origin = next((c for c in relation.columns if c.number == column.number), None)
    if origin is None:
        return Mask("redact", "unknown", UNKNOWN_ORIGIN)
    if not _judged_by(relation.name, origin.name, shaping.facts):
        return Mask("redact", "unknown", CHANGED_ORIGIN)
    hidden = sorted(origin.labels & masked)
    if hidden:
        operator = shaping.backend.operator(relation.name, origin.name, hidden[0])
        return Mask(operator, hidden[0], f"label {hidden[0]}")
    return Keep() if origin.labels else Scan()


def _judged_by(table: TableName, column: str, facts: SqlFacts | None) -> bool:
    """Whether the statement was understood to use this column; else the target has changed."""
    if facts is None or not facts.catalog:
        return True
    uses = (use.columns for use in facts.tables if use.table == table)
    return any(column in columns or "*" in columns for columns in uses)


def _expression(index: int, shaping: Shaping, masked: frozenset[str]) -> Treatment:
    facts = shaping.facts
    if facts is None or facts.opaque is not None:
        return Mask("redact", "unknown", UNKNOWN_ORIGIN)
    touched = sorted(facts.labels_read & masked)
    if not touched or index in facts.clean_outputs:
        return Scan()
    why = f"an expression that may carry label {', '.join(touched)}"
    return Mask("redact", touched[0], why)


def _plan(columns: Sequence[Column], shaping: Shaping) -> Plan:
    shapes = [ColumnShape(c.name, c.type, c.modifier, c.binary) for c in columns]
    treatments = [treatment(c, i, shaping) for i, c in enumerate(columns)]
    return shaping.masker.plan(shapes, treatments)


def _described(columns: Sequence[Column], plan: Plan) -> Columns:
    if not any(plan.reasons):
        return Columns(tuple(columns))
    return Columns(tuple(replace(c, masked=plan.why(i)) for i, c in enumerate(columns)))


def _within_limit(rows: Rows, shaping: Shaping) -> None:
    """A native door ends in an error past the limit, never in a short success."""
    limit = shaping.decision.row_limit
    shaping.delivery.rows += rows.count
    if shaping.native and limit is not None and shaping.delivery.rows > limit:
        raise Denied(
            Refusal(
                code="ROW_LIMIT",
                policy=next(
                    o.policy for o in shaping.decision.obligations if isinstance(o, LimitRows)
                ),
                reason=f"The result has more than the {limit} rows that policy lets through.",
                next_step=f"Narrow the statement, or add LIMIT {limit}.",
            )
        )


async def _masked(rows: Rows, plan: Plan, shaping: Shaping) -> Rows:
    if plan.idle:
        return rows
    codec = ROW_CODECS[rows.codec]
    masked = await shaping.masker.rows(plan, codec.decode(rows.frames))
    shaping.delivery.masked.update(masked.counts)
    return Rows(codec.encode(masked.rows), rows.count, rows.codec)


async def _scrubbed(failed: Failed, shaping: Shaping) -> Failed:
    """The target's error text is data: our own sentence where a label was touched."""
    if shaping.touches_labels:
        sentence = "the statement failed on the target; its own words are withheld, because the"
        return replace(failed, message=f"{sentence} statement touches labelled columns")
    said = quoting(failed.message, shaping.text)
    return replace(failed, message=await shaping.masker.text(said))


async def _record(event: Event, shaping: Shaping) -> None:
    """What is accepted here may be delivered; where the journal has no room, nothing is."""
    delivery = shaping.delivery
    match event:
        case Columns(columns):
            listed: list[Json] = [
                {"name": c.name, "type": c.type, "masked": c.masked} for c in columns
            ]
            await _accept(shaping, "columns", {"columns": listed})
        case Rows():
            await _record_rows(event, shaping)
        case Failed(sqlstate, message):
            delivery.status = "failed"
            await _accept(shaping, "failed", {"sqlstate": sqlstate, "message": message})
        case Done(tag, rows, more):
            delivery.status = "completed"
            await _accept(shaping, "done", {"tag": tag, "rows": rows, "more": more})
        case Native() | Pending():
            pass
        case _:
            assert_never(event)


async def _record_rows(rows: Rows, shaping: Shaping) -> None:
    delivery = shaping.delivery
    delivery.bytes += len(rows.frames)
    if delivery.recorded + len(rows.frames) > RECORDED_BYTES:
        delivery.beyond.update(rows.frames)
        return
    delivery.recorded += len(rows.frames)
    await _accept(shaping, "rows", {"count": rows.count, "codec": rows.codec}, rows.frames)


async def _accept(
    shaping: Shaping, kind: str, document: Mapping[str, Json], body: bytes = b""
) -> None:
    await shaping.journal.accept(Record(shaping.session, kind, document, body))


def _too_long(limit: float) -> Refusal:
    return Refusal(
        code="TIME_LIMIT",
        reason=f"The statement ran longer than the {limit:g} s that policy allows.",
        next_step="Narrow the statement so that it needs less work.",
    )
