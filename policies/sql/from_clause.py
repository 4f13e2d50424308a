"""FROM: tables, subqueries, functions and joins become sources that columns are looked up in."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from policies.sql import names
from policies.sql.catalog import Relation
from policies.sql.documents import document_lineage, table_shape
from policies.sql.expressions import ExpressionWalker
from policies.sql.grammar import checked, location_of, strings, unwrap, unwrap_as
from policies.sql.inference import conjuncts_of, equates_columns
from policies.sql.lineage import (
    FromItem,
    Lineage,
    Output,
    Scope,
    Shape,
    Source,
    Visible,
    exact_shape,
    single,
    stored,
    union,
)
from policies.sql.not_understood import NotUnderstood
from policies.sql.parser import Tree
from policies.sql.table_functions import (
    OPTIONS,
    column_types,
    function_call,
    table_function_shape,
    with_plain_names,
)

_SAMPLING: Final = frozenset({"system", "bernoulli"})
_DOCUMENT_TABLES: Final = MappingProxyType(
    {"JsonTable": "pg_catalog.json_table", "RangeTableFunc": "pg_catalog.xmltable"}
)
_JOINS: Final = frozenset({"JOIN_INNER", "JOIN_LEFT", "JOIN_RIGHT", "JOIN_FULL"})


class FromWalker(ExpressionWalker):
    """Walks FROM clauses."""

    @abstractmethod
    def query(self, body: Tree, scope: Scope) -> Shape: ...

    def from_clause(self, nodes: list[Tree], scope: Scope) -> FromItem:
        """All items of a FROM clause; `scope` is its query level, without items."""
        items = FromItem()
        for node in nodes:
            items += self._from_item(node, scope, items)
        return items

    def relation(self, body: Tree) -> Relation:
        """The catalog's relation for a RangeVar."""
        checked("RangeVar", body)
        location = body.get("location")
        if body.get("catalogname", self.catalog.database) != self.catalog.database:
            raise NotUnderstood("RELATION_UNKNOWN", "another database can't be reached", location)
        return names.resolve_relation(
            self.catalog, body.get("schemaname"), body["relname"], location=location
        )

    def table_source(self, body: Tree, relation: Relation, *, verb: str) -> Source:
        """A relation as a source, under its alias or its own name."""
        alias = _alias(body)
        shape = relation_shape(relation).renamed(_column_names(body))
        # Renamed columns can't be looked up by their own name any more; reads of them count as "*".
        plain = not _column_names(body)
        return Source(
            alias or relation.name.name,
            shape,
            relation if plain else None,
            verb,
            None if alias else relation.name,
        )

    def _from_item(self, node: Tree, scope: Scope, before: FromItem) -> FromItem:
        self.findings.count_source()
        kind, body = unwrap(node)
        match kind:
            case "RangeVar":
                return single(self._table(body, scope))
            case "RangeSubselect":
                return single(self._subselect(body, scope, before))
            case "RangeFunction":
                return single(self._function(body, _lateral(scope, before)))
            case "RangeTableSample":
                return single(self._sample(body, scope, before))
            case "JsonTable" | "RangeTableFunc":
                return single(self._document_table(kind, body, _lateral(scope, before)))
            case "JoinExpr":
                return self._join(body, scope, before)
            case _:
                raise NotUnderstood(
                    "SQL_NOT_UNDERSTOOD", f"{kind} in FROM is not understood", location_of(body)
                )

    def _table(self, body: Tree, scope: Scope) -> Source:
        cte = None if "schemaname" in body else scope.cte(body["relname"])
        if cte is not None:
            return Source(_alias(body) or body["relname"], cte.renamed(_column_names(body)))
        relation = names.readable(self.relation(body), location=body.get("location"))
        relation = self.findings.as_asked(relation)
        self.findings.use(relation, "select", body.get("location"))
        if _column_names(body):
            self.findings.touch(relation, "select", "*")
        return self.table_source(body, relation, verb="select")

    def _subselect(self, body: Tree, scope: Scope, before: FromItem) -> Source:
        inside = _lateral(scope, before) if body.get("lateral") else scope
        shape = self.query(unwrap_as("SelectStmt", body["subquery"]), inside)
        return Source(_alias(body), shape.renamed(_column_names(body)))

    def _function(self, body: Tree, scope: Scope) -> Source:
        if len(body["functions"]) != 1:
            raise NotUnderstood(
                "SQL_NOT_UNDERSTOOD", "ROWS FROM with several functions", location_of(body)
            )
        call = unwrap_as("FuncCall", function_call(body))
        lineage = self.expression(function_call(body), scope)
        for type_name in column_types(body):
            self.type_name(type_name)
        name = strings(call["funcname"])[-1]
        alias = _alias(body) or name
        shape = table_function_shape(body, name, alias=alias, lineage=lineage)
        stored_options = self.takes_stored_options(call, scope)
        if stored_options and name == OPTIONS:
            shape = with_plain_names(shape)
        columns = _with_ordinality(body, shape).renamed(_column_names(body))
        return Source(alias, columns, paired=stored_options)

    def _sample(self, body: Tree, scope: Scope, before: FromItem) -> Source:
        """TABLESAMPLE by one of the server's own methods; users' are functions of theirs."""
        method = strings(body["method"])
        if method[-1] not in _SAMPLING or method[:-1] not in ((), ("pg_catalog",)):
            raise NotUnderstood(
                "FUNCTION_NOT_ALLOWED", f"sampling by {'.'.join(method)}", location_of(body)
            )
        for argument in (*body["args"], *([body["repeatable"]] if "repeatable" in body else ())):
            self.findings.compare(self.expression(argument, _lateral(scope, before)))
        return self._table(unwrap_as("RangeVar", body["relation"]), scope)

    def _document_table(self, kind: str, body: Tree, scope: Scope) -> Source:
        lineage = document_lineage(self, kind, body, scope)
        # As many rows as the document says.
        self.findings.compare(lineage)
        self.findings.functions.add(_DOCUMENT_TABLES[kind])
        return Source(_alias(body), table_shape(body, lineage).renamed(_column_names(body)))

    def _join(self, body: Tree, scope: Scope, before: FromItem) -> FromItem:
        if body["jointype"] not in _JOINS:
            raise NotUnderstood("SQL_NOT_UNDERSTOOD", f"{body['jointype']} is not understood")
        left = self._from_item(body["larg"], scope, before)
        right = self._from_item(body["rarg"], scope, before + left)
        joined = self._merge(body, left, right)
        tested = self.condition(body.get("quals"), replace(scope, items=joined))
        self._outer_join(body, tested, left, right)
        return self._aliased_join(body, joined) if "alias" in body else joined

    def _outer_join(self, body: Tree, tested: Lineage, left: FromItem, right: FromItem) -> None:
        """Where nothing matches there are NULLs: each such join tells a bit of its own."""
        sides = {"JOIN_LEFT": right.sources, "JOIN_RIGHT": left.sources}
        if body["jointype"] == "JOIN_INNER":
            return
        if any(not equates_columns(part) for part in conjuncts_of(body.get("quals"))):
            self.findings.compare(tested)
        optional = sides.get(body["jointype"], left.sources + right.sources)
        if any(source.shape.lineage.depends for source in optional):
            self.findings.compare_all()

    def _aliased_join(self, body: Tree, joined: FromItem) -> FromItem:
        """An alias on a join hides the tables inside; its columns carry what theirs carry."""
        for source in joined.sources:
            self.findings.refer_to_all(source)
        outputs = tuple(
            Output(v.name, union(source.shape.outputs[i].lineage for source, i in v.columns))
            for v in joined.visible
        )
        shape = Shape(outputs, len(outputs) if joined.exact else 0)
        return single(Source(_alias(body), shape.renamed(_column_names(body))))

    def _merge(self, body: Tree, left: FromItem, right: FromItem) -> FromItem:
        shared = _shared_names(body, left, right)
        if not shared:
            return left + right
        self.operator(("=",), location_of(body))
        merged = tuple(self._merged_column(name, left, right) for name in shared)
        rest = tuple(v for v in left.visible + right.visible if v.name not in shared)
        return FromItem(left.sources + right.sources, merged + rest)

    def _merged_column(self, name: str, left: FromItem, right: FromItem) -> Visible:
        columns = tuple(c for side in (left, right) for v in side.named(name) for c in v.columns)
        if not left.named(name) or not right.named(name):
            raise NotUnderstood("COLUMN_UNKNOWN", f"there is no column {name} on both sides")
        lineages = [self.findings.refer(source, position) for source, position in columns]
        self.findings.join_on(lineages)
        return Visible(name, columns)


def relation_shape(relation: Relation) -> Shape:
    """The columns of a relation in the order that `*` gives them."""
    ordered = sorted(relation.columns, key=lambda column: column.number)
    return exact_shape(Output(c.name, stored(relation, c.labels)) for c in ordered)


def _lateral(scope: Scope, before: FromItem) -> Scope:
    return replace(scope, items=before)


def _alias(body: Tree) -> str:
    alias: str = checked("Alias", body["alias"])["aliasname"] if "alias" in body else ""
    return alias


def _column_names(body: Tree) -> tuple[str, ...]:
    return strings(body["alias"].get("colnames", [])) if "alias" in body else ()


def _with_ordinality(body: Tree, shape: Shape) -> Shape:
    if not body.get("ordinality"):
        return shape
    outputs = (*shape.outputs, Output("ordinality", Lineage()))
    return Shape(outputs, len(outputs) if shape.exact else shape.certain)


def _shared_names(body: Tree, left: FromItem, right: FromItem) -> tuple[str, ...]:
    if not body.get("isNatural"):
        return strings(body.get("usingClause", []))
    if not (left.exact and right.exact):
        raise NotUnderstood(
            "COLUMN_UNKNOWN", "NATURAL JOIN with a function of unknown columns", location_of(body)
        )
    offered = {visible.name for visible in right.visible}
    return tuple(visible.name for visible in left.visible if visible.name in offered)
