"""Where the end of a text may be the beginning of a value that the configured recognizers find.

For what packs and custom recognizers add; what is looked for in any case is known in
`masking.streams.tails`. Patterns come from the scan worker, which alone knows all of them. No
Presidio here: this runs in the gateway's process, on ends of lines that can't wait any longer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final

import regex

from masking.prefilter import says

LONGEST: Final = 512
"""Characters of a text's end that are looked at: longer values are keys, which begin otherwise."""

_DEADLINE: Final = 0.1  # seconds for all patterns together, on a machine that is busy too
_WITH_DIGIT: Final = 4
_LETTERS: Final = 6
"""Characters of a beginning that is no secret yet: a card's first group, half a word."""

_WORD: Final = re.compile(r"[^\W_]+")

_FLAGS: Final = {
    re.IGNORECASE: regex.IGNORECASE,
    re.MULTILINE: regex.MULTILINE,
    re.DOTALL: regex.DOTALL,
    re.VERBOSE: regex.VERBOSE,
    re.ASCII: regex.ASCII,
}


@dataclass(frozen=True, slots=True)
class Beginning:
    """A pattern of a recognizer, with flags of `re`.

    With `words`, its match counts beside one of them only.
    """

    pattern: str
    flags: int
    words: frozenset[str] = frozenset()


class Beginnings:
    """The patterns, compiled. Raises `regex.error` for one that is none."""

    def __init__(self, patterns: Sequence[Beginning]) -> None:
        self._patterns = [
            (regex.compile(each.pattern, _of_regex(each.flags)), each.words) for each in patterns
        ]

    def start(self, text: str) -> int | None:
        """Where the first one begins that reaches to the end of the text, or None.

        One that has the end of its pattern may go on too. Where patterns take too long, all of what
        is looked at may be one.
        """
        if not self._patterns:
            return None
        base = max(0, len(text) - LONGEST)
        said = [word.lower() for word in _WORD.findall(text)]
        try:
            found = min(self._starts(text[base:], said), default=None)
        except TimeoutError:
            found = 0
        return None if found is None else base + found

    def _starts(self, tail: str, said: Sequence[str]) -> Iterator[int]:
        until = monotonic() + _DEADLINE
        for pattern, words in self._patterns:
            if words and not any(says(words, word) for word in said):
                continue
            left = max(until - monotonic(), 0.001)
            matches = pattern.finditer(tail, overlapped=True, partial=True, timeout=left)
            yield from (m.start() for m in matches if m.end() == len(tail) and _tells(m[0]))


def _tells(text: str) -> bool:
    """Whether so much of a value must not be seen."""
    length = len(text.strip())
    return length >= _LETTERS or (length >= _WITH_DIGIT and any(map(str.isdecimal, text)))


def _of_regex(flags: int) -> int:
    return sum(int(of_regex) for of_re, of_regex in _FLAGS.items() if flags & of_re)
