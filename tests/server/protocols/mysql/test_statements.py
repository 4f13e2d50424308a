"""Prepared statements: what is bound to them, in which types, within which limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masking import mysql_types as t
from policies.errors import ProtocolError
from server.protocols.mysql.commands import PARAMETER_COUNT_AVAILABLE, StmtExecute, StmtSendLongData
from server.protocols.mysql.parameters import Kind, Parameter
from server.protocols.mysql.statements import (
    LAST_PREPARED,
    MAX_LONG_DATA,
    MAX_STATEMENTS,
    Statement,
    Statements,
    written,
)
from tests.server.protocols.mysql.messages import ALL, ATTRIBUTES, PLAIN, parameters


def statements(count: int = 2) -> Statements:
    known = Statements()
    known.add(Statement(5, "select ?", count))
    return known


# Source: MySQL's protocol documentation, COM_STMT_EXECUTE, its example: one VARCHAR "foo".
FOO = b"\0\x01\x0f\0\x03foo"


def test_an_execution_is_read_as_the_protocol_says() -> None:
    expected = (Parameter(Kind(t.VARCHAR), b"foo"),)
    assert statements(1).bound(StmtExecute(5, body=FOO), PLAIN) == expected
    assert written(StmtExecute(5), expected, PLAIN).body == FOO


def test_types_that_are_not_bound_again_are_those_of_before_and_are_written_again() -> None:
    known = statements(1)
    known.bound(StmtExecute(5, body=FOO), PLAIN)
    again = StmtExecute(5, body=b"\0\x00\x03bar")
    parameters = known.bound(again, PLAIN)
    assert parameters == (Parameter(Kind(t.VARCHAR), b"bar"),)
    assert written(again, parameters, PLAIN).body == b"\0\x01\x0f\0\x03bar"


@pytest.mark.parametrize(
    "body",
    [
        b"\0\x00\x03bar",  # types that were never told
        b"",  # no values
        b"\0",
        b"\0\x02\x0f\0\x03foo",  # neither bound nor not
        b"\0\x01\x0f\0\x04foo",  # longer than the message
        FOO + b"x",
        b"\0\x01\x14\0\x03foo",  # an unknown type
        b"\0\x01\x0f\x01\x03foo",
        b"\0\x01\x0c\0\x03foo",  # a moment of three bytes
    ],
)
def test_values_that_can_be_read_in_no_way_fail(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        statements(1).bound(StmtExecute(5, body=body), PLAIN)


def test_an_unknown_statement_fails() -> None:
    with pytest.raises(ProtocolError):
        statements().bound(StmtExecute(6), PLAIN)


def test_attributes_of_the_query_come_behind_the_parameters() -> None:
    execute = StmtExecute(5, PARAMETER_COUNT_AVAILABLE)
    values = (Parameter(Kind(t.VARCHAR), b"foo"), *ATTRIBUTES)
    body = written(execute, values, ALL)
    assert statements(1).bound(body, ALL) == values
    with pytest.raises(ProtocolError):
        statements(5).bound(body, ALL)


@given(st.lists(parameters(), max_size=20).map(tuple), st.booleans())
def test_what_is_written_is_read_again(values: tuple[Parameter, ...], named: bool) -> None:
    if not named:
        values = tuple(Parameter(Kind(p.kind.type, p.kind.unsigned), p.value) for p in values)
    capabilities = ALL if named else PLAIN
    execute = written(StmtExecute(5), values, capabilities)
    assert statements(len(values)).bound(execute, capabilities) == values


@given(st.binary(max_size=40), st.integers(0, 9), st.sampled_from([ALL, PLAIN]))
def test_any_values_are_some_or_a_protocol_error(body: bytes, count: int, flags: int) -> None:
    try:
        found = statements(count).bound(StmtExecute(5, body=body), flags)
    except ProtocolError:
        return
    assert len(found) >= count


def test_what_came_beforehand_is_bound_and_not_read_from_the_execution() -> None:
    known = statements(2)
    for piece in (b"long", b"er"):
        known.keep(StmtSendLongData(5, 1, piece))
    body = b"\0\x01\x0f\0\xfc\0\x03foo"
    bound = known.bound(StmtExecute(5, body=body), PLAIN)
    assert bound[1] == Parameter(Kind(t.BLOB), b"longer", long=True)
    assert written(StmtExecute(5), bound, PLAIN).body == body
    known.reset(5)
    with pytest.raises(ProtocolError):
        known.bound(StmtExecute(5, body=body), PLAIN)


def test_what_is_held_beforehand_is_bounded_over_all_statements() -> None:
    known = statements()
    known.add(Statement(6, "select ?", 1))
    half = bytes(MAX_LONG_DATA // 2)
    known.keep(StmtSendLongData(5, 0, half))
    known.keep(StmtSendLongData(6, 0, half))
    with pytest.raises(ProtocolError):
        known.keep(StmtSendLongData(5, 1, b"x"))
    known = statements()
    for _ in range(3):
        known.keep(StmtSendLongData(5, 0, half))
        known.reset(5)


def test_pieces_for_what_is_unknown_are_dropped() -> None:
    known = statements(2)
    known.keep(StmtSendLongData(6, 0, b"x"))
    known.keep(StmtSendLongData(5, 2, b"x"))
    statement = known.get(5)
    assert statement is not None
    assert not statement.long


def test_the_last_prepared_statement_has_a_number_of_mariadbs() -> None:
    known = statements()
    known.add(Statement(9, "select 9"))
    last = known.get(LAST_PREPARED)
    assert last is not None
    assert last.text == "select 9"
    known.close(LAST_PREPARED)
    assert known.get(9) is None
    assert known.get(LAST_PREPARED) is None


def test_a_session_has_so_many_statements_and_no_more() -> None:
    known = Statements()
    for number in range(MAX_STATEMENTS):
        assert not known.full
        known.add(Statement(number, "x"))
    assert known.full
    with pytest.raises(ProtocolError):
        known.add(Statement(MAX_STATEMENTS, "x"))
    known.clear()
    assert known.get(0) is None
