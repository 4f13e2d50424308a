"""Constants of PostgreSQL's types that have no other mask, in the column's format."""

from __future__ import annotations

import re
import struct
from datetime import time as time_of_clock
from datetime import timedelta
from typing import Final

from masking.postgres_types import BIT, TIMETZ
from masking.shapes import ColumnShape

_BOOLEANS: Final = {"true": True, "t": True, "false": False, "f": False}


def boolean(shape: ColumnShape, text: str) -> bytes:
    """`true`, `t`, `false` or `f`."""
    value = _BOOLEANS[text.lower()]
    if shape.binary:
        return b"\1" if value else b"\0"
    return b"t" if value else b"f"


def one_character(shape: ColumnShape, text: str) -> bytes:
    """The type "char", which is one byte."""
    if len(text) != 1 or not text.isascii():
        raise ValueError("not one character")
    return text.encode()


def time_of_day(shape: ColumnShape, text: str) -> bytes:
    """`04:05:06`, with an offset from UTC where the type has one."""
    clock = time_of_clock.fromisoformat(text)
    zoned = shape.type == TIMETZ
    offset = clock.utcoffset() or timedelta()
    plain = clock.replace(tzinfo=None)
    if clock.tzinfo is not None and not zoned:
        raise ValueError("an offset where there is none")
    if not shape.binary:
        return (plain.isoformat() + (_offset_text(offset) if zoned else "")).encode()
    since = timedelta(
        hours=plain.hour, minutes=plain.minute, seconds=plain.second, microseconds=plain.microsecond
    )
    microseconds = since // timedelta(microseconds=1)
    if not zoned:
        return struct.pack("!q", microseconds)
    return struct.pack("!qi", microseconds, -int(offset.total_seconds()))


def _offset_text(offset: timedelta) -> str:
    minutes = int(offset.total_seconds()) // 60
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    return f"{sign}{hours:02}" + (f":{rest:02}" if rest else "")


_INTERVAL: Final = re.compile(
    r"(?:(?P<days>-?[0-9]{1,6}) days?)? ?(?:(?P<sign>-?)(?P<hours>[0-9]{2,6})"
    r":(?P<minutes>[0-5][0-9]):(?P<seconds>[0-5][0-9]))?"
)


def interval(shape: ColumnShape, text: str) -> bytes:
    """`3 days`, `04:05:06` or both."""
    match = _INTERVAL.fullmatch(text)
    if match is None or not text:
        raise ValueError("not a plain interval")
    days, hours = int(match["days"] or 0), int(match["hours"] or 0)
    seconds = (hours * 60 + int(match["minutes"] or 0)) * 60 + int(match["seconds"] or 0)
    if shape.binary:
        return struct.pack("!qii", (-1 if match["sign"] else 1) * seconds * 1_000_000, days, 0)
    clock = f"{match['sign'] or ''}{hours:02}:{match['minutes'] or '00'}:{match['seconds'] or '00'}"
    return (f"{days} day{'' if days == 1 else 's'} " * bool(days) + clock).encode()


def bit_string(shape: ColumnShape, text: str) -> bytes:
    """Zeros and ones: exactly as many as bit(n) has, at most as many as varbit(n)."""
    exact, most = shape.type == BIT, shape.modifier if shape.modifier > 0 else None
    fits = most is None or (len(text) == most if exact else len(text) <= most)
    if not re.fullmatch("[01]+", text) or not fits:
        raise ValueError("no bits of that length")
    if not shape.binary:
        return text.encode()
    padded = text.ljust(-(-len(text) // 8) * 8, "0")
    return struct.pack("!i", len(text)) + int(padded, 2).to_bytes(len(padded) // 8, "big")
