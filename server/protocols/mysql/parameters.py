"""Values that a client binds: a statement's parameters and a query's attributes. No I/O.

Source: MySQL's protocol documentation, COM_STMT_EXECUTE, COM_QUERY, "Binary Protocol Value".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from masking import mysql_types as t
from policies.errors import ProtocolError
from server.protocols.mysql import fields
from server.protocols.mysql.fields import FieldReader

MAX_PARAMETERS: Final = 65_535
_FIXED: Final[Mapping[int, int]] = {**t.BINARY_SIZES, t.YEAR: 2, t.FLOAT: 4, t.DOUBLE: 8}
_MOMENTS: Final = frozenset({t.DATE, t.DATETIME, t.TIMESTAMP})
_COUNTED: Final = frozenset(
    {*t.DECIMALS, *t.STRINGS, t.ENUM, t.SET, t.BIT, t.GEOMETRY, t.JSON, t.VECTOR}
)
_UNSIGNED: Final = 0x8000


@dataclass(frozen=True, slots=True)
class Kind:
    """What is said of a parameter besides its value; `type` is one of `masking.mysql_types`."""

    type: int
    unsigned: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True)
class Parameter:
    """`value` in the binary format, without a length in front; None is NULL.

    `long`: the value came beforehand, by COM_STMT_SEND_LONG_DATA.
    """

    kind: Kind
    value: bytes | None
    long: bool = False


def read_types(reader: FieldReader, count: int, *, named: bool) -> tuple[Kind, ...]:
    return tuple([_read_type(reader, named) for _ in range(count)])


def _read_type(reader: FieldReader, named: bool) -> Kind:
    code = reader.number(2)
    if code & ~_UNSIGNED > 0xFF:
        raise ProtocolError("an unknown type of a parameter")
    return Kind(code & 0xFF, bool(code & _UNSIGNED), reader.text() if named else "")


def write_types(parameters: Sequence[Parameter], *, named: bool) -> bytes:
    return b"".join([_write_type(parameter.kind, named) for parameter in parameters])


def _write_type(kind: Kind, named: bool) -> bytes:
    code = fields.number(kind.type | (_UNSIGNED if kind.unsigned else 0), 2)
    return code + fields.text(kind.name) if named else code


def read_values(
    reader: FieldReader,
    nulls: bytes,
    kinds: Sequence[Kind],
    long: Mapping[int, bytes | bytearray] | None = None,
) -> tuple[Parameter, ...]:
    """The values that are neither NULL nor were sent beforehand (`long`: number -> value)."""
    return tuple(
        [_read(reader, nulls, number, kind, long or {}) for number, kind in enumerate(kinds)]
    )


def _read(
    reader: FieldReader,
    nulls: bytes,
    number: int,
    kind: Kind,
    long: Mapping[int, bytes | bytearray],
) -> Parameter:
    if number in long:
        return Parameter(kind, bytes(long[number]), long=True)
    if nulls[number >> 3] >> (number & 7) & 1 or kind.type == t.NULL:
        return Parameter(kind, None)
    size = _FIXED.get(kind.type)
    if size is not None:
        return Parameter(kind, reader.take(size))
    if kind.type in _COUNTED:
        return Parameter(kind, reader.counted())
    if kind.type in _MOMENTS or kind.type == t.TIME:
        size = reader.byte()
        if size not in sizes_of(kind.type):
            raise ProtocolError("a moment has an odd length")
        return Parameter(kind, reader.take(size))
    raise ProtocolError("an unknown type of a parameter")


def sizes_of(kind: int) -> Collection[int]:
    """How long a day, a moment or a time can be."""
    return (0, 8, 12) if kind == t.TIME else (0, 4, 7, 11)


def write_values(parameters: Sequence[Parameter]) -> tuple[bytes, bytes]:
    """The bitmap of NULLs, and the values of those that are none and were not sent beforehand."""
    nulls, values = bytearray((len(parameters) + 7) // 8), []
    for number, parameter in enumerate(parameters):
        if parameter.long:
            continue
        if parameter.value is None:
            nulls[number >> 3] |= 1 << (number & 7)
        else:
            values.append(_write(parameter.kind.type, parameter.value))
    return bytes(nulls), b"".join(values)


def _write(kind: int, value: bytes) -> bytes:
    if kind in _COUNTED:
        return fields.counted(value)
    if kind in _FIXED and len(value) == _FIXED[kind]:
        return value
    if (kind in _MOMENTS or kind == t.TIME) and len(value) in sizes_of(kind):
        return fields.number(len(value), 1) + value
    raise ProtocolError("a value does not have its type's length")
