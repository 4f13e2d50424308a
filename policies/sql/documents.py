"""SQL/JSON and SQL/XML: their own node kinds, which the server calls like functions.

All of them compute from their arguments; what they hold is walked, and so are types they return.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, Protocol

from policies.sql.grammar import checked
from policies.sql.lineage import CLEAN, Lineage, Output, Scope, Shape, exact_shape, union
from policies.sql.not_understood import NotUnderstood
from policies.sql.parser import Tree

# Node kind -> the name that the server gives the column (parse_target.c, FigureColname).
_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "JsonParseExpr": "json",
        "JsonScalarExpr": "json_scalar",
        "JsonSerializeExpr": "json_serialize",
        "JsonObjectConstructor": "json_object",
        "JsonArrayConstructor": "json_array",
        "JsonArrayQueryConstructor": "json_array",
        "JsonObjectAgg": "json_objectagg",
        "JsonArrayAgg": "json_arrayagg",
        "XmlSerialize": "xmlserialize",
    }
)
_OPERATIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "JSON_EXISTS_OP": "json_exists",
        "JSON_QUERY_OP": "json_query",
        "JSON_VALUE_OP": "json_value",
        "IS_XMLCONCAT": "xmlconcat",
        "IS_XMLELEMENT": "xmlelement",
        "IS_XMLFOREST": "xmlforest",
        "IS_XMLPARSE": "xmlparse",
        "IS_XMLPI": "xmlpi",
        "IS_XMLROOT": "xmlroot",
    }
)
KINDS: Final = frozenset({*_NAMES, "JsonFuncExpr", "JsonIsPredicate", "XmlExpr"})

# Field -> what it holds: "node" and "nodes" stand with their kind around them, "type" is a
# TypeName, "query" a SelectStmt, "order" an aggregate's keys; any other word is the kind whose bare
# body the field holds.
_HOLDS: Final = {
    "JsonFuncExpr": "context_item=JsonValueExpr pathspec=node passing=nodes output=JsonOutput"
    " on_empty=JsonBehavior on_error=JsonBehavior",
    "JsonIsPredicate": "expr=node format=JsonFormat",
    "JsonParseExpr": "expr=JsonValueExpr output=JsonOutput",
    "JsonScalarExpr": "expr=node output=JsonOutput",
    "JsonSerializeExpr": "expr=JsonValueExpr output=JsonOutput",
    "JsonObjectConstructor": "exprs=nodes output=JsonOutput",
    "JsonArrayConstructor": "exprs=nodes output=JsonOutput",
    "JsonArrayQueryConstructor": "query=query output=JsonOutput format=JsonFormat",
    "JsonObjectAgg": "constructor=JsonAggConstructor arg=JsonKeyValue",
    "JsonArrayAgg": "constructor=JsonAggConstructor arg=JsonValueExpr",
    "JsonAggConstructor": "output=JsonOutput agg_filter=node agg_order=order over=WindowDef",
    "JsonKeyValue": "key=node value=JsonValueExpr",
    "JsonValueExpr": "raw_expr=node format=JsonFormat",
    "JsonArgument": "val=JsonValueExpr",
    "JsonOutput": "typeName=type returning=JsonReturning",
    "JsonReturning": "format=JsonFormat",
    "JsonBehavior": "expr=node",
    "JsonFormat": "",
    "XmlExpr": "named_args=nodes args=nodes",
    "XmlSerialize": "expr=node typeName=type",
    "JsonTable": "context_item=JsonValueExpr pathspec=JsonTablePathSpec passing=nodes"
    " columns=nodes on_error=JsonBehavior alias=Alias",
    "JsonTablePathSpec": "string=node",
    "JsonTableColumn": "typeName=type pathspec=JsonTablePathSpec format=JsonFormat columns=nodes"
    " on_empty=JsonBehavior on_error=JsonBehavior",
    "RangeTableFunc": "docexpr=node rowexpr=node namespaces=nodes columns=nodes alias=Alias",
    "RangeTableFuncCol": "typeName=type colexpr=node coldefexpr=node",
    "ResTarget": "val=node",
    "Alias": "colnames=names",
}
_FIELDS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {kind: dict(pair.split("=") for pair in held.split()) for kind, held in _HOLDS.items()}
)


class Expressions(Protocol):
    """What walks the expressions inside."""

    def expression(self, node: Tree, scope: Scope) -> Lineage: ...

    def answer(self, body: Tree, scope: Scope) -> Lineage: ...

    def aggregated_by(self, nodes: list[Tree], scope: Scope) -> Lineage: ...

    def type_name(self, body: Tree) -> None: ...

    def window(self, body: Tree, scope: Scope) -> Lineage: ...


def document_name(kind: str, body: Tree) -> str:
    """What the server calls it; "" for predicates, which give no column their name."""
    return _NAMES.get(kind) or _OPERATIONS.get(body.get("op", ""), "")


def document_lineage(walker: Expressions, kind: str, body: Tree, scope: Scope) -> Lineage:
    """The lineage of one node of KINDS, of a JSON_TABLE or an XMLTABLE: of all that it holds."""
    checked(kind, body)
    nested = {name: value for name, value in body.items() if isinstance(value, dict | list)}
    return union(_held(walker, kind, name, value, scope) for name, value in nested.items())


def _held(
    walker: Expressions, kind: str, name: str, value: Tree | list[Tree], scope: Scope
) -> Lineage:
    match _FIELDS[kind].get(name), value:
        case None, _:
            raise NotUnderstood("SQL_NOT_UNDERSTOOD", f"{kind} with {name} is not understood")
        case "nodes", list(nodes):
            return union(_node(walker, node, scope) for node in nodes)
        case "names", _:
            return CLEAN
        case "node", dict(node):
            return _node(walker, node, scope)
        case "type", dict(type_name):
            walker.type_name(type_name)
            return CLEAN
        case "query", dict(query):
            return walker.answer(checked("SelectStmt", query["SelectStmt"]), scope)
        case "order", list(keys):
            return walker.aggregated_by(keys, scope)
        case "WindowDef", dict(window):
            return walker.window(window, scope)
        case str(held), dict(bare):
            return document_lineage(walker, held, bare, scope)
        case _:
            raise NotUnderstood("SQL_NOT_UNDERSTOOD", f"{kind} with {name} is not understood")


def _node(walker: Expressions, node: Tree, scope: Scope) -> Lineage:
    [(kind, body)] = node.items()
    inside = kind in _FIELDS and kind not in KINDS
    if inside:
        return document_lineage(walker, kind, body, scope)
    return walker.expression(node, scope)


def table_shape(body: Tree, lineage: Lineage) -> Shape:
    """The columns of a JSON_TABLE or an XMLTABLE: each may carry what its document carries."""
    return exact_shape(Output(name, lineage) for name in _column_names(body.get("columns", [])))


def _column_names(columns: list[Tree]) -> Iterator[str]:
    for node in columns:
        [column] = node.values()
        if "columns" in column:
            yield from _column_names(column["columns"])
        else:
            yield column.get("name") or column["colname"]
