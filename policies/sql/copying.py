"""COPY between a table and the client. What reads or writes files or programs is not understood."""

from __future__ import annotations

from typing import Final

from policies.sql import names
from policies.sql.changes import ChangeWalker
from policies.sql.copied import CopiedOut
from policies.sql.copy_options import UnreadableLayout, layout_of
from policies.sql.findings import ALL_COLUMNS
from policies.sql.from_clause import relation_shape
from policies.sql.grammar import checked, location_of, strings, unwrap, unwrap_as
from policies.sql.lineage import Scope, Shape, exact_shape
from policies.sql.not_understood import NotUnderstood
from policies.sql.parser import Tree, parse_one
from policies.sql.prescan import encode
from policies.sql.tokens import Kind, tokens
from policies.sql.trees import same

# They say how the text is laid out. FREEZE, ENCODING, ON_ERROR and the like are left out.
_OPTIONS: Final = frozenset(
    {
        *("default", "delimiter", "escape", "force_not_null", "force_null", "force_quote"),
        *("format", "header", "null", "quote"),
    }
)


_PLAIN_LAYOUT: Final = "Copy with FORMAT text or csv, and leave the other options out."


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

    def copied(self, body: Tree, text: str) -> CopiedOut | None:
        """How what was walked comes to the client; None for what the client sends."""
        if body.get("is_from"):
            return None
        query = _inner(text, body["query"]) if "query" in body else self._selecting(body)
        if not query:
            why = "The query inside can't be told apart."
            return CopiedOut("", None, why=why, next_step="Read the rows with SELECT.")
        try:
            layout, header = layout_of(body.get("options", []))
        except UnreadableLayout as error:
            why = f"Rows are copied out in layouts that can be read back and masked: {error}."
            return CopiedOut(query, None, why=why, next_step=_PLAIN_LAYOUT)
        in_order = "query" not in body and "attlist" not in body
        return CopiedOut(query, layout, header, in_order)

    def _selecting(self, body: Tree) -> str:
        """A query with the same columns, by names as they are written: so they mean the same."""
        columns = strings(body.get("attlist", []))
        relation = self._walker.relation(body["relation"])
        if not columns and any(column.generated for column in relation.columns):
            # COPY leaves them out.
            columns = tuple(c.name for c in relation.columns if not c.generated)
        path = (body["relation"].get(part) for part in ("catalogname", "schemaname", "relname"))
        table = ".".join(_quoted(name) for name in path if name)
        return " ".join(("SELECT", ", ".join(map(_quoted, columns)) or "*", "FROM ONLY", table))

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


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _inner(text: str, query: Tree) -> str:
    """The text between the first parenthesis and its end, if that is the query; else nothing."""
    depth, start = 0, 0
    for token in tokens(text):
        sign = text[token.start : token.end] if token.kind is Kind.SIGN else ""
        depth += (sign == "(") - (sign == ")")
        if sign == "(" and depth == 1:
            start = token.end
        if sign == ")" and depth == 0:
            inside = text[start : token.start]
            return inside if same(parse_one(encode(inside)), query) else ""
    return ""
