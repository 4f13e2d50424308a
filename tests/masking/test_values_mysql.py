"""Typed masks of MySQL's types, on what a real MariaDB sends in both row formats.

The server must take what we make of a cell for a value of the column, the decoders that PyMySQL
and aiomysql share must read it, and both formats of one value must be masked alike.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from aiomysql import connection as aiomysql_connection
from pymysql import converters

from masking import mysql_types as types
from masking.mysql_types import encoding_of
from masking.operators import PseudonymKey
from masking.shapes import MysqlColumn
from masking.values import column_mask
from tests.fixtures.mariadb import MariaDbServer
from tests.fixtures.mysql_rows import Cell, binary_row, text_row

pytestmark = pytest.mark.programs

KEY = PseudonymKey(b"k" * 32)
OPERATIONS = [
    "null", "constant(x)", "constant(1)", "constant(2001-02-03)", "constant(04:05:06)", "redact",
    "keep_last(2)", "partial(1,1)", "email", "digits", "year", "month", "day", "bucket(100)",
    "pseudonym(d)", "with_keys(pseudonym(d))",
]  # fmt: skip
TEXT = {o: o[9:-1] for o in OPERATIONS if o.startswith("constant")}
REDACTED = dict.fromkeys(
    ("redact", "keep_last(2)", "partial(1,1)", "email", "year", "month", "day", "bucket(100)"),
    "<redacted>",
)
KEPT = {"keep_last(2)": "***de", "partial(1,1)": "a***e"}
ONE = {"constant(1)": "1"}


@dataclass(frozen=True, slots=True)
class Case:
    """A column, a value of it, and what is left under each operator that leaves something fixed."""

    type: str
    value: str
    expected: dict[str, str]
    pseudonym: bool = False


def _cut(length: int) -> dict[str, str]:
    return {o: v[:length] for o, v in (TEXT | REDACTED).items()}


CASES = [
    Case("TINYINT", "-128", ONE, pseudonym=True),
    Case("TINYINT UNSIGNED", "255", ONE | {"bucket(100)": "200"}, pseudonym=True),
    Case("SMALLINT", "-32768", ONE, pseudonym=True),
    Case("SMALLINT UNSIGNED", "65535", ONE | {"bucket(100)": "65500"}, pseudonym=True),
    Case("MEDIUMINT", "-8388608", ONE, pseudonym=True),
    Case("MEDIUMINT UNSIGNED", "16777215", ONE | {"bucket(100)": "16777200"}, pseudonym=True),
    Case("INT", "2147483647", ONE | {"bucket(100)": "2147483600"}, pseudonym=True),
    Case("INT UNSIGNED", "4294967295", ONE | {"bucket(100)": "4294967200"}, pseudonym=True),
    Case("INT(8) ZEROFILL", "1234", {"constant(1)": "00000001", "bucket(100)": "00001200"},
         pseudonym=True),
    Case("BIGINT", "-9223372036854775808", ONE, pseudonym=True),
    Case("BIGINT UNSIGNED", "18446744073709551615", ONE | {"bucket(100)": "18446744073709551600"},
         pseudonym=True),
    Case("DECIMAL(10,2)", "-1234.50", {"constant(1)": "1.00", "bucket(100)": "-1300.00"},
         pseudonym=True),
    Case("DECIMAL(10,2) UNSIGNED ZEROFILL", "1234.50", {"constant(1)": "00000001.00",
         "bucket(100)": "00001200.00"}, pseudonym=True),
    Case("DECIMAL(3,0)", "999", ONE | {"bucket(100)": "900"}, pseudonym=True),
    Case("FLOAT", "123.5", ONE | {"bucket(100)": "100"}),
    Case("DOUBLE", "-1e15", ONE | {"bucket(100)": "-1e15"}),
    Case("DATE", "'1987-05-17'", {"constant(2001-02-03)": "2001-02-03", "year": "1987-01-01",
         "month": "1987-05-01"}),
    Case("DATE", "'0000-00-00'", {"constant(2001-02-03)": "2001-02-03"}),
    Case("DATETIME", "'1987-05-17 01:02:03'", {"constant(2001-02-03)": "2001-02-03 00:00:00",
         "year": "1987-01-01 00:00:00", "month": "1987-05-01 00:00:00",
         "day": "1987-05-17 00:00:00"}),
    Case("DATETIME(3)", "'1987-05-17 01:02:03.456'", {
         "constant(2001-02-03)": "2001-02-03 00:00:00.000", "year": "1987-01-01 00:00:00.000",
         "month": "1987-05-01 00:00:00.000", "day": "1987-05-17 00:00:00.000"}),
    Case("DATETIME", "'0000-00-00 00:00:00'", {"constant(2001-02-03)": "2001-02-03 00:00:00"}),
    Case("TIMESTAMP(6) NULL", "'2007-05-17 01:02:03.000001'", {
         "constant(2001-02-03)": "2001-02-03 00:00:00.000000", "year": "2007-01-01 00:00:00.000000",
         "month": "2007-05-01 00:00:00.000000", "day": "2007-05-17 00:00:00.000000"}),
    Case("TIME", "'-100:02:03'", {"constant(04:05:06)": "04:05:06"}),
    Case("TIME(2)", "'01:02:03.45'", {"constant(04:05:06)": "04:05:06.00"}),
    Case("YEAR", "1987", {}),
    Case("CHAR(5)", "'abcde'", _cut(5) | KEPT),
    Case("CHAR(40)", "'abcde'", TEXT | REDACTED | KEPT, pseudonym=True),
    Case("VARCHAR(14)", "'abcde'", _cut(14) | KEPT, pseudonym=True),
    Case("VARCHAR(40) CHARACTER SET latin1", "'abcdé'", TEXT | REDACTED
         | {"keep_last(2)": "***dé", "partial(1,1)": "a***é"}, pseudonym=True),
    Case("TINYTEXT", "'abcde'", TEXT | REDACTED | KEPT, pseudonym=True),
    Case("TEXT", "'bob@example.com'", TEXT | REDACTED | {"email": "***@example.com",
         "keep_last(2)": "***@*******.*om", "partial(1,1)": "b**@*******.**m"}, pseudonym=True),
    Case("LONGTEXT", "'abcde'", TEXT | REDACTED | KEPT, pseudonym=True),
    Case("BINARY(12)", "'abcde'", {o: v.ljust(12, "\0") for o, v in
         (TEXT | REDACTED | KEPT).items()}, pseudonym=True),
    Case("BINARY(4)", "x'00ff0102'", {o: v[:4].ljust(4, "\0") for o, v in
         (TEXT | {"redact": "<redacted>"}).items()}),
    Case("VARBINARY(40)", "'abcde'", TEXT | REDACTED | KEPT, pseudonym=True),
    Case("BLOB", "x'00ff'", TEXT | {"redact": "<redacted>"}, pseudonym=True),
    Case("BIT(3)", "b'101'", {"constant(1)": "\1"}),
    Case("BIT(16)", "b'1010000000000001'", {"constant(1)": "\0\1"}),
    Case("ENUM('sad','happy')", "'happy'", {}),
    Case("SET('a','b')", "'a,b'", {}),
    Case("GEOMETRY", "POINT(1,2)", {}),
]  # fmt: skip


@pytest.fixture(scope="module")
def connection(mariadb: MariaDbServer) -> Iterator[Any]:
    mariadb.run("CREATE DATABASE IF NOT EXISTS masks")
    connection = mariadb.connect("masks")
    try:
        yield connection
    finally:
        connection.close()


def _keep(connection: Any, case: Case) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET sql_mode = ''")
        cursor.execute("DROP TABLE IF EXISTS one")
        cursor.execute(f"CREATE TABLE one (value {case.type}) CHARACTER SET utf8mb4")
        cursor.execute(f"INSERT INTO one VALUES ({case.value})")
        cursor.execute("SET sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE'")


def _sent(connection: Any) -> tuple[Cell, Cell]:
    return (
        text_row(connection, "SELECT value FROM one")[0],
        binary_row(connection, "SELECT value FROM one")[0],
    )


def _reads(connection: Any, shape: MysqlColumn, cell: bytes) -> bytes | None:
    """What the column sends when the masked cell was stored in it, under a strict mode."""
    literal = f"x'{cell.hex()}'"
    if shape.type not in (*types.STRINGS, types.BIT):
        literal = f"'{cell.decode()}'"
    elif shape.charset != types.BINARY:
        literal = f"CONVERT({literal} USING utf8mb4)"
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE one")
        cursor.execute(f"INSERT INTO one VALUES ({literal})")
    return text_row(connection, "SELECT value FROM one")[0][1]


def _decoded_text(shape: MysqlColumn, cell: bytes) -> object:
    """As PyMySQL and aiomysql decode it."""
    if shape.type in types.STRINGS or shape.type == types.BIT:
        return cell if shape.charset == types.BINARY else cell.decode(encoding_of(shape.charset)[0])
    return converters.decoders[shape.type](cell.decode("ascii"))


def _decoded_binary(shape: MysqlColumn, cell: bytes) -> object:
    """By the layouts that the protocol documents."""
    if shape.type in types.BINARY_SIZES:
        assert len(cell) == types.BINARY_SIZES[shape.type]
        return int.from_bytes(cell, "little", signed=not shape.flags & types.UNSIGNED)
    match shape.type:
        case types.YEAR:
            return struct.unpack("<H", cell)[0]
        case types.FLOAT:
            return struct.unpack("<f", cell)[0]
        case types.DOUBLE:
            return struct.unpack("<d", cell)[0]
        case types.DATE:
            return date(*struct.unpack("<HBB", cell))
        case types.DATETIME | types.TIMESTAMP:
            layout = {4: "<HBB", 7: "<HBBBBB", 11: "<HBBBBBI"}[len(cell)]
            return datetime(*struct.unpack(layout, cell))
        case types.TIME:
            _, days, hours, minutes, seconds = struct.unpack("<BIBBB", cell)
            return timedelta(days, hours=hours, minutes=minutes, seconds=seconds)
        case _:
            return _decoded_text(shape, cell)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.type} {case.value}")
def test_mariadb_and_its_clients_read_masked_values_of_the_type(
    connection: Any, case: Case
) -> None:
    _keep(connection, case)
    (shape, cell), (binary_shape, binary_cell) = _sent(connection)
    assert cell is not None
    assert binary_cell is not None
    seen: dict[str, bytes] = {}
    for operator in OPERATIONS:
        text = column_mask(shape, operator, KEY)(cell)
        binary = column_mask(binary_shape, operator, KEY)(binary_cell)
        assert (text is None) == (binary is None), operator
        if text is None or binary is None:
            continue
        assert _decoded_text(shape, text) == _decoded_binary(binary_shape, binary), operator
        seen[operator] = text
        stored = _reads(connection, shape, text)
        number = shape.type in (types.FLOAT, types.DOUBLE)
        assert float(stored or b"") == float(text) if number else stored == text, operator
    pseudonyms = [seen.pop(o, None) for o in ("pseudonym(d)", "with_keys(pseudonym(d))")]
    assert (pseudonyms[0] is not None) == case.pseudonym
    assert pseudonyms[0] == pseudonyms[1] != cell
    assert seen.pop("digits", None) != cell
    encoding = "utf-8" if shape.charset == types.BINARY else encoding_of(shape.charset)[0]
    shown = {o: v.decode(encoding) for o, v in seen.items()}
    if shape.type in (types.FLOAT, types.DOUBLE):
        assert {o: float(v) for o, v in shown.items()} == {
            o: float(v) for o, v in case.expected.items()
        }
    else:
        assert shown == case.expected


def test_aiomysql_decodes_with_the_same_table() -> None:
    assert aiomysql_connection.decoders is converters.decoders


JOINED = [
    ("INT", "BIGINT UNSIGNED", "77777"),
    ("TINYINT", "DECIMAL(9,2)", "7"),
    ("INT(9) ZEROFILL", "MEDIUMINT", "512"),
    ("VARCHAR(40)", "TEXT", "'Bob@Example.com'"),
    ("VARCHAR(40) CHARACTER SET latin1", "CHAR(30)", "'Zoé'"),
    ("BINARY(20)", "VARBINARY(40)", "'abc'"),
]


@pytest.mark.parametrize(("one", "other", "value"), JOINED)
def test_a_pseudonym_joins_over_types_and_formats(
    connection: Any, one: str, other: str, value: str
) -> None:
    masked = set()
    for type_ in (one, other):
        _keep(connection, Case(type_, value, {}))
        for shape, cell in _sent(connection):
            assert cell is not None
            pseudonym = column_mask(shape, "pseudonym(d)", KEY)(cell)
            assert pseudonym is not None
            read = _decoded_binary if shape.binary else _decoded_text
            plain = read(shape, pseudonym)
            masked.add(plain.rstrip(b"\0") if isinstance(plain, bytes) else plain)
    assert len(masked) == 1


def test_character_sets_are_those_that_the_server_lists(connection: Any) -> None:
    names = {"utf8mb4": ("utf-8", 4), "utf8mb3": ("utf-8", 3), "latin1": ("cp1252", 1),
             "ascii": ("ascii", 1)}  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, character_set_name FROM information_schema.collation_character_"
                       "set_applicability WHERE id IS NOT NULL")  # fmt: skip
        listed = cursor.fetchall()
    assert len(listed) > 100
    for number, name in listed:
        assert _encoding(number) == names.get(name), (number, name)


def _encoding(number: int) -> tuple[str, int] | None:
    try:
        return encoding_of(number)
    except LookupError:
        return None
