"""FROM in MySQL: tables, derived tables, JSON_TABLE and joins become sources for columns."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

from sqlglot import exp

from policies.sql.catalog import Relation
from policies.sql.lineage import (
    UNCERTAIN,
    FromItem,
    Lineage,
    Output,
    Shape,
    Source,
    Visible,
    exact_shape,
    of_rows,
    single,
)
from policies.sql.mysql import names
from policies.sql.mysql.columns import DOUBTFUL
from policies.sql.mysql.cursor import Named
from policies.sql.mysql.expressions import ExpressionWalker
from policies.sql.mysql.findings import UNNAMED, fold, hidden_columns, relation_shape
from policies.sql.mysql.inference import conjuncts_of, equates_columns
from policies.sql.mysql.scopes import Level
from policies.sql.mysql.steps import unclear
from policies.sql.mysql.tree import Node, checked, child, children, required
from policies.sql.not_understood import NotUnderstood

_COMMA: Final = ("side", "kind", "method", "on", "using")
_SIDES: Final = ("", "LEFT", "RIGHT")
_KINDS: Final = ("", "INNER", "CROSS", "OUTER")


class FromWalker(ExpressionWalker):
    """Walks FROM clauses. `written_at`: where the one table that is changed is named."""

    written_at: int | None = None

    @abstractmethod
    def query(self, node: Node, level: Level) -> Shape: ...

    def from_clause(self, select: Node, level: Level) -> FromItem:
        """All items of a query's FROM; `level` is the query's, without items."""
        clause = child(select, "from_")
        if clause is None:
            return FromItem()
        group = self._item(required(checked(clause), "this"), level, FromItem())
        items = FromItem()
        for join in children(select, "joins"):
            if _is_comma(checked(join)):
                items += group
                group = self._item(required(join, "this"), level, items)
            else:
                group = self._join(join, level, before=items, left=group)
        return items + group

    def source_of(self, relation: Relation, alias: str | None, *, verb: str) -> Source:
        """A relation as a source, under its alias or its own name."""
        shape = relation_shape(relation)
        self.findings.note_names(*(output.name for output in shape.outputs))
        known = self.columns.key(relation.name.name if alias is None else alias)
        qualified = relation.name if alias is None else None
        return Source(known, shape, relation, verb, qualified)

    def _item(self, node: Node, level: Level, before: FromItem) -> FromItem:
        self.findings.count_source()
        checked(node)
        match node:
            case exp.Table():
                return self._with_joins(node, level, before)
            case exp.Subquery() if _is_bracketed_join(node):
                return self._item(required(node, "this"), level, before)
            case exp.Subquery():
                shape = self.query(required(node, "this"), self._sorted_level(node, level))
                return single(self._derived(node, shape))
            case exp.Lateral():
                inside = level.over(before)
                return single(self._derived(node, self.query(required(node, "this"), inside)))
            case exp.Values():
                return single(self._derived(node, self._values(node, level)))
            case _:
                raise unclear(f"a form in FROM ({type(node).__name__})")

    def _sorted_level(self, node: Node, level: Level) -> Level:
        if any(child(node, part) is not None for part in ("order", "limit", "offset", "with_")):
            raise unclear("a derived table that is sorted outside of its query")
        return level

    def _with_joins(self, node: Node, level: Level, before: FromItem) -> FromItem:
        group = single(self._table(node, level, before))
        for join in children(node, "joins"):
            if _is_comma(checked(join)):
                group += self._item(required(join, "this"), level, before + group)
            else:
                group = self._join(join, level, before=before, left=group)
        return group

    def _table(self, node: Node, level: Level, before: FromItem) -> Source:
        if isinstance(child(node, "this"), exp.Anonymous):
            return self._json_table(node, level.over(before))
        named = self.columns.named(node)
        alias = self._alias(node)
        if self.column_list(node):
            raise unclear("a column list on a table", named.location)
        cte = self._cte_named(named, level)
        if cte is not None:
            return Source(self.columns.key(named.name if alias is None else alias), cte)
        relation = names.resolve_relation(self.catalog, named)
        names.readable(relation, location=named.location)
        if named.location != self.written_at:
            self.findings.use(relation, "select", named.location)
        return self.source_of(relation, alias, verb="select")

    def _cte_named(self, named: Named, level: Level) -> Shape | None:
        """The CTE of this name; servers differ in whether its case matters."""
        if named.database is not None:
            return None
        for here in level.outward():
            for name, shape in here.ctes.items():
                if name == named.name or (
                    self.catalog.ignores_case and name.lower() == named.name.lower()
                ):
                    return shape
                if name.casefold() == named.name.casefold():
                    raise unclear(f"the name {named.name}, which differs in case,", named.location)
        return None

    def _json_table(self, node: Node, level: Level) -> Source:
        function = required(node, "this")
        call, alias = self.call_of(function), self._alias(node)
        if call.name != "json_table" or alias is None:
            raise unclear(f"{call.name} in FROM", call.location)
        arguments = self.every(children(function, "expressions"), level)
        # As many rows as the document says: counting them is reading it.
        self.findings.compare(arguments)
        outputs = (Output(fold(name), arguments) for name in call.columns)
        return Source(self.columns.key(alias), self._noted(exact_shape(outputs)))

    def _values(self, node: Node, level: Level) -> Shape:
        rows = [children(checked(row), "expressions") for row in children(node, "expressions")]
        secrets = self.findings.secrets
        parts = [
            [
                (self.expression(item, level), self.constants.places([item]) is not None)
                for item in row
            ]
            for row in rows
        ]
        self.findings.refuse_secrets_since(secrets)
        columns = zip_longest(*parts, fillvalue=(UNCERTAIN, False))
        return exact_shape(Output(UNNAMED, of_rows(column)) for column in columns)

    def _derived(self, node: Node, shape: Shape) -> Source:
        alias = self._alias(node)
        renamed = shape.renamed(self.column_list(node))
        return Source(self.columns.key(alias or ""), self._noted(renamed))

    def column_list(self, node: Node) -> tuple[str, ...]:
        """The folded names in `AS x (a, b)`."""
        alias = child(node, "alias")
        listed = [] if alias is None else children(checked(alias), "columns")
        return tuple(fold(self.columns.token(name).value) for name in listed)

    def _alias(self, node: Node) -> str | None:
        alias = child(node, "alias")
        if alias is None:
            return None
        return self.columns.token(required(checked(alias), "this")).value

    def _noted(self, shape: Shape) -> Shape:
        self.findings.note_names(*(output.name for output in shape.outputs))
        return shape

    def _join(self, join: Node, level: Level, *, before: FromItem, left: FromItem) -> FromItem:
        side, kind = _word(join, "side"), _word(join, "kind")
        if side not in _SIDES or kind not in _KINDS:
            raise unclear(f"{side or kind} JOIN")
        right = self._item(required(join, "this"), level, before + left)
        joined = self._merge(join, left, right)
        tested = self.condition(child(join, "on"), level.over(joined))
        if side:
            self._outer_join(join, tested, (right if side == "LEFT" else left).sources)
        return joined

    def _outer_join(self, join: Node, tested: Lineage, optional: Sequence[Source]) -> None:
        """Where nothing matches there are NULLs: each such join tells a bit of its own."""
        if any(not equates_columns(part) for part in conjuncts_of(child(join, "on"))):
            self.findings.compare(tested)
        if any(source.shape.lineage.depends for source in optional):
            self.findings.compare_all()

    def _merge(self, join: Node, left: FromItem, right: FromItem) -> FromItem:
        shared = self._shared_names(join, left, right)
        if not shared:
            return left + right
        if _word(join, "side") == "RIGHT":
            raise unclear("RIGHT JOIN with USING or NATURAL")
        if any(hidden_columns(s.relation) for s in left.sources + right.sources):
            raise unclear("USING or NATURAL with invisible columns")
        merged = tuple(self._merged_column(name, left, right) for name in shared)
        rest = tuple(v for v in left.visible + right.visible if v.name not in shared)
        return FromItem(left.sources + right.sources, merged + rest)

    def _shared_names(self, join: Node, left: FromItem, right: FromItem) -> tuple[str, ...]:
        if _word(join, "method") == "NATURAL":
            wanted = {v.name for v in right.visible}
        elif not join.args.get("using"):
            return ()
        else:
            wanted = {fold(self.columns.token(name).value) for name in self._using(join)}
            known = {v.name for v in left.visible} & {v.name for v in right.visible}
            if not wanted <= known:
                raise NotUnderstood("COLUMN_UNKNOWN", "a column in USING is not on both sides")
        # In the order of the first table, whatever the order in USING.
        shared = dict.fromkeys(v.name for v in left.visible if v.name in wanted)
        if any(name == UNNAMED or name.startswith(DOUBTFUL) for name in shared):
            raise unclear("NATURAL JOIN with expressions")
        return tuple(shared)

    def _using(self, join: Node) -> list[Node]:
        found = children(join, "using")
        return [required(node, "this") if isinstance(node, exp.Column) else node for node in found]

    def _merged_column(self, name: str, left: FromItem, right: FromItem) -> Visible:
        columns = tuple(c for side in (left, right) for v in side.named(name) for c in v.columns)
        lineages = [self.findings.refer(source, position) for source, position in columns]
        self.findings.join_on(lineages)
        return Visible(name, columns)


def _is_bracketed_join(node: Node) -> bool:
    """`(a JOIN b ON …)`, which has no alias of its own; a query in brackets is another thing."""
    inner = child(node, "this")
    while isinstance(inner, exp.Subquery) and child(node, "alias") is None:
        node, inner = inner, child(inner, "this")
    return isinstance(inner, exp.Table) and child(node, "alias") is None


def _is_comma(join: Node) -> bool:
    return not any(join.args.get(part) for part in _COMMA)


def _word(join: Node, name: str) -> str:
    return str(join.args.get(name) or "").upper()
