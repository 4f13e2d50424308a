"""MySQL's and MariaDB's types in the text and the binary row format, and the masks of their values.

A cell is the value alone: the length in front of it is the codec's matter. Enums, sets, bits,
geometries and vectors have no mask but a constant, where they have that.
"""

from __future__ import annotations

import re
import struct
from datetime import date, datetime
from datetime import time as time_of_clock
from typing import Final

from masking.mysql_types import (
    BINARY,
    BINARY_SIZES,
    BIT,
    DATE,
    DECIMALS,
    DOUBLE,
    ENUM,
    ENUM_FLAG,
    FLOAT,
    INTEGERS,
    JSON,
    MOMENTS,
    NEWDATE,
    SET,
    SET_FLAG,
    STRING,
    STRINGS,
    TIME,
    UNSIGNED,
    YEAR,
    ZEROFILL,
    encoding_of,
)
from masking.operators import REDACTED, Bucket, Constant, Null, Operator, PseudonymKey, Redact
from masking.shapes import MysqlColumn
from masking.text_masks import text_mask
from masking.values.cells import Form
from masking.values.documents import document_mask
from masking.values.guards import Always, CellMask
from masking.values.numbers import Decimal, Limits, decimal_mask, float_mask, integer_mask
from masking.values.plain import bytes_mask, day_mask, moment_mask
from masking.values.postgres import (
    BYTES,
    DOCUMENTS,
    TEXT_DAYS,
    TEXT_DECIMALS,
    binary_floats,
    read_moment,
    text_floats,
)


def mysql_mask(shape: MysqlColumn, key: PseudonymKey, operator: Operator) -> CellMask | None:
    """The mask of a column, or None where nothing is ever left of its cells.

    Raises ValueError and the like for a constant that the type doesn't have.
    """
    if shape.flags & (ENUM_FLAG | SET_FLAG) or shape.type in (ENUM, SET):
        return _label(shape, operator)
    if shape.type in STRINGS and shape.charset == BINARY:
        return _bytes_mask(shape, key, operator)
    if shape.type in STRINGS:
        return _text_mask(shape, key, operator)
    if shape.type in (*INTEGERS, YEAR, *DECIMALS, FLOAT, DOUBLE):
        return _number_mask(shape, key, operator)
    match shape.type:
        case t if t in (DATE, NEWDATE):
            return (_BINARY_DAYS if shape.binary else TEXT_DAYS).masked(day_mask(operator))
        case t if t in MOMENTS:
            form = _BINARY_MOMENTS if shape.binary else _text_moments(shape.decimals)
            return form.masked(moment_mask(operator, None))
        case t if t == JSON:
            return DOCUMENTS.masked(document_mask(operator, key))
        case t if t == TIME and isinstance(operator, Constant):
            return Always(_time(shape, operator.value.strip()))
        case t if t == BIT and isinstance(operator, Constant):
            return Always(_bits(shape, operator.value.strip()))
        case _:
            return None


def _label(shape: MysqlColumn, operator: Operator) -> CellMask | None:
    """A constant that is one of the labels; the protocol doesn't tell them."""
    match operator:
        case Constant(value) if value in shape.labels:
            return Always(value.encode(encoding_of(shape.charset)[0]))
        case _:
            return None


def _text_mask(shape: MysqlColumn, key: PseudonymKey, operator: Operator) -> CellMask | None:
    encoding, width = encoding_of(shape.charset)
    room = shape.length // width or None
    match operator:
        case Null():
            return None
        case Constant(value):
            return Always(value[:room].encode(encoding))
        case Redact():
            return Always(REDACTED[:room].encode(encoding))
        case _:
            mask = text_mask(operator, key, room)

    def masked(cell: bytes) -> bytes | None:
        text = mask(cell.decode(encoding))
        return None if text is None else text[:room].encode(encoding)

    return masked


def _bytes_mask(shape: MysqlColumn, key: PseudonymKey, operator: Operator) -> CellMask | None:
    """BINARY(n) is always n bytes long; zeros at the end of it are no part of a text in it."""
    room = shape.length or None
    mask = bytes_mask(operator, key, room)
    if shape.type != STRING:
        return BYTES.masked(mask)
    return Form(
        lambda cell: cell.rstrip(b"\0"), lambda value: value.ljust(shape.length, b"\0")
    ).masked(mask)


def _number_mask(shape: MysqlColumn, key: PseudonymKey, operator: Operator) -> CellMask | None:
    unsigned = bool(shape.flags & UNSIGNED)
    if shape.type in INTEGERS:
        bits = INTEGERS[shape.type]
        limits = Limits.unsigned(bits) if unsigned else Limits.signed(bits)
        form = _binary_integers(shape) if shape.binary else _text_integers(shape)
        return form.masked(integer_mask(operator, key, limits))
    if shape.type in DECIMALS:
        return _decimals(shape).masked(decimal_mask(operator, key, _precision(shape)))
    if shape.type in (FLOAT, DOUBLE):
        layout = "<f" if shape.type == FLOAT else "<d"
        floats = binary_floats(layout) if shape.binary else text_floats(layout)
        return floats.masked(float_mask(operator))
    if not isinstance(operator, Constant | Bucket):
        return None  # a permuted year would not be one
    years = _BINARY_YEARS if shape.binary else _text_integers(shape)
    return years.masked(integer_mask(operator, key, Limits(1901, 2155)))


def _precision(shape: MysqlColumn) -> tuple[int, int]:
    """The length that is announced has room for the point and the sign."""
    sign = 0 if shape.flags & UNSIGNED else 1
    return shape.length - sign - (1 if shape.decimals else 0), shape.decimals


_INTEGER: Final = re.compile(rb"-?[0-9]{1,255}")


def _read_integer(cell: bytes) -> int:
    if not _INTEGER.fullmatch(cell):
        raise ValueError("not an integer")
    return int(cell)


def _text_integers(shape: MysqlColumn) -> Form[int]:
    if not shape.flags & ZEROFILL:
        return Form(_read_integer, lambda value: b"%d" % value)
    return Form(_read_integer, lambda value: (b"%d" % value).zfill(shape.length))


def _binary_integers(shape: MysqlColumn) -> Form[int]:
    size, signed = BINARY_SIZES[shape.type], not shape.flags & UNSIGNED

    def read(cell: bytes) -> int:
        if len(cell) != size:
            raise ValueError("an integer of the wrong length")
        return int.from_bytes(cell, "little", signed=signed)

    return Form(read, lambda value: value.to_bytes(size, "little", signed=signed))


def _decimals(shape: MysqlColumn) -> Form[Decimal]:
    if not shape.flags & ZEROFILL:
        return TEXT_DECIMALS
    return Form(TEXT_DECIMALS.read, lambda value: str(value).zfill(shape.length).encode())


_BINARY_YEARS: Final = Form(
    lambda cell: int(struct.unpack("<H", cell)[0]), lambda value: struct.pack("<H", value)
)


def _read_day(cell: bytes) -> date:
    return date(*struct.unpack("<HBB", cell))


def _read_moment(cell: bytes) -> datetime:
    """4 bytes without a time, 7 without microseconds, or 11."""
    match len(cell):
        case 4:
            return datetime(*struct.unpack("<HBB", cell))
        case 7:
            return datetime(*struct.unpack("<HBBBBB", cell))
        case 11:
            return datetime(*struct.unpack("<HBBBBBI", cell))
        case _:
            raise ValueError("not a moment")


def _write_moment(moment: datetime) -> bytes:
    day = struct.pack("<HBB", moment.year, moment.month, moment.day)
    clock = struct.pack("<BBB", moment.hour, moment.minute, moment.second)
    if moment.microsecond:
        return day + clock + struct.pack("<I", moment.microsecond)
    return day + clock if any(clock) else day


_BINARY_DAYS: Final = Form(_read_day, lambda day: struct.pack("<HBB", day.year, day.month, day.day))
_BINARY_MOMENTS: Final = Form(_read_moment, _write_moment)


def _text_moments(decimals: int) -> Form[datetime]:
    def write(moment: datetime) -> bytes:
        return _with_places(moment.strftime("%H:%M:%S"), moment.microsecond, decimals, moment)

    return Form(read_moment, write)


def _with_places(clock: str, microsecond: int, decimals: int, day: date) -> bytes:
    places = f".{microsecond:06}"[: decimals + 1] if 1 <= decimals <= 6 else ""
    return f"{day.isoformat()[:10]} {clock}{places}".encode()


def _time(shape: MysqlColumn, text: str) -> bytes:
    """A time of day: what a TIME means most often, of all the spans that it can hold."""
    clock = time_of_clock.fromisoformat(text)
    if clock.tzinfo is not None:
        raise ValueError("an offset where there is none")
    if not shape.binary:
        places = (
            f".{clock.microsecond:06}"[: shape.decimals + 1]
            if shape.decimals in range(1, 7)
            else ""
        )
        return f"{clock:%H:%M:%S}{places}".encode()
    parts = struct.pack("<BIBBB", 0, 0, clock.hour, clock.minute, clock.second)
    if clock.microsecond:
        return parts + struct.pack("<I", clock.microsecond)
    return parts if clock != time_of_clock() else b""


def _bits(shape: MysqlColumn, text: str) -> bytes:
    """A number as BIT(n), big-endian in both formats."""
    value = int(text) if re.fullmatch("[0-9]{1,20}", text) else -1
    if not 0 <= value < 1 << shape.length:
        raise ValueError("no bits of that length")
    return value.to_bytes((shape.length + 7) // 8, "big")
