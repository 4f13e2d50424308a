"""A preview as one approver may see it: the count, and the rows where they may read the table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policies.model import Channel, Effect, Principal, SqlStatement
from policies.sql.catalog import Reach
from policies.sql.facts import SqlEffect, SqlFacts, TableUse
from server.backends import Backend
from server.gate import Gate
from server.previews.stored import Preview, Sample
from server.target_views import would_decide
from tools.gateway import PreviewView

_RUNNING: Final = "It is being tried out now; look again in a moment."
_ABANDONED: Final = "It was not tried out: the gateway stopped before it was done."
_CHANNELS: Final = (Channel.MCP, Channel.API, Channel.WEB)


def preview_view(
    preview: Preview, gate: Gate, backend: Backend | None, principal: Principal
) -> PreviewView:
    """In words; rows only where policy would let this principal read them, as masked as here."""
    match preview.state:
        case "running":
            return PreviewView(_RUNNING)
        case "abandoned":
            return PreviewView(_ABANDONED)
        case "none":
            return PreviewView(f"It was not tried out: {preview.why}.")
        case _:
            return _done(preview, gate, backend, principal)


def _done(
    preview: Preview, gate: Gate, backend: Backend | None, principal: Principal
) -> PreviewView:
    changed = preview.changed or 0
    rows = "1 row" if changed == 1 else f"{changed:,} rows"
    said = f"Tried out and rolled back: it changed {rows}."
    sample = preview.sample
    if preview.sample_deleted:
        return PreviewView(f"{said} The rows were deleted by retention.", changed)
    if sample is None:
        return PreviewView(said, changed)
    if backend is None or not _may_read(gate, backend, principal, sample):
        return PreviewView(f"{said} You may not read the table, so no rows are shown.", changed)
    return PreviewView(said, changed, sample.columns, sample.before, sample.after)


def _may_read(gate: Gate, backend: Backend, principal: Principal, sample: Sample) -> bool:
    uses = tuple(_uses(backend, sample))
    facts = SqlFacts(SqlEffect.READ, frozenset({"select"}), uses, labels_read=sample.labels)
    decisions = (
        would_decide(gate, principal, backend, SqlStatement(""), facts=facts, channel=channel)
        for channel in _CHANNELS
    )
    return bool(uses) and any(d.effect is Effect.PERMIT and not d.approvals for d in decisions)


def _uses(backend: Backend, sample: Sample) -> Iterator[TableUse]:
    """As a SELECT of these columns: with the table that a partition is of, and those that inherit.

    Nothing for a table that is not there any more, or while nobody knows.
    """
    columns, labels = frozenset(sample.columns), sample.labels
    relations = backend.snapshot.catalog.relations if backend.snapshot else {}
    relation = relations.get(sample.table)
    if relation is None:
        return
    yield TableUse(sample.table, "select", columns, labels, kind=relation.kind_name)
    for behind in relation.behind:
        if behind.kind in (Reach.PARTITIONED, Reach.INHERITS):
            other = relations.get(behind.name)
            kind = other.kind_name if other else "table"
            through = str(sample.table)
            yield TableUse(behind.name, "select", columns, labels, kind=kind, through=through)
