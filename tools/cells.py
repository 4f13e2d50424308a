"""Cells -> JSON values: PostgreSQL's by the type's oid, and MySQL's as the like of them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from pydantic import JsonValue

from recordings.events import Column
from tools.mysql_cells import as_postgres, mysql_text, mysql_type_name

TYPE_NAMES: Final[Mapping[int, str]] = MappingProxyType(
    {
        16: "bool",
        17: "bytea",
        18: "char",
        19: "name",
        20: "int8",
        21: "int2",
        23: "int4",
        25: "text",
        26: "oid",
        114: "json",
        142: "xml",
        600: "point",
        650: "cidr",
        700: "float4",
        701: "float8",
        790: "money",
        829: "macaddr",
        869: "inet",
        1000: "bool[]",
        1001: "bytea[]",
        1005: "int2[]",
        1007: "int4[]",
        1009: "text[]",
        1015: "varchar[]",
        1016: "int8[]",
        1021: "float4[]",
        1022: "float8[]",
        1042: "bpchar",
        1043: "varchar",
        1082: "date",
        1083: "time",
        1114: "timestamp",
        1115: "timestamp[]",
        1182: "date[]",
        1184: "timestamptz",
        1185: "timestamptz[]",
        1186: "interval",
        1231: "numeric[]",
        1266: "timetz",
        1560: "bit",
        1562: "varbit",
        1700: "numeric",
        2205: "regclass",
        2249: "record",
        2278: "void",
        2950: "uuid",
        2951: "uuid[]",
        3614: "tsvector",
        3802: "jsonb",
        3807: "jsonb[]",
        3904: "int4range",
        3906: "numrange",
        3908: "tsrange",
        3910: "tstzrange",
        3912: "daterange",
        3926: "int8range",
    }
)
"""Built-in types by oid (PostgreSQL, pg_type.dat); oids below 10000 never change."""

_NUMBERS: Final = frozenset({20, 21, 23, 26, 700, 701})
_INTEGERS: Final = frozenset({20, 21, 23, 26})
_NUMBERS_OR_JSON: Final = _NUMBERS | {114, 3802}
_BOOL: Final = 16
_EXACT_IN_JSON: Final = 2**53 - 1
"""Beyond this a JSON number is not exact in most readers (RFC 8259, section 6)."""
_ALWAYS_EXACT: Final = 15  # characters of an integer
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)")


def type_name(column: Column) -> str:
    """The type's name; of PostgreSQL `oid:<number>` for one that is not built in."""
    if column.origin is not None:
        return mysql_type_name(column)
    return TYPE_NAMES.get(column.type, f"oid:{column.type}")


def cell_text(cell: bytes, column: Column) -> str:
    """The cell as the server writes it; PostgreSQL's binary as `\\x` and hexadecimal digits."""
    if column.origin is not None:
        return mysql_text(cell, column)
    if column.binary:
        return "\\x" + cell.hex()
    return cell.decode("utf-8", "backslashreplace")


def json_value(text: str, column: Column) -> JsonValue:
    """A JSON value of the column's type where that is exact, else the text.

    A mask may have put anything in the cell's place: what is not of the type stays text.
    """
    kind = column.type if column.origin is None else as_postgres(column)
    if column.binary and column.origin is None:
        return text
    if kind == _BOOL:
        return {"t": True, "f": False}.get(text, text)
    if kind in _INTEGERS and len(text) <= _ALWAYS_EXACT and _INTEGER.fullmatch(text):
        return int(text)
    if kind not in _NUMBERS_OR_JSON:
        return text
    try:
        value = _exactly(text)
    except (ValueError, RecursionError):
        return text
    return text if kind in _NUMBERS and not _is_number(value) else value


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _exactly(text: str) -> JsonValue:
    """Read as JSON. Raises `ValueError` where the result would not be what the text says."""
    value: JsonValue = json.loads(
        text,
        parse_int=_integer,
        parse_float=_float,
        parse_constant=_constant,
        object_pairs_hook=_object,
    )
    return value


def _integer(digits: str) -> int:
    number = int(digits)
    if abs(number) > _EXACT_IN_JSON:
        raise ValueError("not exact")
    return number


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value) or Decimal(repr(value)) != Decimal(digits):
        raise ValueError("not exact")
    return value


def _constant(name: str) -> JsonValue:
    raise ValueError(f"{name} is not JSON")


def _object(pairs: list[tuple[str, JsonValue]]) -> JsonValue:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key twice")
    return fields
