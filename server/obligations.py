"""What each obligation does to the results: limit, mask, record, deliver, in this order."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from time import monotonic
from typing import Final, assert_never

from masking.cells import ColumnShape, Hide, Keep, Mask, Masker, Plan, Scan, Treatment
from masking.shapes import MysqlColumn
from policies.errors import Denied, ProtocolError, Refusal
from policies.model import Decision, LimitRows
from policies.sql.facts import SqlFacts, TableName
from policies.sql.partly_shown import SETTINGS
from policies.sql.secret_positions import quoting
from recordings.events import (
    Batch,
    Batches,
    Column,
    Columns,
    Done,
    Event,
    Failed,
    Native,
    Pending,
    Rows,
)
from recordings.journal import Journal, Json, Record
from recordings.rows import row_codec
from server.backends import Backend
from server.deadline import Deadline, Passed

RECORDED_BYTES: Final = 1 << 20  # of one result; past it: counts and a hash
MOST_IDLE: Final = 1024  # plans of a target that are remembered
WHOLE_BYTES: Final = 1 << 16  # of rows that are recorded together with their outcome
TIME_GRACE: Final = 2.0  # seconds past a time limit, after which the gate itself gives up

_TABLES: Final = ("r", "p")  # of pg_class.relkind: not views, which show other relations' columns

UNKNOWN_ORIGIN: Final = "its origin could not be resolved"
CHANGED_ORIGIN: Final = "its origin is not the one that the statement was judged by"


@dataclass(slots=True)
class Delivery:
    """What was delivered of one granted action, for its outcome record.

    `whole`: one record holds the answer and its outcome. `plan`: how the result at hand is masked.
    `asked`: an intent waits for the outcome; none does for what a session's opening lets through.
    """

    rows: int = 0
    bytes: int = 0
    recorded: int = 0
    status: str = "cancelled"
    whole: bool = False
    asked: bool = True
    plan: Plan | None = None
    started: float = field(default_factory=monotonic)
    masked: Counter[str] = field(default_factory=Counter)
    masked_columns: dict[str, Counter[str]] = field(default_factory=dict)
    beyond: hashlib._Hash = field(default_factory=hashlib.sha256)

    def went(self, counts: Mapping[str, int], by_column: Mapping[str, Mapping[str, int]]) -> None:
        """So many cells or spans were masked, by label or entity, and by column too."""
        self.masked.update(counts)
        for column, gone in by_column.items():
            self.masked_columns.setdefault(column, Counter()).update(gone)

    def document(self) -> dict[str, Json]:
        """What is recorded of it, and how long it took until now."""
        document: dict[str, Json] = {
            "status": self.status,
            "rows": self.rows,
            "bytes": self.bytes,
            "recorded_bytes": self.recorded,
            "masked": dict(self.masked),
            "milliseconds": round((monotonic() - self.started) * 1000, 3),
        }
        if self.masked_columns:
            columns = {name: dict(gone) for name, gone in self.masked_columns.items()}
            document["masked_columns"] = columns
        if self.bytes > self.recorded:
            document["beyond_sha256"] = self.beyond.hexdigest()
        return document


@dataclass(frozen=True, slots=True)
class Shaping:
    """All that shaping one statement's results needs. Made by the gate, once a grant.

    `text` is the statement, which the target's own words may quote. `before`: the rows of the same
    result that were delivered under earlier grants. `target_limit`: seconds that the target lets a
    statement run, where its caller may have lifted the target's own limit.
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
    before: int = 0
    target_limit: float = inf

    @property
    def touches_labels(self) -> bool:
        """Whether the target's own words about this statement may carry a labelled value."""
        if self.facts is None:
            return True
        uses = (use.labels for use in self.facts.tables)
        return bool(self.facts.labels_read or frozenset[str]().union(*uses))


async def shape(raw: Batches, shaping: Shaping) -> AsyncGenerator[Batch]:
    """Limit, mask, record and pass on the events; nothing is delivered that was not recorded."""
    limit = min(shaping.decision.time_limit or inf, shaping.target_limit)
    deadline = Deadline(limit + TIME_GRACE)  # behind the target's own statement timeout
    first = True
    try:
        while (batch := await deadline.bound(raw)) is not None:
            shaped = Batch([await _shaped(event, shaping) for event in batch.events], batch.last)
            if not (first and batch.last and _recorded_whole(shaped, shaping)):
                await _record(shaped, shaping)
            first = False
            yield shaped
    except Passed as passed:
        raise Denied(_too_long(limit, shaping)) from passed
    finally:
        deadline.close()


async def _shaped(event: Event, shaping: Shaping) -> Event:
    """One event as it may be delivered. Raises `Denied`."""
    delivery = shaping.delivery
    match event:
        case Columns(columns):
            delivery.plan = _plan(columns, shaping)
            return _described(event, delivery.plan)
        case Rows():
            if delivery.plan is None:
                raise ProtocolError("rows came before their description")
            _within_limit(event, shaping)
            return event if delivery.plan.idle else await _masked(event, delivery.plan, shaping)
        case Failed():
            return await _scrubbed(event, shaping)
        case Done() | Native() | Pending():
            return event
        case _:
            assert_never(event)


def treatment(column: Column, index: int, shaping: Shaping) -> Treatment:
    """What happens to one output column: by its origin first, by proof second, else masked."""
    masked = shaping.decision.masked_labels
    if column.origin is not None:
        return _by_lineage(column, index, shaping, masked)
    if column.table == 0:
        return _expression(index, shaping, masked)
    relation = shaping.backend.catalog.by_oid.get(column.table)
    if relation is None or relation.kind == "f":
        return Mask("redact", "unknown", UNKNOWN_ORIGIN)
    if column.number < 0:  # tableoid, ctid and the like hold nothing of the application's
        return _expression(index, shaping, masked) if relation.kind == "p" else Scan()
    origin = next((c for c in relation.columns if c.number == column.number), None)
    if origin is None:
        return Mask("redact", "unknown", UNKNOWN_ORIGIN)
    if not _judged_by(relation.name, origin.name, shaping.facts):
        return Mask("redact", "unknown", CHANGED_ORIGIN)
    if shaping.facts is not None and shaping.facts.settings_named and relation.name == SETTINGS:
        return Scan()
    hidden = sorted(origin.labels & masked)
    if hidden:
        operator = shaping.backend.operator(relation.name, origin.name, hidden[0])
        return Mask(operator, hidden[0], f"label {hidden[0]}")
    if relation.kind in _TABLES:
        names = shaping.backend.names_in(relation.name, origin.name)
    else:
        names = shaping.backend.names_anywhere
    return Keep() if origin.labels else Scan(names)


def _by_lineage(column: Column, index: int, shaping: Shaping, masked: frozenset[str]) -> Treatment:
    """What happens to a column of MySQL's, by what the statement was understood to show there.

    The origin that the server names is no proof: an alias may stand in it. It only adds a mask.
    """
    facts, relations = shaping.facts, shaping.backend.catalog.relations
    stored = facts.stored_outputs if facts is not None and facts.opaque is None else ()
    for table, name in ((table, name) for number, table, name in stored if number == index):
        found = relations[table].column(name) if table in relations else None
        if found is None or not found.labels:
            return Mask("redact", "unknown", UNKNOWN_ORIGIN)
        hidden = sorted(found.labels & masked)
        if not hidden:
            return Keep()
        operator = shaping.backend.operator(table, name, hidden[0])
        return Mask(operator, hidden[0], f"label {hidden[0]}")
    treated = _expression(index, shaping, masked)
    told = shaping.backend.catalog.by_oid.get(column.table)
    origin = next((c for c in told.columns if c.number == column.number), None) if told else None
    if isinstance(treated, Scan) and origin is not None and origin.labels & masked:
        return Mask("redact", "unknown", CHANGED_ORIGIN)
    return treated


def _judged_by(table: TableName, column: str, facts: SqlFacts | None) -> bool:
    """Whether the statement was understood to use this column; else the target has changed."""
    if facts is None or not facts.catalog:
        return True
    uses = (use.columns for use in facts.tables if use.table == table)
    return any(column in columns or "*" in columns for columns in uses)


def _expression(index: int, shaping: Shaping, masked: frozenset[str]) -> Treatment:
    facts = shaping.facts
    if facts is None or facts.opaque is not None:
        return Hide("unknown", UNKNOWN_ORIGIN)
    touched = sorted(facts.labels_read & masked)
    if not touched or index in facts.clean_outputs:
        return Scan(shaping.backend.names_anywhere)
    why = f"an expression that may carry label {', '.join(touched)}"
    return Hide(touched[0], why)


def shape_of(column: Column, enums: Mapping[int, tuple[str, ...]]) -> ColumnShape | MysqlColumn:
    """What masking needs to know of a column; `enums` are the catalog's."""
    origin = column.origin
    if origin is None:
        labels = enums.get(column.type)
        return ColumnShape(column.name, column.type, column.modifier, column.binary, labels)
    return MysqlColumn(
        column.name,
        column.type,
        origin.flags,
        origin.charset,
        column.size,
        origin.decimals,
        binary=column.binary,
    )


def _plan(columns: tuple[Column, ...], shaping: Shaping) -> Plan:
    """How the columns are masked; the same plan for all results that nothing happens to."""
    known, key = shaping.backend.idle, (columns, shaping.facts, shaping.decision.masked_labels)
    plan = known.get(key)
    if plan is None:
        plan = _new_plan(columns, shaping)
        if plan.idle:
            if len(known) >= MOST_IDLE:
                known.clear()
            known[key] = plan
    return plan


def _new_plan(columns: Sequence[Column], shaping: Shaping) -> Plan:
    enums = shaping.backend.catalog.enums
    shapes = [shape_of(column, enums) for column in columns]
    treatments = [treatment(c, i, shaping) for i, c in enumerate(columns)]
    return shaping.masker.plan(shapes, treatments)


def _described(event: Columns, plan: Plan) -> Columns:
    if not any(plan.reasons):
        return event
    masked = (replace(c, masked=plan.why(i)) for i, c in enumerate(event.columns))
    return replace(event, columns=tuple(masked))


def _within_limit(rows: Rows, shaping: Shaping) -> None:
    """A native door ends in an error past the limit, never in a short success."""
    limit = shaping.decision.row_limit
    shaping.delivery.rows += rows.count
    if shaping.native and limit is not None and shaping.before + shaping.delivery.rows > limit:
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
    codec = row_codec(rows.codec)
    if codec is None:
        raise ProtocolError("rows that nobody can read")
    cut = codec.cut(rows.frames, plan.width, plan.wanted)
    masked = await shaping.masker.columns(plan, cut.columns)
    shaping.delivery.went(masked.counts, masked.by_column)
    return Rows(codec.splice(cut, masked.rows), rows.count, rows.codec) if masked.rows else rows


async def _scrubbed(failed: Failed, shaping: Shaping) -> Failed:
    """The target's error text is data: our own sentence where a label was touched."""
    if shaping.touches_labels:
        sentence = "the statement failed on the target; its own words are withheld, because the"
        return replace(failed, message=f"{sentence} statement touches labelled columns")
    said = quoting(failed.message, shaping.text)
    return replace(failed, message=await shaping.masker.text(said))


async def _record(batch: Batch, shaping: Shaping) -> None:
    """Record events before they are delivered; where there is no room, they are not."""
    for event in batch.events:
        record = _recorded(event, shaping)
        if record is not None and not shaping.journal.accept_now(record):
            await shaping.journal.accept(record)


def _recorded_whole(batch: Batch, shaping: Shaping) -> bool:
    """Record an answer that is small, and all there is, together with its outcome.

    Four records of one statement cost more than the statement. False, and nothing is recorded,
    where it is not so, and where the journal would have to be waited for.
    """
    answer: dict[str, Json] = {}
    frames = b""
    for event in batch.events:
        match event:
            case Columns() if not answer:
                answer["columns"] = _listed(event)
            case Rows(rows, _, codec) if not frames and len(rows) <= WHOLE_BYTES:
                answer["codec"], frames = codec, rows
            case Done(tag, _, more) if "tag" not in answer:
                answer["tag"], answer["more"] = tag, more
            case Native():
                pass
            case _:
                return False
    delivery = shaping.delivery
    if "tag" not in answer or not delivery.asked:
        return False
    told = replace(delivery, status="completed", bytes=len(frames), recorded=len(frames))
    record = Record(shaping.session, "answer", {**answer, **told.document()}, frames)
    delivery.whole = shaping.journal.accept_now(record)
    return delivery.whole


def _recorded(event: Event, shaping: Shaping) -> Record | None:
    """What is recorded of an event before it is delivered; where there is no room, it is not."""
    delivery, session = shaping.delivery, shaping.session
    match event:
        case Columns():
            return Record(session, "columns", {"columns": _listed(event)})
        case Rows():
            return _recorded_rows(event, shaping)
        case Failed(sqlstate, message):
            delivery.status = "failed"
            return Record(session, "failed", {"sqlstate": sqlstate, "message": message})
        case Done(tag, rows, more):
            delivery.status = "completed"
            return Record(session, "done", {"tag": tag, "rows": rows, "more": more})
        case Native() | Pending():
            return None
        case _:
            assert_never(event)


def _listed(columns: Columns) -> list[Json]:
    return [{"name": c.name, "type": c.type, "masked": c.masked} for c in columns.columns]


def _recorded_rows(rows: Rows, shaping: Shaping) -> Record | None:
    delivery = shaping.delivery
    delivery.bytes += len(rows.frames)
    if delivery.recorded + len(rows.frames) > RECORDED_BYTES:
        delivery.beyond.update(rows.frames)
        return None
    delivery.recorded += len(rows.frames)
    document: dict[str, Json] = {"count": rows.count, "codec": rows.codec}
    return Record(shaping.session, "rows", document, rows.frames)


def _too_long(limit: float, shaping: Shaping) -> Refusal:
    whose = "policy allows" if limit == shaping.decision.time_limit else "this target allows"
    return Refusal(
        code="TIME_LIMIT",
        reason=f"The statement ran longer than the {limit:g} s that {whose}.",
        next_step="Narrow the statement so that it needs less work.",
    )
