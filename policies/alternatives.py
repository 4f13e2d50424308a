"""What would pass in place of a refused statement: small changes, each put to the decision point.

Nothing is guessed: a change is named only where policy permits the statement with it to this very
principal, and then says no more than sending that statement would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from policies.model import AccessRequest, Channel, Decision, Effect
from policies.sql.catalog import Catalog, Relation
from policies.sql.facts import SqlEffect, SqlFacts, TableName, TableUse

MOST_QUESTIONS: Final = 10
"""Requests put to the decision point for one refusal."""

MOST_TOLD: Final = 3
MOST_COLUMNS: Final = 3
MOST_TABLES: Final = 3
_ALL: Final = "*"
_GIVES_REASONS: Final = frozenset({Channel.MCP, Channel.API})
_SOME_REASON: Final = "a reason"

Decide = Callable[[AccessRequest], Decision]
ColumnOf = tuple[TableName, str]


@dataclass(frozen=True, slots=True)
class Change:
    """What the requester could do otherwise, in words, and the request as it would be then.

    `column` is what the statement should leave out, where that is one column; `joins`: it makes
    sense together with others.
    """

    words: str
    apply: Callable[[AccessRequest], AccessRequest]
    column: ColumnOf | None = None
    joins: bool = True


@dataclass(frozen=True, slots=True)
class Passing:
    """What would pass, in words; `column` is the one that stands in the way, where it is one."""

    words: tuple[str, ...] = ()
    column: ColumnOf | None = None


def passing(request: AccessRequest, decide: Decide, catalog: Catalog) -> Passing:
    """Which changes would pass, each alone; or together, where none does alone."""
    facts = request.facts
    if facts is None or facts.opaque is not None:
        return Passing()
    asking = _Asking(request, decide)
    changes = tuple(_changes(request, facts, catalog))
    alone = [c for c in changes if asking.passes(c)]
    if alone:
        return _told(asking, alone)
    together = asking.together([c for c in changes if c.joins])
    return Passing((together,)) if together else Passing()


@dataclass(slots=True)
class _Asking:
    """Asks the decision point so many times and no more."""

    request: AccessRequest
    decide: Decide
    asked: int = 0
    found: dict[str, Decision] = field(default_factory=dict)

    def passes(self, *changes: Change) -> bool:
        if self.asked >= MOST_QUESTIONS:
            return False
        self.asked += 1
        changed = self.request
        for change in changes:
            changed = change.apply(changed)
        decision = self.decide(changed)
        if decision.effect is Effect.PERMIT:
            self.found[_words(changes)] = decision
        return decision.effect is Effect.PERMIT

    def together(self, changes: Sequence[Change]) -> str:
        """The fewest of the changes that pass together, in words; empty where none do."""
        kept = list(changes)
        if len(kept) < 2 or not self.passes(*kept):
            return ""
        for change in reversed(changes):
            fewer = [c for c in kept if c is not change]
            if fewer and self.passes(*fewer):
                kept = fewer
        return self.said(*kept)

    def said(self, *changes: Change) -> str:
        words = _words(changes)
        decision = self.found.get(words)
        groups = sorted({g for r in decision.approvals for g in r.groups}) if decision else []
        if not decision or not decision.approvals:
            return words
        who = f"by {' or '.join(groups)}" if groups else "by yourself"
        return f"{words} (it then waits for approval {who})"


def _words(changes: Sequence[Change]) -> str:
    return ", and ".join(change.words for change in changes)


def _told(asking: _Asking, alone: Sequence[Change]) -> Passing:
    words = tuple(asking.said(change) for change in alone[:MOST_TOLD])
    return Passing(words, next((c.column for c in alone if c.column), None))


def _changes(request: AccessRequest, facts: SqlFacts, catalog: Catalog) -> Iterator[Change]:
    """What may be changed, what changes least first."""
    if not facts.has_where:
        yield Change("add a WHERE that names the rows", _with_facts(_narrowed))
    if not request.reason and request.channel in _GIVES_REASONS:
        yield Change("give a reason", lambda r: replace(r, reason=_SOME_REASON))
    yield from _column_changes(facts, catalog)
    if facts.labels_compared:
        words = "compare labelled columns with constants or parameters only"
        yield Change(words, _with_facts(_not_compared))
    if facts.labels_filtered:
        words = "leave labelled columns out of WHERE, ORDER BY and GROUP BY"
        yield Change(words, _with_facts(_not_filtered))
    if facts.effect is SqlEffect.WRITE and facts.tables and not _copies(facts):
        tables = ", ".join(sorted({str(use.table) for use in _named(facts)}))
        yield Change(f"only read {tables}, with a SELECT", _with_facts(_as_read))
    yield from _table_changes(facts, catalog)


def _with_facts(change: Callable[[SqlFacts], SqlFacts]) -> Callable[[AccessRequest], AccessRequest]:
    def apply(request: AccessRequest) -> AccessRequest:
        return replace(request, facts=change(request.facts)) if request.facts else request

    return apply


def _named(facts: SqlFacts) -> tuple[TableUse, ...]:
    """What the statement itself names: what is only reached through that, nobody can leave out."""
    return tuple(use for use in facts.tables if not use.through)


def _narrowed(facts: SqlFacts) -> SqlFacts:
    return replace(facts, has_where=True)


def _not_compared(facts: SqlFacts) -> SqlFacts:
    return replace(facts, labels_compared=frozenset())


def _not_filtered(facts: SqlFacts) -> SqlFacts:
    return replace(facts, labels_filtered=frozenset())


def _copies(facts: SqlFacts) -> bool:
    """Whether it writes what it reads elsewhere: no SELECT would do the same."""
    written = {use.table for use in _named(facts) if use.verb != "select"}
    return any(use.table not in written for use in _named(facts))


def _as_read(facts: SqlFacts) -> SqlFacts:
    merged: dict[TableName, TableUse] = {}
    for use in facts.tables:
        known = merged.get(use.table, use)
        columns, labels = known.columns | use.columns, known.labels | use.labels
        read = replace(known, verb="select", written=frozenset())
        merged[use.table] = replace(read, columns=columns, labels=labels)
    return replace(
        facts,
        effect=SqlEffect.READ,
        kinds=frozenset({"select"}),
        tables=tuple(merged.values()),
        has_where=True,
        labels_copied=frozenset(),
    )


# -- columns


def _column_changes(facts: SqlFacts, catalog: Catalog) -> Iterator[Change]:
    """Leaving out what is labelled: each column by itself, then all of them."""
    labelled = sorted(_labelled(facts, catalog))
    if not labelled:
        return
    for one in labelled[:MOST_COLUMNS]:
        words = f"leave out the column {one[1]} of {one[0]}"
        leaving_out = _with_facts(_leaving_out(frozenset({one}), catalog))
        yield Change(words, leaving_out, one, joins=len(labelled) == 1)
    if len(labelled) > 1:
        names = ", ".join(f"{table}.{column}" for table, column in labelled[:MOST_COLUMNS])
        more = f" and {len(labelled) - MOST_COLUMNS} more" if len(labelled) > MOST_COLUMNS else ""
        words = f"leave out the labelled columns {names}{more}"
        yield Change(words, _with_facts(_leaving_out(frozenset(labelled), catalog)))


def _labelled(facts: SqlFacts, catalog: Catalog) -> frozenset[ColumnOf]:
    return frozenset(
        (use.table, name)
        for use in _named(facts)
        for name, labels in _touched(use, catalog).items()
        if labels
    )


def _touched(use: TableUse, catalog: Catalog) -> Mapping[str, frozenset[str]]:
    """The columns that a use touches, `*` resolved, and their labels."""
    relation = catalog.relations.get(use.table)
    columns = relation.columns if relation else ()
    return {c.name: c.labels for c in columns if _ALL in use.columns or c.name in use.columns}


def _leaving_out(dropped: frozenset[ColumnOf], catalog: Catalog) -> Callable[[SqlFacts], SqlFacts]:
    def apply(facts: SqlFacts) -> SqlFacts:
        left = {use: _without(use, dropped, catalog) for use in _named(facts)}
        through = {str(u.table): (u.labels, now.labels) for u, now in left.items() if u != now}
        uses = (left.get(use) or _reached(use, through) for use in facts.tables)
        return _with_tables(facts, tuple(uses))

    return apply


def _with_tables(facts: SqlFacts, uses: tuple[TableUse, ...]) -> SqlFacts:
    """The facts with other uses of tables, and without the labels that only the old ones had."""
    gone = _labels(facts.tables) - _labels(uses)
    return replace(
        facts,
        tables=uses,
        labels_read=facts.labels_read - gone,
        labels_copied=facts.labels_copied - gone,
        labels_compared=facts.labels_compared - gone,
        labels_filtered=facts.labels_filtered - gone,
        labels_matched=facts.labels_matched - gone,
    )


def _reached(
    use: TableUse, through: Mapping[str, tuple[frozenset[str], frozenset[str]]]
) -> TableUse:
    """What is reached through a use that has fewer labels now has no others than that."""
    before, now = through.get(use.through, (frozenset[str](), frozenset[str]()))
    if not use.labels <= before:
        return use
    written = frozenset(pair for pair in use.written if pair[1] in now)
    return replace(use, labels=use.labels & now, written=written)


def _without(use: TableUse, dropped: frozenset[ColumnOf], catalog: Catalog) -> TableUse:
    touched = _touched(use, catalog)
    left = {name: ls for name, ls in touched.items() if (use.table, name) not in dropped}
    if len(left) == len(touched):
        return use
    labels = frozenset[str]().union(*left.values())
    written = frozenset(pair for pair in use.written if pair[0] in left)
    return replace(use, columns=frozenset(left), labels=labels, written=written)


def _labels(uses: Sequence[TableUse]) -> frozenset[str]:
    return frozenset[str]().union(*(use.labels for use in uses))


# -- tables


def _table_changes(facts: SqlFacts, catalog: Catalog) -> Iterator[Change]:
    """Leaving out one table of several, or reading one that has the same columns."""
    named = _named(facts)
    read = [use for use in named if use.verb == "select"]
    for use in read[:MOST_TABLES]:
        if len(named) > 1 and _only(facts, use):
            leaving_out = _with_facts(_leaving_out_table(use))
            yield Change(f"leave out {use.table}", leaving_out, joins=False)
    for use in read[:1] if len(named) == 1 else ():
        for other in _alike(use, catalog):
            words = f"read {other.name} in place of {use.table}"
            yield Change(words, _with_facts(_reading(use, other)), joins=False)


def _only(facts: SqlFacts, use: TableUse) -> bool:
    """Whether the table is only read: what is written too can't be left out."""
    return all(other.verb == "select" for other in facts.tables if other.table == use.table)


def _leaving_out_table(use: TableUse) -> Callable[[SqlFacts], SqlFacts]:
    def apply(facts: SqlFacts) -> SqlFacts:
        kept = (u for u in facts.tables if u != use and u.through != str(use.table))
        return _with_tables(facts, tuple(kept))

    return apply


def _alike(use: TableUse, catalog: Catalog) -> Sequence[Relation]:
    """Relations named after this one that have every column that is named."""
    named = use.columns - {_ALL}
    found = [
        relation
        for name, relation in catalog.relations.items()
        if name.schema == use.table.schema
        and name != use.table
        and use.table.name in name.name
        and relation.kind in "rvmp"
        and not relation.user_code
        and named <= {column.name for column in relation.columns}
    ]
    return sorted(found, key=lambda relation: relation.name)[:MOST_TABLES]


def _reading(use: TableUse, other: Relation) -> Callable[[SqlFacts], SqlFacts]:
    """The other relation in its place, with what it reaches: of that, every column and label."""

    def apply(facts: SqlFacts) -> SqlFacts:
        touched = [c for c in other.columns if _ALL in use.columns or c.name in use.columns]
        labels = frozenset[str]().union(*(column.labels for column in touched))
        read = replace(use, table=other.name, labels=labels, kind=other.kind_name)
        behind = tuple(
            TableUse(b.name, "select", b.columns, labels, through=str(other.name))
            for b in other.behind
        )
        return replace(
            facts,
            tables=(read, *behind),
            labels_read=labels,
            labels_copied=facts.labels_copied & labels,
            labels_compared=facts.labels_compared & labels,
            labels_filtered=facts.labels_filtered & labels,
            labels_matched=facts.labels_matched & labels,
        )

    return apply
