"""What the names in a prepared statement mean for as long as the target keeps its plan. No I/O.

A target looks them up when it parses a statement, and again when the search path is another one, or
when something changes that the statement uses. A relation that is made earlier on the path is
neither: the statement goes on with the one behind it, which a judge of the text would not see.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from policies.sql.facts import Opaque, SqlEffect, SqlFacts, TableName

MOST_PATHS: Final = 16
"""Search paths by which one prepared statement is used; by further ones it is to be made again."""

Path = tuple[str, ...] | None
Meaning = tuple[frozenset[TableName], frozenset[str]]


@dataclass(slots=True)
class Meant:
    """Relations and functions of one statement, by each search path that it was judged by."""

    _by_path: dict[Path, Meaning] = field(default_factory=dict)

    @property
    def others(self) -> Mapping[Path, Meaning]:
        """By every path so far."""
        return dict(self._by_path)

    def note(self, path: Path, facts: SqlFacts) -> bool:
        """Keep what it means by a path; false for one path too many."""
        self._by_path.setdefault(path, meaning(facts))
        return len(self._by_path) <= MOST_PATHS


def meaning(facts: SqlFacts) -> Meaning:
    """What the statement itself names; views may come to read something else."""
    return frozenset(use.table for use in facts.tables if not use.through), facts.functions


def moved(facts: SqlFacts) -> SqlFacts:
    """The facts of a statement of which it is not known what the target would run."""
    return replace(facts, effect=SqlEffect.OPAQUE, opaque=MOVED)


MOVED: Final = Opaque(
    "SEARCH_PATH",
    "A name in the prepared statement means something else by now than when it was prepared.",
    "Prepare the statement again.",
)
