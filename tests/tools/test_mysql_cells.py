"""MySQL's cells in answers: text and binary rows of one value say the same."""

from __future__ import annotations

import struct

import pytest
from pydantic import JsonValue

from masking import mysql_types as t
from recordings.events import Column, Origin
from tools.cells import cell_text, json_value, type_name


def column(kind: int, *, flags: int = 0, charset: int = 45, decimals: int = 0) -> Column:
    origin = Origin(flags=flags, charset=charset, decimals=decimals)
    return Column("c", kind, origin=origin)


CASES = [
    (column(t.LONG), b"-5", struct.pack("<i", -5), -5),
    (column(t.LONGLONG, flags=t.UNSIGNED), b"255", struct.pack("<Q", 255), 255),
    (column(t.LONGLONG), b"9007199254740993", struct.pack("<q", 2**53 + 1), "9007199254740993"),
    (column(t.YEAR), b"2024", struct.pack("<H", 2024), 2024),
    (column(t.DOUBLE), b"0.5", struct.pack("<d", 0.5), 0.5),
    (column(t.FLOAT), b"0.1", struct.pack("<f", 0.1), 0.1),
    (column(t.NEWDECIMAL), b"1.50", b"1.50", "1.50"),
    (column(t.VAR_STRING), "zoë".encode(), "zoë".encode(), "zoë"),
    (column(t.BLOB, charset=t.BINARY), b"\x00\xff", b"\x00\xff", "\\x00ff"),
    (column(t.BIT), b"\x05", b"\x05", "5"),
    (column(t.JSON), b'{"a": 1}', b'{"a": 1}', {"a": 1}),
    (column(t.DATE), b"2024-02-29", b"\xe8\x07\x02\x1d", "2024-02-29"),
    (
        column(t.DATETIME),
        b"2024-02-29 12:13:14",
        b"\xe8\x07\x02\x1d\x0c\x0d\x0e",
        "2024-02-29 12:13:14",
    ),
    (
        column(t.DATETIME, decimals=3),
        b"2024-02-29 12:13:14.567",
        b"\xe8\x07\x02\x1d\x0c\x0d\x0e" + struct.pack("<I", 567_000),
        "2024-02-29 12:13:14.567",
    ),
    (column(t.DATETIME), b"0000-00-00 00:00:00", b"", "0000-00-00 00:00:00"),
    (column(t.TIME), b"-26:02:03", b"\x01\x01\0\0\0\x02\x02\x03", "-26:02:03"),
    (column(t.TIME), b"00:00:00", b"", "00:00:00"),
]


@pytest.mark.parametrize(("plain", "text", "binary", "value"), CASES)
def test_a_value_reads_the_same_in_both_formats(
    plain: Column, text: bytes, binary: bytes, value: JsonValue
) -> None:
    packed = Column(plain.name, plain.type, binary=True, origin=plain.origin)
    assert json_value(cell_text(text, plain), plain) == value
    assert json_value(cell_text(binary, packed), packed) == value


def test_what_is_not_of_its_type_is_shown_as_bytes() -> None:
    packed = Column("c", t.DATETIME, binary=True, origin=Origin())
    assert cell_text(b"\x01", packed) == "\\x01"


def test_types_have_their_names_of_sql() -> None:
    kinds = [
        column(t.LONG),
        column(t.STRING),
        column(t.VAR_STRING, charset=t.BINARY),
        column(t.BLOB),
        column(t.BLOB, charset=t.BINARY),
        column(77),
    ]
    assert [type_name(kind) for kind in kinds] == [
        *("int", "char", "varbinary", "text", "blob", "type:77")
    ]
