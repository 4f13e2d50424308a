"""Where in a text documents begin and end, so that they can be walked and not only searched.

JSON: an object or array at the beginning of a line, with nothing but a comma after its end. YAML:
from a line `---`, `apiVersion:`, `data:` or `kind: Secret`, as deep as it stands, to the next
`---`, `...` or the end. One that grows too large comes in parts, cut where an item begins; what of
one that takes too long comes later is text like any other, but for the lines of a Secret.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Final

import regex

from masking.recognizers.manifests import has_data, names_a_secret


class Kind(Enum):
    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    REST = "rest"
    """What came too late of a document with a Secret in it."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the text. `unfinished`: a document whose rest did not come in time."""

    kind: Kind
    text: str
    unfinished: bool = False


_MANIFEST: Final = (
    r"[ \t]*(?:- +)?(?:[\"']?(?:apiVersion[\"']?:|(?:data|stringData)[\"']?:[ \t]*\r?\n"
    r"|kind[\"']?:[ \t]*(?:!!str )?[\"']?Secret(?:List)?[\"']?[ \t]*(?:,[ \t]*)?(?:#[^\n]*)?\r?\n)"
    r"|\{ *(?:kind|apiVersion|data|stringData) *:)"
)
"""A line of a manifest in YAML. Not `data: {`, as the lines of event streams begin."""

_DOCUMENT: Final = (
    r"[ \t]*(?:(\{)(?=\s*(?:[\"}]|\Z))|(\[)(?=\s*(?:[\[{\"]|\Z)))"
    r"|(---[ \t]*\r?\n(?=[ \t]*(?:[\w./\"'-]+[ \t]*:(?:\s|\Z)|- |#|\{|\Z))"
)
_BEGIN: Final = re.compile(rf"^(?:{_DOCUMENT}))", re.MULTILINE)
_BEGIN_OR_MANIFEST: Final = re.compile(rf"^(?:{_DOCUMENT}|{_MANIFEST}))", re.MULTILINE)
_FIRST_LINE: Final = regex.compile(rf"{_MANIFEST}|---[ \t]*\r?\n")
_WORDS: Final = ("apiVersion", "kind", 'ata":', "ata:", "ata':")
"""One of them stands in every manifest."""

_LONGEST_FIRST: Final = 256
_STEP: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\]]|"', re.DOTALL)
_ITEM: Final = re.compile(r"\n(?=[ \t]{0,12}(?:- |\{\r?\n))")
"""Where the next item of a list begins."""
_YAML_END: Final = re.compile(r"^(?:\.\.\.|---)[ \t]*\r?\n", re.MULTILINE)
_AFTER: Final = re.compile(r"[ \t,\r]*(?:(\n)|\Z)")


_REST_ENDS: Final = re.compile(r"^(?![ \t\r\n}\]]|[\"']?\w+[\"']?:(?:\s|\Z)).", re.MULTILINE)
_KINDS: Final = re.compile(r"\bkind[\"']?\s*:")


def may_be_secret(text: str) -> bool:
    """Whether an unfinished document is a Secret, or has data and does not say its kind yet."""
    return names_a_secret(text) or (not _KINDS.search(text) and has_data(text))


class Documents:
    """Cuts one stream of text; `largest`: characters of a document."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._held = ""
        self._kind = Kind.TEXT
        self._depth = 0
        self._position = 0
        self._line_begins = True
        self._rest = False
        self._begins = _BEGIN

    @property
    def waiting(self) -> bool:
        """Whether anything is held back."""
        return bool(self._held)

    @property
    def begun(self) -> bool:
        """Whether what is held back looks like a document."""
        return self._kind is not Kind.TEXT

    def feed(self, text: str) -> list[Part]:
        """What is complete now, in order."""
        parts: list[Part] = []
        self._held += text
        held = self._held
        self._begins = _BEGIN_OR_MANIFEST if any(w in held for w in _WORDS) else _BEGIN
        if self._rest:
            self._pass_rest(parts)
        while self._held and not self._rest:
            if self._kind is Kind.TEXT and not self._begin(parts):
                break
            end = self._end()
            if end is None and len(self._held) <= self._largest:
                break
            self._complete(end, parts)
        return parts

    def give_up(self, *, ended: bool = False) -> list[Part]:
        """All that is held, as what it is if that was all of it; `ended`: it was."""
        held, kind = self._held, Kind.REST if self._rest else self._kind
        self._reset()
        if not held:
            return []
        self._line_begins = held.endswith("\n")
        unfinished = not ended and kind is not Kind.TEXT
        self._rest = kind is Kind.REST or (unfinished and may_be_secret(held))
        return [Part(kind, held, unfinished)]

    def _pass_rest(self, parts: list[Part]) -> None:
        """Whole lines of a Secret that came too late, up to one that can't be its own."""
        ends = _REST_ENDS.search(self._held, 0 if self._line_begins else self._held.find("\n") + 1)
        end = ends.start() if ends else self._held.rfind("\n") + 1
        self._rest = ends is None
        if end:
            parts.append(Part(Kind.REST, self._held[:end]))
            self._line_begins = True
            self._held = self._held[end:]

    def _reset(self) -> None:
        self._held, self._kind, self._depth, self._position = "", Kind.TEXT, 0, 0

    def _begin(self, parts: list[Part]) -> bool:
        """Whether a document has begun; what stands before it is text."""
        held = self._held
        begin = self._begins
        likely = begin is not _BEGIN or "{" in held or "[" in held or "---" in held
        match = begin.search(held) if likely else None
        while match and match.start() == 0 and not self._line_begins:
            match = begin.search(held, match.end())
        if match is None:
            self._pass(len(held) - self._undecided(), parts)
            return False
        self._pass(match.start(), parts)
        self._kind = Kind.YAML if match[3] else Kind.JSON
        self._position = match.end() - match.start() if match[3] else 0
        self._depth = 0
        return True

    def _undecided(self) -> int:
        """Characters of an unfinished line that may be the beginning of a document."""
        last = self._held.rfind("\n") + 1
        tail = self._held[last:]
        begins = last > 0 or self._line_begins
        if not tail or not begins or len(tail) > _LONGEST_FIRST:
            return 0
        likely = tail.isspace() or _FIRST_LINE.fullmatch(tail, partial=True)
        return len(tail) if likely else 0

    def _pass(self, end: int, parts: list[Part]) -> None:
        if end:
            parts.append(Part(Kind.TEXT, self._held[:end]))
            self._line_begins = self._held[end - 1] == "\n"
            self._held = self._held[end:]

    def _end(self) -> int | None:
        if self._kind is Kind.YAML:
            match = _YAML_END.search(self._held, self._position)
            self._position = max(self._position, self._held.rfind("\n", 0, -1))
            return match.start() if match else None
        if not self._position and (line := self._whole_line()):
            return line
        for match in _STEP.finditer(self._held, self._position):
            if match[0] == '"':  # the rest of this string is still to come
                self._position = match.start()
                return None
            self._position = match.end()
            self._depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(match[0], 0)
            if self._depth <= 0:
                return self._json_end(match.end())
        return None

    def _whole_line(self) -> int:
        """The end of the first line if it is a document, as those of JSON logs are; else 0."""
        line = self._held.find("\n") + 1
        if line and self._held[: line - 1].rstrip()[-1:] in ("}", "]"):
            with suppress(ValueError, RecursionError):
                json.loads(self._held[:line])
                return line
        return 0

    def _json_end(self, end: int) -> int | None:
        """The document's end, if its line ends there too; else it is none."""
        after = _AFTER.match(self._held, end)
        if after is None:
            self._kind = Kind.TEXT
            line = self._held.find("\n", end)
            return len(self._held) if line < 0 else line + 1
        if after[1]:
            return end
        self._position, self._depth = end - 1, 1
        return None

    def _cut(self) -> int:
        """Where a document that is too large can be cut; 0 for nowhere."""
        last = min(self._largest, self._position)
        items = [match.end() for match in _ITEM.finditer(self._held, 0, last)]
        return items[-1] if items else self._held.rfind("\n", 0, last) + 1

    def _complete(self, end: int | None, parts: list[Part]) -> None:
        if end is None and (cut := self._cut()):
            parts.append(Part(self._kind, self._held[:cut]))
            self._held = self._held[cut:]
            self._position -= cut
            return
        if end is None or (end == 0 and self._kind is Kind.YAML):
            self._kind = Kind.TEXT
            end = len(self._held)
        parts.append(Part(self._kind, self._held[:end]))
        self._line_begins = self._held[end - 1] == "\n" if end else True
        self._held = self._held[end:]
        self._kind, self._depth, self._position = Kind.TEXT, 0, 0
