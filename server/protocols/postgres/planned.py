"""Users' functions that a read calls which does not name them: pure, on rows of the catalog.

What policies of rows call is called for each row. Where an index, a constraint, extended statistics
or a partition key calls a function with constants alone, the planner computes it; a function in SQL
it may open up, and compute what is inside; and the order of a partition key is asked for where a
partition is looked for.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from server.protocols.postgres.catalog_queries import Row


def calling_when_planned(rows: Iterable[Row], allowed: Collection[str]) -> set[int]:
    """Relations that can't be read without the server's calling a function that is not allowed.

    A row is relation, function (0 for an operator class), whether it is in SQL, and the node tree.
    """
    return {
        int(relation)
        for relation, function, in_sql, tree in rows
        if function not in allowed and (in_sql == "t" or _folds(tree, function))
    }


def _folds(tree: str, function: str) -> bool:
    """Whether some call of the function has no column in its arguments; also if none is found."""
    calls = [found.start() for found in re.finditer(rf":(?:op)?funcid {function} ", tree)]
    return not calls or any("{VAR " not in _node_at(tree, call) for call in calls)


def _node_at(tree: str, position: int) -> str:
    """The text of the innermost node, with all inside it, that holds a position."""
    start, depth = position, 0
    while start > 0 and not (tree[start] == "{" and depth == 0):
        depth += (tree[start] == "}") - (tree[start] == "{")
        start -= 1
    end, depth = start + 1, 1
    while end < len(tree) and depth:
        depth += (tree[end] == "{") - (tree[end] == "}")
        end += 1
    return tree[start:end]


def with_parents(found: Collection[int], inheritance: Iterable[Row]) -> set[int]:
    """The relations, and all above them: to read a parent is to plan its children too."""
    return _reached(found, [(int(parent), int(child)) for parent, child in inheritance])


def readers_of(found: Collection[int], *uses: Iterable[Row]) -> set[int]:
    """The views, and the tables with policies, that read one of these relations at any depth."""
    pairs = {(int(row[0]), int(row[1])) for rows in uses for row in rows}
    return _reached(found, pairs) - set(found)


def _reached(found: Collection[int], pairs: Collection[tuple[int, int]]) -> set[int]:
    """All that leads, by pairs of from and to, to one of these."""
    reached, before = set(found), -1
    while before != len(reached):
        before = len(reached)
        reached |= {source for source, target in pairs if target in reached}
    return reached
