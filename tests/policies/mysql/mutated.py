"""Statements of the corpus, changed at random where servers and readers are known to differ."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

_PIECE: Final = re.compile(
    r"\s+|/\*.*?\*/|'(?:[^'\\]|\\.|'')*'|\"[^\"]*\"|`[^`]*`|\w+|.", re.DOTALL
)
_BLANKS: Final = (" ", "\t", "\n", "\r", "\v", "\f", "/**/", "/* c */", "-- c\n", "#c\n", "--\n")
_BLANKS_MORE: Final = ("--\x01c\n", "\u00a0", "--", "/*", "*/", "# c\r", ";", "; ", "\0", "\\N")
_VERSIONS: Final = ("", "00000", "40001", "50000", "50700", "80000", "99999", "100000", "101100")
_OPENINGS: Final = ("/*!", "/*!", "/*M!", "/*m!", "/*+", "/* !")
# What acts, to be put wherever it may slip in.
_ACTS: Final = (
    "DELETE FROM orders", "f_del()", "INTO OUTFILE '/tmp/o'", "INTO @v", "@v := 1", "FOR UPDATE",
    "GET_LOCK('x', 0)", "(SELECT f_del())", "; DELETE FROM orders", "NEXT VALUE FOR s1",
    "NEXTVAL(s1)", "LAST_INSERT_ID(7)", "app.f_del()", "`f_del`()", "f_del ()", "v_evil",
    "SET @v = 1", "PROCEDURE ANALYSE()", "INTO DUMPFILE '/tmp/d'", "UNION SELECT f_del()",
    "SETVAL(s1, 9)", "s1.nextval", "RELEASE_ALL_LOCKS()", "LOCK IN SHARE MODE",
)  # fmt: skip
_INTRODUCERS: Final = ("_utf8mb4", "_latin1", "_gbk", "_binary", "N", "n", "X", "b", "_utf8 ")


@dataclass
class Mutator:
    """Changes statements; the same seed makes the same ones."""

    seed: int
    statements: Sequence[str]
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def statement(self) -> str:
        pieces = _PIECE.findall(self._random.choice(self.statements)) or [" "]
        for _ in range(self._random.choice((1, 1, 1, 2, 3))):
            self._random.choice(self._changes)(pieces)
        return "".join(pieces)

    @property
    def _changes(self) -> Sequence[Callable[[list[str]], None]]:
        return (
            self._blank, self._blank, self._version, self._version, self._act, self._quote,
            self._introduce, self._splice, self._swap, self._double, self._escape,
        )  # fmt: skip

    def _place(self, pieces: list[str]) -> int:
        return self._random.randrange(len(pieces) + 1)

    def _blank(self, pieces: list[str]) -> None:
        blanks = [i for i, piece in enumerate(pieces) if piece.isspace()]
        more = _BLANKS_MORE if self._random.random() < 0.3 else _BLANKS
        if blanks and self._random.random() < 0.7:
            pieces[self._random.choice(blanks)] = self._random.choice(more)
        else:
            pieces.insert(self._place(pieces), self._random.choice(more))

    def _version(self, pieces: list[str]) -> None:
        """Puts a range of pieces, or something that acts, into a comment that is run."""
        start = self._place(pieces)
        stop = min(len(pieces), start + self._random.randint(0, 5))
        inside = pieces[start:stop] if self._random.random() < 0.6 else [self._act_text()]
        blank = self._random.choice((" ", " ", "", "\n"))
        head = self._random.choice(_OPENINGS) + self._random.choice(_VERSIONS) + blank
        end = self._random.choice((" */", "*/", " */", "", "* /"))
        pieces[start:stop] = [head, *inside, end]

    def _act_text(self) -> str:
        return self._random.choice((*_ACTS, ", ssn", "OR 1=1", "SQL_NO_CACHE", "DISTINCT"))

    def _act(self, pieces: list[str]) -> None:
        pieces.insert(self._place(pieces), f" {self._random.choice(_ACTS)} ")

    def _quote(self, pieces: list[str]) -> None:
        """Takes a quotation's marks for others, or puts marks round a piece."""
        at = self._random.randrange(len(pieces))
        mark = self._random.choice("'\"`")
        inner = pieces[at].strip("'\"`")
        pieces[at] = mark + inner + self._random.choice((mark, mark, "", "\\" + mark))

    def _introduce(self, pieces: list[str]) -> None:
        strings = [i for i, piece in enumerate(pieces) if piece[:1] in ("'", '"')]
        at = self._random.choice(strings) if strings else self._place(pieces)
        pieces.insert(at, self._random.choice(_INTRODUCERS))

    def _splice(self, pieces: list[str]) -> None:
        """Puts a range of another statement in."""
        other = _PIECE.findall(self._random.choice(self.statements)) or [" "]
        start = self._random.randrange(len(other))
        at = self._place(pieces)
        pieces[at:at] = [" ", *other[start : start + self._random.randint(1, 6)], " "]

    def _swap(self, pieces: list[str]) -> None:
        one, other = self._random.randrange(len(pieces)), self._random.randrange(len(pieces))
        pieces[one], pieces[other] = pieces[other], pieces[one]

    def _double(self, pieces: list[str]) -> None:
        at = self._random.randrange(len(pieces))
        pieces.insert(at, pieces[at])

    def _escape(self, pieces: list[str]) -> None:
        at = self._random.randrange(len(pieces))
        piece = pieces[at]
        cut = self._random.randrange(len(piece) + 1)
        pieces[at] = (
            piece[:cut] + self._random.choice(("\\", "''", "\\'", "\u00bf\\")) + piece[cut:]
        )
