"""Statements with comments that some servers run: `/*!50000 … */`, read in each way that there is.

Which server runs which comment hangs on its version and its make. So a statement is understood if
every way of reading it is, and its facts are those of all the ways together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain, combinations
from typing import Final

from policies.sql.facts import SqlEffect, SqlFacts, TableName, TableUse
from policies.sql.mysql.lexer import Comments
from policies.sql.not_understood import NotUnderstood

# Each doubles the ways to read the statement. mysqldump sends one.
MAXIMUM_COMMENTS: Final = 3

_EMPTY: Final = frozenset({"empty"})
_SETTINGS: Final = frozenset({"set", "empty"})


def may_hold_versions(text: str) -> bool:
    """Whether a text may have such comments; where they stand in a string they are none."""
    return "/*!" in text or "/*M!" in text


def read_each_way(text: str, analyse: Callable[[Comments], SqlFacts]) -> SqlFacts:
    """The facts of a statement that `analyse` takes in one way of reading it."""
    seen: list[int] = []
    skipped = analyse(Comments(frozenset(), seen))
    if not seen or (skipped.opaque is not None and not skipped.absorbed):
        return skipped
    if len(seen) > MAXIMUM_COMMENTS:
        raise _differs("there are many comments that some servers run", seen)
    ways = [skipped, *(analyse(Comments(run, [])) for run in _subsets(seen))]
    return _together(ways, seen)


def _subsets(seen: list[int]) -> Iterator[frozenset[int]]:
    sizes = range(1, len(seen) + 1)
    return map(frozenset, chain.from_iterable(combinations(seen, size) for size in sizes))


def _together(ways: list[SqlFacts], seen: list[int]) -> SqlFacts:
    said = [way for way in ways if way.kinds != _EMPTY]
    if all(way.absorbed for way in said) and len({way.absorbed for way in said}) == 1:
        return said[0]
    if any(way.opaque is not None for way in ways):
        raise _differs("what some servers run in this comment is not understood", seen)
    effects = {way.effect for way in ways}
    if effects == {SqlEffect.READ}:
        return _reads(ways)
    if effects <= {SqlEffect.READ, SqlEffect.SESSION} and _only_set(ways):
        return next(way for way in ways if way.effect is SqlEffect.SESSION)
    if effects == {SqlEffect.TRANSACTION} and len({way.kinds for way in ways}) == 1:
        return ways[0]
    raise _differs("what the statement does hangs on whether a server runs this comment", seen)


def _only_set(ways: list[SqlFacts]) -> bool:
    """Whether a setting is all that there is, or nothing."""
    return all(way.kinds <= _SETTINGS for way in ways)


def _reads(ways: list[SqlFacts]) -> SqlFacts:
    limits = {way.limit for way in ways}
    clean = frozenset.intersection(*(way.clean_outputs for way in ways))
    stored = {way.stored_outputs for way in ways}
    return replace(
        ways[0],
        kinds=_union(way.kinds for way in ways) - _EMPTY or _EMPTY,
        tables=_uses(ways),
        functions=_union(way.functions for way in ways),
        labels_read=_union(way.labels_read for way in ways),
        labels_compared=_union(way.labels_compared for way in ways),
        labels_filtered=_union(way.labels_filtered for way in ways),
        labels_matched=_union(way.labels_matched for way in ways),
        clean_outputs=clean,
        stored_outputs=stored.pop() if len(stored) == 1 else (),
        objects=tuple(sorted({item for way in ways for item in way.objects})),
        limit=limits.pop() if len(limits) == 1 else None,
        operators=_union(way.operators for way in ways),
        casts=_union(way.casts for way in ways),
        statement_count=max(way.statement_count for way in ways),
    )


def _union(parts: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset[str]().union(*parts)


def _uses(ways: list[SqlFacts]) -> tuple[TableUse, ...]:
    merged: dict[tuple[TableName, str], TableUse] = {}
    for use in (use for way in ways for use in way.tables):
        before = merged.setdefault((use.table, use.verb), use)
        columns, labels = before.columns | use.columns, before.labels | use.labels
        merged[use.table, use.verb] = replace(before, columns=columns, labels=labels)
    return tuple(merged.values())


def _differs(reason: str, seen: list[int]) -> NotUnderstood:
    return NotUnderstood("SQL_COMMENT", reason, seen[0])
