"""What is behind views and generated columns, by what the parsers say about their definitions.

A definition is the target's data: it goes where statements go, to the parser processes. What is
not understood there counts as users' code, and carries every label.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from policies.sql.catalog import Behind, Catalog, Reach, Relation
from policies.sql.facts import SqlEffect, SqlFacts, TableName
from policies.sql.mysql.system import is_system
from server.parsing.analyst import Analyst
from server.protocols.mysql.catalog import Parts, with_labels
from server.protocols.mysql.catalog_queries import identifier, table

Place = tuple[TableName, str]
_MOST_LEVELS: Final = 64  # the server nests no deeper
_NO_PARSER: Final = "SQL_PARSER_"


@dataclass(slots=True)
class Followed:
    """Follows the values of one catalog's columns.

    `asker` is whom the parsers' work is counted for. Not `settled`: they had no time for some
    definition, and might say more about it another time.
    """

    parts: Parts
    analyst: Analyst
    kind: str
    asker: str
    settled: bool = True
    _facts: dict[TableName, SqlFacts] = field(default_factory=dict)
    _nested: dict[TableName, dict[TableName, frozenset[str]]] = field(default_factory=dict)

    async def relations(self, rules: Mapping[Place, str]) -> dict[TableName, Relation]:
        """All relations: views with what is behind them, every column with its labels."""
        found = dict(self.parts.relations)
        await self._look_into(found)
        for name in self._nested:
            found[name] = self._with_behind(found[name])
        plain = dict(found)
        for label in sorted(set(rules.values())):
            columns = frozenset(place for place, each in rules.items() if each == label)
            for name, labelled in (await self._carried(plain, label, columns)).items():
                labels = {column: frozenset({label}) for column in labelled}
                found[name] = with_labels(found[name], labels)
        return found

    # -- what views name

    async def _look_into(self, relations: Mapping[TableName, Relation]) -> None:
        catalog = self._catalog(relations)
        for name, text in self.parts.views.items():
            if name not in relations or is_system(name.schema):
                continue
            facts = await self._ask(text, catalog, name.schema)
            self._facts[name] = facts
            uses: dict[TableName, frozenset[str]] = {}
            for use in facts.tables if _is_understood(facts) else ():
                uses[use.table] = uses.get(use.table, frozenset()) | use.columns
            self._nested[name] = uses

    def _with_behind(self, view: Relation) -> Relation:
        reached = self._reached(view.name)
        within = {view.name, *reached}
        unknown = any(not _is_understood(self._facts[n]) for n in within if n in self._facts)
        behind = tuple(Behind(n, c, Reach.VIEW) for n, c in sorted(reached.items()))
        return replace(view, user_code=view.user_code or unknown, behind=behind)

    def _reached(self, view: TableName) -> dict[TableName, frozenset[str]]:
        """The relations behind a view at any depth, and the columns that are used of each."""
        found: dict[TableName, frozenset[str]] = {}
        waiting, seen = [view], {view}
        while waiting:
            for name, columns in self._nested.get(waiting.pop(), {}).items():
                found[name] = found.get(name, frozenset()) | columns
                if name not in seen:
                    seen.add(name)
                    waiting.append(name)
        return found

    # -- where values go

    async def _carried(
        self, relations: Mapping[TableName, Relation], label: str, columns: Iterable[Place]
    ) -> dict[TableName, set[str]]:
        """The columns that may carry a label, by relation."""
        carried: dict[TableName, set[str]] = {}
        for name, column in columns:
            carried.setdefault(name, set()).add(column)
        await self._computed(relations, label, carried)
        for level in self._levels():
            known = self._catalog(_labelled(relations, label, carried))
            for view in level:
                shown = await self._shown(view, label, known, relations[view])
                if shown:
                    carried.setdefault(view, set()).update(shown)
        return carried

    async def _computed(
        self,
        relations: Mapping[TableName, Relation],
        label: str,
        carried: dict[TableName, set[str]],
    ) -> None:
        """Generated columns of tables with the label, which may be computed from each other."""
        for name in [name for name in carried if relations[name].kind != "v"]:
            of_table = {c: e for (t, c), e in self.parts.expressions.items() if t == name}
            for _ in of_table:
                known = self._catalog(_labelled(relations, label, carried))
                before = len(carried[name])
                for column, expression in of_table.items():
                    text = f"SELECT {expression} AS {identifier(column)} FROM {table(name)}"  # noqa: S608
                    facts = await self._ask(text, known, name.schema)
                    if not _is_understood(facts) or label in facts.labels_read:
                        carried[name].add(column)
                if len(carried[name]) == before:
                    break

    def _levels(self) -> list[list[TableName]]:
        """Views in an order in which each comes after those that it names."""
        levels: list[list[TableName]] = []
        left = set(self._nested)
        while left and len(levels) < _MOST_LEVELS:
            ready = sorted(view for view in left if not left & self._nested[view].keys())
            if not ready:
                break
            levels.append(ready)
            left -= set(ready)
        return levels

    async def _shown(
        self, view: TableName, label: str, known: Catalog, relation: Relation
    ) -> set[str]:
        """The columns of a view that may show values with the label."""
        everything = {column.name for column in relation.columns}
        if relation.user_code:
            return everything
        named = filter(None, map(known.relations.get, self._nested[view]))
        if not any(label in column.labels for each in named for column in each.columns):
            return set()
        facts = await self._ask(self.parts.views[view], known, view.schema)
        if not _is_understood(facts):
            return everything
        if label not in facts.labels_read:
            return set()
        ordered = sorted(relation.columns, key=lambda column: column.number)
        return {c.name for i, c in enumerate(ordered) if i not in facts.clean_outputs}

    def _catalog(self, relations: Mapping[TableName, Relation]) -> Catalog:
        return replace(self.parts.catalog("", ""), relations=relations, by_oid={})

    async def _ask(self, text: str, catalog: Catalog, schema: str) -> SqlFacts:
        # Its large parts stay the same objects, and go to the parsers once.
        within = replace(catalog, database=schema, search_path=(schema,))
        facts = await self.analyst.facts(self.kind, text, within, asker=self.asker)
        if facts.opaque is not None and facts.opaque.code.startswith(_NO_PARSER):
            self.settled = False
        return facts


def _labelled(
    relations: Mapping[TableName, Relation], label: str, carried: Mapping[TableName, set[str]]
) -> dict[TableName, Relation]:
    """Relations with this one label alone, where it is known to be."""
    found = dict(relations)
    for name, columns in carried.items():
        found[name] = with_labels(relations[name], dict.fromkeys(columns, frozenset({label})))
    return found


def _is_understood(facts: SqlFacts) -> bool:
    return facts.opaque is None and facts.effect is SqlEffect.READ and facts.statement_count == 1
