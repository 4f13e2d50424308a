"""What of a cell can be read, and how the cell is written again without what was found in it."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import regex

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
    number_text,
)
from masking.prefilter import names_an_identifier
from masking.shapes import ColumnShape
from masking.spans import Span, clipped, disjoint_cover, placeholder, substitute
from masking.values import fitted

Findings = Sequence[Sequence[Span]]
"""For each text of a cell, what was found in it."""


class Form(Protocol):
    def texts(self, cell: bytes) -> Sequence[str]:
        """What is to be searched. Raises ValueError where the cell can't be read."""
        ...

    def rewrite(self, cell: bytes, found: Findings) -> bytes | None:
        """The cell without what was found, valid for its type, or None (NULL)."""
        ...


def form_of(shape: ColumnShape) -> Form | None:
    """How a column's cells are searched, or None where nothing in them can be an entity."""
    if shape.type in HARMLESS:
        return None
    if shape.type in NUMBERS:
        return NumberForm(shape) if names_an_identifier(shape.name) else None
    if shape.type in ARRAYS:
        return _array_form(shape)
    return _scalar_form(shape)


def _scalar_form(shape: ColumnShape) -> Form:
    if shape.type in TEXTS:
        return TextForm(shape)
    if shape.type in (JSON, JSONB):
        return JsonForm(versioned=shape.binary and shape.type == JSONB)
    if shape.type == BYTEA:
        return BytesForm() if shape.binary else HexForm()
    if shape.binary or shape.type in (XML, TSVECTOR, TSQUERY):
        return OpaqueForm()
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

    def texts(self, cell: bytes) -> Sequence[str]:
        return (cell.decode(),)

    def rewrite(self, cell: bytes, found: Findings) -> bytes | None:
        return fitted(self._shape, substitute(cell.decode(), found[0]))


class OpaqueForm:
    """A type that can be read as text, but not written: anything found makes it NULL."""

    def texts(self, cell: bytes) -> Sequence[str]:
        return (cell.decode(),)

    def rewrite(self, cell: bytes, found: Findings) -> bytes | None:
        return None


class BytesForm:
    """Bytes in binary format: UTF-8 where they are, else the ASCII among them."""

    def texts(self, cell: bytes) -> Sequence[str]:
        try:
            return (cell.decode(),)
        except UnicodeDecodeError:
            return (cell.decode("latin-1"),)

    def rewrite(self, cell: bytes, found: Findings) -> bytes | None:
        try:
            return substitute(cell.decode(), found[0]).encode()
        except UnicodeDecodeError:
            return None


class HexForm:
    """Bytes in text format: `\\x` and hexadecimal digits. The old escape format is read as text."""

    def __init__(self) -> None:
        self._bytes = BytesForm()

    def texts(self, cell: bytes) -> Sequence[str]:
        if not cell.startswith(b"\\x"):
            return (cell.decode(),)
        return self._bytes.texts(_unhex(cell))

    def rewrite(self, cell: bytes, found: Findings) -> bytes | None:
        if not cell.startswith(b"\\x"):
            return None
        masked = self._bytes.rewrite(_unhex(cell), found)
        return None if masked is None else b"\\x" + masked.hex().encode()


def _unhex(cell: bytes) -> bytes:
    return bytes.fromhex(cell[2:].decode("ascii"))


class NumberForm:
    """A number in a column whose name says that it identifies somebody; found means NULL."""

    def __init__(self, shape: ColumnShape) -> None:
        self._shape = shape

    def texts(self, cell: bytes) -> Sequence[str]:
        number = number_text(self._shape.type, cell, binary=self._shape.binary)
        whole, _, fraction = number.lstrip("-").partition(".")
        if fraction.strip("0"):
            return ()
        # A social security number that begins with 0 has lost it as a number.
        return (whole,) if len(whole) >= 9 else (whole, whole.zfill(9))

    def rewrite(self, cell: bytes, found: Findings) -> bytes | None:
        return None


class TextArrayForm:
    """An array in text format, element by element (PostgreSQL manual, 8.15.6)."""

    _ELEMENT: Final = regex.compile(r'"((?:[^"\\]|\\.)*+)"|((?:[^{},"\\]|\\.)++)', regex.DOTALL)
    _BOUNDS: Final = regex.compile(r"(?:\[[0-9:-]+\])+=")

    def __init__(self, inner: Form) -> None:
        self._inner = inner

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
    """json and jsonb: the document as it stands, and every string in it that has escapes.

    Spans found in the document are cut to the strings and numbers that they touch, so that what
    is left is a document of the same shape. `versioned`: binary jsonb begins with its version.
    """

    _LITERAL: Final = regex.compile(r'"(?:[^"\\]|\\.)*+"|-?[0-9][0-9.eE+-]*+', regex.DOTALL)

    def __init__(self, *, versioned: bool) -> None:
        self._skip = 1 if versioned else 0

    def texts(self, cell: bytes) -> Sequence[str]:
        raw = cell[self._skip :].decode()
        return [raw, *(json.loads(m[0]) for m in self._escaped(raw))] if "\\" in raw else [raw]

    def rewrite(self, cell: bytes, found: Findings) -> bytes | None:
        raw = cell[self._skip :].decode()
        return cell[: self._skip] + self._rewritten(raw, found).encode()

    def _escaped(self, raw: str) -> Iterator[regex.Match[str]]:
        return (m for m in self._LITERAL.finditer(raw) if "\\" in m[0])

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


def _masked_literal(
    literal: regex.Match[str], in_document: Sequence[Span], decoded: Sequence[Span]
) -> str | None:
    """The string or number without what was found in it, or None where it may stay."""
    here = clipped(in_document, *literal.span())
    if not here and not decoded:
        return None
    if literal[0][0] != '"':
        return json.dumps(placeholder(here[0].entity))
    if "\\" not in literal[0]:
        inside = clipped(here, 1, len(literal[0]) - 1)
        return f'"{substitute(literal[0][1:-1], inside)}"'
    if {s.entity for s in here} <= {s.entity for s in decoded}:
        return json.dumps(substitute(json.loads(literal[0]), disjoint_cover(decoded)))
    return json.dumps(placeholder(here[0].entity))
