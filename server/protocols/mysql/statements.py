"""Prepared statements of one connection: what their numbers stand for, and what is bound to them.

Numbers are the server's. No input or output.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from policies.errors import ProtocolError
from recordings.events import Column
from server.protocols.mysql import capabilities as c
from server.protocols.mysql import fields
from server.protocols.mysql.commands import PARAMETER_COUNT_AVAILABLE, StmtExecute, StmtSendLongData
from server.protocols.mysql.fields import FieldReader
from server.protocols.mysql.parameters import (
    MAX_PARAMETERS,
    Kind,
    Parameter,
    read_types,
    read_values,
    write_types,
    write_values,
)

MAX_STATEMENTS: Final = 4096
MAX_LONG_DATA: Final = 64 * 1024 * 1024
"""Of all statements of a connection together, in bytes."""
LAST_PREPARED: Final = 0xFFFFFFFF
"""What MariaDB's clients call the statement that was prepared last. Who relays an execution sends
the number that it stands for (`written`): commands before it may still be unanswered."""


@dataclass(slots=True, eq=False)
class Statement:
    """`kinds`: the types that were bound last. `long`: what came of parameters beforehand.

    `result`: the columns of what was executed last, which rows of its cursor have. `database`: the
    current one when it was prepared, in which the server looks up its names ever after.
    """

    number: int
    text: str
    parameters: int = 0
    columns: tuple[Column, ...] = ()
    kinds: tuple[Kind, ...] | None = None
    long: dict[int, bytearray] = field(default_factory=dict)
    result: tuple[Column, ...] | None = None
    database: str = ""


@dataclass(slots=True)
class Statements:
    """At most `MAX_STATEMENTS`; past that `full`, and `add` raises `ProtocolError`."""

    last: Statement | None = None
    _known: dict[int, Statement] = field(default_factory=dict)
    _held: int = 0

    @property
    def full(self) -> bool:
        return len(self._known) >= MAX_STATEMENTS

    def add(self, statement: Statement) -> None:
        if self.full:
            raise ProtocolError("more prepared statements than a session may have")
        self.close(statement.number)
        self._known[statement.number] = statement
        self.last = statement

    def get(self, number: int) -> Statement | None:
        if number == LAST_PREPARED:
            return self.last
        return self._known.get(number)

    def close(self, number: int) -> None:
        statement = self.get(number)
        if statement is None:
            return
        self.reset(number)
        del self._known[statement.number]
        if self.last is statement:
            self.last = None

    def reset(self, number: int) -> None:
        """Forget what came beforehand."""
        statement = self.get(number)
        if statement is not None:
            self._held -= sum(map(len, statement.long.values()))
            statement.long.clear()

    def clear(self) -> None:
        """Forget all of them, as the server does when the connection is reset."""
        self._known.clear()
        self.last, self._held = None, 0

    def keep(self, piece: StmtSendLongData) -> None:
        """Hold a piece of a parameter's value. One of an unknown statement is dropped.

        Raises `ProtocolError` for more than is held.
        """
        statement = self.get(piece.statement)
        if statement is None or piece.parameter >= statement.parameters:
            return  # the server says so when it is executed
        self._held += len(piece.content)
        if self._held > MAX_LONG_DATA:
            raise ProtocolError("values sent beforehand are longer than is allowed")
        statement.long.setdefault(piece.parameter, bytearray()).extend(piece.content)

    def bound(self, execute: StmtExecute, capabilities: int) -> tuple[Parameter, ...]:
        """The values of an execution, attributes of the query behind those of parameters.

        Raises `ProtocolError` for an unknown statement too. The types are remembered.
        """
        statement = self.get(execute.statement)
        if statement is None:
            raise ProtocolError("an unknown prepared statement")
        reader = FieldReader(execute.body)
        count = statement.parameters
        named = bool(capabilities & c.QUERY_ATTRIBUTES)
        if named and (count or execute.flags & PARAMETER_COUNT_AVAILABLE):
            count = reader.length()
        if not statement.parameters <= count <= MAX_PARAMETERS:
            raise ProtocolError("fewer values than parameters")
        parameters: tuple[Parameter, ...] = ()
        if count:
            nulls = reader.take((count + 7) // 8)
            kinds = _kinds(reader, statement, count, named)
            parameters = read_values(reader, nulls, kinds, statement.long)
        reader.end()
        return parameters


def _kinds(reader: FieldReader, statement: Statement, count: int, named: bool) -> tuple[Kind, ...]:
    match reader.byte():
        case 1:
            statement.kinds = read_types(reader, count, named=named)
        case 0:
            pass
        case _:
            raise ProtocolError("types are bound or not")
    if statement.kinds is None or len(statement.kinds) != count:
        raise ProtocolError("values whose types were never told")
    return statement.kinds


def written(
    execute: StmtExecute, parameters: tuple[Parameter, ...], capabilities: int
) -> StmtExecute:
    """The execution with its types in it, whatever was bound before: the server may not know."""
    named = bool(capabilities & c.QUERY_ATTRIBUTES)
    body = b""
    if named and (parameters or execute.flags & PARAMETER_COUNT_AVAILABLE):
        body = fields.length(len(parameters))
    if parameters:
        nulls, values = write_values(parameters)
        body += nulls + b"\x01" + write_types(parameters, named=named) + values
    return replace(execute, body=body)
