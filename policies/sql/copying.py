"""COPY between a table and the client. What reads or writes files or programs is not understood."""

from __future__ import annotations

from typing import Final

from policies.sql import names
from policies.sql.changes import ChangeWalker
from policies.sql.findings import ALL_COLUMNS
from policies.sql.from_clause import relation_shape
from policies.sql.grammar import checked, location_of, strings, unwrap, unwrap_as
from policies.sql.lineage import Scope, Shape, exact_shape
from policies.sql.not_understood import NotUnderstood
from policies.sql.parser import Tree

# They say how the text is laid out. FREEZE, ENCODING, ON_ERROR and the like are left out.
_OPTIONS: Final = frozenset(
    {
        *("default", "delimiter", "escape", "force_not_null", "force_null", "force_quote"),
        *("format", "header", "null", "quote"),
    }
)


class CopyWalker:
    """Walks COPY, with a ChangeWalker for the query inside."""

    def __init__(self, walker: ChangeWalker) -> None:
        self._walker = walker
        self._findings = walker.findings

    def copy(self, body: Tree) -> Shape:
        """What COPY TO sends; COPY FROM sends nothing."""
        checked("CopyStmt", body)
        for node in body.get("options", []):
            option = unwrap_as("DefElem", node)["defname"]
            if option not in _OPTIONS:
                raise NotUnderstood("SQL_NOT_UNDERSTOOD", f"COPY with {option} is not understood")
        self._findings.kinds.add("copy")
        if body.get("is_from"):
            return self._from(body)
        return self._query(body) if "query" in body else self._table(body)

    def _from(self, body: Tree) -> Shape:
        relation = self._walker.written(body["relation"], "insert")
        named = strings(body.get("attlist", []))
        self._walker.touch_columns(relation, "insert", named, body)
        return Shape((), 0)

    def _query(self, body: Tree) -> Shape:
        kind, query = unwrap(body["query"])
        if kind != "SelectStmt":
            raise NotUnderstood("SQL_NOT_UNDERSTOOD", f"COPY of {kind} is not understood here")
        return self._walker.outermost(query, Scope())

    def _table(self, body: Tree) -> Shape:
        place = body["relation"].get("location")
        relation = names.readable(self._walker.relation(body["relation"]), location=place)
        self._findings.use(relation, "select", place)
        named = strings(body.get("attlist", []))
        missing = next((name for name in named if relation.column(name) is None), None)
        if missing is not None:
            raise NotUnderstood(
                "COLUMN_UNKNOWN", f"{relation.name} has no column {missing}", location_of(body)
            )
        for name in named or (ALL_COLUMNS,):
            self._findings.touch(relation, "select", name)
        outputs = {output.name: output for output in relation_shape(relation).outputs}
        return exact_shape(outputs[name] for name in named or outputs)
