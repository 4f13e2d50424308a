"""How often one may fail to say who one is. Pure: the time is handed in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from server.admission.accounts import Bucket

AT_ONCE: Final = 30
PER_MINUTE: Final = 30
MOST_KNOWN: Final = 10_000


@dataclass(slots=True)
class Attempts:
    """Failures by address and by token: whoever fails too often is not looked at."""

    at_once: int = AT_ONCE
    per_minute: int = PER_MINUTE
    _left: dict[str, Bucket] = field(default_factory=dict)

    def wait(self, who: str, now: float) -> float:
        """Seconds until this one is looked at again; 0 for now."""
        bucket = self._left.get(who)
        return bucket.wait(now) if bucket is not None else 0.0

    def failed(self, who: str, now: float) -> None:
        bucket = self._left.get(who)
        if bucket is None:
            self._make_room(now)
            bucket = self._left[who] = Bucket(self.per_minute, self.at_once, now, self.at_once)
        bucket.wait(now)
        bucket.left = max(0.0, bucket.left - 1)

    def _make_room(self, now: float) -> None:
        """Of what fills the table, those that may begin anew anyway go, and else the oldest."""
        if len(self._left) < MOST_KNOWN:
            return
        for who in [who for who, left in self._left.items() if left.wait(now) == 0 and left.full]:
            del self._left[who]
        while len(self._left) >= MOST_KNOWN:
            del self._left[next(iter(self._left))]
