"""MySQL's and MariaDB's cells, of text and binary rows, as text; and the names of their types."""

from __future__ import annotations

import struct
from typing import Final

from masking import mysql_types as t
from recordings.events import Column, Origin

_NAMES: Final = {
    t.TINY: "tinyint",
    t.SHORT: "smallint",
    t.INT24: "mediumint",
    t.LONG: "int",
    t.LONGLONG: "bigint",
    t.FLOAT: "float",
    t.DOUBLE: "double",
    t.DECIMAL: "decimal",
    t.NEWDECIMAL: "decimal",
    t.NULL: "null",
    t.TIMESTAMP: "timestamp",
    t.DATETIME: "datetime",
    t.DATE: "date",
    t.NEWDATE: "date",
    t.TIME: "time",
    t.YEAR: "year",
    t.BIT: "bit",
    t.JSON: "json",
    t.ENUM: "enum",
    t.SET: "set",
    t.GEOMETRY: "geometry",
    t.VECTOR: "vector",
}
_LIKE: Final = {
    **dict.fromkeys(t.INTEGERS, 20),
    t.YEAR: 20,
    t.FLOAT: 701,
    t.DOUBLE: 701,
    t.JSON: 114,
}
_TEXT: Final = 25
_FLOATS: Final = {t.FLOAT: "<f", t.DOUBLE: "<d"}


def mysql_type_name(column: Column) -> str:
    """The type's name in SQL, without length and character set."""
    found = _NAMES.get(column.type)
    if found is not None:
        return found
    if column.type in (t.STRING, t.VAR_STRING, t.VARCHAR):
        pair = ("char", "binary") if column.type == t.STRING else ("varchar", "varbinary")
        return pair[_is_bytes(column)]
    if column.type in t.STRINGS:
        return "blob" if _is_bytes(column) else "text"
    return f"type:{column.type}"


def as_postgres(column: Column) -> int:
    """PostgreSQL's type of values that are written alike: what of them is JSON's own."""
    return _LIKE.get(column.type, _TEXT)


def mysql_text(cell: bytes, column: Column) -> str:
    """The cell as the server writes it in text rows; bytes as `\\x` and hexadecimal digits.

    A mask may have put anything in the cell's place: what is not of the type is shown as bytes.
    """
    if column.type == t.BIT:
        return str(int.from_bytes(cell, "big"))
    if _is_bytes(column) or column.type in (t.GEOMETRY, t.VECTOR):
        return "\\x" + cell.hex()
    if not column.binary:
        return cell.decode("utf-8", "backslashreplace")
    return _of_binary(cell, column)


def _is_bytes(column: Column) -> bool:
    origin = column.origin or Origin()
    return column.type in t.STRINGS and origin.charset == t.BINARY


def _of_binary(cell: bytes, column: Column) -> str:
    flags = (column.origin or Origin()).flags
    try:
        if column.type in t.BINARY_SIZES or column.type == t.YEAR:
            return str(int.from_bytes(cell, "little", signed=not flags & t.UNSIGNED))
        if column.type in _FLOATS:
            return _shortest(struct.unpack(_FLOATS[column.type], cell)[0], column.type)
        if column.type in (t.DATE, t.NEWDATE, *t.MOMENTS):
            return _moment(cell, column)
        if column.type == t.TIME:
            return _time(cell)
    except (struct.error, IndexError):
        return "\\x" + cell.hex()
    return cell.decode("utf-8", "backslashreplace")


def _shortest(value: float, kind: int) -> str:
    text = f"{value:.7g}" if kind == t.FLOAT else repr(value)
    return text.removesuffix(".0")


def _moment(cell: bytes, column: Column) -> str:
    """[] or [yy yy mm dd] or with [hh mm ss], or with microseconds in four bytes."""
    year, month, day = struct.unpack_from("<HBB", cell) if cell else (0, 0, 0)
    date = f"{year:04}-{month:02}-{day:02}"
    if column.type in (t.DATE, t.NEWDATE):
        return date
    hour, minute, second = cell[4:7] if len(cell) >= 7 else (0, 0, 0)
    (micros,) = struct.unpack_from("<I", cell, 7) if len(cell) == 11 else (0,)
    places = (column.origin or Origin()).decimals
    fraction = f".{micros:06}"[: places + 1] if 0 < places <= 6 else ""
    return f"{date} {hour:02}:{minute:02}:{second:02}{fraction}"


def _time(cell: bytes) -> str:
    """[] or [sign dd dd dd dd hh mm ss], or with microseconds in four bytes."""
    if not cell:
        return "00:00:00"
    sign, days, hours, minutes, seconds = struct.unpack_from("<BIBBB", cell)
    fraction = f".{struct.unpack_from('<I', cell, 8)[0]:06}" if len(cell) == 12 else ""
    shown = f"{days * 24 + hours:02}:{minutes:02}:{seconds:02}{fraction}"
    return f"-{shown}" if sign else shown
