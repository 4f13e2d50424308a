"""Text to lines that may go out, and what of them is to be searched.

What is held back: the unfinished line, and lines whose next one may be their other half. A line is
searched by itself, in each reading that its controls allow, and joined with those that it may have
been one with. Whoever holds a `Batch` searches it and gives what goes over its end back (`carry`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Final, NamedTuple

from masking.scanning import ScanText
from masking.spans import Span
from masking.streams.bounds import Bounds
from masking.streams.controls import (
    ANY,
    UNFINISHED,
    Reading,
    coloured,
    harmful,
    is_plain,
    readings,
    titles,
    unmoved,
)
from masking.streams.decoding import UNREADABLE, is_binary, readable
from masking.streams.dumps import is_dump, is_unusual, unescaped
from masking.streams.keys import PemKeys
from masking.streams.tails import open_tail
from masking.streams.wraps import NARROW, SPELLED, Widths


@dataclass(frozen=True, slots=True)
class Ask:
    """A text to search, and where it stands in the batch.

    `reading`: where each character stands, if not one after the other from `start`. `breaks`: what
    counts goes over one of these positions, if there are any; `guessed`: that the lines were one is
    a guess. `spelled`: what can't be excluded counts as found.
    """

    text: ScanText
    start: int = 0
    reading: Reading | None = None
    breaks: Sequence[int] = ()
    guessed: bool = False
    spelled: bool = False


@dataclass(slots=True)
class Batch:
    """Held text of which the part from `shown` to `end` may go out under what is found in it.

    `texts`: whole lines without anything unusual, beginning at `starts`; `asks`: all else to be
    searched. `certain`: spans known without a search. `dropped`: parts that go without a trace.
    """

    raw: str
    shown: int
    end: int
    asks: list[Ask] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    certain: list[Span] = field(default_factory=list)
    dropped: list[tuple[int, int]] = field(default_factory=list)


UNFINISHED_VALUE: Final = "UNFINISHED_VALUE"
"""The entity of the end of a line that may become a value, and had to go out before its end."""

_CONTEXT: Final = 512
"""Characters before a cut that are searched again with what comes after it."""


class Lines:
    """The lines of one stream. `feed` and the others give what may go out now, or nothing."""

    def __init__(
        self, bounds: Bounds, begins: Callable[[str], int | None], columns: int = 0
    ) -> None:
        self._bounds = bounds
        self._begins = begins
        self._widths = Widths(columns)
        self._keys = PemKeys(bounds.key)
        self._raw = ""
        self._shown = 0
        self._carried: list[Span] = []

    @property
    def waiting(self) -> bool:
        """Whether anything is held back."""
        return len(self._raw) > self._shown

    def feed(self, text: str) -> Batch | None:
        """More text. Nothing comes of it where all of it has to wait."""
        self._raw += text
        lines = self._split()
        finished = len(lines) - 1 if lines and not lines[-1].ended else len(lines)
        shown = [line.shown for line in lines]
        joins = self._widths.joins(shown[:finished])
        release = self._released(lines, finished, joins)
        end = lines[release - 1].next if release else 0
        if finished < len(lines) and len(lines[-1].shown) > self._bounds.line:
            return self._cut_line(lines, joins)
        if end <= self._shown:
            return None
        batch = self._batch(lines, joins, end)
        self._go_on(lines, release, end)
        return batch

    def expire(self) -> Batch | None:
        """All that is held, because it was held for too long; what may be a value's beginning
        goes masked."""
        unfinished = UNFINISHED.search(self._raw)
        end = unfinished.start() if unfinished else len(self._raw)
        if end <= self._shown:
            return None
        lines = self._split()
        joins = self._widths.joins([line.shown for line in lines])
        batch = self._batch(lines, joins, end)
        self._mask_tail(batch, lines, joins)
        context = len(lines) - 1
        while context and joins[context - 1] and end - lines[context].start < _CONTEXT:
            context -= 1
        if context == len(lines) - 1 and lines[-1].ended and not self._may_join(lines[-1]):
            context = len(lines)
        self._go_on(lines, context, end)
        return batch

    def end(self) -> Batch | None:
        """All that is held: nothing more comes."""
        if not self.waiting:
            return None
        lines = self._split()
        batch = self._batch(lines, self._widths.joins([r.shown for r in lines]), len(self._raw))
        self._go_on(lines, len(lines), len(self._raw))
        return batch

    def carry(self, spans: Sequence[Span], taken: int) -> None:
        """What was found beyond the end of the batch, in its places; `taken`: where its text begins
        that is still held."""
        self._carried = [
            replace(s, start=max(0, s.start - taken), end=s.end - taken)
            for s in spans
            if s.end > taken
        ]

    # -- what may go out ---------------------------------------------------------------------

    def _released(self, lines: Sequence[_Line], finished: int, joins: Sequence[bool]) -> int:
        """How many lines may go: all finished ones but the last that may be a half."""
        if not finished or not self._may_join(lines[finished - 1]):
            return finished
        first = finished - 1
        while first and joins[first - 1]:
            first -= 1
        held = lines[finished - 1].next - lines[first].start
        while held > self._bounds.run and first < finished - 1:
            held -= lines[first].next - lines[first].start
            first += 1
        return first

    def _may_join(self, line: _Line) -> bool:
        return self._widths.may_go_on(line.shown)

    def _cut_line(self, lines: list[_Line], joins: Sequence[bool]) -> Batch:
        """The held line is too long: all of it but its last part goes."""
        last = lines[-1]
        joins = [*joins, False] if len(lines) > 1 else joins
        tail = self._raw[-(self._bounds.line // 4) :]
        blank = max((tail.rfind(c) for c in " \t,;&\"'<>|"), default=-1)
        end = len(self._raw) - len(tail) + max(0, blank)
        unfinished = UNFINISHED.search(self._raw)
        begun = self._open_tail(lines, joins)
        if begun is not None and end - _CONTEXT <= begun:
            end = min(end, begun)
        end = max(self._shown, min(end, unfinished.start() if unfinished else end))
        batch = self._batch(lines, joins, end)
        start = max(last.start, end - _CONTEXT)
        self._forget(lines[:-1], start, end)
        return batch

    def _go_on(self, lines: Sequence[_Line], gone: int, end: int) -> None:
        """These lines are over; text up to `end` has gone out."""
        start = lines[gone].start if gone < len(lines) else len(self._raw)
        self._forget(lines[:gone], start, end)

    def _forget(self, lines: Sequence[_Line], start: int, end: int) -> None:
        self._widths.passed([line.shown for line in lines])
        self._keys.forget(start)
        self._raw = self._raw[start:]
        self._shown = max(0, end - start)
        self.taken = start

    taken: int = 0

    # -- what is to be searched --------------------------------------------------------------

    def _split(self) -> list[_Line]:
        text = readable(self._raw)
        if is_plain(text):
            return _plain_lines(text)
        return list(_lines(text))

    def _batch(self, lines: Sequence[_Line], joins: Sequence[bool], end: int) -> Batch:
        batch = Batch(self._raw, self._shown, end, certain=self._carried)
        self._carried = []
        searched = [line for line in lines if line.start < end]
        unusual = self._keys.open or _is_unusual(self._raw)
        for line in self._keys.outside(searched, batch) if unusual else searched:
            if line.controls or unusual:
                self._look_closely(line, batch)
            elif line.shown:
                batch.texts.append(line.shown)
                batch.starts.append(line.start)
        gone = {start for start, _ in batch.dropped}
        for first, last in _runs(joins):
            if lines[first].start < end and lines[last].end > self._shown:
                run = [line for line in lines[first : last + 1] if line.start not in gone]
                asks = _run_asks(run, self._bounds.run)
                batch.asks += (replace(ask, guessed=not self._widths.columns) for ask in asks)
        return batch

    def _look_closely(self, line: _Line, batch: Batch) -> None:
        raw = self._raw[line.start : line.end]
        if is_binary(raw):
            batch.certain.append(Span(line.start, line.end, UNREADABLE))
            return
        batch.asks += line.asks()
        if line.controls and line.strange:
            batch.dropped += ((line.start + a, line.start + b) for a, b in harmful(raw))

    def _mask_tail(self, batch: Batch, lines: Sequence[_Line], joins: Sequence[bool]) -> None:
        """Masks what may be a beginning: of an unfinished line, or one that the terminal broke."""
        broken = self._widths.columns and self._may_join(lines[-1])
        if lines[-1].ended and not broken:
            return
        begun = self._open_tail(lines, joins)
        if begun is not None:
            batch.certain.append(Span(begun, batch.end, UNFINISHED_VALUE))

    def _open_tail(self, lines: Sequence[_Line], joins: Sequence[bool]) -> int | None:
        """Where the end of the last line may be a value's beginning, with all that it goes on."""
        first = len(lines) - 1
        while first and joins[first - 1]:
            first -= 1
        begun = open_tail("".join(line.shown for line in lines[first:]), self._begins)
        if begun is None:
            return None
        return [start for line in lines[first:] for start in line.place().starts][begun]


class _Line(NamedTuple):
    """A line of the held text: characters `start` to `end`, the next from `next` on."""

    start: int
    end: int
    next: int
    shown: str
    readings: Sequence[Reading] = ()
    controls: bool = False
    strange: bool = True

    @property
    def ended(self) -> bool:
        return self.next > self.end

    def reading(self) -> Reading | None:
        return self.readings[-1] if self.controls and self.readings else None

    def asks(self) -> Iterator[Ask]:
        if not self.controls:
            if self.shown:
                yield Ask(ScanText(self.shown), self.start)
                if dumped := is_dump(self.shown):
                    yield _dump_ask([self], [dumped])
                if escapes := unescaped(self.shown, self.start):
                    yield Ask(ScanText(escapes.text), reading=escapes)
            return
        for reading in self.readings:
            yield Ask(ScanText(reading.text), reading=reading)

    def place(self) -> Reading:
        """The line as it is joined with others."""
        reading = self.reading()
        if reading is not None:
            return reading
        return unmoved(self.shown, self.start)


def _is_unusual(text: str) -> bool:
    """Whether there is what plain lines have none of: keys, undecodable bytes, dumps, escapes."""
    undecodable = not text.isascii() and readable(text) is not text
    return undecodable or "PRIVATE KEY" in text or "Private-Lines" in text or is_unusual(text)


def _plain_lines(text: str) -> list[_Line]:
    lines: list[_Line] = []
    start = 0
    parts = text.split("\n")
    rest = parts.pop()
    returns = "\r" in text
    for part in parts:
        following = start + len(part) + 1
        shown = part.rstrip("\r") if returns else part
        lines.append(_Line(start, start + len(shown), following, shown))
        start = following
    if rest:
        lines.append(_Line(start, len(text), len(text), rest))
    return lines


def _lines(text: str) -> Iterator[_Line]:
    start = 0
    for part in text.split("\n"):
        following = start + len(part) + 1
        if following <= len(text):
            content = part.rstrip("\r")
            yield _line(content, start, start + len(content), following)
        elif part:
            yield _line(part, start, len(text), len(text))
        start = following


def _line(content: str, start: int, end: int, following: int) -> _Line:
    if not ANY.search(content):
        return _Line(start, end, following, content)
    if colours := coloured(content, start):
        shown = colours.text
        return _Line(start, end, following, shown, (colours,) if shown else (), True, False)
    read = (*titles(content, start), *readings(content, start))
    shown = read[-1].text if read else ""
    return _Line(start, end, following, shown, read, controls=True)


def _runs(joins: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """The first and last line of each run of joined ones."""
    first = None
    for index, joined in enumerate((*joins, False)):
        if joined and first is None:
            first = index
        elif not joined and first is not None:
            yield first, index
            first = None


def _run_asks(lines: Sequence[_Line], longest: int) -> Iterator[Ask]:
    """A run, in windows that overlap by half where it is long."""
    window: list[_Line] = []
    size = 0
    for line in lines:
        window.append(line)
        size += len(line.shown)
        if size > longest:
            yield from _window_asks(window)
            while size > longest // 2 and len(window) > 1:
                size -= len(window.pop(0).shown)
    if len(window) > 1:
        yield from _window_asks(window)
    if len(lines) > 2 and is_dump(lines[0].shown) is None:
        yield from _parts_of_run(lines)


def _parts_of_run(lines: Sequence[_Line]) -> Iterator[Ask]:
    """Each few lines of a run by themselves: one of them may end where the terminal does."""
    for first in range(len(lines) - 1):
        inside = 0
        for last in range(first + 1, min(first + _MOST_BREAKS + 1, len(lines))):
            yield from _window_asks(lines[first : last + 1])
            inside += len(lines[last].shown)
            if inside > _LONGEST_PART:
                break


_MOST_BREAKS: Final = 24
_LONGEST_PART: Final = 64
"""Characters between the first and the last break in a value: few values are longer."""


def _window_asks(lines: Sequence[_Line]) -> Iterator[Ask]:
    dumped = [is_dump(line.shown) for line in lines]
    if dumped[0] is not None:
        yield _dump_ask(lines, [text or "" for text in dumped])
        return
    places = [line.place() for line in lines]
    text = "".join(line.shown for line in lines)
    breaks = list(accumulate(len(line.shown) for line in lines[:-1]))

    def joined() -> tuple[Sequence[int], Sequence[int]]:
        starts = [start for place in places for start in place.starts]
        return starts, [end for place in places for end in place.ends]

    narrow = len(lines) >= SPELLED and all(len(line.shown) <= NARROW for line in lines)
    yield Ask(ScanText(text), reading=Reading(text, joined), breaks=breaks, spelled=narrow)


def _dump_ask(lines: Sequence[_Line], dumped: Sequence[str]) -> Ask:
    text = "".join(dumped)
    starts = [line.start for line, part in zip(lines, dumped, strict=True) for _ in part]
    ends = [line.end for line, part in zip(lines, dumped, strict=True) for _ in part]
    return Ask(ScanText(text), reading=Reading(text, lambda: (starts, ends)))
