"""What holds for masked cells of every type, operator and value, generated, without a server."""

from __future__ import annotations

import random
import struct
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masking.mysql_types import (
    BINARY_SIZES,
    DATETIME,
    DOUBLE,
    JSON,
    LONGLONG,
    NEWDECIMAL,
    STRING,
    TINY,
    UNSIGNED,
    VAR_STRING,
)
from masking.operators import OPERATORS, PseudonymKey
from masking.postgres_types import ELEMENTS, NUMERIC, TEXTS, number_text, numeric_binary
from masking.shapes import ColumnShape, MysqlColumn
from masking.values import column_mask
from masking.values.guards import LARGEST

KEY, OTHER = PseudonymKey(b"k" * 32), PseudonymKey(b"o" * 32)
WRITTEN = [*OPERATORS, "constant(1)", "constant(2001-02-03)", "constant(true)", "keep_last(2)",
           "constant(6ba7b810-9dad-11d1-80b4-00c04fd430c8)", "constant(10.0.0.1)"]  # fmt: skip
POSTGRES = sorted({*TEXTS, *ELEMENTS, *ELEMENTS.values(), 16, 18, 20, 21, 23, 26, 114, 142, 700,
                   701, 790, 1082, 1114, 1184, 1186, 1266, 1700, 2950, 3614, 3802, 3904,
                   99999})  # fmt: skip
MYSQL = [*range(17), *range(242, 256)]


@st.composite
def _columns(draw: st.DrawFn) -> ColumnShape | MysqlColumn:
    binary = draw(st.booleans())
    if draw(st.booleans()):
        return ColumnShape("a", draw(st.sampled_from(POSTGRES)), draw(st.integers(-1, 40)), binary)
    flags = draw(st.sampled_from([0, 32, 64, 96, 256, 2048]))
    charset = draw(st.sampled_from([8, 33, 45, 63, 255, 9999]))
    length = draw(st.integers(0, 80))
    return MysqlColumn("a", draw(st.sampled_from(MYSQL)), flags, charset, length, 2, binary)


def _never_lets_through(shape: ColumnShape | MysqlColumn, operator: str, junk: bytes) -> None:
    mask = column_mask(shape, operator, KEY)
    secret = b"\xffa secret of many bytes" + junk
    assert b"secret" not in (mask(secret) or b"")
    assert secret not in (mask(secret[1:]) or b"")
    mask(junk)
    mask(b"")


@pytest.mark.parametrize("operator", WRITTEN)
@settings(max_examples=25)
@given(shape=_columns(), junk=st.binary(max_size=40))
def test_a_mask_never_raises_and_never_lets_what_it_can_not_read_through(
    operator: str, shape: ColumnShape | MysqlColumn, junk: bytes
) -> None:
    _never_lets_through(shape, operator, junk)


@pytest.mark.full
@pytest.mark.parametrize("operator", WRITTEN)
@settings(max_examples=500, deadline=None)
@given(shape=_columns(), junk=st.binary(max_size=200))
def test_a_mask_never_raises_on_any_of_many_cells(
    operator: str, shape: ColumnShape | MysqlColumn, junk: bytes
) -> None:
    _never_lets_through(shape, operator, junk)


@pytest.mark.parametrize("operator", ["pseudonym(d)", "keep_last(4)", "digits"])
def test_a_cell_too_large_to_be_looked_into_is_null_and_a_constant_stays_one(operator: str) -> None:
    cell = b"1" * (LARGEST + 1)
    assert column_mask(ColumnShape("a", 25), operator, KEY)(cell) is None
    assert column_mask(ColumnShape("a", 25), operator, KEY)(cell[1:]) is not None
    assert column_mask(ColumnShape("a", 25), "redact", KEY)(cell) == b"<redacted>"


INTEGERS = [(21, "!h"), (23, "!i"), (20, "!q"), (26, "!I")]


@pytest.mark.parametrize("operator", ["pseudonym(d)", "digits"])
@pytest.mark.parametrize(("type_", "layout"), INTEGERS)
@given(data=st.data())
def test_integers_keep_sign_and_length_are_never_shared_and_never_left(
    type_: int, layout: str, operator: str, data: st.DataObject
) -> None:
    bits = 8 * struct.calcsize(layout)
    least, most = (0, 2**bits - 1) if layout == "!I" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    a, b = data.draw(st.integers(least, most)), data.draw(st.integers(least, most))
    text = column_mask(ColumnShape("id", type_), operator, KEY)
    binary = column_mask(ColumnShape("id", type_, binary=True), operator, KEY)
    masked = [text(b"%d" % n) or b"" for n in (a, b)]
    assert [len(m) for m in masked] == [len(str(n)) for n in (a, b)]
    assert masked[0] != b"%d" % a
    assert (masked[0] == masked[1]) == (a == b)
    assert binary(struct.pack(layout, a)) == struct.pack(layout, int(masked[0]))


@pytest.mark.parametrize(("first", "last"), [(0, 10), (100, 1000), (-99, -9), (32_000, 33_000)])
def test_integer_pseudonyms_permute_numbers_of_one_length(first: int, last: int) -> None:
    mask = column_mask(ColumnShape("id", 20), "pseudonym(d)", KEY)
    masked = [int(mask(b"%d" % n) or b"") for n in range(first, last)]
    assert len(set(masked)) == last - first
    assert (set(masked) == set(range(first, last))) == (first != 32_000)
    assert max(masked[:768]) < 32_768 or first != 32_000  # what fits an int2 goes on fitting it


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12),
                   max_value=10**12))  # fmt: skip
def test_numerics_keep_sign_scale_and_length_and_join_at_any_scale(value: object) -> None:
    written = f"{value:f}"
    text = column_mask(ColumnShape("a", NUMERIC), "pseudonym(d)", KEY)
    binary = column_mask(ColumnShape("a", NUMERIC, binary=True), "pseudonym(d)", KEY)
    masked = (text(written.encode()) or b"").decode()
    plain = "0.0000" if written == "-0.0000" else written
    assert (len(masked), masked.startswith("-")) == (len(plain), plain.startswith("-"))
    assert masked != plain
    assert number_text(NUMERIC, binary(numeric_binary(written)) or b"", binary=True) == masked
    shorter = written.rstrip("0").rstrip(".")
    assert (text(shorter.encode()) or b"").decode() == masked.rstrip("0").rstrip(".") or (
        masked.rstrip("0").endswith(".")
    )


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3))
def test_binary_numerics_are_read_as_they_are_written(value: object) -> None:
    text = f"{value:f}"
    plain = "0.000" if text == "-0.000" else text
    assert number_text(NUMERIC, numeric_binary(text), binary=True) == plain


def test_fractions_of_one_length_are_never_shared() -> None:
    mask = column_mask(ColumnShape("a", NUMERIC), "pseudonym(d)", KEY)
    masked = [mask(b"%d.%02d" % divmod(n, 100)) for n in range(3000)]
    assert len(set(masked)) == 3000


@given(st.integers(-(2**62), 2**62), st.integers(2, 10**6))
def test_a_bucket_is_the_greatest_multiple_below(value: int, size: int) -> None:
    masked = int(column_mask(ColumnShape("a", 20), f"bucket({size})", KEY)(b"%d" % value) or b"")
    assert masked % size == 0
    assert masked <= value < masked + size


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)), st.integers(-720, 840),
       st.sampled_from(["year", "month", "day"]))  # fmt: skip
def test_a_moment_is_cut_alike_in_both_formats_and_all_zones(
    moment: datetime, minutes: int, operator: str
) -> None:
    zone = timezone(timedelta(minutes=minutes))
    shown = moment.replace(tzinfo=UTC).astimezone(zone).isoformat(" ").encode()
    text = column_mask(ColumnShape("at", 1184), operator, KEY)(shown) or b""
    since = (moment - datetime(2000, 1, 1)) // timedelta(microseconds=1)
    binary = column_mask(ColumnShape("at", 1184, binary=True), operator, KEY)
    (cut,) = struct.unpack("!q", binary(struct.pack("!q", since)) or b"")
    instant = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=cut)
    assert datetime.fromisoformat(text.decode()) == instant
    assert instant.replace(tzinfo=None) <= moment
    assert (instant.hour, instant.minute, instant.microsecond) == (0, 0, 0)


@given(st.dates(date(1, 1, 1), date(9999, 12, 31)), st.sampled_from(["year", "month"]))
def test_a_day_is_cut_alike_in_both_formats(day: date, operator: str) -> None:
    text = column_mask(ColumnShape("on", 1082), operator, KEY)(day.isoformat().encode()) or b""
    since = struct.pack("!i", (day - date(2000, 1, 1)).days)
    binary = column_mask(ColumnShape("on", 1082, binary=True), operator, KEY)(since) or b""
    cut = date.fromisoformat(text.decode())
    assert cut == day.replace(day=1, month=1 if operator == "year" else day.month)
    assert struct.unpack("!i", binary)[0] == (cut - date(2000, 1, 1)).days


def _uuid(n: int) -> bytes:
    return str(uuid.UUID(int=n)).encode()


def _mac(n: int) -> bytes:
    return n.to_bytes(6, "big").hex(":").encode()


def _hex(n: int) -> bytes:
    return b"\\x" + n.to_bytes(9, "big").hex().encode()


VALUES: dict[int, Callable[[int], bytes]] = {
    20: lambda n: b"%d" % n, 25: lambda n: b"user %d" % n, 1700: lambda n: b"%d.25" % n,
    2950: _uuid, 17: _hex, 829: _mac,
    869: lambda n: b"10.%d.%d.%d" % (n >> 16 & 255, n >> 8 & 255, n & 255),
    1016: lambda n: b"{%d}" % n, 3802: lambda n: b'{"id": %d}' % n,
}  # fmt: skip


@pytest.mark.parametrize("type_", VALUES)
def test_pseudonyms_are_one_for_each_value_and_differ_by_domain_and_key(type_: int) -> None:
    chance, shape = random.Random(5), ColumnShape("a", type_)
    cells = [VALUES[type_](chance.randrange(2**24)) for _ in range(400)]
    masks = [column_mask(shape, "pseudonym(d)", KEY), column_mask(shape, "pseudonym(e)", KEY),
             column_mask(shape, "pseudonym(d)", OTHER)]  # fmt: skip
    masked = [[mask(cell) for cell in cells] for mask in masks]
    for one in masked:
        assert None not in one
        assert len(set(one)) == len(set(cells))
        assert not set(one) & set(cells)
    again = column_mask(shape, "pseudonym(d)", KEY)
    assert [again(cell) for cell in cells] == masked[0]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        pairs = zip(masked[one], masked[other], strict=True)
        assert sum(a == b for a, b in pairs) == 0


@given(st.integers(-(2**63), 2**64 - 1), st.sampled_from(["pseudonym(d)", "digits", "bucket(10)"]))
def test_integers_of_mysql_are_masked_as_those_of_postgresql(value: int, operator: str) -> None:
    unsigned = value > 2**63 - 1
    shape = MysqlColumn("id", LONGLONG, UNSIGNED if unsigned else 0)
    text = column_mask(shape, operator, KEY)(b"%d" % value)
    sent = MysqlColumn("id", LONGLONG, shape.flags, binary=True)
    cell = value.to_bytes(8, "little", signed=not unsigned)
    binary = column_mask(sent, operator, KEY)(cell)
    if text is None:
        assert (binary, operator) == (None, "bucket(10)")
        return
    assert int.from_bytes(binary or b"", "little", signed=not unsigned) == int(text)
    if -(2**63) <= value < 2**63:
        assert column_mask(ColumnShape("id", 20), operator, KEY)(b"%d" % value) == text


def test_mysqls_smallest_integers_stay_in_their_range() -> None:
    for flags, least, most in ((0, -128, 127), (UNSIGNED, 0, 255)):
        mask = column_mask(MysqlColumn("t", TINY, flags), "pseudonym(d)", KEY)
        masked = [int(mask(b"%d" % n) or b"") for n in range(least, most + 1)]
        assert sorted(masked) == list(range(least, most + 1))
    assert BINARY_SIZES[TINY] == 1


@pytest.mark.parametrize(
    ("shape", "cell", "operator", "masked"),
    [
        (MysqlColumn("a", VAR_STRING, length=80), b"4111111111111234", "keep_last(4)",
         b"************1234"),
        (MysqlColumn("a", VAR_STRING, charset=8, length=20), "José Älg é".encode("latin-1"),
         "keep_last(1)", "**** *** é".encode("latin-1")),
        (MysqlColumn("a", VAR_STRING, charset=45, length=16), b"bob", "redact", b"<red"),
        (MysqlColumn("a", VAR_STRING, charset=13, length=16), b"bob", "redact", None),
        (MysqlColumn("a", STRING, charset=63, length=12), b"bob\0\0\0\0\0\0\0\0\0", "redact",
         b"<redacted>\0\0"),
        (MysqlColumn("a", JSON), b'{"a": 1}', "redact", b'"<redacted>"'),
        (MysqlColumn("a", NEWDECIMAL, length=7, decimals=2), b"123.45", "bucket(10)", b"120.00"),
        (MysqlColumn("a", DATETIME, decimals=3), b"1987-05-17 01:02:03.456", "day",
         b"1987-05-17 00:00:00.000"),
        (MysqlColumn("a", DATETIME), b"0000-00-00 00:00:00", "year", None),
        (MysqlColumn("a", DATETIME, binary=True), b"", "year", None),
        (MysqlColumn("a", DATETIME, binary=True), b"\xc3\x07\x05\x11\x01\x02\x03", "month",
         b"\xc3\x07\x05\x01"),
        (MysqlColumn("a", DOUBLE, binary=True), struct.pack("<d", 123.5), "bucket(100)",
         struct.pack("<d", 100.0)),
    ],
)  # fmt: skip
def test_cells_of_mysql(
    shape: MysqlColumn, cell: bytes, operator: str, masked: bytes | None
) -> None:
    assert column_mask(shape, operator, KEY)(cell) == masked


CONSTANTS = [
    (1083, "04:05:06.7", b"04:05:06.700000", struct.pack("!q", 14_706_700_000)),
    (1083, "04:05:06+02", None, None),
    (1266, "04:05:06-03:30", b"04:05:06-03:30", struct.pack("!qi", 14_706_000_000, 12_600)),
    (1186, "3 days", b"3 days 00:00:00", struct.pack("!qii", 0, 3, 0)),
    (1186, "1 day -04:05:06", b"1 day -04:05:06", struct.pack("!qii", -14_706_000_000, 1, 0)),
    (1186, "", None, None),
    (1186, "a while", None, None),
    (16, "T", b"t", b"\1"),
    (16, "yes", None, None),
    (18, "ab", None, None),
    (1562, "101", b"101", b"\0\0\0\3\xa0"),
    (1562, "102", None, None),
    (650, "10.0.0.1/8", None, None),
    (829, "08:00:2B:01:02:03", b"08:00:2b:01:02:03", b"\x08\0\x2b\1\2\3"),
    (829, "08:00", None, None),
    (1114, "2001-02-03 04:05:06+00", None, None),
    (1184, "2001-02-03 04:05:06+01", b"2001-02-03 04:05:06+01",
     struct.pack("!q", 34_484_706_000_000)),
    (21, "40000", None, None),
    (701, "inf", None, None),
    (1700, "1e5", None, None),
]  # fmt: skip


@pytest.mark.parametrize(("type_", "value", "text", "binary"), CONSTANTS)
def test_a_constant_is_a_value_of_the_type_or_null(
    type_: int, value: str, text: bytes | None, binary: bytes | None
) -> None:
    operator = f"constant({value})"
    assert column_mask(ColumnShape("a", type_), operator, KEY)(b"unreadable") == text
    assert column_mask(ColumnShape("a", type_, binary=True), operator, KEY)(b"\xff") == binary


def test_an_operator_that_does_not_exist_is_refused_when_planning() -> None:
    with pytest.raises(ValueError, match="write null"):
        column_mask(ColumnShape("a", 25), "scramble", KEY)
