"""What was found in texts that were searched, bounded in bytes; the least recently used goes."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Sequence

from masking.spans import Span

_ENTRY = 300  # bytes of the entry itself, roughly
_SPAN = 120


class Memory:
    """Spans by column name and text. A text that is too long for its share is not kept."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._used = 0
        self._entries: OrderedDict[tuple[str, str], tuple[Span, ...]] = OrderedDict()

    @property
    def used(self) -> int:
        """Bytes, roughly."""
        return self._used

    def get(self, context: str, text: str) -> list[Span] | None:
        found = self._entries.get((context, text))
        if found is None:
            return None
        self._entries.move_to_end((context, text))
        return list(found)

    def put(self, context: str, text: str, spans: Sequence[Span]) -> None:
        size = _size(text, spans)
        if (context, text) in self._entries or size > self._capacity // 16:
            return
        self._entries[context, text] = tuple(spans)
        self._used += size
        while self._used > self._capacity:
            (_, old), gone = self._entries.popitem(last=False)
            self._used -= _size(old, gone)


def _size(text: str, spans: Sequence[Span]) -> int:
    return sys.getsizeof(text) + _ENTRY + _SPAN * len(spans)
