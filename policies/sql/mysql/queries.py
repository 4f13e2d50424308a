"""Queries of MySQL: SELECT, VALUES, set operations and CTEs, and the shape of what they return."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from sqlglot import exp

from policies.sql.lineage import (
    CLEAN,
    DEPENDS,
    MIXED,
    FromItem,
    Lineage,
    Output,
    Shape,
    Source,
    exact_shape,
    union,
    united,
)
from policies.sql.mysql.columns import DOUBTFUL
from policies.sql.mysql.findings import UNNAMED, fold, hidden_columns
from policies.sql.mysql.from_clause import FromWalker
from policies.sql.mysql.matching import constant_outputs
from policies.sql.mysql.scopes import Level
from policies.sql.mysql.steps import unclear
from policies.sql.mysql.tree import Node, checked, child, children, required
from policies.sql.not_understood import NotUnderstood

# MySQL's own limit for a table.
MAXIMUM_COLUMNS: Final = 4096

_SETS: Final = (exp.Union, exp.Except, exp.Intersect)


class QueryWalker(FromWalker):
    """Walks queries."""

    def query(self, node: Node, level: Level) -> Shape:
        """A query inside a statement: that its rows are there may tell what they were tested by."""
        mark, before = len(self.findings.tests), len(self.findings.references)
        shape = self.outermost(node, level)
        self.findings.deciding.cover(before, len(self.findings.references))
        return shape.tainted(DEPENDS) if self.findings.tested_since(mark) else shape

    def outermost(self, node: Node, level: Level) -> Shape:
        """A statement's own query."""
        self.findings.count_query()
        checked(node)
        inside = self.with_clause(node, level.within(FromItem()))
        match node:
            case exp.Select():
                return self._select(node, inside)
            case exp.Union() | exp.Except() | exp.Intersect():
                return self._set_operation(node, inside)
            case exp.Subquery() if child(node, "alias") is None:
                shape = self.outermost(required(node, "this"), inside)
                self._sort_and_limit(node, inside, shape)
                return shape
            case _:
                raise unclear(f"a query ({type(node).__name__})")

    def with_clause(self, node: Node, level: Level) -> Level:
        """The level with the CTEs of a query; each sees those before it."""
        clause = child(node, "with_")
        if clause is None:
            return level
        recursive = bool(checked(clause).args.get("recursive"))
        expressions = [checked(cte) for cte in children(clause, "expressions")]
        self._refuse_forward_references(expressions)
        for cte in expressions:
            walk = self._recursive_cte if recursive else self._cte
            level = level.with_cte(self._cte_name(cte), walk(cte, level))
        return level

    def targets(self, nodes: Iterable[Node], level: Level) -> Shape:
        """The shape of a select list."""
        outputs: list[Output] = []
        for node in nodes:
            outputs.extend(self._target(node, level))
            if len(outputs) > MAXIMUM_COLUMNS:
                raise NotUnderstood("SQL_TOO_COMPLEX", f"over {MAXIMUM_COLUMNS} columns")
        return exact_shape(outputs)

    def _cte_name(self, cte: Node) -> str:
        alias = checked(required(cte, "alias"))
        return self.columns.token(required(alias, "this")).value

    def _cte(self, cte: Node, level: Level) -> Shape:
        return self.query(required(cte, "this"), level).renamed(self.column_list(cte))

    def _recursive_cte(self, cte: Node, level: Level) -> Shape:
        body = required(cte, "this")
        if not isinstance(body, _SETS):
            return self._cte(cte, level)
        name = self._cte_name(cte)
        start = self._start_of(body, cte, level)
        first = self._cte(cte, level.with_cte(name, start))
        if [o.lineage for o in first.outputs] == [o.lineage for o in start.outputs]:
            return first
        # Columns may move into each other round by round; after this every one carries them all.
        everything = first.lineage | start.lineage
        last = self._cte(cte, level.with_cte(name, _carrying(first, everything)))
        return _carrying(first, everything | last.lineage)

    def _start_of(self, body: Node, cte: Node, level: Level) -> Shape:
        """The shape of the part that does not refer to the CTE itself."""
        inside = self.with_clause(body, level.within(FromItem()))
        return self.query(required(body, "this"), inside).renamed(self.column_list(cte))

    def _refuse_forward_references(self, expressions: list[Node]) -> None:
        """MariaDB lets a CTE name a later one, which would be taken for a table here."""
        for index, cte in enumerate(expressions):
            later = {self._cte_name(other).casefold() for other in expressions[index + 1 :]}
            if later & self._tables_in(required(cte, "this")):
                raise unclear("a CTE that names a later one; put it first")

    def _tables_in(self, node: Node) -> set[str]:
        found = (table.args.get("this") for table in node.find_all(exp.Table))
        names = (name for name in found if isinstance(name, exp.Identifier))
        return {self.columns.token(name).value.casefold() for name in names}

    def _set_operation(self, node: Node, level: Level) -> Shape:
        secrets = self.findings.secrets
        left = self.query(required(node, "this"), level)
        right = self.query(required(node, "expression"), level)
        # Where the types of the sides differ, values are converted.
        self.findings.refuse_secrets_since(secrets)
        sides = (required(node, side) for side in ("this", "expression"))
        constant = [constant_outputs(side, self.constants) for side in sides]
        shape = exact_shape(united((left, right), constant, unnamed=UNNAMED))
        if not isinstance(node, exp.Union) or node.args.get("distinct"):
            self._match_rows(left, right, constant)
        self._sort_and_limit(node, level, shape)
        return shape

    def _match_rows(self, left: Shape, right: Shape, constant: list[frozenset[int]]) -> None:
        """Rows of one side are told by those of the other that are the same."""
        for index, (one, other) in enumerate(zip(left.outputs, right.outputs, strict=False)):
            merged = one.lineage | other.lineage
            self.findings.deciding.decide(merged)
            plain = constant[1] if one.lineage.carried else constant[0]
            apart = bool(one.lineage.carried) != bool(other.lineage.carried)
            if merged.blended or (apart and index not in plain):
                self.findings.compare(merged)

    def _select(self, node: Node, level: Level) -> Shape:
        if not _is_only_values(node):
            self.findings.kinds.add("select")
        return self.selected(node, level, self.from_clause(node, level))

    def selected(self, node: Node, level: Level, items: FromItem) -> Shape:
        """The shape of a SELECT over its FROM items."""
        listed = children(node, "expressions")
        hidden = frozenset(self._given_names(listed))
        unnamed = any(_is_expression(target) for target in listed)
        scope = Level(level.parent, items, level.ctes, hidden)
        self.condition(child(node, "where"), scope)
        shape = self.targets(listed, scope)
        aliases = _aliases(hidden, shape) if hidden else {}
        sorting = Level(level.parent, items, level.ctes, hidden, aliases, unnamed)
        for definition in children(node, "windows"):
            self.window(checked(definition), sorting)
        group = child(node, "group")
        self._keys([] if group is None else children(checked(group), "expressions"), sorting, shape)
        self.condition(child(node, "having"), sorting)
        if child(node, "distinct") is not None:
            self.findings.deciding.decide(shape.lineage)
        self._sort_and_limit(node, sorting, shape)
        return shape

    def condition(self, node: Node | None, level: Level) -> Lineage:
        if isinstance(node, exp.Where | exp.Having):
            node = required(checked(node), "this")
        return super().condition(node, level)

    def _sort_and_limit(self, node: Node, level: Level, shape: Shape) -> None:
        keys = self.order(child(node, "order"), level)
        if keys and not level.aliases:
            # The keys of a set operation name its output columns.
            carried = {o.name: o.lineage for o in shape.outputs if o.name != UNNAMED}
            level = replace(level, aliases=carried)
        self._keys(keys, level, shape)
        for part in ("limit", "offset"):
            bound = child(node, part)
            if bound is not None:
                value = self.expression(required(checked(bound), "expression"), level)
                self.findings.compare(value)

    def _keys(self, nodes: list[Node], level: Level, shape: Shape) -> None:
        """Keys of GROUP BY and ORDER BY, which may also name an output column."""
        if nodes:
            mixed = (output.lineage for output in shape.outputs if output.lineage.mixed)
            self.findings.compare(union(mixed))
        for node in nodes:
            named = self.constants.key_lineage(node, shape)
            self.findings.deciding.decide(named)
            self.findings.compare(named if named.blended else CLEAN)
            self.compare_in(node, level)

    def _target(self, node: Node, level: Level) -> Iterable[Output]:
        starred = _starred(node)
        if starred is not None:
            return self._expand_star(starred, level)
        value, name = node, UNNAMED
        if isinstance(node, exp.Alias):
            value = required(checked(node), "this")
            name = fold(self.columns.token(required(node, "alias")).value)
        else:
            name = self._own_name(node)
        lineage, compared = self.judged(value, level)
        self.findings.note_names(name)
        # A column alone meets no other.
        mixed = compared and not isinstance(value, exp.Column)
        return (Output(name, lineage | MIXED if mixed else lineage),)

    def _own_name(self, node: Node) -> str:
        """What the server calls an output without an alias, where that can be told."""
        if isinstance(node, exp.Column):
            return fold(self.columns.token(required(node, "this")).value)
        inner = node
        while isinstance(inner, exp.Paren):
            inner = required(inner, "this")
        named = self._own_name(inner) if isinstance(inner, exp.Column) else ""
        return DOUBTFUL + named if named else UNNAMED

    def _expand_star(self, node: Node, level: Level) -> Iterable[Output]:
        if isinstance(node, exp.Column):
            source = self.columns.qualified(node, level)
            self.findings.refer_to_all(source)
            left_out = hidden_columns(source.relation)
            return tuple(o for o in source.shape.outputs if o.name not in left_out)
        return self._everything(level)

    def _everything(self, level: Level) -> Iterable[Output]:
        for source in level.items.sources:
            self.findings.refer_to_all(source)
        return tuple(
            Output(v.name, union(source.shape.outputs[i].lineage for source, i in v.columns))
            for v in level.items.visible
            if not any(v.name in hidden_columns(source.relation) for source, _ in v.columns)
        )

    def _given_names(self, nodes: Iterable[Node]) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, exp.Alias):
                yield fold(self.columns.token(required(node, "alias")).value)

    def target_source(self, sources: Iterable[Source], alias: str) -> Source | None:
        """The source under an alias, if it is one relation."""
        found = [s for s in sources if s.alias == alias and s.relation is not None]
        return found[0] if len(found) == 1 else None


def _starred(node: Node) -> Node | None:
    """The `*` or `t.*` that a select list may hold."""
    if isinstance(node, exp.Star):
        return checked(node)
    if isinstance(node, exp.Column) and isinstance(node.args.get("this"), exp.Star):
        checked(required(node, "this"))
        return checked(node)
    return None


def _is_only_values(node: Node) -> bool:
    clause = child(node, "from_")
    return clause is not None and isinstance(child(clause, "this"), exp.Values)


def _is_expression(node: Node) -> bool:
    return not isinstance(node, exp.Alias | exp.Column | exp.Star | exp.Literal)


def _aliases(hidden: frozenset[str], shape: Shape) -> dict[str, Lineage]:
    found: dict[str, Lineage] = {}
    for output in shape.outputs:
        if output.name in hidden:
            found[output.name] = found.get(output.name, output.lineage) | output.lineage
    return found


def _carrying(shape: Shape, lineage: Lineage) -> Shape:
    return exact_shape(Output(output.name, lineage) for output in shape.outputs)
