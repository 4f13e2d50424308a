"""An EXPLAIN's facts: those of the statement that it plans, which changes nothing."""

from __future__ import annotations

from dataclasses import replace

from policies.sql.facts import SqlFacts, TableUse


def only_read(facts: SqlFacts) -> SqlFacts:
    """The facts of an EXPLAIN that runs nothing: what would be written counts as read."""
    merged: dict[object, TableUse] = {}
    for use in facts.tables:
        before = merged.get((use.table, use.through), use)
        merged[use.table, use.through] = TableUse(
            use.table,
            "select",
            before.columns | use.columns,
            before.labels | use.labels,
            before.span or use.span,
            use.kind,
            use.through,
        )
    return replace(
        facts,
        tables=tuple(merged.values()),
        has_where=True,
        labels_copied=frozenset(),
        limit=None,
        locks=frozenset(),
    )
