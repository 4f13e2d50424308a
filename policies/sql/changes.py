"""INSERT, UPDATE and DELETE: what is written, from where, and whether rows are named."""

from __future__ import annotations

from dataclasses import replace

from policies.sql import names
from policies.sql.catalog import Relation
from policies.sql.findings import ALL_COLUMNS
from policies.sql.from_clause import relation_shape
from policies.sql.grammar import checked, location_of, strings, unwrap, unwrap_as
from policies.sql.lineage import UNCERTAIN, FromItem, Lineage, Scope, Shape, Source, single, union
from policies.sql.matching import WHOLE_FUNCTIONS
from policies.sql.not_understood import NotUnderstood
from policies.sql.parser import Tree
from policies.sql.predicates import has_live_column, selects_itself
from policies.sql.queries import QueryWalker
from policies.sql.tautologies import always_true


class ChangeWalker(QueryWalker):
    """Walks changes, alone or in a CTE: the complete walker."""

    def change(self, kind: str, body: Tree, scope: Scope) -> Shape:
        checked(kind, body)
        level = self.with_clause(body, scope.within(FromItem()))
        match kind:
            case "InsertStmt":
                return self._insert(body, level)
            case "UpdateStmt":
                return self._update(body, level)
            case "DeleteStmt":
                return self._delete(body, level)
            case _:
                raise NotUnderstood("SQL_NOT_UNDERSTOOD", f"{kind} is not understood")

    def written(self, body: Tree, verb: str) -> Relation:
        """The relation whose rows a statement changes by `verb`."""
        relation = names.writable(self.relation(body), location=body.get("location"))
        self.findings.write(relation, verb, body.get("location"))
        if self.findings.runs_user_code(relation):
            self.findings.call_unknown_code()
        self.findings.kinds.add(verb)
        return relation

    def _insert(self, body: Tree, level: Scope) -> Shape:
        relation = self.written(body["relation"], "insert")
        named = tuple(self._plain_target(node) for node in body.get("cols", []))
        self.touch_columns(relation, "insert", named, body)
        columns = named or tuple(o.name for o in relation_shape(relation).outputs)
        if "selectStmt" in body:
            self._insert_rows(unwrap_as("SelectStmt", body["selectStmt"]), level, relation, columns)
        target = self.table_source(body["relation"], relation, verb="select")
        if "onConflictClause" in body:
            clause = checked("OnConflictClause", body["onConflictClause"])
            self._on_conflict(clause, level, target=target, relation=relation)
        return self._returning(body, replace(level, items=single(target)))

    def _plain_target(self, node: Tree) -> str:
        body = unwrap_as("ResTarget", node)
        if "indirection" in body:
            raise NotUnderstood("SQL_NOT_UNDERSTOOD", "a field as target", location_of(body))
        name: str = body["name"]
        return name

    def touch_columns(
        self, relation: Relation, verb: str, named: tuple[str, ...], body: Tree
    ) -> None:
        """Notes the columns that a statement names, or all of them where it names none."""
        for name in named:
            if relation.column(name) is None:
                raise NotUnderstood(
                    "COLUMN_UNKNOWN", f"{relation.name} has no column {name}", location_of(body)
                )
        for name in named or (ALL_COLUMNS,):
            self.findings.touch(relation, verb, name)

    def _insert_rows(
        self, query: Tree, level: Scope, relation: Relation, columns: tuple[str, ...]
    ) -> None:
        shape = self.outermost(query, level)
        written = shape.outputs[: len(columns)]
        self.findings.copy_out(union(output.lineage for output in written))
        if not shape.exact:
            self.findings.copy_out(UNCERTAIN)

    def _on_conflict(
        self, clause: Tree, level: Scope, *, target: Source, relation: Relation
    ) -> None:
        excluded = Source("excluded", relation_shape(relation), relation, "insert")
        scope = replace(level, items=single(target))
        self._conflict_target(clause.get("infer"), scope)
        if clause["action"] == "ONCONFLICT_UPDATE":
            self.findings.write(relation, "update", None)
            both = replace(level, items=FromItem((target, excluded), scope.items.visible))
            self._assign(clause["targetList"], both, relation)
            self.condition(clause.get("whereClause"), both)

    def _conflict_target(self, infer: Tree | None, scope: Scope) -> None:
        if infer is None:
            return
        checked("InferClause", infer)
        for node in infer.get("indexElems", []):
            self.optional(unwrap_as("IndexElem", node).get("expr"), scope)
        self.optional(infer.get("whereClause"), scope)

    def _update(self, body: Tree, level: Scope) -> Shape:
        relation = self.written(body["relation"], "update")
        target = self.table_source(body["relation"], relation, verb="select")
        scope = self._change_scope(body.get("fromClause", []), level, target)
        self._assign(body["targetList"], scope, relation)
        self._where(body, scope, target)
        return self._returning(body, scope)

    def _delete(self, body: Tree, level: Scope) -> Shape:
        relation = self.written(body["relation"], "delete")
        target = self.table_source(body["relation"], relation, verb="select")
        scope = self._change_scope(body.get("usingClause", []), level, target)
        self._where(body, scope, target)
        return self._returning(body, scope)

    def _change_scope(self, nodes: list[Tree], level: Scope, target: Source) -> Scope:
        others = self.from_clause(nodes, level)
        return replace(level, items=single(target) + others)

    def _assign(self, nodes: list[Tree], scope: Scope, relation: Relation) -> None:
        for node in nodes:
            body = unwrap_as("ResTarget", node)
            self.touch_columns(relation, "update", (body["name"],), body)
            self._target_subscripts(body, scope)
            lineage = self._assigned(body["val"], scope)
            if not self._stays(body["val"], lineage, relation, body["name"]):
                self.findings.copy_out(lineage)

    def _stays(self, node: Tree, lineage: Lineage, relation: Relation, column: str) -> bool:
        """Whether the value comes from this very column, and is still all of it."""
        kind, body = unwrap(node)
        if kind == "FuncCall":
            resolved = names.find_function(self.catalog, strings(body["funcname"]))
            whole = resolved in WHOLE_FUNCTIONS and len(body["args"]) == 1
            return whole and self._stays(body["args"][0], lineage, relation, column)
        same_column = kind == "ColumnRef" and strings(body["fields"])[-1] == column
        # A subquery may give another column under this one's name.
        return same_column and lineage.certain and self.findings.referred_to(relation)

    def _target_subscripts(self, target: Tree, scope: Scope) -> None:
        steps = [unwrap(step) for step in target.get("indirection", [])]
        if any(kind != "A_Indices" for kind, _ in steps):
            raise NotUnderstood("SQL_NOT_UNDERSTOOD", "a field as target", location_of(target))
        for _, step in steps:
            for edge in ("lidx", "uidx"):
                self.optional(step.get(edge), scope)

    def _assigned(self, node: Tree, scope: Scope) -> Lineage:
        kind, body = unwrap(node)
        # SET (a, b) = (…) repeats the whole right side for each column on the left.
        return self.expression(body["source"] if kind == "MultiAssignRef" else node, scope)

    def _where(self, body: Tree, scope: Scope, target: Source) -> None:
        where = body.get("whereClause")
        self.condition(where, scope)
        named = where is not None and self._names_rows(where, scope, target, negated=False)
        if where is None or not named or always_true(where):
            self.findings.has_where = False

    def _names_rows(self, node: Tree, scope: Scope, target: Source, *, negated: bool) -> bool:
        """Whether a predicate depends on the rows of `target`, as far as can be told.

        Every part is walked, also where the answer is known already: walking is what finds things.
        """
        kind, body = unwrap(node)
        if kind != "BoolExpr":
            return self._leaf_names_rows(node, scope, target)
        operator, arguments = body["boolop"], body["args"]
        inside = negated != (operator == "NOT_EXPR")
        named = [self._names_rows(part, scope, target, negated=inside) for part in arguments]
        if operator == "NOT_EXPR":
            return named[0]
        if (operator == "AND_EXPR") != negated:
            return any(named)
        return all(named)

    def _leaf_names_rows(self, node: Tree, scope: Scope, target: Source) -> bool:
        before = len(self.findings.references)
        self.expression(node, scope)
        references = self.findings.references[before:]
        told = has_live_column(node) and any(source is target for source, _ in references)
        relation = target.relation
        return told and not (relation and selects_itself(node, relation.name.name))

    def _returning(self, body: Tree, scope: Scope) -> Shape:
        if "returningClause" not in body:
            return Shape((), 0)
        shape = self.targets(checked("ReturningClause", body["returningClause"])["exprs"], scope)
        # What was just copied into a plain column comes straight back.
        return shape.uncertain() if self.findings.labels_copied else shape
