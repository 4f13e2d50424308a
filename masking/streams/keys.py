"""Private keys in PEM over many lines: from BEGIN to END nothing of them goes out.

The placeholder goes out with the line of BEGIN, and the lines after it are dropped as they come,
so that nothing need be held. A key without its end is over at the first line that can't belong
to one, or at a bound.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from masking.spans import Span

if TYPE_CHECKING:
    from masking.streams.lines import Batch, _Line

_LABEL: Final = r"(?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?"
_BEGIN: Final = re.compile(
    rf"-----BEGIN {_LABEL} ?-----|---- ?BEGIN {_LABEL} ?----|Private-Lines: [0-9]"
)
_END: Final = re.compile(
    rf"-----END {_LABEL} ?-----|---- ?END {_LABEL} ?----|Private-(?:MAC|Hash): "
)
"""OpenSSL's and OpenSSH's borders, those of SSH2 files (RFC 4716), and PuTTY's."""

_BODY: Final = re.compile(
    r"[\s>|\"',+]*(?:[A-Za-z0-9+/=]+|[A-Za-z-]{3,30}: .*|)[\s\"',\\n+]*\Z|.*[A-Za-z0-9+/]{32}"
)
"""Base64, a header, nothing; or a line with a stretch of base64, behind what a log adds to it.

Of a line in which it is short, the key may be all that stands behind as many characters as stood
before BEGIN.
"""


class PemKeys:
    """Whether the text is inside of a key; `longest`: characters that a key may have."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._open = 0
        self._before = 0
        self._states: list[tuple[int, int]] = []

    @property
    def open(self) -> bool:
        """Whether the end of a key is still to come."""
        return self._open > 0

    def outside(self, lines: Sequence[_Line], batch: Batch) -> Iterator[_Line]:
        """The lines that are not all key; what is key of the others is marked in the batch."""
        self._states = []
        for line in lines:
            self._states.append((line.start, self._open))
            if not self._open:
                self._begin(line, batch)
                yield line
            elif self._goes_on(line):
                end = self._after(line)
                batch.dropped.append((line.start, end))
                if end < line.next:
                    yield line
            else:
                self._open = 0
                self._begin(line, batch)
                yield line

    def forget(self, start: int) -> None:
        """Text before `start` is over: the state is that at its line."""
        states = [state for place, state in self._states if place == start]
        self._open = states[0] if states else self._open

    def _begin(self, line: _Line, batch: Batch) -> None:
        if "----" not in line.shown and "Private-Lines" not in line.shown:
            return
        begun = list(_BEGIN.finditer(line.shown))
        if begun and not _END.search(line.shown, begun[-1].end()):
            self._open = 1
            self._before = begun[-1].start()
            place = line.place()
            start = min(place.starts[begun[-1].start() :])
            batch.certain.append(Span(start, line.end, "PRIVATE_KEY"))

    def _goes_on(self, line: _Line) -> bool:
        self._open += line.next - line.start
        ended = _END.search(line.shown) is not None
        if self._open > self._longest:
            return False
        return ended or any(_BODY.match(line.shown, place) for place in (0, self._before))

    def _after(self, line: _Line) -> int:
        """Where the text goes on: the next line, or behind END where something follows it."""
        ended = _END.search(line.shown)
        if ended is None:
            return line.next
        self._open = 0
        if not line.shown[ended.end() :].strip(" \t\"',"):
            return line.next
        return line.place().ends[ended.end() - 1]
