"""What of a cell can be read, and how the cell is written again without what was found in it."""

from __future__ import annotations

import html
import json
import struct
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import Final, Protocol

import regex

from masking.number_forms import number_form
from masking.postgres_types import (
    ARRAYS,
    BYTEA,
    HARMLESS,
    JSON,
    JSONB,
    NUMBERS,
    TEXTS,
    TSQUERY,
    TSVECTOR,
    XML,
    array_elements,
)
from masking.prefilter import names_an_identifier
from masking.shapes import ColumnShape
from masking.spans import Span, clipped, disjoint_cover, placeholder, substitute
from masking.values import fitted

_LONGEST_NUMBER: Final = 64
"""Digits: no identifier has as many."""

Findings = Sequence[Sequence[Span]]
"""For each text of a cell, what was found in it."""


class Form(Protocol):
    def verbatim(self, joined: bytes) -> bool:
        """Whether each of these cells, joined by line breaks, is as UTF-8 its one and only text."""
        ...

    def texts(self, cell: bytes) -> Sequence[str]:
        """What is to be searched. Raises ValueError where the cell can't be read."""
        ...

    def rewrite(self, cell: bytes, found: Findings) -> bytes | None:
        """The cell without what was found, valid for its type, or None (NULL)."""
        ...


def form_of(shape: ColumnShape) -> Form | None:
    """How a column's cells are searched, or None where nothing in them can be an entity."""
    if names_an_identifier(shape.name):
        numbers = number_form(shape.type, binary=shape.binary)
        if numbers is not None:
            return numbers
    if shape.type in HARMLESS or shape.type in NUMBERS:
        return None
    if shape.type in ARRAYS:
        return _array_form(shape)
    return _scalar_form(shape)


def _scalar_form(shape: ColumnShape) -> Form:
    if shape.labels is not None:
        return OpaqueForm() if shape.labels else UnknownForm()
    if shape.type in TEXTS:
        return TextForm(shape)
    if shape.type in (JSON, JSONB):
        return JsonForm(versioned=shape.binary and shape.type == JSONB)
    if shape.type == BYTEA:
        return BytesForm() if shape.binary else HexForm()
    if shape.type == XML:
        return XmlForm()
    if shape.type in (TSVECTOR, TSQUERY):
        return OpaqueForm()
    if shape.binary:
        return UnknownForm()
    return TextForm(shape)


def _array_form(shape: ColumnShape) -> Form | None:
    element = ColumnShape(shape.name, ARRAYS[shape.type], shape.modifier, shape.binary)
    inner = form_of(element)
    if inner is None:
        return None
    return BinaryArrayForm(inner) if shape.binary else TextArrayForm(inner)


class TextForm:
    """Text, which can be rewritten in place."""

    def __init__(self, shape: ColumnShape) -> None:
        self._shape = shape

    def verbatim(self, joined: bytes) -> bool:
        return True

    def texts(self, cell: bytes) -> Sequence[str]:
        return (cell.decode(),)

    def rewrite(self, cell: bytes, found: Findings) -> bytes | None:
        return fitted(self._shape, substitute(cell.decode(), found[0]))


class OpaqueForm:
    """A type that can be read as text, but not written: anything found makes it NULL."""

    def verbatim(self, joined: bytes) -> bool:
        return True

    def texts(self, cell: bytes) -> Sequence[str]:
        return (cell.decode(),)

    def rewrite(self, cell: bytes, found: Findings) -> bytes | None:
        return None


class XmlForm(OpaqueForm):
    """As it stands, and as it reads: without borders of CDATA and comments, with its references."""

    _BORDERS: Final = regex.compile(r"<!--.*?-->|<!\[CDATA\[|\]\]>", regex.DOTALL)

    def verbatim(self, joined: bytes) -> bool:
        return b"&" not in joined and b"<!" not in joined

    def texts(self, cell: bytes) -> Sequence[str]:
        raw = cell.decode()
        if self.verbatim(cell):
            return (raw,)
        return (raw, html.unescape(self._BORDERS.sub("", raw)))


class UnknownForm:
    """A type that nobody knows, in binary format: all of it as text, and what has a length before.

    Of a length such as 55 the last byte is a character, and would hide where a value begins.
    """

    _PARTS: Final = regex.compile(rb"\0[^\0]..|\0\0[^\0].|\0\0\0[^\0]", regex.DOTALL)
    _MOST: Final = 8
    """Times the cell's own size that its parts may have together, one in the other."""

    def verbatim(self, joined: bytes) -> bool:
        return b"\0" not in joined

    def texts(self, cell: bytes) -> Sequence[str]:
        return [cell.decode(), *(part.decode(errors="replace") for part in self._parts(cell))]

    def rewrite(self, cell: bytes, found: Findings) -> bytes | None:
        return None

    def _parts(self, cell: bytes) -> Iterator[bytes]:
        """Raises ValueError for a cell with more of them than any type has."""
        room = self._MOST * len(cell)
        for length in self._PARTS.finditer(cell, overlapped=True):
            end = length.end() + int.from_bytes(length[0], "big")
            if end <= len(cell):
                room -= end - length.end()
                if room < 0:
                    raise ValueError("lengths that say too much")
                yield cell[length.end() : end]


class BytesForm:
    """Bytes in binary format: UTF-8 where they are, else the ASCII among them; and ASCII in UTF-16,
    with which the cell goes as a whole."""

    _WIDE: Final = regex.compile(rb"(?:[\t\n\r -~]\0){6,}+|(?:\0[\t\n\r -~]){6,}+")

    def verbatim(self, joined: bytes) -> bool:
        return b"\0" not in joined

    def texts(self, cell: bytes) -> Sequence[str]:
        wide = [m[0].replace(b"\0", b"").decode() for m in self._WIDE.finditer(cell)]
        try:
            return (cell.decode(), *wide)
        except UnicodeDecodeError:
            return (cell.decode("latin-1"), *wide)

    def rewrite(self, cell: bytes, found: Findings) -> bytes | None:
        if any(found[1:]):
            return None
        try:
            return substitute(cell.decode(), found[0]).encode()
        except UnicodeDecodeError:
            return None


class HexForm:
    """Bytes in text format: `\\x` and hexadecimal digits, or the old escapes (manual, 8.4.2)."""

    _ESCAPE: Final = regex.compile(rb"\\(?:(\\)|([0-3][0-7]{2}))")

    def __init__(self) -> None:
        self._bytes = BytesForm()

    def verbatim(self, joined: bytes) -> bool:
        return False

    def texts(self, cell: bytes) -> Sequence[str]:
        if not cell.startswith(b"\\x"):
            return self._bytes.texts(self._ESCAPE.sub(_unescaped, cell))
        return self._bytes.texts(_unhex(cell))

    def rewrite(self, cell: bytes, found: Findings) -> bytes | None:
        if not cell.startswith(b"\\x"):
            return None
        masked = self._bytes.rewrite(_unhex(cell), found)
        return None if masked is None else b"\\x" + masked.hex().encode()


def _unescaped(escape: regex.Match[bytes]) -> bytes:
    return bytes(escape[1]) if escape[1] else bytes([int(escape[2], 8)])


def _unhex(cell: bytes) -> bytes:
    return bytes.fromhex(cell[2:].decode("ascii"))


class TextArrayForm:
    """An array in text format, element by element (PostgreSQL manual, 8.15.6)."""

    _ELEMENT: Final = regex.compile(r'"((?:[^"\\]|\\.)*+)"|((?:[^{},"\\]|\\.)++)', regex.DOTALL)
    _BOUNDS: Final = regex.compile(r"(?:\[[0-9:-]+\])+=")

    def __init__(self, inner: Form) -> None:
        self._inner = inner

    def verbatim(self, joined: bytes) -> bool:
        return False

    def texts(self, cell: bytes) -> Sequence[str]:
        raw = cell.decode()
        return [text for m in self._elements(raw) for text in self._inner.texts(_unquoted(m))]

    def rewrite(self, cell: bytes, found: Findings) -> bytes | None:
        if not isinstance(self._inner, TextForm):
            return None
        raw, position, pieces = cell.decode(), 0, []
        for match, spans in zip(self._elements(raw), found, strict=True):
            if spans:
                masked = self._inner.rewrite(_unquoted(match), [spans]) or b""
                pieces += [raw[position : match.start()], _quoted(masked.decode())]
                position = match.end()
        return "".join([*pieces, raw[position:]]).encode()

    def _elements(self, raw: str) -> Iterator[regex.Match[str]]:
        bounds = self._BOUNDS.match(raw)
        matches = self._ELEMENT.finditer(raw, bounds.end() if bounds else 0)
        return (m for m in matches if m[2] is None or m[2].upper() != "NULL")


def _unquoted(element: regex.Match[str]) -> bytes:
    body = element[1] if element[1] is not None else element[2]
    return regex.sub(r"\\(.)", r"\1", body, flags=regex.DOTALL).encode()


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class BinaryArrayForm:
    """An array in binary format: a header, then a length before each element."""

    def __init__(self, inner: Form) -> None:
        self._inner = inner

    def verbatim(self, joined: bytes) -> bool:
        return False

    def texts(self, cell: bytes) -> Sequence[str]:
        elements = (cell[start:end] for start, end in array_elements(cell))
        return [text for element in elements for text in self._inner.texts(element)]

    def rewrite(self, cell: bytes, found: Findings) -> bytes | None:
        if not isinstance(self._inner, TextForm):
            return None
        position, pieces = 0, []
        for (start, end), spans in zip(array_elements(cell), found, strict=True):
            if spans:
                masked = self._inner.rewrite(cell[start:end], [spans]) or b""
                pieces += [cell[position : start - 4], struct.pack("!i", len(masked)), masked]
                position = end
        return b"".join([*pieces, cell[position:]])


class JsonForm:
    """json and jsonb: the document as it stands, every string in it that has escapes, and every
    number with an exponent in full.

    Spans found in the document are cut to the strings and numbers that they touch, so that what
    is left is a document of the same shape. `versioned`: binary jsonb begins with its version.
    """

    _LITERAL: Final = regex.compile(r'"(?:[^"\\]|\\.)*+"|-?[0-9][0-9.eE+-]*+', regex.DOTALL)

    _EXPONENT: Final = regex.compile(rb"[0-9][eE][+-]?[0-9]")

    def __init__(self, *, versioned: bool) -> None:
        self._skip = 1 if versioned else 0

    def verbatim(self, joined: bytes) -> bool:
        return not self._skip and self._is_plain(joined)

    def texts(self, cell: bytes) -> Sequence[str]:
        raw = cell[self._skip :].decode()
        return [raw] if self._is_plain(cell) else [raw, *map(_meant, self._escaped(raw))]

    def _is_plain(self, cell: bytes) -> bool:
        return b"\\" not in cell and self._EXPONENT.search(cell) is None

    def rewrite(self, cell: bytes, found: Findings) -> bytes | None:
        raw = cell[self._skip :].decode()
        return cell[: self._skip] + self._rewritten(raw, found).encode()

    def _escaped(self, raw: str) -> Iterator[regex.Match[str]]:
        """The literals that mean another text than they are."""
        for literal in self._LITERAL.finditer(raw):
            other = "\\" in literal[0] if literal[0][0] == '"' else "e" in literal[0].lower()
            if other:
                yield literal

    def _rewritten(self, raw: str, found: Findings) -> str:
        if [(s.start, s.end) for s in found[0]] == [(0, len(raw))]:
            return json.dumps(placeholder(found[0][0].entity))
        decoded = dict(zip((m.start() for m in self._escaped(raw)), found[1:], strict=True))
        pieces, position = [], 0
        for literal in self._LITERAL.finditer(raw):
            masked = _masked_literal(literal, found[0], decoded.get(literal.start(), ()))
            if masked is not None:
                pieces += [raw[position : literal.start()], masked]
                position = literal.end()
        return "".join([*pieces, raw[position:]])


def _meant(literal: regex.Match[str]) -> str:
    """What a string says; a number in full, where an identifier could be as long."""
    if literal[0][0] == '"':
        return str(json.loads(literal[0]))
    try:
        number = Decimal(literal[0])
    except InvalidOperation:  # its exponent has more digits than any identifier
        return literal[0]
    return f"{number:f}" if abs(number.adjusted()) < _LONGEST_NUMBER else literal[0]


def _masked_literal(
    literal: regex.Match[str], in_document: Sequence[Span], decoded: Sequence[Span]
) -> str | None:
    """The string or number without what was found in it, or None where it may stay."""
    here = clipped(in_document, *literal.span())
    if not here and not decoded:
        return None
    if literal[0][0] != '"':
        return json.dumps(placeholder((here or decoded)[0].entity))
    if "\\" not in literal[0]:
        inside = clipped(here, 1, len(literal[0]) - 1)
        return f'"{substitute(literal[0][1:-1], inside)}"'
    if {s.entity for s in here} <= {s.entity for s in decoded}:
        return json.dumps(substitute(json.loads(literal[0]), disjoint_cover(decoded)))
    return json.dumps(placeholder(here[0].entity))
