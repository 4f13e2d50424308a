"""Comparisons that say nothing: of a value with itself. No proof, a heuristic."""

from __future__ import annotations

from typing import Final

from policies.sql.grammar import strings, without_locations
from policies.sql.parser import Tree

# What stands in the tree of a query that lets all rows of its table through.
_BARE: Final = frozenset({"fromClause", "limitOption", "op"})


def has_live_column(node: object) -> bool:
    """Whether an expression names a column outside of comparisons of a value with itself."""
    if isinstance(node, list):
        return any(has_live_column(item) for item in node)
    if not isinstance(node, dict):
        return False
    if "ColumnRef" in node:
        return True
    comparison = node.get("A_Expr")
    if isinstance(comparison, dict) and _compares_with_itself(comparison):
        return False
    return any(has_live_column(value) for value in node.values())


def selects_itself(node: Tree, table: str) -> bool:
    """`id IN (SELECT id FROM t)`, or EXISTS of a row that has the same id, in a change of `t`."""
    sublink = node.get("SubLink", {})
    query = sublink.get("subselect", {}).get("SelectStmt", {})
    sources = query.get("fromClause", [])
    if len(sources) != 1 or sources[0].get("RangeVar", {}).get("relname") != table:
        return False
    match sublink.get("subLinkType"), query:
        case "ANY_SUBLINK", {"targetList": [{"ResTarget": {"val": value}}], **others}:
            equal = strings(sublink.get("operName", []))[-1:] in ((), ("=",))
            bare = equal and others.keys() <= _BARE
            return bare and _same_column(sublink["testexpr"], value)
        case "EXISTS_SUBLINK", {"whereClause": {"A_Expr": test}}:
            equal = test["kind"] == "AEXPR_OP" and strings(test["name"])[-1] == "="
            return equal and _same_column(test.get("lexpr", {}), test.get("rexpr", {}))
        case _:
            return False


def _same_column(one: Tree, other: Tree) -> bool:
    named = [node.get("ColumnRef", {}).get("fields", [])[-1:] for node in (one, other)]
    return bool(named[0]) and named[0] == named[1]


def _compares_with_itself(comparison: dict[str, object]) -> bool:
    left = without_locations(comparison.get("lexpr"))
    right = without_locations(comparison.get("rexpr"))
    if left is None:
        return False
    return left == right or left in _items(right)


def _items(node: object) -> list[object]:
    for kind, items in (("List", "items"), ("A_ArrayExpr", "elements")):
        listed = node.get(kind) if isinstance(node, dict) else None
        found = listed.get(items) if isinstance(listed, dict) else None
        if isinstance(found, list):
            return found
    return []
