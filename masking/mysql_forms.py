"""What of a MySQL cell can be read: as the PostgreSQL type whose cells are written alike.

Results come in utf8mb4. What has no such type is bytes, or numbers, which are read here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from typing import Final

from masking import mysql_types as t
from masking.forms import Form, form_of
from masking.number_forms import NumberForm
from masking.postgres_types import BYTEA, DATE, JSON, NUMERIC, TEXT
from masking.prefilter import names_an_identifier
from masking.shapes import ColumnShape, MysqlColumn

_DAYS: Final = frozenset({t.DATE, t.NEWDATE, t.TIME, t.YEAR, t.NULL, *t.MOMENTS})
_FLOATS: Final = {t.FLOAT: "<f", t.DOUBLE: "<d"}


def as_searched(shape: MysqlColumn) -> ColumnShape:
    """The shape of a PostgreSQL column with such cells; binary numbers and days have none."""
    if shape.type in t.STRINGS or shape.type in (t.ENUM, t.SET):
        if shape.charset == t.BINARY:
            return ColumnShape(shape.name, BYTEA, binary=True)
        return ColumnShape(shape.name, TEXT)
    if shape.type == t.JSON:
        return ColumnShape(shape.name, JSON)
    if shape.type in _DAYS:
        return ColumnShape(shape.name, DATE)
    if shape.type in t.INTEGERS or shape.type in t.DECIMALS or shape.type in _FLOATS:
        return ColumnShape(shape.name, NUMERIC)
    return ColumnShape(shape.name, BYTEA, binary=True)


def mysql_form(shape: MysqlColumn) -> Form | None:
    """How a column's cells are searched, or None where nothing in them can be an entity."""
    if shape.binary and (shape.type in t.BINARY_SIZES or shape.type in _FLOATS):
        return NumberForm(partial(_number, shape)) if names_an_identifier(shape.name) else None
    return form_of(as_searched(shape))


def _number(shape: MysqlColumn, cell: bytes) -> Iterator[str]:
    if shape.type in _FLOATS:
        (value,) = struct.unpack(_FLOATS[shape.type], cell)
        yield format(value, "f")
    else:
        yield str(int.from_bytes(cell, "little", signed=not shape.flags & t.UNSIGNED))
