"""Typed masks, judged by PostgreSQL: it must take what we send for a value of the type."""

from __future__ import annotations

import asyncio
import io
import struct
from dataclasses import dataclass

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masking.operators import OPERATORS, PseudonymKey
from masking.postgres_types import HARMLESS, NUMERIC, TEXTS, number_text, numeric_binary
from masking.shapes import ColumnShape
from masking.values import column_mask
from tests.fixtures.postgres import PostgresServer

KEY = PseudonymKey(b"k" * 32)
OPERATIONS = ["null", "constant(x)", "constant(1)", "constant(true)", "redact", "keep_last(2)",
              "email", "year", "pseudonym(d)", "constant(2001-02-03)",
              "constant(6ba7b810-9dad-11d1-80b4-00c04fd430c8)"]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """A type, a value of it, and for the operators that leave something: what PostgreSQL reads."""

    type: str
    value: str
    expected: dict[str, str]


CONSTANT_TEXT = {f: f[9:-1] for f in OPERATIONS if f.startswith("constant")}
BRACED = "constant(6ba7b810-9dad-11d1-80b4-00c04fd430c8)"

CASES = [
    Case("text", "bob@example.com",
         {**CONSTANT_TEXT, "redact": "<redacted>", "email": "***@example.com",
          "keep_last(2)": "***@*******.*om", "year": "<redacted>"}),
    Case("varchar(5)", "abcde",
         {**{k: v[:5] for k, v in CONSTANT_TEXT.items()}, "redact": "<reda", "email": "<reda",
          "keep_last(2)": "***de", "year": "<reda"}),
    Case("char(6)", "abcde",
         {**{k: v[:6].ljust(6) for k, v in CONSTANT_TEXT.items()}, "redact": "<redac",
          "email": "<redac", "keep_last(2)": "***de ", "year": "<redac"}),
    Case("name", "abcde",
         {**CONSTANT_TEXT, "redact": "<redacted>", "email": "<redacted>",
          "keep_last(2)": "***de", "year": "<redacted>"}),
    Case("int2", "12345", {"constant(1)": "1"}),
    Case("int4", "-98765", {"constant(1)": "1"}),
    Case("int8", "9223372036854775807", {"constant(1)": "1"}),
    Case("numeric", "1234.5600", {"constant(1)": "1"}),
    Case("float4", "1.5", {"constant(1)": "1"}),
    Case("float8", "-1e300", {"constant(1)": "1"}),
    Case("bool", "f", {"constant(true)": "true"}),
    Case("date", "1987-05-17", {"year": "1987-01-01", "constant(2001-02-03)": "2001-02-03"}),
    Case("date", "1850-12-31", {"year": "1850-01-01", "constant(2001-02-03)": "2001-02-03"}),
    Case("date", "infinity", {"constant(2001-02-03)": "2001-02-03"}),
    Case("timestamp", "1987-05-17 03:04:05.6", {"year": "1987-01-01 00:00:00"}),
    Case("timestamp", "-infinity", {}),
    Case("timestamptz", "1987-05-17 03:04:05+00", {"year": "1987-01-01 00:00:00+00"}),
    Case("uuid", "d3ac94af-0f21-4db6-acad-4a268d116ece", {BRACED: BRACED[9:-1]}),
    Case("json", '{"a": 1}',
         {**{k: f'"{v}"' for k, v in CONSTANT_TEXT.items()}, "redact": '"<redacted>"'}),
    Case("jsonb", '{"a": 1}',
         {**{k: f'"{v}"' for k, v in CONSTANT_TEXT.items()}, "redact": '"<redacted>"'}),
    Case("bytea", "\\x00ff", {}),
    Case("inet", "10.0.0.1", {}),
    Case("int4[]", "{1,2}", {}),
    Case("text[]", "{a,b}", {}),
    Case("interval", "1 day", {}),
    Case("int4range", "[1,3)", {}),
    Case("point", "(1,2)", {}),
]  # fmt: skip

PSEUDONYMS = {"text", "name", "int2", "int4", "int8", "uuid"}


@dataclass(frozen=True, slots=True)
class Stored:
    shape: ColumnShape
    text: bytes
    binary: bytes


class Server:
    """What PostgreSQL sends for a value, and what it reads in what we send."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def stored(self) -> Stored:
        row = await self._connection.fetchrow(
            "SELECT atttypid::int AS type, atttypmod AS modifier FROM pg_attribute "
            "WHERE attrelid = 'one'::regclass AND attnum = 1"
        )
        assert row is not None
        sent = io.BytesIO()
        await self._connection.copy_from_table("one", output=sent, format="binary")
        (length,) = struct.unpack_from("!i", sent.getvalue(), 21)
        shape = ColumnShape("value", row["type"], row["modifier"])
        shown = await self._connection.fetchval("SELECT format('%s', value) FROM one")
        return Stored(shape, shown.encode(), sent.getvalue()[25 : 25 + length])

    async def keep(self, type_: str, value: str) -> None:
        await self._connection.execute("DROP TABLE IF EXISTS one")
        await self._connection.execute(f"CREATE TEMP TABLE one (value {type_})")
        await self._connection.execute(f"INSERT INTO one SELECT $1::text::{type_}", value)

    async def reads_text(self, type_: str, cell: bytes) -> str:
        text: str = await self._connection.fetchval(
            f"SELECT format('%s', $1::text::{type_})", cell.decode()
        )
        return text

    async def reads_binary(self, cell: bytes) -> str:
        await self._connection.execute("TRUNCATE one")
        field = struct.pack("!hi", 1, len(cell)) + cell
        source = b"PGCOPY\n\xff\r\n\0" + bytes(8) + field + b"\xff\xff"
        await self._connection.copy_to_table("one", source=io.BytesIO(source), format="binary")
        text: str = await self._connection.fetchval("SELECT format('%s', value) FROM one")
        return text


async def _read_back(dsn: str, case: Case) -> dict[str, tuple[str | None, str | None]]:
    connection = await asyncpg.connect(dsn, timeout=30)
    try:
        await connection.execute("SET timezone = 'UTC'")
        server, seen = Server(connection), {}
        await server.keep(case.type, case.value)
        stored = await server.stored()
        for operator in OPERATIONS:
            shape = stored.shape
            binary_shape = ColumnShape(shape.name, shape.type, shape.modifier, binary=True)
            text = column_mask(shape, operator, KEY)(stored.text)
            binary = column_mask(binary_shape, operator, KEY)(stored.binary)
            seen[operator] = (
                None if text is None else await server.reads_text(case.type, text),
                None if binary is None else await server.reads_binary(binary),
            )
        return seen
    finally:
        await connection.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.type} {case.value}")
def test_postgresql_reads_masked_values_of_its_types(postgres: PostgresServer, case: Case) -> None:
    seen = asyncio.run(_read_back(postgres.dsn("postgres"), case))
    assert {o for o, (text, binary) in seen.items() if text != binary} == set()
    shown = {o: t.replace("t", "true") if case.type == "bool" else t
             for o, (t, _) in seen.items() if t is not None}  # fmt: skip
    pseudonym = shown.pop("pseudonym(d)", None)
    assert shown == case.expected
    assert (pseudonym is not None) == (case.type in PSEUDONYMS)
    assert pseudonym != case.value


def test_every_operator_is_among_those_read_back() -> None:
    shapes = {o.partition("(")[0] for o in OPERATIONS}
    assert shapes == {o.partition("(")[0] for o in OPERATORS}


TYPES = """
SELECT t.oid::int, t.typname, coalesce(e.typcategory, t.typcategory)::text AS category
FROM pg_type t LEFT JOIN pg_type e ON t.typelem = e.oid AND t.typcategory = 'A'
"""


async def _type_categories(dsn: str) -> dict[int, tuple[str, str]]:
    connection = await asyncpg.connect(dsn, timeout=30)
    try:
        rows = await connection.fetch(TYPES)
        return {row["oid"]: (row["typname"], row["category"]) for row in rows}
    finally:
        await connection.close()


def test_types_that_are_never_searched_hold_no_text(postgres: PostgresServer) -> None:
    types = asyncio.run(_type_categories(postgres.dsn("postgres")))
    held = {types[oid] for oid in HARMLESS if oid in types}
    # B bool, D date and time, G geometry, I network, N number, R range, T time span, V bit string
    odd = {name for name, category in held if category not in "BDGINRTV"}
    assert odd == {
        "char", "_char", "tid", "_tid", "xid", "_xid", "xid8", "_xid8", "cid", "_cid", "uuid",
        "_uuid", "pg_lsn", "_pg_lsn", "macaddr", "_macaddr", "macaddr8", "_macaddr8",
        "txid_snapshot", "_txid_snapshot", "pg_snapshot", "_pg_snapshot",
    }  # fmt: skip
    assert len(held) > 100


def test_an_operator_that_does_not_exist_is_refused_when_planning() -> None:
    with pytest.raises(ValueError, match="no mask operator"):
        column_mask(ColumnShape("a", 25), "scramble", KEY)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("operator", OPERATIONS)
@pytest.mark.parametrize(
    "type_", [*sorted(TEXTS), 16, 20, 700, 1082, 1114, 1184, 1700, 2950, 99999]
)
def test_what_is_no_value_of_its_type_never_comes_out(
    type_: int, operator: str, binary: bool
) -> None:
    mask = column_mask(ColumnShape("a", type_, binary=binary), operator, KEY)
    assert b"\xffsecret" not in (mask(b"\xffsecret") or b"")


@given(st.integers(-(2**31) + 1, 2**31 - 1), st.integers(-(2**31) + 1, 2**31 - 1))
def test_integer_pseudonyms_keep_sign_and_length_and_are_never_shared(a: int, b: int) -> None:
    mask = column_mask(ColumnShape("id", 23), "pseudonym(d)", KEY)
    masked = [mask(str(n).encode()) or b"" for n in (a, b)]
    assert [len(m) for m in masked] == [len(str(n)) for n in (a, b)]
    assert (masked[0] == masked[1]) == (a == b)


def test_integer_pseudonyms_permute_their_range() -> None:
    mask = column_mask(ColumnShape("id", 23), "pseudonym(d)", KEY)
    values = {str(n).encode() for n in range(100, 1000)}
    assert {mask(v) for v in values} == values


def test_a_pseudonym_that_does_not_fit_is_null() -> None:
    shape = ColumnShape("a", 1043, 4 + 9)
    assert column_mask(shape, "pseudonym(d)", KEY)(b"bob") is None


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3))
def test_binary_numerics_are_read_as_they_are_written(value: object) -> None:
    text = f"{value:f}"
    plain = "0.000" if text == "-0.000" else text
    assert number_text(NUMERIC, numeric_binary(text), binary=True) == plain
