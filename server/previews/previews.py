"""Tries out changes that wait for approval, beside the call that asked, and keeps what came of it.

The requester never waits for it and never sees it. It blocks no approval: whatever goes wrong, the
ticket stands, and says that there is no preview, and why.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from masking.cells import Mask, Masker, Scan, Treatment
from masking.errors import MaskingFailed
from policies.errors import BackendUnavailable, Denied
from policies.model import AccessRequest, Decision, Effect, SqlPreview, SqlStatement
from policies.sql.catalog import Relation
from policies.sql.facts import SqlEffect
from policies.sql.plans import only_read
from recordings.events import Column
from recordings.journal import Json, Record
from recordings.rows import Row
from server.approvals.tickets import Ticket
from server.backends import Backend
from server.gate import Gate, Grant, new_session
from server.obligations import shape_of
from server.previewing import NotTried, Tried
from server.previews.stored import Cells, Preview, Sample, StoredPreviews
from server.protocols.postgres.preview import Change, change_of
from server.recorded_input import kept
from tools.cells import cell_text

_log = logging.getLogger(__name__)

MOST_WAITING: Final = 20
"""Previews of one gateway that wait or run; of one target, one runs at a time."""

MOST_OF_ONE: Final = 5
"""Of those, what one person asked for: nobody keeps others' changes from being tried out."""

MOST_COLUMNS: Final = 40
LONGEST_CELL: Final = 200  # characters

_NOT_READ: Final = "whoever asked may not read, without approval, all that it looks at"
_DECIDED: Final = "it was decided before its turn came"
_TOO_MANY: Final = "too many changes were asked for at the same time"
_AWAY: Final = "the target could not be reached, or did not answer in time"
_STOPPED: Final = "the gateway stopped before it was done"
_FAILED: Final = "the gateway failed at it; its log says more"


@dataclass(slots=True)
class Previews:
    """Tries changes out for one gate."""

    gate: Gate
    stored: StoredPreviews
    _tasks: dict[asyncio.Task[None], str] = field(default_factory=dict)
    _turns: dict[str, asyncio.Lock] = field(default_factory=dict)

    @asynccontextmanager
    async def previewing(self) -> AsyncIterator[None]:
        """While open, what asks for approval is tried out where policy allows that."""
        self.gate.previews = self
        try:
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(tuple(self._tasks))

    async def begin(self, asked: AccessRequest, ticket: Ticket) -> None:
        """Start the preview of a ticket that was opened for this request; once for each ticket.

        Where policy does not allow it, nothing is kept, and the ticket says nothing of it.
        """
        mine = ticket.session == asked.session and ticket.state == "pending"
        somebody_else = any(r.groups for r in ticket.requirements)
        if not mine or not somebody_else:
            return
        if not isinstance(asked.action, SqlStatement) or asked.target is None:
            return
        request = _request(asked, asked.action, ticket.id)
        if not _allowed(self.gate.decide(request)):
            return
        try:
            if _allowed(self.gate.decide(_as_read(asked))):
                await self._begin(request, ticket.id)
            else:
                await self.stored.leave_out(ticket.id, _NOT_READ)
        except BackendUnavailable as error:
            _log.warning("no preview of %s: %s", ticket.id, error)

    async def _begin(self, request: AccessRequest, ticket: str) -> None:
        try:
            change = await asyncio.to_thread(_change, request)
        except NotTried as why:
            await self.stored.leave_out(ticket, str(why))
            return
        asker = request.principal.id
        if len(self._tasks) >= MOST_WAITING or self._of(asker) >= MOST_OF_ONE:
            await self.stored.leave_out(ticket, _TOO_MANY)
        elif await self.stored.begin(ticket):
            task = asyncio.create_task(self._run(request, change, ticket), name="preview")
            self._tasks[task] = asker
            task.add_done_callback(self._tasks.pop)

    def _of(self, asker: str) -> int:
        """How many of a person's wait or run, through whatever agents."""
        return sum(asker == other for other in self._tasks.values())

    async def _run(self, request: AccessRequest, change: Change, ticket: str) -> None:
        try:
            preview = await self._tried(request, change, ticket)
        except asyncio.CancelledError:
            preview = Preview(ticket, "none", _STOPPED)
        except Exception:  # noqa: BLE001 -- a task's boundary: it must not take the ticket along
            _log.exception("the preview of %s failed", ticket)
            preview = Preview(ticket, "none", _FAILED)
        try:
            await self.stored.end(preview)
        except BackendUnavailable as error:
            _log.warning("the preview of %s is not kept: %s", ticket, error)

    async def _tried(self, request: AccessRequest, change: Change, ticket: str) -> Preview:
        """Take a turn, try, mask, record: in this order."""
        target = request.target.name if request.target else ""
        backend = self.gate.backends[target]
        async with self._turns.setdefault(target, asyncio.Lock()):
            if (await self.gate.approvals.get(ticket)).state != "pending":
                return Preview(ticket, "none", _DECIDED)
            try:
                self.gate.admission.check(request.principal)
                grant = await self.gate.granted(request)
            except Denied as denied:
                return Preview(ticket, "none", denied.refusal.reason)
            try:
                preview, masked = await self._attempt(grant, backend, change, ticket)
            except BaseException as error:  # its intent is recorded: so is what came of it
                why = _STOPPED if isinstance(error, asyncio.CancelledError) else _FAILED
                ended = Preview(ticket, "none", why)
                await self.gate.journal.commit(_outcome(request.session, ended, Counter()))
                raise
            await self.gate.journal.commit(_outcome(request.session, preview, masked))
            return preview

    async def _attempt(
        self, grant: Grant, backend: Backend, change: Change, ticket: str
    ) -> tuple[Preview, Counter[str]]:
        masked: Counter[str] = Counter()
        relation = backend.catalog.relations.get(change.table)
        try:
            columns = () if kept(grant.request.action).removed else _columns(change, relation)
            tried = await backend.connector.preview(grant, columns)
            sample = await _sample(tried, change, backend, self.gate.masker, masked)
        except NotTried as why:
            return Preview(ticket, "none", str(why)), masked
        except BackendUnavailable:
            return Preview(ticket, "none", _AWAY), masked
        except MaskingFailed:
            return Preview(ticket, "done", "", tried.changed), masked
        return Preview(ticket, "done", "", tried.changed, sample), masked


def _request(asked: AccessRequest, statement: SqlStatement, ticket: str) -> AccessRequest:
    """An action of its own in a session of its own: what comes of it is not the requester's."""
    action = SqlPreview(ticket, statement.text, statement.parameters)
    return replace(asked, action=action, session=new_session(), now=datetime.now(UTC))


def _as_read(asked: AccessRequest) -> AccessRequest:
    """The request, if it only read what it touches.

    What is rolled back leaves traces that can be read: `xmax` in the rows that it met, and counts
    in the server's statistics. They must tell the requester nothing that reading would not.
    """
    facts = only_read(asked.facts) if asked.facts else None
    if facts is not None:
        facts = replace(facts, effect=SqlEffect.READ, kinds=frozenset({"select"}))
    return replace(asked, facts=facts, now=datetime.now(UTC))


def _allowed(decision: Decision) -> bool:
    return decision.effect is Effect.PERMIT and not decision.approvals


def _change(request: AccessRequest) -> Change:
    action = request.action
    assert isinstance(action, SqlPreview)  # noqa: S101 -- made by _request
    return change_of(request.facts, action.text, action.parameters)


def _columns(change: Change, relation: Relation | None) -> tuple[str, ...]:
    """Columns for the sample: none where labelled values choose the rows.

    Unless they are looked up, which rows those are would tell what they are. Nor is there a sample
    where a secret was taken out of the statement: it would be in the rows.
    """
    facts = change.facts
    if relation is None or facts.labels_filtered | facts.labels_compared:
        return ()
    names = tuple(c.name for c in relation.columns if not c.hidden)
    return names if len(names) <= MOST_COLUMNS else ()


async def _sample(
    tried: Tried, change: Change, backend: Backend, masker: Masker, masked: Counter[str]
) -> Sample | None:
    """The rows in text, every labelled column masked, the others searched like any result."""
    if not tried.before:
        return None
    treatments = [_treatment(column, backend) for column in tried.columns]
    shapes = [shape_of(column, backend.catalog.enums) for column in tried.columns]
    found = await masker.rows(masker.plan(shapes, treatments), [*tried.before, *tried.after])
    masked.update(found.counts)
    rows = [_cells(row, tried.columns) for row in found.rows]
    before, after = rows[: len(tried.before)], rows[len(tried.before) :]
    relation = backend.catalog.relations.get(change.table)
    labels = (column.labels for column in relation.columns) if relation else ()
    return Sample(
        table=change.table,
        columns=tuple(c.name for c in tried.columns),
        labels=frozenset[str]().union(*labels),
        before=tuple(tuple(map(_cut, row)) for row in before),
        after=tuple(
            tuple(map(_cut_after, old, new)) for old, new in zip(before, after, strict=False)
        ),
    )


def _treatment(column: Column, backend: Backend) -> Treatment:
    relation = backend.catalog.by_oid.get(column.table)
    columns = relation.columns if relation else ()
    origin = next((c for c in columns if c.number == column.number), None)
    if relation is None or origin is None:
        return Mask("redact", "unknown", "its origin could not be resolved")
    if not origin.labels:
        return Scan()
    label = min(origin.labels)
    return Mask(backend.operator(relation.name, origin.name, label), label, f"label {label}")


def _cells(row: Row, columns: Sequence[Column]) -> Cells:
    return tuple(None if c is None else cell_text(c, k) for c, k in zip(row, columns, strict=True))


def _cut(cell: str | None) -> str | None:
    return cell if cell is None or len(cell) <= LONGEST_CELL else cell[:LONGEST_CELL] + "…"


def _cut_after(old: str | None, new: str | None) -> str | None:
    """A change must not hide behind the place where a long value is cut."""
    shown = _cut(new)
    return f"{shown} (changed further on)" if old != new and shown == _cut(old) else shown


def _outcome(session: str, preview: Preview, masked: Counter[str]) -> Record:
    """What came of it; what approvers are shown is its body."""
    document: dict[str, Json] = {
        "status": "rolled back" if preview.state == "done" else "not tried out",
        "ticket": preview.ticket,
        "rows": preview.changed or 0,
        "why": preview.why,
        "masked": dict(masked),
    }
    return Record(session, "outcome", document, preview.sample.encoded() if preview.sample else b"")
