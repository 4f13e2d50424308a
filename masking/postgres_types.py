"""PostgreSQL's built-in types by oid, as far as masking tells them apart, and their wire forms."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

BOOL, BYTEA, CHAR, NAME, INT8, INT2, INT4, TEXT, OID = 16, 17, 18, 19, 20, 21, 23, 25, 26
JSON, XML, FLOAT4, FLOAT8, UNKNOWN, BPCHAR, VARCHAR = 114, 142, 700, 701, 705, 1042, 1043
DATE, TIMESTAMP, TIMESTAMPTZ, NUMERIC, CSTRING, UUID = 1082, 1114, 1184, 1700, 2275, 2950
TSVECTOR, TSQUERY, JSONB = 3614, 3615, 3802
TIME, TIMETZ, INTERVAL, BIT, VARBIT = 1083, 1266, 1186, 1560, 1562
CIDR, MACADDR8, INET, MACADDR = 650, 774, 869, 829

TEXTS: Final = frozenset({TEXT, VARCHAR, BPCHAR, NAME, UNKNOWN, CSTRING})
INTEGERS: Final = {INT2: "!h", INT4: "!i", INT8: "!q"}
NUMBERS: Final = frozenset({*INTEGERS, NUMERIC})

ARRAYS: Final = {
    1009: TEXT, 1015: VARCHAR, 1014: BPCHAR, 1003: NAME, 1263: CSTRING,
    199: JSON, 3807: JSONB, 143: XML, 1001: BYTEA, 3643: TSVECTOR,
    1005: INT2, 1007: INT4, 1016: INT8, 1231: NUMERIC,
}  # fmt: skip
"""Array types whose elements are looked into, by the type of their elements."""

ELEMENTS: Final = {
    **ARRAYS, 1000: BOOL, 1002: CHAR, 1028: OID, 1021: FLOAT4, 1022: FLOAT8, 1182: DATE,
    1183: TIME, 1270: TIMETZ, 1115: TIMESTAMP, 1185: TIMESTAMPTZ, 1187: INTERVAL, 2951: UUID,
    651: CIDR, 1041: INET, 1040: MACADDR, 775: MACADDR8, 1561: BIT, 1563: VARBIT,
}  # fmt: skip
"""Array types whose elements have a mask of their own, by the type of their elements."""

HARMLESS: Final = frozenset(
    {
        # "char", oid and its relatives, transaction and tuple ids
        CHAR, 24, OID, 27, 28, 29, 2202, 2203, 2204, 2205, 2206, 3220, 3734, 3769, 4089, 4096, 4191,
        5069, BOOL, FLOAT4, FLOAT8, 790,
        # geometry, networks, bits
        600, 601, 602, 603, 604, 628, 718, 650, 774, 829, 869, 1560, 1562,
        # dates and times
        DATE, 1083, TIMESTAMP, TIMESTAMPTZ, 1186, 1266, UUID,
        # arrays of those
        1000, 1002, 1011, 1012, 1010, 1028, 1008, 1021, 1022, 791, 1017, 1018, 1019, 1020, 1027,
        629, 719, 651, 775, 1040, 1041, 1561, 1563, 1182, 1183, 1115, 1185, 1187, 1270, 2951, 3221,
        # ranges and multiranges of numbers and times, and arrays of ranges
        3904, 3906, 3908, 3910, 3912, 3926, 3905, 3907, 3909, 3911, 3913, 3927,
        4451, 4532, 4533, 4534, 4535, 4536, 6150, 6151, 6152, 6153, 6155, 6157,
        # pg_snapshot
        2970, 5038, 2949, 5039, 271,
    }
)  # fmt: skip
"""Types that hold no text, and are not looked into."""


def number_text(type_: int, cell: bytes, *, binary: bool) -> str:
    """A number as PostgreSQL prints it. Raises ValueError for what is none of that type."""
    if not binary:
        return cell.decode("ascii")
    if type_ == NUMERIC:
        return _numeric_text(cell)
    return str(integer(type_, cell))


def integer(type_: int, cell: bytes) -> int:
    """Raises ValueError where the length is wrong."""
    layout = INTEGERS[type_]
    if len(cell) != struct.calcsize(layout):
        raise ValueError("an integer of the wrong length")
    value: int = struct.unpack(layout, cell)[0]
    return value


_NEGATIVE, _SPECIAL = 0x4000, 0xC000


def _numeric_text(cell: bytes) -> str:
    """src/backend/utils/adt/numeric.c, numeric_send: base-10000 digits, weight, sign, scale."""
    if len(cell) < 8:
        raise ValueError("a numeric of the wrong length")
    count, weight, sign, scale = struct.unpack_from("!HhHH", cell)
    if len(cell) != 8 + 2 * count:
        raise ValueError("a numeric of the wrong length")
    if sign & _SPECIAL == _SPECIAL:
        return "NaN"
    digits = struct.unpack_from(f"!{count}H", cell, 8)
    places = [digits[i] if i < count else 0 for i in range(weight + 1)]
    whole = "".join(f"{d:04}" for d in places).lstrip("0") or "0"
    behind = "0000" * max(0, -weight - 1) + "".join(f"{d:04}" for d in digits[max(0, weight + 1) :])
    fraction = behind[:scale].ljust(scale, "0")
    return ("-" if sign == _NEGATIVE else "") + whole + (f".{fraction}" if scale else "")


def numeric_binary(text: str) -> bytes:
    """A plain decimal such as -12.50 in binary form. Raises ValueError for any other text."""
    negative = text.startswith("-")
    whole, _, fraction = text.lstrip("+-").partition(".")
    if not (whole + fraction).isdecimal():
        raise ValueError("not a plain decimal")
    whole = whole.lstrip("0")
    head = whole.zfill(-(-len(whole) // 4) * 4)
    tail = fraction.ljust(-(-len(fraction) // 4) * 4, "0")
    digits = [int((head + tail)[i : i + 4]) for i in range(0, len(head + tail), 4)]
    weight = len(head) // 4 - 1
    while digits and digits[0] == 0:
        del digits[0]
        weight -= 1
    while digits and digits[-1] == 0:
        del digits[-1]
    sign = _NEGATIVE if negative and digits else 0
    weight = weight if digits else 0
    header = struct.pack("!HhHH", len(digits), weight, sign, len(fraction))
    return header + struct.pack(f"!{len(digits)}H", *digits)


def array_elements(cell: bytes) -> Iterator[tuple[int, int]]:
    """Where the elements of a binary array lie, NULLs left out. Raises ValueError if cut short."""
    try:
        dimensions, _, _ = struct.unpack_from("!iii", cell)
        position = 12 + 8 * dimensions
        while position < len(cell):
            (length,) = struct.unpack_from("!i", cell, position)
            position += 4
            if length >= 0:
                yield position, position + length
                position += length
    except struct.error as error:
        raise ValueError("an array that ends too early") from error
    if position != len(cell):
        raise ValueError("an array that ends too early")
