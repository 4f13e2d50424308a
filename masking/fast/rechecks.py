"""Which texts are searched again with plain Presidio, as a check in production."""

from __future__ import annotations

import math
from random import SystemRandom
from typing import Final

_NEVER: Final = 1 << 62


class Sample:
    """Each text with the same probability, at the cost of the chosen ones alone."""

    def __init__(self, fraction: float) -> None:
        self._fraction = fraction
        self._random = SystemRandom()
        self._skip = self._gap()

    def of(self, count: int) -> list[int]:
        """The places of the chosen ones among the next `count` texts."""
        chosen: list[int] = []
        while self._skip < count:
            chosen.append(self._skip)
            self._skip += 1 + self._gap()
        self._skip -= count
        return chosen

    def _gap(self) -> int:
        """How many are passed by before the next: geometrically distributed."""
        if self._fraction >= 1:
            return 0
        if self._fraction <= 0:
            return _NEVER
        return int(math.log(1 - self._random.random()) / math.log1p(-self._fraction))
