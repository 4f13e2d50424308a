"""A result's columns as events have them, and as the protocol defines them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from recordings.events import Column, Columns, Origin, Outcome
from recordings.mysql_rows import TEXT, binary_name
from server.protocols.mysql.answers import Change, ColumnDefinition, Ok

_SHORT: Final = 256
"""Definitions of so many bytes at most are remembered."""


def column_of(definition: ColumnDefinition, *, binary: bool) -> Column:
    """A column; what it is from stands in `origin` alone, by names."""
    d = definition
    origin = Origin(d.schema, d.table, d.org_table, d.org_name, d.flags, d.charset, d.decimals)
    return Column(d.name, d.type, size=d.length, binary=binary, origin=origin)


def read_column(payload: bytes, *, binary: bool) -> Column:
    """A column by its definition. Servers say the same of a statement each time it runs.

    Raises `ProtocolError`.
    """
    return _known(payload, binary) if len(payload) <= _SHORT else _read(payload, binary)


def _read(payload: bytes, binary: bool) -> Column:
    return column_of(ColumnDefinition.decode(payload), binary=binary)


_known = lru_cache(maxsize=2048)(_read)


def definition_of(column: Column) -> ColumnDefinition:
    """The definition that a client is sent of a column of MySQL's."""
    o = column.origin or Origin()
    return ColumnDefinition(
        *(column.name, column.type, o.schema, o.table, o.org_table, o.org_name),
        *(o.charset, column.size, o.flags, o.decimals),
    )


def columns_event(columns: Sequence[Column]) -> Columns:
    """The event of a result's columns, with the codec that its rows will have.

    Raises `ProtocolError` for types that can't be read in the binary format.
    """
    return Columns(tuple(columns), codec_of(columns))


def codec_of(columns: Sequence[Column]) -> str:
    """The name of the codec of rows with these columns."""
    if not any(column.binary for column in columns):
        return TEXT
    return binary_name([(c.type, c.origin.flags if c.origin else 0) for c in columns])


def outcome_of(ok: Ok) -> Outcome:
    changes = tuple([(change.kind, change.content) for change in ok.changes])
    return Outcome(ok.affected, ok.insert_id, ok.warnings, ok.status, ok.info, changes)


def ok_of(outcome: Outcome, *, ends_rows: bool = False) -> Ok:
    """The OK that a client is sent at the end of a result."""
    o = outcome
    changes = tuple([Change(kind, content) for kind, content in o.changes])
    return Ok(o.affected, o.insert_id, o.status, o.warnings, o.info, changes, ends_rows)
