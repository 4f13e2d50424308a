"""PostgreSQL's arrays: each element under the mask of its type; dimensions and bounds stay."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from math import prod
from typing import Final

import regex

from masking.values.guards import UNREADABLE, CellMask

_BOUNDS: Final = regex.compile(r"(?:\[-?[0-9]+:-?[0-9]+\])+=")
_PART: Final = regex.compile(r'"((?:[^"\\]|\\.)*+)"|((?:[^{},"\\]|\\.)++)|([{},])', regex.DOTALL)
_ESCAPE: Final = regex.compile(r"\\(.)", regex.DOTALL)
_BARE: Final = regex.compile(r"[A-Za-z0-9_.+-]+")
_MOST_DIMENSIONS: Final = 6


def text_array_mask(mask: CellMask) -> CellMask:
    """For `{1,NULL,"a b"}` (PostgreSQL manual, 8.15.6). What is read is written anew, whole."""

    def masked(cell: bytes) -> bytes:
        text = cell.decode()
        bounds = _BOUNDS.match(text)
        start = bounds.end() if bounds else 0
        return (text[:start] + "".join(_written(text, start, mask))).encode()

    return masked


def _written(text: str, position: int, mask: CellMask) -> Iterator[str]:
    depth = 0
    while position < len(text):
        part = _PART.match(text, position)
        if part is None or (position and depth == 0 and text[position - 1] == "}"):
            raise ValueError("not an array")
        position = part.end()
        if part[3] is None:
            if not depth:
                raise ValueError("not an array")
            yield _element(part, mask)
            continue
        depth += {"{": 1, "}": -1, ",": 0}[part[3]]
        yield part[3]
    if depth or not text.endswith("}"):
        raise ValueError("an array that ends too early")


def _element(part: regex.Match[str], mask: CellMask) -> str:
    bare = part[2]
    if bare is not None and bare.upper() == "NULL":
        return "NULL"
    original = _ESCAPE.sub(r"\1", part[1] if bare is None else bare.strip()).encode()
    masked = _masked(mask, original)
    return "NULL" if masked is None else _quoted(masked.decode())


def _masked(mask: CellMask, element: bytes) -> bytes | None:
    """An element that can't be read is NULL, and the others stay."""
    try:
        return mask(element)
    except UNREADABLE:
        return None


def _quoted(text: str) -> str:
    if _BARE.fullmatch(text) and text.upper() != "NULL":
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def binary_array_mask(mask: CellMask, element: int) -> CellMask:
    """For array_send's form: dimensions, a NULL flag, the element type, sizes and bounds."""

    def masked(cell: bytes) -> bytes:
        dimensions, _, type_ = struct.unpack_from("!iii", cell)
        if type_ != element or not 0 <= dimensions <= _MOST_DIMENSIONS:
            raise ValueError("not an array of this type")
        head = 12 + 8 * dimensions
        sizes = struct.unpack_from("!" + "ii" * dimensions, cell, 12)
        count = prod(sizes[::2]) if dimensions else 0
        elements = [e if e is None else _masked(mask, e) for e in _elements(cell, head)]
        if len(elements) != count:
            raise ValueError("an array with other elements than it says")
        flag = int(None in elements)
        pieces = [struct.pack("!iii", dimensions, flag, type_), cell[12:head]]
        return b"".join([*pieces, *map(_framed, elements)])

    return masked


def _elements(cell: bytes, position: int) -> Iterator[bytes | None]:
    while position < len(cell):
        (length,) = struct.unpack_from("!i", cell, position)
        position += 4
        if length < 0:
            yield None
            continue
        if position + length > len(cell):
            raise ValueError("an array that ends too early")
        yield cell[position : position + length]
        position += length


def _framed(element: bytes | None) -> bytes:
    if element is None:
        return struct.pack("!i", -1)
    return struct.pack("!i", len(element)) + element
