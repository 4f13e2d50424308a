"""One stream: bytes in, bytes out that hold nothing of what was found in them.

`text_stream` is for terminals, logs and bodies of text, `table_stream` for CSV.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from masking.scanning import StreamFinder
from masking.streams.bounds import Bounds
from masking.streams.decoding import ByMark, Charset
from masking.streams.searching import Piece, Searches, Wanted, everything
from masking.streams.tables import TableStream
from masking.streams.texts import TextPieces


class Pieces(Protocol):
    """The characters of a stream."""

    @property
    def waiting(self) -> bool:
        """Whether anything is held back."""
        ...

    async def feed(self, text: str) -> list[Piece]:
        """What may go out now."""
        ...

    async def tick(self, now: float) -> list[Piece]:
        """What may go out because it was held for too long."""
        ...

    async def end(self) -> list[Piece]:
        """The rest."""
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """Where something was found: bytes of the input from 0, `end` exclusive; lines from 1."""

    start: int
    end: int
    line: int
    entity: str
    score: float
    recognizer: str = ""


@dataclass(frozen=True, slots=True)
class Masked:
    """What may go out, and what went of it."""

    output: bytes = b""
    findings: tuple[Finding, ...] = ()

    def __add__(self, other: Masked) -> Masked:
        return Masked(self.output + other.output, self.findings + other.findings)

    @property
    def counts(self) -> Counter[str]:
        """How many of each entity."""
        return Counter(found.entity for found in self.findings)


@dataclass(slots=True)
class Position:
    """How far the output has come in the input."""

    bytes: int = 0
    line: int = 1


class Stream:
    """Not for two callers at once."""

    def __init__(self, pieces: Pieces, charset: Charset | None = None) -> None:
        self._pieces = pieces
        self._charset = charset or ByMark()
        self._position = Position()

    @property
    def waiting(self) -> bool:
        """Whether anything is held back, so that `tick` may give it."""
        return self._pieces.waiting

    async def feed(self, piece: bytes) -> Masked:
        """What may go out now that these bytes have come."""
        return self._masked(await self._pieces.feed(self._charset.text(piece)))

    async def tick(self, now: float) -> Masked:
        """What may go out because it was held for too long; `now`: seconds of any one clock.

        An unfinished line goes as it was found, and its end as a whole if it may be the beginning
        of something. A document without its end goes as one, if it is one, else as text.
        """
        return self._masked(await self._pieces.tick(now))

    async def end(self) -> Masked:
        """The rest: nothing more comes."""
        last = self._masked(await self._pieces.feed(self._charset.end()))
        return last + self._masked(await self._pieces.end())

    def _masked(self, pieces: Sequence[Piece]) -> Masked:
        output: list[bytes] = []
        findings: list[Finding] = []
        for piece in pieces:
            raw = self._charset.encoded(piece.raw)
            output.append(raw if piece.output is None else self._charset.encoded(piece.output))
            at, self._position.bytes = self._position.bytes, self._position.bytes + len(raw)
            for s in piece.spans:
                place = (at, at + len(raw), self._position.line)
                findings.append(Finding(*place, s.entity, s.score, s.recognizer))
            self._position.line += piece.raw.count("\n")
        return Masked(b"".join(output), tuple(findings))


def text_stream(
    finder: StreamFinder,
    *,
    wanted: Wanted = everything,
    bounds: Bounds | None = None,
    columns: int = 0,
    charset: Charset | None = None,
) -> Stream:
    """A terminal's or a log's output, with the JSON and YAML in it.

    `wanted`: which entities go. `columns`: the terminal's width, if there is one and it is known.
    """
    searches = Searches(finder, wanted)
    return Stream(TextPieces(searches, bounds or Bounds(), columns), charset)


def table_stream(
    finder: StreamFinder, *, wanted: Wanted = everything, bounds: Bounds | None = None
) -> Stream:
    """CSV with the columns' names in its first row."""
    return Stream(TableStream(Searches(finder, wanted), bounds or Bounds()))
