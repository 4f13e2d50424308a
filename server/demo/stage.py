"""What the tour prints, 90 columns wide, and the tally of what it found to hold."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TextIO

WIDTH: Final = 90
_BOLD, _DIM, _GREEN, _RED, _OFF = "\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[0m"


@dataclass(slots=True)
class Stage:
    """Prints steps; `failures` are the sentences that turned out not to be true."""

    out: TextIO
    coloured: bool
    failures: list[str] = field(default_factory=list)
    steps: int = 0

    @classmethod
    def on_terminal(cls) -> Stage:
        """Standard output, coloured where a person looks at it (https://no-color.org)."""
        return cls(sys.stdout, sys.stdout.isatty() and "NO_COLOR" not in os.environ)

    def step(self, title: str, explanation: str) -> None:
        self.steps += 1
        self._line("")
        self._line(self._in(_BOLD, f"{self.steps}. {title}"))
        for line in textwrap.wrap(explanation, WIDTH - 3):
            self._line(f"   {line}")

    def call(self, who: str, text: str) -> None:
        """What somebody asks."""
        first, *rest = textwrap.wrap(text, WIDTH - 8 - len(who)) or [""]
        self._line("")
        self._line(f"   {self._in(_DIM, f'{who} >')} {first}")
        for line in rest:
            self._line(f"   {' ' * len(who)}   {line}")

    def show(self, lines: Iterable[str], most: int = 40) -> None:
        """What comes back, cut at the screen's edge."""
        shown = list(lines)
        for line in shown[:most]:
            self._line("     " + _cut(line, WIDTH - 5))
        if len(shown) > most:
            self._line(f"     … {len(shown) - most} more lines")

    def prose(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._line(line)

    def check(self, sentence: str, *, holds: bool) -> None:
        """Say what was found; a sentence that does not hold makes the tour fail."""
        mark = self._in(_GREEN, "ok") if holds else self._in(_RED, "NOT SO:")
        self._line(f"   {mark} {sentence}")
        if not holds:
            self.failures.append(f"step {self.steps}: {sentence}")

    def _in(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_OFF}" if self.coloured else text

    def _line(self, text: str) -> None:
        print(text, file=self.out, flush=True)


def wrapped(label: str, text: object) -> list[str]:
    """One labelled value over as many lines as it needs."""
    indent = " " * (len(label) + 2)
    return textwrap.wrap(f"{label}: {text}", WIDTH - 6, subsequent_indent=indent)


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 1] + "…"
