"""Comparisons that say nothing: of a value with itself. No proof, a heuristic."""

from __future__ import annotations

from policies.sql.grammar import without_locations


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
