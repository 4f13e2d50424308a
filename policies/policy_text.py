"""Cedar text, cut into single policies that remember their file and line; Cedar reports neither."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# A comment, a string, the end of a policy, or anything else, one token at a time.
_TOKEN = re.compile(r'//[^\n]*|"(?:\\.|[^"\\])*"|;|\s+|[^\s";/]+|[/"]', re.DOTALL)
_ID = re.compile(r'@id\s*\(\s*"((?:\\.|[^"\\])*)"\s*\)')


@dataclass(frozen=True, slots=True)
class PolicyText:
    """The text of one policy; `line` counts from 1."""

    file: str
    line: int
    text: str

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"

    @property
    def written_id(self) -> str:
        """The `@id` as far as it can be seen in text that may not parse."""
        found = _ID.search(self.text)
        return found.group(1) if found else ""


def split_policies(file: str, text: str) -> Iterator[PolicyText]:
    """Every policy of a file; a last one without its `;` comes too, for Cedar to complain about."""
    line, start = 1, 0
    parts: list[str] = []
    for match in _TOKEN.finditer(text):
        piece = match.group()
        if not piece.startswith("//"):
            if not piece.isspace() and not parts:
                start = line
            if parts or not piece.isspace():
                parts.append(piece)
        line += piece.count("\n")
        if piece == ";":
            yield PolicyText(file, start, "".join(parts))
            parts = []
    if parts:
        yield PolicyText(file, start, "".join(parts))
