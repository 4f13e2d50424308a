"""A span of bytes in a statement -> line, column and an excerpt with marks, for its readers."""

from __future__ import annotations

from typing import Final

from policies.errors import Place
from policies.sql.secret_positions import cleaned

LONGEST_EXCERPT: Final = 120
"""Characters of the line that an excerpt shows, round the span."""

_LEFT: Final = LONGEST_EXCERPT // 2


def place_of(text: str, span: tuple[int, int]) -> Place | None:
    """Where a range of UTF-8 bytes stands in a text; None where it is not in there."""
    encoded = text.encode("utf-8", "replace")
    start, end = span
    if not 0 <= start <= end <= len(encoded):
        return None
    before = encoded[:start].decode("utf-8", "replace")
    length = len(encoded[start:end].decode("utf-8", "replace"))
    return place_at(text, len(before), length)


def place_at(text: str, offset: int, length: int = 1) -> Place:
    """Where so many characters stand, the first of them at `offset` from 0.

    There is no excerpt of a text that holds a secret: it would be shown and kept with the refusal.
    """
    begins = text.rfind("\n", 0, offset) + 1
    ends = text.find("\n", offset)
    line = text[begins : ends if ends >= 0 else len(text)]
    column = offset - begins
    return Place(
        line=text.count("\n", 0, offset) + 1,
        column=column + 1,
        offset=offset + 1,
        excerpt=_excerpt(line, column, length) if cleaned(text).text == text else "",
    )


def _excerpt(line: str, column: int, length: int) -> str:
    """A part of the line, and below it carets; what has no width of one is shown as one dot."""
    left = max(0, column - _LEFT)
    shown = line[left : left + LONGEST_EXCERPT]
    plain = "".join(c if c.isprintable() else " " if c == "\t" else "·" for c in shown)
    carets = "^" * max(1, min(length, len(plain) - (column - left)))
    return f"{plain}\n{' ' * (column - left)}{carets}"
