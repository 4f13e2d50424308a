"""Which labelled values decide what rows there are, in what order, in which groups.

Asking often enough reads a value off such statements: by halves with `<` and ORDER BY, letter by
letter with LIKE. A value that is compared whole with a few constants tells whoever asks no more
than whether they knew it: that is told apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from policies.sql.lineage import Lineage

# Enough to look some people up; a dictionary of guesses is no look-up.
MAXIMUM_CONSTANTS: Final = 10


@dataclass(slots=True)
class Deciding:
    """Collects while a statement is walked; `covered` are references that are judged elsewhere.

    Those are the references inside of a nested query, whose own conditions tell, and those of a
    comparison that has been noted as a match.
    """

    covered: list[tuple[int, int]] = field(default_factory=list)
    uncertain: bool = False
    _filtered: set[str] = field(default_factory=set)
    _matched: set[str] = field(default_factory=set)
    _constants: set[int] = field(default_factory=set)

    def decide(self, lineage: Lineage) -> None:
        """A value decides by more than being equal to what is known."""
        self._filtered |= _labels(lineage)
        self.uncertain |= not lineage.certain

    def match(self, lineage: Lineage, constants: Iterable[int]) -> None:
        """A whole value is compared for equality; `constants` are the places of what with."""
        self._matched |= _labels(lineage)
        self._constants |= set(constants)

    def cover(self, start: int, end: int) -> None:
        if end > start:
            self.covered.append((start, end))

    def open(
        self, references: Sequence[tuple[object, Lineage]], start: int, covered: int
    ) -> Iterable[Lineage]:
        """What was referred to since `start`, but for what was covered since."""
        ranges = self.covered[covered:]
        hidden = {index for first, end in ranges for index in range(max(first, start), end)}
        return (
            lineage
            for index, (_, lineage) in enumerate(references[start:], start)
            if index not in hidden
        )

    @property
    def filtered(self) -> frozenset[str]:
        many = len(self._constants) > MAXIMUM_CONSTANTS
        return frozenset(self._filtered | self._matched if many else self._filtered)

    @property
    def matched(self) -> frozenset[str]:
        return frozenset(self._matched)


def _labels(lineage: Lineage) -> frozenset[str]:
    return frozenset(label for _, label in lineage.carried)
