"""MySQL's and MariaDB's column types, flags and character sets, as far as masking tells them apart.

Sources: MySQL's protocol documentation (Protocol::ColumnDefinition41, field_types.h) and MariaDB's
(Result set packets); character sets as information_schema.COLLATIONS lists them.
"""

from __future__ import annotations

from typing import Final

DECIMAL, TINY, SHORT, LONG, FLOAT, DOUBLE, NULL, TIMESTAMP, LONGLONG, INT24 = range(10)
DATE, TIME, DATETIME, YEAR, NEWDATE, VARCHAR, BIT = range(10, 17)
VECTOR, JSON, NEWDECIMAL, ENUM, SET, TINY_BLOB, MEDIUM_BLOB = 242, 245, 246, 247, 248, 249, 250
LONG_BLOB, BLOB, VAR_STRING, STRING, GEOMETRY = 251, 252, 253, 254, 255

UNSIGNED, ZEROFILL, ENUM_FLAG, SET_FLAG = 32, 64, 256, 2048

DECIMALS: Final = frozenset({DECIMAL, NEWDECIMAL})
MOMENTS: Final = frozenset({TIMESTAMP, DATETIME})
STRINGS: Final = frozenset({VARCHAR, TINY_BLOB, MEDIUM_BLOB, LONG_BLOB, BLOB, VAR_STRING, STRING})
INTEGERS: Final = {TINY: 8, SHORT: 16, INT24: 24, LONG: 32, LONGLONG: 64}
"""Bits of each type."""

BINARY_SIZES: Final = {TINY: 1, SHORT: 2, INT24: 4, LONG: 4, LONGLONG: 8}
"""Bytes in the binary row format, little-endian."""

BINARY: Final = 63
"""The character set of byte strings."""


def encoding_of(charset: int) -> tuple[str, int]:
    """Python's name of a character set, by its collation, and the most bytes of a character.

    Raises LookupError for those that clients hardly ever ask for.
    """
    for ranges, encoding, width in _CHARSETS:
        if any(first <= charset <= last for first, last in ranges):
            return encoding, width
    raise LookupError("a character set that is not read")


_CHARSETS: Final = (
    (((45, 46), (224, 247), (255, 323), (608, 623), (1069, 1070), (1248, 1271), (2304, 2559)),
     "utf-8", 4),
    (((33, 33), (76, 76), (83, 83), (192, 223), (576, 607), (1057, 1057), (1107, 1107),
      (1216, 1247), (2048, 2303)), "utf-8", 3),
    (((11, 11), (65, 65), (1035, 1035), (1089, 1089)), "ascii", 1),
    (((5, 5), (8, 8), (15, 15), (31, 31), (47, 49), (94, 94), (1032, 1032), (1071, 1071)),
     "cp1252", 1),
)  # fmt: skip
