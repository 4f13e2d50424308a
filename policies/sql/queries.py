"""Queries: SELECT, VALUES, set operations and CTEs, and the shape of what they return."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from itertools import zip_longest
from types import MappingProxyType
from typing import Final

from policies.sql import names
from policies.sql.columns import is_column, is_star, qualifier
from policies.sql.from_clause import FromWalker
from policies.sql.grammar import checked, location_of, strings, unwrap, unwrap_as
from policies.sql.inference import key_lineage
from policies.sql.lineage import (
    CLEAN,
    DEPENDS,
    MIXED,
    UNCERTAIN,
    FromItem,
    Output,
    Scope,
    Shape,
    Source,
    exact_shape,
    of_rows,
    union,
    united,
)
from policies.sql.matching import constant_outputs, constants_of
from policies.sql.not_understood import NotUnderstood
from policies.sql.output_names import UNNAMED, output_name
from policies.sql.parser import Tree
from policies.sql.table_functions import out_columns

# PostgreSQL's own limit; `SELECT a.*, a.*` of `SELECT b.*, b.*` would double without an end to it.
MAXIMUM_COLUMNS: Final = 1664
_MAXIMUM_LIMIT: Final = 2**63 - 1

CHANGES: Final = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt"})
_LOCKS: Final = MappingProxyType(
    {
        "LCS_FORKEYSHARE": "for_key_share",
        "LCS_FORSHARE": "for_share",
        "LCS_FORNOKEYUPDATE": "for_no_key_update",
        "LCS_FORUPDATE": "for_update",
    }
)
_PAIR: Final = ("larg", "rarg")


class QueryWalker(FromWalker):
    """Walks queries; changes inside CTEs are walked by the class that knows changes."""

    @abstractmethod
    def change(self, kind: str, body: Tree, scope: Scope) -> Shape:
        """Walks an INSERT, UPDATE or DELETE inside `scope`; its shape is what it returns."""

    def query(self, body: Tree, scope: Scope) -> Shape:
        """A query inside a statement: that its rows are there may tell what they were tested by."""
        mark, before = len(self.findings.tests), len(self.findings.references)
        shape = self.outermost(body, scope)
        self.findings.deciding.cover(before, len(self.findings.references))
        return shape.tainted(DEPENDS) if self.findings.tested_since(mark) else shape

    def outermost(self, body: Tree, scope: Scope) -> Shape:
        """A statement's own query."""
        self.findings.count_query()
        checked("SelectStmt", body)
        level = self.with_clause(body, scope.within(FromItem()))
        if body.get("op", "SETOP_NONE") != "SETOP_NONE":
            return self._set_operation(body, level)
        if "valuesLists" in body:
            return self._values(body, level)
        self.findings.kinds.add("select")
        return self._select(body, level)

    def with_clause(self, body: Tree, level: Scope) -> Scope:
        """The level with the CTEs of a statement; each sees those before it."""
        if "withClause" not in body:
            return level
        clause = checked("WithClause", body["withClause"])
        expressions = [unwrap_as("CommonTableExpr", node) for node in clause["ctes"]]
        if clause.get("recursive"):
            _refuse_forward_references(expressions)
        for cte in expressions:
            walk = self._recursive_cte if clause.get("recursive") else self._cte
            level = level.with_cte(cte["ctename"], walk(cte, level))
        return level

    def targets(self, nodes: list[Tree], scope: Scope) -> Shape:
        """The shape of a target list: what a SELECT or a RETURNING gives."""
        outputs: list[Output] = []
        certain: int | None = None
        for node in nodes:
            body = unwrap_as("ResTarget", node)
            if certain is None and self._hides_positions(body, scope):
                certain = len(outputs)
            outputs.extend(self._target(body, scope))
            if len(outputs) > MAXIMUM_COLUMNS:
                raise NotUnderstood("SQL_TOO_COMPLEX", f"over {MAXIMUM_COLUMNS} columns")
        return Shape(tuple(outputs), len(outputs) if certain is None else certain)

    def _cte(self, cte: Tree, level: Scope) -> Shape:
        kind, body = unwrap(cte["ctequery"])
        if kind == "SelectStmt":
            shape = self.query(body, level)
        elif kind in CHANGES:
            shape = self.change(kind, body, level)
        else:
            raise NotUnderstood("SQL_NOT_UNDERSTOOD", f"{kind} in WITH", location_of(body))
        return shape.renamed(strings(cte.get("aliascolnames", [])))

    def _recursive_cte(self, cte: Tree, level: Scope) -> Shape:
        kind, body = unwrap(cte["ctequery"])
        if kind != "SelectStmt" or body.get("op", "SETOP_NONE") == "SETOP_NONE":
            return self._cte(cte, level)
        start = self._start_of(body, cte, level)
        first = self._cte(cte, level.with_cte(cte["ctename"], start))
        if [o.lineage for o in first.outputs] == [o.lineage for o in start.outputs]:
            return first
        # Columns may move into each other round by round; after this every one carries them all.
        everything = first.lineage | start.lineage
        spread = Shape(tuple(Output(o.name, everything) for o in first.outputs), first.certain)
        last = self._cte(cte, level.with_cte(cte["ctename"], spread))
        merged = everything | last.lineage
        return Shape(tuple(Output(o.name, merged) for o in first.outputs), first.certain)

    def _start_of(self, body: Tree, cte: Tree, level: Scope) -> Shape:
        """The shape of the part that does not refer to the CTE itself."""
        inside = self.with_clause(body, level.within(FromItem()))
        shape = self.query(body["larg"], inside)
        return shape.renamed(strings(cte.get("aliascolnames", [])))

    def _set_operation(self, body: Tree, level: Scope) -> Shape:
        left, right = (self.query(body[side], level) for side in _PAIR)
        constant = [constant_outputs(body[side], self.catalog) for side in _PAIR]
        outputs = united((left, right), constant, unnamed=UNNAMED)
        shape = Shape(outputs, min(left.certain, right.certain))
        if body["op"] != "SETOP_UNION" or not body.get("all"):
            self._match_rows(left, right, constant)
        self._sort_and_limit(body, level, shape)
        _refuse_locks(body)
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

    def _values(self, body: Tree, level: Scope) -> Shape:
        rows = [unwrap_as("List", row)["items"] for row in body["valuesLists"]]
        parts = [
            [(self.expression(item, level), self._is_constant(item)) for item in row]
            for row in rows
        ]
        columns = zip_longest(*parts, fillvalue=(UNCERTAIN, False))
        shape = exact_shape(
            Output(f"column{i}", of_rows(column)) for i, column in enumerate(columns, start=1)
        )
        self._sort_and_limit(body, level, shape)
        _refuse_locks(body)
        return shape

    def _is_constant(self, node: Tree) -> bool:
        return constants_of(node, self.catalog) is not None

    def _select(self, body: Tree, level: Scope) -> Shape:
        scope = replace(level, items=self.from_clause(body.get("fromClause", []), level))
        self.condition(body.get("whereClause"), scope)
        for definition in body.get("windowClause", []):
            self.window(unwrap_as("WindowDef", definition), scope)
        shape = self.targets(body.get("targetList", []), scope)
        self._keys(body.get("groupClause", []), scope, shape)
        self.condition(body.get("havingClause"), scope)
        # A plain DISTINCT is a list of one empty node.
        if body.get("distinctClause") == [{}]:
            self.findings.deciding.decide(shape.lineage)
        self._keys([node for node in body.get("distinctClause", []) if node], scope, shape)
        self._sort_and_limit(body, scope, shape)
        self._locks(body, scope)
        return shape

    def _sort_and_limit(self, body: Tree, scope: Scope, shape: Shape) -> None:
        self._keys(body.get("sortClause", []), scope, shape)
        for bound in ("limitOffset", "limitCount"):
            self.findings.compare(self.optional(body.get(bound), scope))

    def _keys(self, nodes: list[Tree], scope: Scope, shape: Shape) -> None:
        """Keys of GROUP BY, ORDER BY and DISTINCT ON, which may also name an output column."""
        if nodes:
            mixed = (output.lineage for output in shape.outputs if output.lineage.mixed)
            self.findings.compare(union(mixed))
        for node in nodes:
            kind, body = unwrap(node)
            if kind == "SortBy":
                self._keys([body["node"]], scope, shape)
            elif kind == "GroupingSet":
                self._keys(body.get("content", []), scope, shape)
            else:
                named = key_lineage(node, shape)
                self.findings.deciding.decide(named)
                self.findings.compare(named if named.blended else CLEAN)
                if not (kind == "ColumnRef" and names_only_output(body, scope, shape)):
                    self.compare_in(node, scope)

    def _hides_positions(self, target: Tree, scope: Scope) -> bool:
        kind, body = unwrap(target["val"])
        if kind != "ColumnRef" or not is_star(body):
            return False
        return not all(source.shape.exact for source in self._starred(body, scope))

    def _starred(self, body: Tree, scope: Scope) -> tuple[Source, ...]:
        names_before = qualifier(body)
        if not names_before:
            return scope.items.sources
        return (self.columns.qualified_source(names_before, scope, body.get("location")),)

    def _target(self, target: Tree, scope: Scope) -> Iterable[Output]:
        kind, body = unwrap(target["val"])
        if "indirection" in target:
            raise NotUnderstood("SQL_NOT_UNDERSTOOD", "a field as target", location_of(target))
        if kind == "ColumnRef" and is_star(body):
            return self._expand_star(body, scope)
        lineage, compared = self.judged(target["val"], scope)
        row = self.columns.whole_row(body, scope) if kind == "ColumnRef" else None
        # A column alone meets no other.
        carried = lineage | MIXED if compared and kind != "ColumnRef" else lineage
        fields = out_columns(strings(body["funcname"])) if kind == "FuncCall" else ()
        return (Output(output_name(target), carried, row, fields),)

    def _expand_star(self, body: Tree, scope: Scope) -> Iterable[Output]:
        sources = self._starred(body, scope)
        for source in sources:
            self.findings.refer_to_all(source)
        if qualifier(body):
            return sources[0].shape.outputs
        return tuple(
            Output(v.name, union(source.shape.outputs[i].lineage for source, i in v.columns))
            for v in scope.items.visible
        )

    def _locks(self, body: Tree, scope: Scope) -> None:
        """FOR UPDATE and FOR SHARE write row locks: they count as an update of each table."""
        for node in body.get("lockingClause", []):
            clause = unwrap_as("LockingClause", node)
            for source in _locked(clause, scope):
                if source.relation is None:
                    raise NotUnderstood(
                        "SQL_NOT_UNDERSTOOD",
                        "locking rows of what is not a plain table; name it: FOR UPDATE OF table",
                        location_of(body),
                    )
                names.writable(source.relation, location=None)
                self.findings.locks.add(_LOCKS[clause["strength"]])
                self.findings.write(source.relation, "update", None)


def constant_limit(body: Tree) -> int | None:
    """What a query's LIMIT or FETCH FIRST says, if it is a constant and no ties come on top."""
    if body.get("limitOption") != "LIMIT_OPTION_COUNT":
        return None
    constant: Tree = body.get("limitCount", {}).get("A_Const", {})
    if "ival" in constant:
        # Zero is left out of the tree.
        return int(constant["ival"].get("ival", 0))
    digits: str = constant.get("fval", {}).get("fval", "")
    # Past the range of bigint it is an error of the server's.
    return int(digits) if digits.isdecimal() and int(digits) <= _MAXIMUM_LIMIT else None


def names_only_output(body: Tree, scope: Scope, shape: Shape) -> bool:
    """Whether a sort key can only mean an output column of its own query."""
    if is_star(body) or qualifier(body):
        return False
    name = strings(body["fields"])[0]
    return any(o.name == name for o in shape.outputs) and not is_column(name, scope)


def _locked(clause: Tree, scope: Scope) -> tuple[Source, ...]:
    if "lockedRels" not in clause:
        return scope.items.sources
    wanted = {unwrap_as("RangeVar", node)["relname"] for node in clause["lockedRels"]}
    found = tuple(source for source in scope.items.sources if source.alias in wanted)
    if {source.alias for source in found} != wanted:
        raise NotUnderstood("RELATION_UNKNOWN", "FOR UPDATE OF names no table of this query")
    return found


def _refuse_locks(body: Tree) -> None:
    if "lockingClause" in body:
        raise NotUnderstood("SQL_NOT_UNDERSTOOD", "locking the rows of a set", location_of(body))


def _refuse_forward_references(expressions: list[Tree]) -> None:
    """WITH RECURSIVE lets a CTE name a later one, which would be taken for a table here."""
    for index, cte in enumerate(expressions):
        later = {other["ctename"] for other in expressions[index + 1 :]}
        if later & _relation_names(cte["ctequery"]):
            raise NotUnderstood(
                "SQL_NOT_UNDERSTOOD", "a CTE that names a later one; put it first", location_of(cte)
            )


def _relation_names(node: object) -> set[str]:
    if isinstance(node, dict):
        own = {node["relname"]} if isinstance(node.get("relname"), str) else set()
        return own.union(*(_relation_names(value) for value in node.values()))
    if isinstance(node, list):
        return set().union(*(_relation_names(item) for item in node))
    return set()
