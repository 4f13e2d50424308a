"""A call's values as parameters of a prepared statement: bound, never written into its text."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from masking import mysql_types as t
from policies.model import Parameter
from server.protocols.mysql import parameters as p
from server.protocols.mysql.commands import StmtExecute
from server.protocols.mysql.statements import written

_NO_CAPABILITIES: Final = 0  # none that shapes the values was agreed on
_SIGNED: Final = 1 << 63
_UNSIGNED: Final = 1 << 64


def bound(statement: int, values: Sequence[Parameter]) -> StmtExecute:
    """The command that runs a prepared statement once with these values."""
    return written(StmtExecute(statement), tuple(map(_parameter, values)), _NO_CAPABILITIES)


def _parameter(value: Parameter) -> p.Parameter:
    if value.value is None:
        return p.Parameter(p.Kind(t.NULL), None)
    match value.scalar:
        case "integer":
            return _integer(int(value.value), value.value)
        case "float":
            return p.Parameter(p.Kind(t.DOUBLE), struct.pack("<d", float(value.value)))
        case "boolean":
            return p.Parameter(p.Kind(t.TINY), b"\x01" if value.value == b"true" else b"\0")
        case _:
            return p.Parameter(p.Kind(t.VAR_STRING), value.value)


def _integer(number: int, text: bytes) -> p.Parameter:
    """Eight bytes where it fits; a longer one as a decimal."""
    if -_SIGNED <= number < _SIGNED:
        return p.Parameter(p.Kind(t.LONGLONG), number.to_bytes(8, "little", signed=True))
    if 0 <= number < _UNSIGNED:
        return p.Parameter(p.Kind(t.LONGLONG, unsigned=True), number.to_bytes(8, "little"))
    return p.Parameter(p.Kind(t.NEWDECIMAL), text)
