"""PostgreSQL's types in text and binary format, and the masks of their values.

Text format is the server's with `DateStyle` ISO; dates in another become NULL. Sources: the *_out
and *_send functions of src/backend/utils/adt.
"""

from __future__ import annotations

import re
import struct
import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Final

from masking.operators import Constant, Operator, PseudonymKey
from masking.postgres_types import (
    BIT,
    BOOL,
    BYTEA,
    CHAR,
    CIDR,
    DATE,
    ELEMENTS,
    FLOAT4,
    FLOAT8,
    INET,
    INT2,
    INT4,
    INT8,
    INTERVAL,
    JSON,
    JSONB,
    MACADDR,
    MACADDR8,
    NUMERIC,
    OID,
    TEXTS,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    TIMETZ,
    UUID,
    VARBIT,
    XML,
    number_text,
    numeric_binary,
)
from masking.shapes import ColumnShape
from masking.values.arrays import binary_array_mask, text_array_mask
from masking.values.cells import Form
from masking.values.documents import document_mask
from masking.values.guards import Always, CellMask
from masking.values.numbers import Decimal, Limits, decimal_mask, float_mask, integer_mask
from masking.values.plain import (
    Network,
    bytes_mask,
    day_mask,
    hardware_address,
    hardware_mask,
    moment_mask,
    network_mask,
    uuid_mask,
)
from masking.values.postgres_constants import (
    bit_string,
    boolean,
    interval,
    one_character,
    time_of_day,
)
from masking.values.postgres_texts import enum_mask, texts_mask, xml_mask

_INTEGERS: Final = {
    INT2: ("!h", Limits.signed(16)),
    INT4: ("!i", Limits.signed(32)),
    INT8: ("!q", Limits.signed(64)),
    OID: ("!I", Limits.unsigned(32)),
}
_CONSTANTS: Final = {
    BOOL: boolean, CHAR: one_character, TIME: time_of_day, TIMETZ: time_of_day,
    INTERVAL: interval, BIT: bit_string, VARBIT: bit_string,
}  # fmt: skip
"""Types that have constants, and no operator that depends on the value."""


def postgres_mask(shape: ColumnShape, key: PseudonymKey, operator: Operator) -> CellMask | None:
    """The mask of a column, or None where nothing is ever left of its cells.

    Raises ValueError and the like for a constant that the type doesn't have.
    """
    if shape.type in TEXTS:
        return texts_mask(shape, operator, key)
    if shape.type in ELEMENTS:
        return _array_mask(shape, key, operator)
    if shape.type in _CONSTANTS:
        constant = operator.value.strip() if isinstance(operator, Constant) else None
        return None if constant is None else Always(_CONSTANTS[shape.type](shape, constant))
    mask = _number_mask(shape, key, operator) or _moment_mask(shape, operator)
    return mask or _other_mask(shape, key, operator)


def _array_mask(shape: ColumnShape, key: PseudonymKey, operator: Operator) -> CellMask | None:
    element = ColumnShape(shape.name, ELEMENTS[shape.type], shape.modifier, shape.binary)
    mask = postgres_mask(element, key, operator)
    if mask is None:
        return None
    return binary_array_mask(mask, element.type) if shape.binary else text_array_mask(mask)


def _number_mask(shape: ColumnShape, key: PseudonymKey, operator: Operator) -> CellMask | None:
    if shape.type in _INTEGERS:
        layout, limits = _INTEGERS[shape.type]
        integers = binary_integers(layout) if shape.binary else TEXT_INTEGERS
        return integers.masked(integer_mask(operator, key, limits))
    if shape.type == NUMERIC:
        decimals = _BINARY_DECIMALS if shape.binary else TEXT_DECIMALS
        return decimals.masked(decimal_mask(operator, key, _precision(shape.modifier)))
    if shape.type in (FLOAT4, FLOAT8):
        layout = "!f" if shape.type == FLOAT4 else "!d"
        floats = binary_floats(layout) if shape.binary else text_floats(layout)
        return floats.masked(float_mask(operator))
    return None


def _precision(modifier: int) -> tuple[int, int] | None:
    """Raises ValueError for a scale below zero, which rounds to tens and hundreds."""
    if modifier < 4:
        return None
    scale = (modifier - 4 & 0x7FF ^ 0x400) - 0x400
    if scale < 0:
        raise ValueError("a scale below zero")
    return modifier - 4 >> 16 & 0xFFFF, scale


def _moment_mask(shape: ColumnShape, operator: Operator) -> CellMask | None:
    match shape.type:
        case t if t == DATE:
            return (_BINARY_DAYS if shape.binary else TEXT_DAYS).masked(day_mask(operator))
        case t if t == TIMESTAMP:
            form = _BINARY_MOMENTS if shape.binary else _TEXT_MOMENTS
            return form.masked(moment_mask(operator, None))
        case t if t == TIMESTAMPTZ:
            form = _BINARY_INSTANTS if shape.binary else _TEXT_INSTANTS
            return form.masked(moment_mask(operator, UTC))
        case _:
            return None


def _other_mask(shape: ColumnShape, key: PseudonymKey, operator: Operator) -> CellMask | None:
    match shape.type:
        case t if t == UUID:
            return (_BINARY_UUIDS if shape.binary else _TEXT_UUIDS).masked(uuid_mask(operator, key))
        case t if t in (JSON, JSONB):
            versioned = shape.binary and shape.type == JSONB
            form = _VERSIONED_DOCUMENTS if versioned else DOCUMENTS
            return form.masked(document_mask(operator, key))
        case t if t == BYTEA:
            return (BYTES if shape.binary else _TEXT_BYTES).masked(bytes_mask(operator, key))
        case t if t in (INET, CIDR):
            return _networks(shape).masked(network_mask(operator, key))
        case t if t in (MACADDR, MACADDR8):
            size = 6 if shape.type == MACADDR else 8
            return _hardware(shape, size).masked(hardware_mask(operator, key, size))
        case t if t == XML:
            return xml_mask(operator, key)
        case _:
            return enum_mask(shape, operator)


_INTEGER: Final = re.compile(rb"-?[0-9]{1,40}")


def _read_integer(cell: bytes) -> int:
    if not _INTEGER.fullmatch(cell):
        raise ValueError("not an integer")
    return int(cell)


TEXT_INTEGERS: Final = Form(_read_integer, lambda value: b"%d" % value)
TEXT_DECIMALS: Final = Form(
    lambda cell: Decimal.parsed(cell.decode("ascii")), lambda value: str(value).encode()
)
_BINARY_DECIMALS: Final = Form(
    lambda cell: Decimal.parsed(number_text(NUMERIC, cell, binary=True)),
    lambda value: numeric_binary(str(value)),
)


def binary_integers(layout: str) -> Form[int]:
    form = struct.Struct(layout)
    return Form(lambda cell: int(form.unpack(cell)[0]), form.pack)


def binary_floats(layout: str) -> Form[float]:
    form = struct.Struct(layout)
    return Form(lambda cell: float(form.unpack(cell)[0]), form.pack)


def text_floats(layout: str) -> Form[float]:
    """Floating point in digits, rounded as the binary form of the same value is."""
    form = struct.Struct(layout)
    return Form(float, lambda value: repr(float(form.unpack(form.pack(value))[0])).encode())


_EPOCH: Final = datetime(2000, 1, 1)
_ISO_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ISO_MOMENT: Final = re.compile(rf"{_ISO_DAY.pattern}[ T][0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}\S*")
_MICROSECOND: Final = timedelta(microseconds=1)


def _read_day(cell: bytes) -> date:
    text = cell.decode("ascii")
    if not _ISO_DAY.fullmatch(text):
        raise ValueError("not a day")
    return date.fromisoformat(text)


def read_moment(cell: bytes) -> datetime:
    """A moment as PostgreSQL and MySQL print it, with its offset if it has one."""
    text = cell.decode("ascii")
    if not _ISO_MOMENT.fullmatch(text):
        raise ValueError("not a moment")
    return datetime.fromisoformat(text)


def _read_local(cell: bytes) -> datetime:
    moment = read_moment(cell)
    if moment.tzinfo is not None:
        raise ValueError("an offset where there is none")
    return moment


def _read_instant(cell: bytes) -> datetime:
    moment = read_moment(cell)
    if moment.tzinfo is None:
        raise ValueError("no offset")
    return moment


def _write_moment(moment: datetime) -> bytes:
    return re.sub(r"([+-]\d\d):00$", r"\1", moment.isoformat(" ")).encode()


def _binary_day(value: date) -> bytes:
    return struct.pack("!i", (value - _EPOCH.date()).days)


def _binary_moment(moment: datetime) -> bytes:
    naive = moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    return struct.pack("!q", (naive - _EPOCH) // _MICROSECOND)


def _moment_of(cell: bytes) -> datetime:
    return _EPOCH + timedelta(microseconds=struct.unpack("!q", cell)[0])


TEXT_DAYS: Final = Form(_read_day, lambda day: day.isoformat().encode())
_BINARY_DAYS: Final = Form(
    lambda cell: _EPOCH.date() + timedelta(days=struct.unpack("!i", cell)[0]), _binary_day
)
_TEXT_MOMENTS: Final = Form(_read_local, _write_moment)
_BINARY_MOMENTS: Final = Form(_moment_of, _binary_moment)
_TEXT_INSTANTS: Final = Form(_read_instant, _write_moment)
_BINARY_INSTANTS: Final = Form(lambda cell: _moment_of(cell).replace(tzinfo=UTC), _binary_moment)
_TEXT_UUIDS: Final = Form(
    lambda cell: uuid.UUID(cell.decode("ascii")), lambda value: str(value).encode()
)
_BINARY_UUIDS: Final = Form(lambda cell: uuid.UUID(bytes=cell), lambda value: value.bytes)
DOCUMENTS: Final = Form(bytes.decode, str.encode)


def _read_versioned(cell: bytes) -> str:
    if cell[:1] != b"\1":
        raise ValueError("a jsonb of another version")
    return cell[1:].decode()


_VERSIONED_DOCUMENTS: Final = Form(_read_versioned, lambda document: b"\1" + document.encode())
BYTES: Final = Form(bytes, bytes)
_OCTET: Final = re.compile(rb"\\(\\|[0-3][0-7]{2})")


def _read_bytes(cell: bytes) -> bytes:
    """Hexadecimal digits, or the old escape format."""
    if cell.startswith(b"\\x"):
        return bytes.fromhex(cell[2:].decode("ascii"))
    return _OCTET.sub(lambda m: m[1] if m[1] == b"\\" else bytes([int(m[1], 8)]), cell)


_TEXT_BYTES: Final = Form(_read_bytes, lambda value: b"\\x" + value.hex().encode())


def _networks(shape: ColumnShape) -> Form[Network]:
    strict = shape.type == CIDR

    def checked(network: Network) -> Network:
        if strict and network.address & ((1 << network.bits - network.prefix) - 1):
            raise ValueError("a network with a host")
        return network

    def write_text(value: Network) -> bytes:
        text = str(checked(value))
        return (text if strict or value.prefix < value.bits else text.partition("/")[0]).encode()

    def write_binary(value: Network) -> bytes:
        size = checked(value).bits // 8
        head = bytes([2 if size == 4 else 3, value.prefix, strict, size])
        return head + value.address.to_bytes(size, "big")

    def read_text(cell: bytes) -> Network:
        return checked(Network.parsed(cell.decode("ascii")))

    return Form(_read_network, write_binary) if shape.binary else Form(read_text, write_text)


def _read_network(cell: bytes) -> Network:
    family, prefix, _, size = struct.unpack_from("!4B", cell)
    if (family, size) not in ((2, 4), (3, 16)) or len(cell) != 4 + size or prefix > size * 8:
        raise ValueError("not an address")
    return Network(int.from_bytes(cell[4:], "big"), prefix, size * 8)


def _hardware(shape: ColumnShape, size: int) -> Form[bytes]:
    def read_binary(cell: bytes) -> bytes:
        if len(cell) != size:
            raise ValueError("a hardware address of the wrong length")
        return cell

    def read_text(cell: bytes) -> bytes:
        return hardware_address(cell.decode("ascii"), size)

    if shape.binary:
        return Form(read_binary, bytes)
    return Form(read_text, lambda value: value.hex(":").encode())
