"""Which cells of MySQL's are searched, and what stands for those that are found in or hidden."""

from __future__ import annotations

import struct

import pytest

from masking import mysql_types as t
from masking.mysql_forms import as_searched, mysql_form
from masking.postgres_types import BYTEA, JSON, TEXT
from masking.shapes import MysqlColumn
from masking.spans import Span


@pytest.mark.parametrize(
    ("shape", "type_"),
    [
        (MysqlColumn("c", t.VAR_STRING), TEXT),
        (MysqlColumn("c", t.ENUM), TEXT),
        (MysqlColumn("c", t.BLOB, charset=t.BINARY), BYTEA),
        (MysqlColumn("c", t.GEOMETRY, charset=t.BINARY), BYTEA),
        (MysqlColumn("c", 77), BYTEA),
        (MysqlColumn("c", t.JSON), JSON),
    ],
)
def test_a_column_is_searched_as_what_its_cells_are_like(shape: MysqlColumn, type_: int) -> None:
    assert as_searched(shape).type == type_
    assert mysql_form(shape) is not None


@pytest.mark.parametrize("kind", [t.DATE, t.DATETIME, t.TIME, t.YEAR, t.LONG, t.DOUBLE])
@pytest.mark.parametrize("binary", ["text", "binary"])
def test_days_and_plain_numbers_are_not_searched(kind: int, binary: str) -> None:
    assert mysql_form(MysqlColumn("c", kind, binary=binary == "binary")) is None


def test_a_binary_number_in_a_column_that_names_an_identifier_is_read() -> None:
    form = mysql_form(MysqlColumn("ssn", t.LONGLONG, binary=True))
    assert form is not None
    assert "219099991" in form.texts(struct.pack("<q", 219_099_991))
    assert form.rewrite(struct.pack("<q", 219_099_991), [[Span(0, 9, "US_SSN")]]) is None
