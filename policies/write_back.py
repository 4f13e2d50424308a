"""Write-back: who sees a column masked may not write it, for a mask would take the value's place.

Whether they see it so is what policy would answer to a SELECT of it. Not in here: masks that stand
in the text or the parameters of a statement (`server.write_back`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from policies.errors import Refusal
from policies.model import AccessRequest
from policies.questions import WRITE_MASKED, Asked, sql_facts, written_masked
from policies.sql.facts import SqlEffect, SqlFacts, TableName, TableUse

Seen = Mapping[tuple[TableName, str], frozenset[str]]
"""The labels that are masked in a table, by its name and what it is reached through."""


def reading(request: AccessRequest) -> AccessRequest | None:
    """The request that reads what this one writes into labelled columns; None for no such."""
    facts = sql_facts(request)
    if facts is None or facts.opaque is not None:
        return None
    tables: dict[tuple[TableName, str], TableUse] = {}
    for use in facts.tables:
        if use.written:
            before = tables.get((use.table, use.through))
            tables[use.table, use.through] = _read(use, before)
    if not tables:
        return None
    labels = frozenset[str]().union(*(use.labels for use in tables.values()))
    read = SqlFacts(
        SqlEffect.READ, frozenset({"select"}), tuple(tables.values()), labels_read=labels
    )
    return replace(request, facts=read)


def _read(use: TableUse, before: TableUse | None) -> TableUse:
    columns = frozenset(column for column, _ in use.written)
    labels = frozenset(label for _, label in use.written)
    if before is not None:
        columns, labels = columns | before.columns, labels | before.labels
    plain = replace(use, verb="select", written=frozenset())
    return replace(plain, columns=columns, labels=labels)


def masked_writes(request: AccessRequest, seen: Seen) -> tuple[Asked, ...]:
    """A question for each table where values would go into columns that are seen masked."""
    facts = request.facts
    uses = () if facts is None else facts.tables
    return tuple(written_masked(request, use) for use in _masked(uses, seen))


def _masked(uses: Sequence[TableUse], seen: Seen) -> Iterator[TableUse]:
    """The uses with only their masked columns."""
    for use in uses:
        labels = seen.get((use.table, use.through), frozenset())
        written = frozenset(pair for pair in use.written if pair[1] in labels)
        if written:
            columns = frozenset(column for column, _ in written)
            hidden = frozenset(label for _, label in written)
            yield replace(use, columns=columns, labels=hidden, written=written)


def refusal(asked: Asked) -> Refusal:
    """Why nothing is written there, and what would pass."""
    use = asked.use
    if use is None:
        raise ValueError("the question is about no table")
    columns, labels = ", ".join(sorted(use.columns)), ", ".join(sorted(use.labels))
    one = len(use.columns) == 1
    return Refusal(
        code="WRITE_BACK",
        reason=f"You see {'the column' if one else 'the columns'} {columns} of {use.table} masked"
        f" ({labels}), so you do not write {'it' if one else 'them'}:"
        " a mask would take the value's place.",
        next_step=f"Leave {columns} out of the change; or ask whoever administers the gateway"
        f" for a policy that permits {WRITE_MASKED} there.",
        subject=asked.subject,
        span=use.span,
    )
