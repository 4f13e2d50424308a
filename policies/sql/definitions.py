"""DDL and TRUNCATE, understood as far as policy needs: which objects are created, changed, dropped.

Expressions in them (defaults, checks, index expressions) are walked like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from policies.sql import names
from policies.sql.catalog import Column, Relation
from policies.sql.changes import ChangeWalker
from policies.sql.facts import TableName
from policies.sql.from_clause import relation_shape
from policies.sql.grammar import checked, location_of, strings, unwrap, unwrap_as
from policies.sql.lineage import CLEAN, FromItem, Lineage, Scope, Source, single, union
from policies.sql.not_understood import NotUnderstood
from policies.sql.parser import Tree

_DROPPED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "OBJECT_TABLE": "drop_table",
        "OBJECT_VIEW": "drop_view",
        "OBJECT_MATVIEW": "drop_materialized_view",
        "OBJECT_INDEX": "drop_index",
        "OBJECT_SEQUENCE": "drop_sequence",
    }
)
_RENAMED: Final = frozenset(
    {"OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_COLUMN", "OBJECT_TABCONSTRAINT"}
)
_ALTERED: Final = frozenset(
    {
        "AT_AddColumn",
        "AT_DropColumn",
        "AT_ColumnDefault",
        "AT_SetNotNull",
        "AT_DropNotNull",
        "AT_AlterColumnType",
        "AT_AddConstraint",
        "AT_DropConstraint",
    }
)
# Not types: the server makes an integer column and a sequence of them.
_SERIALS: Final = frozenset({"serial", "serial2", "serial4", "serial8", "bigserial", "smallserial"})


class DefinitionWalker:
    """Walks definitions, with a ChangeWalker for the expressions and queries inside."""

    def __init__(self, walker: ChangeWalker) -> None:
        self._walker = walker
        self._findings = walker.findings
        self._catalog = walker.catalog

    def define(self, kind: str, body: Tree) -> bool:
        """Walks a definition; False when `kind` is none."""
        walks = {
            "DropStmt": self._drop,
            "TruncateStmt": self._truncate,
            "CreateSchemaStmt": self._create_schema,
            "CreateStmt": self._create_table,
            "IndexStmt": self._create_index,
            "ViewStmt": self._create_view,
            "AlterTableStmt": self._alter_table,
            "RenameStmt": self._rename,
        }
        if kind not in walks:
            return False
        walks[kind](checked(kind, body))
        return True

    def _drop(self, body: Tree) -> None:
        if body["removeType"] == "OBJECT_SCHEMA":
            self._findings.kinds.add("drop_schema")
            for schema in strings(body["objects"]):
                self._drop_schema(schema)
            return
        kind = _DROPPED.get(body["removeType"])
        if kind is None:
            raise NotUnderstood("SQL_NOT_UNDERSTOOD", f"DROP of {body['removeType']}")
        self._findings.kinds.add(kind)
        for node in body["objects"]:
            parts = strings(unwrap_as("List", node)["items"])
            self._defined(self._named(parts), self._findings.find(parts[0]))

    def _drop_schema(self, schema: str) -> None:
        self._use_schema(schema)
        for relation in self._catalog.relations.values():
            if relation.name.schema == schema:
                self._defined(relation, None)

    def _create_schema(self, body: Tree) -> None:
        self._findings.kinds.add("create_schema")
        self._use_schema(body["schemaname"])

    def _use_schema(self, schema: str) -> None:
        # A schema stands as a relation without a name, which no relation can have.
        self._defined(Relation(TableName(schema, ""), 0, "n"), self._findings.find(schema))

    def _named(self, parts: tuple[str, ...]) -> Relation:
        schema = parts[0] if len(parts) == 2 else None
        if len(parts) > 2:
            raise NotUnderstood("RELATION_UNKNOWN", "another database can't be reached")
        location = self._findings.find(parts[0])
        return names.resolve_relation(self._catalog, schema, parts[-1], location=location)

    def _defined(self, relation: Relation, location: int | None) -> Relation:
        self._findings.use(names.definable(relation, location=location), "ddl", location)
        return relation

    def _existing(self, body: Tree) -> Relation:
        found = self._defined(self._walker.relation(body), body.get("location"))
        self._findings.redefine(found)
        return found

    def _truncate(self, body: Tree) -> None:
        self._findings.kinds.add("truncate")
        if body["behavior"] == "DROP_CASCADE":
            raise NotUnderstood("SQL_NOT_UNDERSTOOD", "TRUNCATE CASCADE empties unnamed tables too")
        for node in body["relations"]:
            relation = unwrap_as("RangeVar", node)
            found = names.writable(
                self._walker.relation(relation), location=relation.get("location")
            )
            self._findings.write(found, "truncate", relation.get("location"))

    def _create_table(self, body: Tree) -> None:
        self._findings.kinds.add("create_table")
        elements = [unwrap(node) for node in body.get("tableElts", [])]
        columns = [element for kind, element in elements if kind == "ColumnDef"]
        constraints = [element for kind, element in elements if kind == "Constraint"]
        if len(columns) + len(constraints) != len(elements):
            raise NotUnderstood("SQL_NOT_UNDERSTOOD", "CREATE TABLE with LIKE", location_of(body))
        relation = self._new(body["relation"], "r", tuple(c["colname"] for c in columns))
        scope = _table_scope(relation)
        for column in columns:
            self._column(column, scope)
        self._constraints(constraints + [unwrap(c)[1] for c in body.get("constraints", [])], scope)

    def _new(self, body: Tree, kind: str, columns: tuple[str, ...]) -> Relation:
        checked("RangeVar", body)
        location = body.get("location")
        if body.get("relpersistence") != "p" or "catalogname" in body:
            raise NotUnderstood("SQL_NOT_UNDERSTOOD", "a temporary or unlogged relation", location)
        schema = body.get("schemaname") or next(iter(self._catalog.search_path), "public")
        numbered = tuple(Column(name, i, "") for i, name in enumerate(columns, start=1))
        relation = Relation(TableName(schema, body["relname"]), 0, kind, numbered)
        return self._defined(relation, location)

    def _column(self, column: Tree, scope: Scope) -> None:
        checked("ColumnDef", column)
        type_name = column["typeName"]
        if strings(type_name["names"])[-1] not in _SERIALS:
            self._walker.type_name(type_name)
        carried = self._constraints([unwrap(c)[1] for c in column.get("constraints", [])], scope)
        carried |= self._walker.optional(column.get("raw_default"), scope)
        self._findings.copy_out(carried)

    def _constraints(self, constraints: list[Tree], scope: Scope) -> Lineage:
        carried = CLEAN
        for constraint in constraints:
            checked("Constraint", constraint)
            value = self._walker.optional(constraint.get("raw_expr"), scope)
            carried |= value if constraint["contype"] == "CONSTR_GENERATED" else CLEAN
            if "pktable" in constraint:
                self._existing(constraint["pktable"])
        return carried

    def _create_index(self, body: Tree) -> None:
        self._findings.kinds.add("create_index")
        scope = _table_scope(self._existing(body["relation"]))
        for node in body.get("indexParams", []) + body.get("indexIncludingParams", []):
            self._walker.optional(unwrap_as("IndexElem", node).get("expr"), scope)
        self._walker.optional(body.get("whereClause"), scope)

    def _create_view(self, body: Tree) -> None:
        self._findings.kinds.add("create_view")
        self._new(body["view"], "v", ())
        shape = self._walker.query(unwrap_as("SelectStmt", body["query"]), Scope())
        self._findings.copy_out(shape.lineage)

    def _alter_table(self, body: Tree) -> None:
        self._findings.kinds.add("alter_table")
        if body["objtype"] != "OBJECT_TABLE":
            raise NotUnderstood("SQL_NOT_UNDERSTOOD", f"ALTER of {body['objtype']}")
        relation = self._existing(body["relation"])
        for node in body["cmds"]:
            self._alteration(unwrap_as("AlterTableCmd", node), relation)

    def _alteration(self, command: Tree, relation: Relation) -> None:
        if command["subtype"] not in _ALTERED:
            raise NotUnderstood("SQL_NOT_UNDERSTOOD", f"ALTER TABLE with {command['subtype']}")
        if "def" not in command:
            return
        scope = _table_scope(relation)
        kind, definition = unwrap(command["def"])
        match kind:
            case "ColumnDef":
                named = {"colname": command.get("name", ""), **definition}
                self._column(named, scope)
            case "Constraint":
                self._constraints([definition], scope)
            case _:
                self._walker.expression(command["def"], scope)

    def _rename(self, body: Tree) -> None:
        self._findings.kinds.add("rename")
        if body["renameType"] not in _RENAMED or "relation" not in body:
            raise NotUnderstood("SQL_NOT_UNDERSTOOD", f"renaming {body['renameType']}")
        renamed = self._existing(body["relation"])
        self._findings.copy_out(_lost_label(renamed, body))
        if body["renameType"] in ("OBJECT_TABLE", "OBJECT_VIEW"):
            name = TableName(renamed.name.schema, body["newname"])
            self._defined(replace(renamed, name=name, oid=0), body["relation"].get("location"))


def _lost_label(relation: Relation, rename: Tree) -> Lineage:
    """What the labels of were given by a name that is no more: it lies elsewhere after that."""
    if rename["renameType"] == "OBJECT_TABCONSTRAINT":
        return CLEAN
    column = rename.get("subname")
    outputs = relation_shape(relation).outputs
    return union(o.lineage for o in outputs if column is None or o.name == column)


def _table_scope(relation: Relation) -> Scope:
    source = Source(relation.name.name, relation_shape(relation), relation)
    return replace(Scope(), items=single(source) + FromItem())
