"""Values that a client has bound, as an action has them: what is judged, approved and recorded."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from masking import mysql_types as t
from policies.model import Parameter
from server.protocols.mysql import parameters as p

_WHOLE: Final = frozenset(t.BINARY_SIZES)
_FLOATS: Final = {t.FLOAT: "<f", t.DOUBLE: "<d"}
_TEXTS: Final = frozenset({*t.DECIMALS, *t.STRINGS, t.ENUM, t.SET, t.JSON})


def of_action(parameters: Sequence[p.Parameter]) -> tuple[Parameter, ...]:
    """One for one: numbers as they are written, texts as they are, the rest in its binary form."""
    return tuple(map(_of_action, parameters))


def sent_with(parameters: Sequence[p.Parameter]) -> tuple[p.Parameter, ...]:
    """The same values, those that came beforehand too as parts of the command itself."""
    return tuple(_inline(parameter) for parameter in parameters)


def _inline(parameter: p.Parameter) -> p.Parameter:
    if not parameter.long:
        return parameter
    kind = parameter.kind
    known = kind.type in t.STRINGS or kind.type in t.DECIMALS or kind.type == t.JSON
    shown = kind if known else replace(kind, type=t.VAR_STRING)
    return p.Parameter(shown, parameter.value)


def _of_action(parameter: p.Parameter) -> Parameter:
    kind, value = parameter.kind, parameter.value
    if value is None:
        return Parameter(None, type=kind.type)
    if kind.type in _FLOATS and len(value) == struct.calcsize(_FLOATS[kind.type]):
        (number,) = struct.unpack(_FLOATS[kind.type], value)
        return Parameter(repr(number).encode(), type=kind.type, scalar="float")
    if kind.type in _WHOLE:
        whole = int.from_bytes(value, "little", signed=not kind.unsigned)
        return Parameter(str(whole).encode(), type=kind.type, scalar="integer")
    return Parameter(value, binary=kind.type not in _TEXTS or not _is_text(value), type=kind.type)


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
