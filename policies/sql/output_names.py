"""The name that PostgreSQL gives an output column without an alias (parse_target.c, FigureColname).

A wrong guess here would let a name in an outer query mean another column than the server takes.
"""

from __future__ import annotations

from typing import Final

from policies.sql.columns import is_star
from policies.sql.documents import document_name
from policies.sql.expressions import value_function_name
from policies.sql.grammar import location_of, unwrap
from policies.sql.not_understood import NotUnderstood
from policies.sql.parser import Tree

UNNAMED: Final = "?column?"

_WEAK, _STRONG = 1, 2
_FIXED: Final = {
    "A_ArrayExpr": "array",
    "RowExpr": "row",
    "CoalesceExpr": "coalesce",
    "GroupingFunc": "grouping",
}
_SUBLINKS: Final = {"EXISTS_SUBLINK": "exists", "ARRAY_SUBLINK": "array"}


def output_name(target: Tree) -> str:
    """The name of one ResTarget's column."""
    alias = target.get("name")
    return alias if alias is not None else _figure(target["val"])[1]


def _figure(node: Tree) -> tuple[int, str]:
    kind, body = unwrap(node)
    fixed = _FIXED.get(kind) or document_name(kind, body)
    if fixed:
        return _STRONG, fixed
    match kind:
        case "ColumnRef":
            return _last_name(body["fields"])
        case "A_Indirection":
            strength, name = _last_name(body["indirection"])
            return (strength, name) if strength else _figure(body["arg"])
        case "FuncCall":
            return _last_name(body["funcname"])
        case "A_Expr" if body["kind"] == "AEXPR_NULLIF":
            return _STRONG, "nullif"
        case "MinMaxExpr":
            return _STRONG, "greatest" if body["op"] == "IS_GREATEST" else "least"
        case "SQLValueFunction":
            return _STRONG, value_function_name(body)
        case "CollateClause":
            return _figure(body["arg"])
        case "TypeCast":
            return _weakly(_figure(body["arg"]), _last_name(body["typeName"]["names"])[1])
        case "CaseExpr":
            inner = _figure(body["defresult"]) if "defresult" in body else (0, UNNAMED)
            return _weakly(inner, "case")
        case "SubLink":
            return _sublink(body)
        case _:
            return 0, UNNAMED


def _weakly(inner: tuple[int, str], name: str) -> tuple[int, str]:
    return inner if inner[0] > _WEAK else (_WEAK, name)


def _last_name(nodes: list[Tree]) -> tuple[int, str]:
    names = [body.get("sval", "") for kind, body in map(unwrap, nodes) if kind == "String"]
    return (_STRONG, names[-1]) if names else (0, UNNAMED)


def _sublink(body: Tree) -> tuple[int, str]:
    kind = body["subLinkType"]
    if kind != "EXPR_SUBLINK":
        return (_STRONG, _SUBLINKS[kind]) if kind in _SUBLINKS else (0, UNNAMED)
    return _STRONG, _first_output(unwrap(body["subselect"])[1])


def _first_output(query: Tree) -> str:
    while "larg" in query:
        query = query["larg"]
    if "valuesLists" in query:
        return "column1"
    targets = [unwrap(node)[1] for node in query.get("targetList", [])[:1]]
    if not targets or is_star_target(targets[0]):
        raise NotUnderstood(
            "COLUMN_UNKNOWN", "name the column of this subquery", location_of(query)
        )
    return output_name(targets[0])


def is_star_target(target: Tree) -> bool:
    """Whether a ResTarget is `*` or `alias.*`."""
    kind, body = unwrap(target["val"])
    return kind == "ColumnRef" and is_star(body)
