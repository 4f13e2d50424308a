"""Cells of every kind of type are searched, and written again in a form of their type."""

from __future__ import annotations

import asyncio
import io
import json
import math
import struct
from collections.abc import Sequence

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masking.engine import Scanner
from masking.forms import Findings, Form, form_of
from masking.shapes import ColumnShape
from masking.spans import whole
from tests.fixtures.postgres import PostgresServer

TEXT, VARCHAR, BPCHAR, NAME, INT4, INT8, NUMERIC = 25, 1043, 1042, 19, 23, 20, 1700
JSON, JSONB, BYTEA, XML, BOOL, UUID, FLOAT8, TSVECTOR = 114, 3802, 17, 142, 16, 2950, 701, 3614
TEXTS, INT8S, JSONBS, UNKNOWN_OID = 1009, 1016, 3807, 123_456

MONEY, INT4RANGE = 790, 3904
INT_5 = struct.pack("!ii", 4, 5)
INT_SSN = struct.pack("!ii", 4, 219099991)

MAIL = "bob@example.com"
MASKED = "<EMAIL_ADDRESS>"


def masked(scanner: Scanner, shape: ColumnShape, cell: bytes) -> bytes | None:
    """What the masker delivers for one cell."""
    form = form_of(shape)
    if form is None:
        return cell
    found = scanner.spans(form.texts(cell), shape.name)
    return form.rewrite(cell, found) if any(found) else cell


def binary_array(element: int, values: Sequence[bytes | None]) -> bytes:
    """src/backend/utils/adt/arrayfuncs.c, array_send, one dimension from 1."""
    head = struct.pack("!iiiii", 1, None in values, element, len(values), 1)
    cells = (b"\xff\xff\xff\xff" if v is None else struct.pack("!i", len(v)) + v for v in values)
    return head + b"".join(cells)


@pytest.mark.parametrize(
    ("shape", "cell", "expected"),
    [
        (ColumnShape("a", TEXT), b"to bob@example.com.", b"to <EMAIL_ADDRESS>."),
        (ColumnShape("a", TEXT, binary=True), b"to bob@example.com.", b"to <EMAIL_ADDRESS>."),
        (ColumnShape("a", VARCHAR, 4 + 15), b"bob@example.com", b"<EMAIL_ADDRESS>"),
        (ColumnShape("a", VARCHAR, 4 + 8), b"bob@x.io", b"<EMAIL_A"),
        (ColumnShape("a", BPCHAR, 4 + 10), b"bob@x.io  ", b"<EMAIL_ADD"),
        (ColumnShape("a", UNKNOWN_OID), b"bob@example.com", b"<EMAIL_ADDRESS>"),
        (ColumnShape("a", UNKNOWN_OID, binary=True), b"bob@example.com", None),
        (ColumnShape("a", UNKNOWN_OID, binary=True), b"active", b"active"),
        (ColumnShape("a", UNKNOWN_OID, labels=("bob@example.com",)), b"bob@example.com", None),
        (ColumnShape("a", UNKNOWN_OID, labels=("active",)), b"active", b"active"),
        (ColumnShape("a", UNKNOWN_OID, labels=()), b"{bob@example.com}", None),
        (ColumnShape("a", XML), b"<a>bob@example.com</a>", None),
        (ColumnShape("a", TSVECTOR), b"'bob@example.com':1", None),
        (ColumnShape("phone", INT8), b"4155550134", None),
        (ColumnShape("phone", INT8, binary=True), struct.pack("!q", 4155550134), None),
        (ColumnShape("order_number", INT8), b"4155550134", b"4155550134"),
        (ColumnShape("ssn", INT4), b"45678901", None),
        (ColumnShape("ssn", NUMERIC), b"123456789", None),
        (ColumnShape("card_no", NUMERIC), b"4111111111111111", None),
        (ColumnShape("card_limit", NUMERIC), b"4111.50", b"4111.50"),
        (ColumnShape("phones", INT8S), b"{1,4155550134}", None),
        (ColumnShape("order_ids", INT8S), b"{1,4155550134}", b"{1,4155550134}"),
        (ColumnShape("a", BYTEA), b"\\x" + MAIL.encode().hex().encode(),
         b"\\x" + MASKED.encode().hex().encode()),
        (ColumnShape("a", BYTEA, binary=True), MAIL.encode(), MASKED.encode()),
        (ColumnShape("a", BYTEA, binary=True), b"\xff\xfe " + MAIL.encode(), None),
        (ColumnShape("a", BYTEA, binary=True), b"\xff\xfe\x00", b"\xff\xfe\x00"),
        (ColumnShape("a", BYTEA, binary=True), MAIL.encode("utf-16-le"), None),
        (ColumnShape("a", BYTEA, binary=True), b"\xff\x01" + MAIL.encode("utf-16-be"), None),
        (ColumnShape("a", BYTEA), b"\\x" + MAIL.encode("utf-16").hex().encode(), None),
        (ColumnShape("a", BYTEA), b"bob@example.com\\000", None),
        (ColumnShape("ssn", FLOAT8), b"219099991", None),
        (ColumnShape("ssn", FLOAT8, binary=True), struct.pack("!d", 219099991), None),
        (ColumnShape("card", FLOAT8), b"4.111111111111111e+15", None),
        (ColumnShape("card", FLOAT8), b"0.25", b"0.25"),
        (ColumnShape("ssn", MONEY), b"$219,099,991.00", None),
        (ColumnShape("ssn", MONEY, binary=True), struct.pack("!q", 21909999100), None),
        (ColumnShape("ssn", INT4RANGE), b"[5,219099992)", None),
        (ColumnShape("ssn", INT4RANGE), b"empty", b"empty"),
        (ColumnShape("ssn", INT4RANGE, binary=True), b"\x02" + INT_5 + INT_SSN, None),
        (ColumnShape("ssn", INT4RANGE, binary=True), b"\x12" + INT_SSN, None),
        (ColumnShape("ssn", INT4RANGE, binary=True), b"\x01", b"\x01"),
        (ColumnShape("order", INT4RANGE), b"[5,219099992)", b"[5,219099992)"),
        (ColumnShape("a", UNKNOWN_OID, binary=True), b"\0\0\0\x37xoxb-973033542453-191111309087-"
         b"Yxugn6qQgIcbSHQyLWUiZlbb", None),
        (ColumnShape("a", UNKNOWN_OID, binary=True), b"\0\0\0\x02ok\0\0\0\0",
         b"\0\0\0\x02ok\0\0\0\0"),
        (ColumnShape("a", FLOAT8), b"4111111111111111", b"4111111111111111"),
        (ColumnShape("a", XML), b"<a>bob&#64;example.com</a>", None),
        (ColumnShape("a", XML), b"<a>bob<![CDATA[@]]>example<!-- x -->.com</a>", None),
        (ColumnShape("a", XML), b"<a>fish &amp; chips</a>", b"<a>fish &amp; chips</a>"),
        (ColumnShape("a", BYTEA), rb"mail bob\100example.com\000", None),
        (ColumnShape("a", BYTEA), rb"C:\\users\000", rb"C:\\users\000"),
        (ColumnShape("a", UUID), b"d3ac94af-0f21-4db6-acad-4a268d116ece",
         b"d3ac94af-0f21-4db6-acad-4a268d116ece"),
        (ColumnShape("a", TEXTS), b'{a,bob@example.com,NULL,"x, \\"y\\" eve@example.com"}',
         b'{a,"<EMAIL_ADDRESS>",NULL,"x, \\"y\\" <EMAIL_ADDRESS>"}'),
        (ColumnShape("a", TEXTS), b"[0:1]={{bob@example.com},{b}}",
         b'[0:1]={{"<EMAIL_ADDRESS>"},{b}}'),
        (ColumnShape("a", JSONBS), b'{"{\\"mail\\": \\"bob@example.com\\"}"}', None),
        (ColumnShape("a", TEXTS, binary=True), binary_array(TEXT, [b"a", None, MAIL.encode()]),
         binary_array(TEXT, [b"a", None, MASKED.encode()])),
    ],
)  # fmt: skip
def test_a_cell_is_searched_as_its_type_says(
    scanner: Scanner, shape: ColumnShape, cell: bytes, expected: bytes | None
) -> None:
    assert masked(scanner, shape, cell) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ('{"note": "mail bob@example.com!", "n": 1}', {"note": "mail <EMAIL_ADDRESS>!", "n": 1}),
        ('{"a": "line\\nmail bob@example.com"}', {"a": "line\nmail <EMAIL_ADDRESS>"}),
        ('{"a": "bob\\u0040example.com"}', {"a": "<EMAIL_ADDRESS>"}),
        ('{"bob@example.com": [true, null]}', {"<EMAIL_ADDRESS>": [True, None]}),
        ('{"phone": 4155550134, "n": 1.10}', {"phone": "<PHONE_NUMBER>", "n": 1.1}),
        ('{"password": "correct horse"}', {"password": "<PASSWORD>"}),
        ('{"password": "tab\\there"}', {"password": "<PASSWORD>"}),
        ('["4111111111111111", "x"]', ["<CREDIT_CARD>", "x"]),
        ('"bob@example.com"', "<EMAIL_ADDRESS>"),
        ("4111111111111111", "<CREDIT_CARD>"),
        ('{"card": 4.111111111111111E+15, "n": 1e3}', {"card": "<CREDIT_CARD>", "n": 1000.0}),
        ("[1e999999999, -2.5e-7, 1e99999999999999999999]", [math.inf, -2.5e-7, math.inf]),
    ],
)
@pytest.mark.parametrize(
    ("shape", "version"),
    [
        (ColumnShape("a", JSON), b""),
        (ColumnShape("a", JSONB), b""),
        (ColumnShape("a", JSONB, binary=True), b"\1"),
    ],
)
def test_json_stays_json(
    scanner: Scanner, shape: ColumnShape, version: bytes, document: str, expected: object
) -> None:
    delivered = masked(scanner, shape, version + document.encode()) or b""
    assert delivered.startswith(version)
    assert json.loads(delivered[len(version) :]) == expected


def test_numbers_in_json_keep_their_spelling(scanner: Scanner) -> None:
    document = b'{"a": 1.10, "b": 1e400, "c": 12345678901, "mail": "bob@example.com"}'
    delivered = masked(scanner, ColumnShape("a", JSON), document) or b""
    assert delivered == document.replace(MAIL.encode(), MASKED.encode())


def test_a_document_that_was_not_scanned_is_one_placeholder() -> None:
    form = form_of(ColumnShape("a", JSON))
    assert form is not None
    raw = '{"a": "b", "c": 1}'
    assert form.rewrite(raw.encode(), [whole(raw)]) == b'"<NOT_SCANNED>"'


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8) | st.sampled_from([MAIL, 'a\n"b" bob@example.com', "4111111111111111"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner,
                                                                max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(value=_json, escaped=st.booleans())
def test_any_json_stays_json_without_the_address(
    scanner: Scanner, value: object, escaped: bool
) -> None:
    document = json.dumps(value, ensure_ascii=escaped).encode("utf-8", "replace")
    delivered = masked(scanner, ColumnShape("a", JSON), document) or b""
    assert MAIL not in json.dumps(json.loads(delivered))


def _not_scanned(form: Form, cell: bytes) -> bytes | None:
    found: Findings = [whole(text) for text in form.texts(cell)]
    return form.rewrite(cell, found)


VALUES = [
    ("text", "bob@example.com, 'eve'"),
    ("varchar(20)", "bob@example.com"),
    ("char(20)", "bob@example.com"),
    ("name", "bob@example.com"),
    ("json", '{"mail": ["bob@example.com", 1, "\\u0040"]}'),
    ("jsonb", '{"mail": ["bob@example.com", 1], "bob@example.com": null}'),
    ("bytea", "bob@example.com"),
    ("text[]", '{bob@example.com,"a \\"b\\" bob@example.com",NULL}'),
    ("varchar(16)[]", "{{bob@example.com,x},{y,z}}"),
    ("citext_like", "bob@example.com"),
]


async def _delivered(dsn: str, scanner: Scanner, type_: str, value: str) -> list[str | None]:
    """What PostgreSQL reads in a masked cell: in text, in binary, and if it was not scanned."""
    connection = await asyncpg.connect(dsn, timeout=30)
    try:
        await connection.execute("CREATE DOMAIN pg_temp.citext_like AS text")
        await connection.execute("SET search_path = pg_temp, public")
        await connection.execute(f"CREATE TEMP TABLE one (value {type_})")
        await connection.execute(f"INSERT INTO one SELECT $1::text::{type_}", value)
        row = await connection.fetchrow(
            "SELECT coalesce(nullif(typbasetype, 0), atttypid)::int AS type, atttypmod AS modifier,"
            " (SELECT format('%s', value) FROM one) AS text"
            " FROM pg_attribute JOIN pg_type ON atttypid = pg_type.oid"
            " WHERE attrelid = 'one'::regclass AND attnum = 1"
        )
        assert row is not None
        sent = io.BytesIO()
        await connection.copy_from_table("one", output=sent, format="binary")
        (length,) = struct.unpack_from("!i", sent.getvalue(), 21)
        shape = ColumnShape("value", row["type"], row["modifier"])
        binary = ColumnShape("value", row["type"], row["modifier"], binary=True)
        form = form_of(shape)
        assert form is not None
        raw = row["text"].encode()
        cells = [masked(scanner, shape, raw), _not_scanned(form, raw)]
        read = [
            await connection.fetchval(f"SELECT format('%s', $1::text::{type_})", c and c.decode())
            for c in cells
        ]
        cell = masked(scanner, binary, sent.getvalue()[25 : 25 + length])
        assert cell is not None
        await connection.execute("TRUNCATE one")
        source = b"PGCOPY\n\xff\r\n\0" + bytes(8) + struct.pack("!hi", 1, len(cell)) + cell
        await connection.copy_to_table(
            "one", source=io.BytesIO(source + b"\xff\xff"), format="binary"
        )
        return [*read, await connection.fetchval("SELECT format('%s', value) FROM one")]
    finally:
        await connection.close()


@pytest.mark.parametrize(("type_", "value"), VALUES, ids=[t for t, _ in VALUES])
def test_postgresql_reads_searched_values_of_its_types(
    postgres: PostgresServer, scanner: Scanner, type_: str, value: str
) -> None:
    delivered = asyncio.run(_delivered(postgres.dsn("postgres"), scanner, type_, value))
    text, not_scanned, binary = delivered
    assert text == binary
    assert MAIL not in str(delivered)
    assert MAIL.encode().hex() not in str(delivered)
    assert not_scanned is not None
