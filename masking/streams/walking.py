"""What goes of a document's scalars, and the document without it: same shape, same spelling.

A value goes whole where its name says secret or where it stands in a Kubernetes Secret; else what
is found in it goes. A string that is a document itself is walked in turn. A number of which
something goes becomes a string, and all others stay as they are written.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from masking.prefilter import names_an_identifier
from masking.scanning import ScanText
from masking.spans import Span, placeholder, substitute
from masking.streams.literals import Literal, NotWalked, Path, json_literals, secret_paths
from masking.streams.names import is_hollow, says_secret

if TYPE_CHECKING:
    from masking.streams.searching import Searches

NAMED: Final = "PASSWORD"
"""The entity of a value that goes for its name."""

BY_NAME: Final = "NamedValues"
"""What stands for a recognizer where the name of a value is the reason."""

_HALF: Final = re.compile("[\ud800-\udfff]")
_DEEPEST: Final = 3  # documents in strings of documents
_CARD: Final = 12  # digits


@dataclass(frozen=True, slots=True)
class Change:
    """Characters `start` to `end` of a document become `text`, for these spans in the scalar."""

    start: int
    end: int
    text: str
    spans: Sequence[Span]


Write = Callable[[Literal, str], str]
"""How a text is written in the place of a scalar."""


def in_json(literal: Literal, text: str) -> str:
    """As a string of JSON; half a character, which only an escape can name, as an escape again."""
    return _HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", json.dumps(text, ensure_ascii=False))


def in_yaml(document: str) -> Write:
    """As a double-quoted scalar of YAML, on lines of its own where the old one was a block."""

    def write(literal: Literal, text: str) -> str:
        raw = document[literal.start : literal.end]
        breaks = raw[len(raw.rstrip("\r\n")) :]
        return in_json(literal, text) + breaks

    return write


async def changes(
    literals: Sequence[Literal], searches: Searches, write: Write, level: int = 0
) -> list[Change]:
    """What of a document changes, in its order."""
    secrets = secret_paths(literals)
    hidden = {each.start for each in literals if each.value and _is_secret(each, secrets)}
    asked: list[tuple[Literal, ScanText]] = []
    found: list[Change] = []
    for literal in literals:
        if literal.alias:
            continue
        if literal.start in hidden:
            found.append(await _named(literal, searches, write))
        elif (inner := _inner(literal, level)) is not None:
            found += await _in_string(literal, inner, searches, write, level)
        elif _is_searched(literal):
            name = "" if literal.key else literal.name
            asked.append((literal, ScanText(literal.value, name)))
    spans = await searches.spans([text for _, text in asked])
    for (literal, _), inside in zip(asked, spans, strict=True):
        if inside:
            found.append(_rewritten(literal, inside, write))
    return sorted((c for c in found if c.spans), key=lambda change: change.start)


def _is_secret(literal: Literal, secrets: set[Path]) -> bool:
    if literal.key or is_hollow(literal.value):
        return False
    if any(literal.path[: len(path)] == path for path in secrets):
        return True
    in_member = isinstance(literal.path[-1], str) if literal.path else False
    return in_member and literal.string and says_secret(literal.name)


async def _named(literal: Literal, searches: Searches, write: Write) -> Change:
    """A secret by its place; by what it holds, where that says more than its name."""
    decoded = _from_base64(literal.value)
    (inside,) = await searches.spans([ScanText(decoded)]) if decoded else ([],)
    entity = max(inside, key=lambda s: s.score).entity if inside else NAMED
    if not searches.wants(entity):
        return Change(literal.start, literal.end, "", ())
    span = Span(0, len(literal.value), entity, recognizer=BY_NAME)
    return Change(literal.start, literal.end, write(literal, placeholder(entity)), (span,))


def _from_base64(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""


def _inner(literal: Literal, level: int) -> list[Literal] | None:
    """The scalars of a document that stands in a string."""
    if literal.key or level >= _DEEPEST or literal.value.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json_literals(literal.value)
    except NotWalked:
        return None


async def _in_string(
    literal: Literal, inner: Sequence[Literal], searches: Searches, write: Write, level: int
) -> list[Change]:
    inside = await changes(inner, searches, in_json, level + 1)
    if not inside:
        return []
    spans = [replace(s, start=c.start, end=c.end) for c in inside for s in c.spans]
    text = applied(literal.value, inside)
    return [Change(literal.start, literal.end, write(literal, text), spans)]


def applied(text: str, made: Sequence[Change]) -> str:
    """The text with changes that don't overlap, in order."""
    pieces: list[str] = []
    position = 0
    for change in made:
        pieces += [text[position : change.start], change.text]
        position = change.end
    return "".join([*pieces, text[position:]])


def _is_searched(literal: Literal) -> bool:
    if literal.string:
        return bool(literal.value)
    digits = sum(c.isdigit() for c in literal.value)
    return digits >= _CARD or (digits > 0 and names_an_identifier(literal.name))


def _rewritten(literal: Literal, inside: Sequence[Span], write: Write) -> Change:
    text = substitute(literal.value, inside)
    return Change(literal.start, literal.end, write(literal, text), inside)


async def comments(text: str, literals: Sequence[Literal], searches: Searches) -> list[Change]:
    """What goes of the comments of a YAML document, and of all else between its scalars."""
    places = list(_gaps(text, literals))
    found = await searches.spans([ScanText(text[start:end]) for start, end in places])
    return [
        Change(start, end, substitute(text[start:end], spans), spans)
        for (start, end), spans in zip(places, found, strict=True)
        if spans
    ]


def _gaps(text: str, literals: Sequence[Literal]) -> Iterator[tuple[int, int]]:
    position = 0
    for literal in literals:
        if "#" in text[position : literal.start]:
            yield position, literal.start
        position = max(position, literal.end)
    if "#" in text[position:]:
        yield position, len(text)
