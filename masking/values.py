"""Masks that keep a column's type: what can't be masked in its type becomes NULL.

A mask is compiled once per column and then maps cells to cells, in the column's own format.
"""

from __future__ import annotations

import json
import math
import re
import struct
import uuid
from collections.abc import Callable
from datetime import date, timedelta
from typing import Final

from masking.operators import (
    Constant,
    KeepLast,
    Operator,
    Pseudonym,
    PseudonymKey,
    Redact,
    Year,
    mask_text,
    parse_operator,
)
from masking.postgres_types import (
    BOOL,
    BPCHAR,
    DATE,
    FLOAT4,
    FLOAT8,
    INTEGERS,
    JSON,
    JSONB,
    NAME,
    NUMERIC,
    TEXTS,
    TIMESTAMP,
    TIMESTAMPTZ,
    UUID,
    VARCHAR,
    integer,
    numeric_binary,
)
from masking.shapes import ColumnShape

CellMask = Callable[[bytes], bytes | None]
"""A cell that is not NULL, as it is delivered. Never raises: what can't be read is NULL."""


def column_mask(shape: ColumnShape, operator: str, key: PseudonymKey) -> CellMask:
    """The mask of one column. Raises ValueError for an operator that does not exist."""
    mask = _mask(shape, parse_operator(operator), key)

    def masked(cell: bytes) -> bytes | None:
        try:
            return mask(cell)
        except (ValueError, OverflowError, struct.error):
            return None

    return masked


def _mask(shape: ColumnShape, operator: Operator, key: PseudonymKey) -> CellMask:
    if shape.type in TEXTS:
        return lambda cell: _masked_text(shape, operator, key, cell)
    match operator:
        case Constant(value):
            return _always(_constant(shape, value))
        case Redact() if shape.type in (JSON, JSONB):
            return _always(_json_string(shape, mask_text(operator, "", key) or ""))
        case Year() if shape.type in (DATE, TIMESTAMP, TIMESTAMPTZ):
            return lambda cell: _year(shape, cell)
        case Pseudonym(domain) if shape.type in INTEGERS:
            return lambda cell: _integer_pseudonym(shape, domain, key, cell)
        case Pseudonym(domain) if shape.type == UUID:
            return lambda cell: _uuid_pseudonym(shape, domain, key, cell)
        case _:
            return _always(None)


def _always(value: bytes | None) -> CellMask:
    return lambda cell: value


_SHORTEST_PSEUDONYM: Final = 10
"""Characters; fewer would give one pseudonym to many values."""


def _masked_text(
    shape: ColumnShape, operator: Operator, key: PseudonymKey, cell: bytes
) -> bytes | None:
    limit = text_limit(shape)
    if isinstance(operator, Pseudonym) and limit is not None and limit < _SHORTEST_PSEUDONYM:
        return None
    text = cell.decode()
    padded = shape.type == BPCHAR and isinstance(operator, KeepLast)
    masked = mask_text(operator, text.rstrip(" ") if padded else text, key)
    return None if masked is None else fitted(shape, masked)


def text_limit(shape: ColumnShape) -> int | None:
    """The most characters that the column's type allows, or None."""
    if shape.type == NAME:
        return 63
    if shape.type in (VARCHAR, BPCHAR) and shape.modifier >= 4:
        return shape.modifier - 4
    return None


def fitted(shape: ColumnShape, text: str) -> bytes:
    """The text cut to the column's length, and padded where PostgreSQL pads."""
    limit = text_limit(shape)
    if limit is None:
        return text.encode()
    if shape.type == NAME:
        return text.encode()[:limit].decode(errors="ignore").encode()
    cut = text[:limit]
    return (cut.ljust(limit) if shape.type == BPCHAR else cut).encode()


def _constant(shape: ColumnShape, value: str) -> bytes | None:
    """The constant in the column's type, or None where it is no value of that type."""
    try:
        return _binary_constant(shape, value) if shape.binary else _text_constant(shape, value)
    except (ValueError, OverflowError, struct.error):
        return None


def _text_constant(shape: ColumnShape, value: str) -> bytes | None:
    binary = _binary_constant(shape, value)
    if binary is None or shape.type in (JSON, JSONB):
        return binary
    if shape.type == BOOL:
        return b"t" if binary == b"\1" else b"f"
    if shape.type == UUID:
        return str(uuid.UUID(bytes=binary)).encode()
    if shape.type in (FLOAT4, FLOAT8):
        return repr(_finite(value)).encode()
    return value.strip().encode()


def _binary_constant(shape: ColumnShape, value: str) -> bytes | None:
    kind, plain = shape.type, value.strip()
    if kind in (JSON, JSONB):
        return _json_string(shape, value)
    if kind in INTEGERS:
        return struct.pack(INTEGERS[kind], _plain_integer(plain))
    if kind == NUMERIC:
        return numeric_binary(plain)
    if kind in (FLOAT4, FLOAT8):
        return struct.pack("!f" if kind == FLOAT4 else "!d", _finite(plain))
    if kind == BOOL:
        return {"true": b"\1", "t": b"\1", "false": b"\0", "f": b"\0"}.get(plain.lower())
    if kind == UUID:
        return uuid.UUID(plain).bytes
    if kind == DATE:
        return struct.pack("!i", (date.fromisoformat(plain) - _EPOCH).days)
    return None


def _plain_integer(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]+", text):
        raise ValueError("not an integer")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def _json_string(shape: ColumnShape, text: str) -> bytes:
    document = json.dumps(text).encode()
    return b"\1" + document if shape.binary and shape.type == JSONB else document


_EPOCH: Final = date(2000, 1, 1)
_DAY: Final = 86_400_000_000
"""Microseconds of a day."""

_ISO_DATE: Final = re.compile(rb"([0-9]{4,6})-[0-9]{2}-[0-9]{2}")
_ISO_TIMESTAMP: Final = re.compile(
    rb"([0-9]{4,6})-[0-9]{2}-[0-9]{2} [0-9:]{8}(?:\.[0-9]+)?([+-][0-9:]+)?"
)


def _year(shape: ColumnShape, cell: bytes) -> bytes | None:
    if shape.binary:
        return _year_binary(shape, cell)
    if shape.type == DATE:
        day = _ISO_DATE.fullmatch(cell)
        return None if day is None else day[1] + b"-01-01"
    moment = _ISO_TIMESTAMP.fullmatch(cell)
    return None if moment is None else moment[1] + b"-01-01 00:00:00" + (moment[2] or b"")


def _year_binary(shape: ColumnShape, cell: bytes) -> bytes:
    if shape.type == DATE:
        (days,) = struct.unpack("!i", cell)
        return struct.pack("!i", _first_day(days))
    (microseconds,) = struct.unpack("!q", cell)
    return struct.pack("!q", _first_day(microseconds // _DAY) * _DAY)


def _first_day(days: int) -> int:
    """1 January of the year that a day after 2000-01-01 lies in. Infinity overflows."""
    year = (_EPOCH + timedelta(days=days)).year
    return (date(year, 1, 1) - _EPOCH).days


def _uuid_pseudonym(shape: ColumnShape, domain: str, key: PseudonymKey, cell: bytes) -> bytes:
    value = uuid.UUID(bytes=cell) if shape.binary else uuid.UUID(cell.decode("ascii"))
    digest = key.digest(domain, "uuid", value.bytes)
    pseudonym = uuid.UUID(bytes=digest[:16], version=4)
    return pseudonym.bytes if shape.binary else str(pseudonym).encode()


def _integer_pseudonym(shape: ColumnShape, domain: str, key: PseudonymKey, cell: bytes) -> bytes:
    """Another integer with the same sign and as many digits; no two values share one."""
    value = integer(shape.type, cell) if shape.binary else _plain_integer(cell.decode("ascii"))
    layout = INTEGERS[shape.type]
    greatest = (1 << (8 * struct.calcsize(layout) - 1)) - 1
    size = abs(value)
    low = 0 if size < 10 else 10 ** (len(str(size)) - 1)
    high = min(10 ** len(str(size)) - 1, greatest)
    if size > high:
        raise OverflowError("the least integer of its type")
    masked = low + _permuted(size - low, high - low + 1, domain, key)
    signed = -masked if value < 0 else masked
    return struct.pack(layout, signed) if shape.binary else str(signed).encode()


_ROUNDS: Final = 8


def _permuted(value: int, count: int, domain: str, key: PseudonymKey) -> int:
    """A keyed permutation of 0 to count - 1: a Feistel network, walked until it is in range."""
    half = max(2, ((count - 1).bit_length() + 1) // 2)
    low_bits = (1 << half) - 1
    while True:
        left, right = value >> half, value & low_bits
        for number in range(_ROUNDS):
            block = f"{count}:{number}:{right}".encode()
            digest = key.digest(domain, "integer", block)
            left, right = right, left ^ (int.from_bytes(digest[:8], "big") & low_bits)
        value = left << half | right
        if value < count:
            return value
