"""What a client copies in, looked through for masks and pseudonyms of ours, over all its borders.

Rows go on to the target as they come: a COPY that is aborted has written none of them. No input or
output.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from server.write_back import UUID_CELL, UUID_LENGTH, HoldsMasks, holds_mark

LINE: Final = 8192
"""Bytes of a line that are kept until it ends; of longer ones `OVERLAP` are looked at again."""

OVERLAP: Final = 512

_ESCAPE: Final = re.compile(r"\\(?:x([0-9A-Fa-f]{1,2})|([0-7]{1,3})|(.))", re.DOTALL)
_CONTROLS: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@dataclass(slots=True)
class CopiedIn:
    """One COPY's content, in any format; `unseen` is the part of it that was not looked at yet."""

    holds: HoldsMasks
    unseen: bytes = b""

    def feed(self, content: bytes) -> bool:
        """Whether a mask of ours stands in what has come so far."""
        whole = self.unseen + content
        end = whole.rfind(b"\n") + 1
        cell = whole.rfind(UUID_LENGTH, max(0, end - UUID_CELL), end)
        end = end if cell < 0 else cell  # a line's end may be a byte of a UUID
        if len(whole) - end <= LINE:
            self.unseen = whole[end:]
            return end > 0 and self._marked(whole[:end])
        self.unseen = whole[-OVERLAP:]
        return self._marked(whole)

    def end(self) -> bool:
        """Whether one stands in the rest."""
        rest, self.unseen = self.unseen, b""
        return self._marked(rest)

    def _marked(self, content: bytes) -> bool:
        if holds_mark(content, self.holds, binary=True):
            return True
        if b"\\" not in content:
            return False
        said = _ESCAPE.sub(_character, content.decode("utf-8", "replace")).encode()
        return bool(holds_mark(said, self.holds, binary=False))


def _character(escape: re.Match[str]) -> str:
    """What an escape of COPY's text format stands for (PostgreSQL manual, COPY, File Formats)."""
    hexadecimal, octal, one = escape.groups()
    if one is not None:
        return _CONTROLS.get(one, one)
    return chr(int(hexadecimal, 16) if hexadecimal else int(octal, 8) & 0xFF)
