"""Query levels of MySQL: what Scope knows, and the names that a select list gives its outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from policies.sql.lineage import FromItem, Lineage, Scope, Shape


@dataclass(frozen=True, slots=True)
class Level(Scope):
    """One query level inside the levels around it.

    `hidden`: aliases of its select list, which queries inside may mean and its own WHERE may not.
    `aliases`: the same with what they carry, where GROUP BY, HAVING and ORDER BY may name them.
    `unnamed`: an output of its select list is an expression, named after its text.
    """

    parent: Level | None = None
    hidden: frozenset[str] = frozenset()
    aliases: Mapping[str, Lineage] = field(default_factory=dict)
    unnamed: bool = False

    def outward(self) -> Iterator[Level]:
        level: Level | None = self
        while level is not None:
            yield level
            level = level.parent

    def within(self, items: FromItem) -> Level:
        """A level inside this one that sees `items`."""
        return Level(parent=self, items=items)

    def over(self, items: FromItem) -> Level:
        """The same level once its FROM items are known."""
        return Level(self.parent, items, self.ctes)

    def with_cte(self, name: str, shape: Shape) -> Level:
        return replace(self, ctes={**self.ctes, name: shape})
