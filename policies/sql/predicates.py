"""Predicates that say nothing: `id = id`, `x IS NULL OR x IS NOT NULL`. No proof, a heuristic."""

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
    listed = node.get("List") if isinstance(node, dict) else None
    items = listed.get("items") if isinstance(listed, dict) else None
    return items if isinstance(items, list) else []


def has_complementary_tests(nodes: list[dict[str, object]]) -> bool:
    """Whether the sides of an OR hold both `x IS NULL` and `x IS NOT NULL`."""
    tests = [without_locations(node["NullTest"]) for node in nodes if "NullTest" in node]
    found = [(test["arg"], test["nulltesttype"]) for test in tests if isinstance(test, dict)]
    return any(
        (argument, opposite) in found
        for argument, kind in found
        for opposite in ("IS_NULL", "IS_NOT_NULL")
        if opposite != kind
    )
