"""Numbers as they are searched, in columns whose names say that they identify somebody.

Integers, decimals, floats, amounts of money, and the bounds of ranges. What is found becomes NULL.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final

from masking.postgres_types import (
    FLOAT4,
    FLOAT8,
    INT4,
    INT8,
    NUMBERS,
    NUMERIC,
    array_elements,
    number_text,
)
from masking.spans import Span

MONEY: Final = 790

_FLOATS: Final = MappingProxyType({FLOAT4: "!f", FLOAT8: "!d"})
_EXACT: Final = 2**63  # beyond it nobody's number was meant
_ARRAYS: Final = MappingProxyType({1021: FLOAT4, 1022: FLOAT8, 791: MONEY})
_RANGES: Final = MappingProxyType({3904: INT4, 3906: NUMERIC, 3926: INT8})
_MULTIRANGES: Final = MappingProxyType({4451: 3904, 4532: 3906, 4536: 3926})
_RANGE_ARRAYS: Final = MappingProxyType(
    {3905: 3904, 3907: 3906, 3927: 3926, 6150: 4451, 6151: 4532, 6157: 4536}
)
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_EMPTY, _NO_LOWER, _NO_UPPER = 0x01, 0x08, 0x10

_Read = Callable[[bytes], Iterator[str]]


class NumberForm:
    """A cell with one number or more."""

    def __init__(self, read: _Read) -> None:
        self._read = read

    def verbatim(self, joined: bytes) -> bool:
        return False

    def texts(self, cell: bytes) -> Sequence[str]:
        return [text for number in self._read(cell) for text in _searched(number)]

    def rewrite(self, cell: bytes, found: Sequence[Sequence[Span]]) -> bytes | None:
        return None


def number_form(type_: int, *, binary: bool) -> NumberForm | None:
    """How cells of a type are read as numbers; None for a type that has none."""
    read = _reader(type_, binary=binary)
    return None if read is None else NumberForm(read)


def _reader(type_: int, *, binary: bool) -> _Read | None:
    if type_ in NUMBERS:
        return partial(_one, type_, binary)
    if type_ in _FLOATS or type_ == MONEY:
        return partial(_binary, type_) if binary else partial(_rounded, type_)
    if type_ in _ARRAYS or type_ in _RANGES or type_ in _MULTIRANGES or type_ in _RANGE_ARRAYS:
        return partial(_binary, type_) if binary else _all_numbers
    return None


def _searched(number: str) -> Iterator[str]:
    whole, _, fraction = number.lstrip("-").partition(".")
    if fraction.strip("0"):
        return
    yield whole
    if len(whole) < 9:
        # A social security number that begins with 0 has lost it as a number.
        yield whole.zfill(9)


def _one(type_: int, binary: bool, cell: bytes) -> Iterator[str]:
    yield number_text(type_, cell, binary=binary)


def _rounded(type_: int, cell: bytes) -> Iterator[str]:
    """A float, which may be written with an exponent; money, with two digits of cents."""
    text = cell.decode("ascii" if type_ in _FLOATS else "utf-8")
    if type_ == MONEY:
        digits = "".join(c for c in text if c.isdecimal())
        yield digits[:-2] or "0"
    else:
        yield from _whole(float(text))


def _whole(number: float) -> Iterator[str]:
    if number.is_integer() and abs(number) < _EXACT:
        yield str(int(number))


def _all_numbers(cell: bytes) -> Iterator[str]:
    """Every number of a text; ranges of whole numbers end before their upper bound."""
    for found in re.finditer(r"[0-9][0-9.eE+]*", cell.decode()):
        text = found[0]
        numbers = [text] if _NUMBER.fullmatch(text) else _whole(float(text))
        for number in numbers:
            yield number
            yield from _before(number)


def _before(number: str) -> Iterator[str]:
    if number.isdecimal() and int(number):
        yield str(int(number) - 1)


def _binary(type_: int, cell: bytes) -> Iterator[str]:
    if type_ in _FLOATS:
        yield from _whole(_unpacked(_FLOATS[type_], cell))
    elif type_ == MONEY:
        yield str(int(_unpacked("!q", cell)) // 100)
    elif type_ in _RANGES:
        yield from _bounds(_RANGES[type_], cell)
    elif type_ in _MULTIRANGES:
        for start, end in _ranges(cell):
            yield from _binary(_MULTIRANGES[type_], cell[start:end])
    else:
        elements: Mapping[int, int] = {**_ARRAYS, **_RANGE_ARRAYS}
        for start, end in array_elements(cell):
            yield from _binary(elements[type_], cell[start:end])


def _unpacked(layout: str, cell: bytes) -> float:
    if len(cell) != struct.calcsize(layout):
        raise ValueError("a number of the wrong length")
    value: float = struct.unpack(layout, cell)[0]
    return value


def _bounds(type_: int, cell: bytes) -> Iterator[str]:
    """src/backend/utils/adt/rangetypes.c, range_send: flags, and a length before each bound."""
    if not cell:
        raise ValueError("a range without flags")
    flags, position = cell[0], 1
    infinite = (_NO_LOWER, _NO_UPPER)
    for _ in () if flags & _EMPTY else (each for each in infinite if not flags & each):
        end = _end(cell, position)
        number = number_text(type_, cell[position + 4 : end], binary=True)
        yield number
        yield from _before(number)
        position = end
    if position != len(cell):
        raise ValueError("a range that ends too early")


def _ranges(cell: bytes) -> Iterator[tuple[int, int]]:
    """src/backend/utils/adt/multirangetypes.c, multirange_send: a count, then ranges."""
    position = 4
    while position < len(cell):
        end = _end(cell, position)
        yield position + 4, end
        position = end


def _end(cell: bytes, position: int) -> int:
    """Where what has its length at a position ends. Raises ValueError where it is cut short."""
    length = int.from_bytes(cell[position : position + 4], "big")
    if position + 4 + length > len(cell):
        raise ValueError("a value that ends too early")
    return position + 4 + length
