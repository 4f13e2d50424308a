"""The conversation as a script: what was sent, what the server says, what comes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from masking import mysql_types as t
from policies.errors import ProtocolError
from recordings.events import Column, Columns, Done, Event, Failed, Native, Origin, Outcome, Rows
from server.protocols.mysql import answers as a
from server.protocols.mysql import capabilities as c
from server.protocols.mysql import commands as m
from server.protocols.mysql.awaited import Ended
from server.protocols.mysql.codec import NeedData
from server.protocols.mysql.columns import definition_of, ok_of
from server.protocols.mysql.conversation import Conversation
from server.protocols.mysql.packets import FULL, framed
from server.protocols.mysql.statements import LAST_PREPARED
from tests.server.protocols.mysql.messages import ALL, PLAIN

ID: Final = a.ColumnDefinition("id", t.LONG, "shop", "p", "people", "id", 63, 11, 3, 0)
COLUMN: Final = Column(
    *("id", t.LONG), size=11, origin=Origin("shop", "p", "people", "id", 3, 63, 0)
)
BINARY: Final = replace(COLUMN, binary=True)
OUTCOME: Final = Outcome(status=2)
END: Final = a.Ok(ends_rows=True)
ROW: Final = b"\x011"


def ask(script: Conversation, *commands: m.Command, owner: str = "end") -> bytes:
    script.begin(owner)
    return b"".join(script.send(command) for command in commands)


def hear(script: Conversation, *replies: a.Answer | bytes, first: int = 1) -> list[Event | str]:
    """The events of what the server says, in packets numbered from the first."""
    for number, reply in enumerate(replies):
        payload = reply if isinstance(reply, bytes) else reply.encode(script.capabilities)
        script.receive_data(framed(payload, first + number))
    heard: list[Event | str] = []
    while not isinstance(event := script.next_event(), NeedData):
        heard.append(str(event.turn.owner) if isinstance(event, Ended) else event)
    return heard


def rows(*payloads: bytes, first: int, codec: str = "mysql") -> Rows:
    frames = b"".join(framed(payload, first + i) for i, payload in enumerate(payloads))
    return Rows(frames, len(payloads), codec)


def test_a_result_is_its_columns_its_rows_and_its_end() -> None:
    script = Conversation(ALL)
    assert ask(script, m.Query("select")) == framed(b"\x03\0\x01select", 0)
    heard = hear(script, a.ColumnCount(1), ID, ROW, b"\xfb", END)
    assert heard == [
        Columns((COLUMN,), "mysql"),
        rows(ROW, b"\xfb", first=3),
        Done("ROWS 2", 2, False, OUTCOME),
        "end",
    ]
    assert script.idle


def test_where_ok_does_not_end_rows_eof_packets_do() -> None:
    script = Conversation(PLAIN)
    ask(script, m.Query("select"))
    heard = hear(script, a.ColumnCount(1), ID, a.Eof(), ROW, a.Eof(3, 2))
    assert heard[1:] == [
        rows(ROW, first=4),
        Done("ROWS 1", 1, False, Outcome(warnings=3, status=2)),
        "end",
    ]


def test_a_result_without_rows_has_columns_too() -> None:
    for capabilities, ends in ((ALL, [END]), (PLAIN, [a.Eof(), a.Eof()])):
        script = Conversation(capabilities)
        ask(script, m.Query("select"))
        heard = hear(script, a.ColumnCount(1), ID, *ends)
        assert heard == [Columns((COLUMN,), "mysql"), Done("ROWS 0", 0, False, OUTCOME), "end"]


def test_a_columns_definition_is_written_again_as_it_came() -> None:
    assert definition_of(COLUMN) == ID


def test_an_end_of_a_result_is_written_again_as_it_came() -> None:
    ok = a.Ok(3, 4, 0x4002, 5, b"info", (a.Change(1, b"\x04shop"),))
    script = Conversation(ALL)
    ask(script, m.Query("update"))
    (done, _) = hear(script, ok)
    assert isinstance(done, Done)
    assert done.outcome is not None
    assert (done.tag, ok_of(done.outcome)) == ("OK 3", ok)
    assert script.database == "shop"


def test_several_results_are_one_turn() -> None:
    script = Conversation(ALL)
    ask(script, m.Query("call"))
    more = replace(END, status=2 | c.MORE_RESULTS)
    heard = hear(script, a.ColumnCount(1), ID, ROW, more, a.ColumnCount(1), ID, more, a.Ok())
    assert [type(event) for event in heard[:-1]] == [Columns, Rows, Done, Columns, Done, Done]
    assert heard[-1] == "end"


def test_rows_of_an_execution_are_binary_and_named_after_their_types() -> None:
    script = Conversation(ALL)
    ask(script, m.StmtPrepare("select"), owner="prepare")
    prepared = hear(script, a.PrepareOk(5, 1, 0), ID)
    assert prepared == [
        Native(framed(a.PrepareOk(5, 1, 0).encode(ALL), 1) + framed(ID.encode(ALL), 2)),
        "prepare",
    ]
    statement = script.statements.get(5)
    assert statement is not None
    assert (statement.text, statement.columns) == ("select", (BINARY,))
    ask(script, m.StmtExecute(5))
    row = b"\0\0\1\0\0\0"
    heard = hear(script, a.ColumnCount(1), ID, row, END)
    assert heard[:2] == [Columns((BINARY,), "mysql:03"), rows(row, first=3, codec="mysql:03")]
    assert script.text_of(m.StmtExecute(5)) == script.text_of(m.StmtFetch(5, 1)) == "select"


def test_definitions_of_parameters_come_before_those_of_columns() -> None:
    for capabilities, ends in ((ALL, []), (PLAIN, [a.Eof()])):
        script = Conversation(capabilities)
        ask(script, m.StmtPrepare("select"))
        (native, ended) = hear(script, a.PrepareOk(5, 1, 2), ID, ID, *ends, ID, *ends)
        assert isinstance(native, Native)
        assert native.message.count(b"people") == 3
        assert ended == "end"
        statement = script.statements.get(5)
        assert statement is not None
        assert (statement.parameters, len(statement.columns)) == (2, 1)


@pytest.mark.parametrize("capabilities", [ALL, PLAIN])
def test_a_cursor_has_its_columns_when_it_is_opened_and_whenever_it_is_fetched(
    capabilities: int,
) -> None:
    script = Conversation(capabilities)

    def end(status: int) -> a.Answer:
        return a.Ok(status=status, ends_rows=True) if capabilities == ALL else a.Eof(0, status)

    ask(script, m.StmtPrepare("select"))
    hear(script, a.PrepareOk(5, 0, 0))
    ask(script, m.StmtExecute(5, m.CURSOR_READ_ONLY))
    columns = Columns((BINARY,), "mysql:03")
    opened = hear(script, a.ColumnCount(1), ID, end(2 | c.CURSOR_EXISTS))
    assert opened == [columns, Done("ROWS 0", 0, True, Outcome(status=66)), "end"]
    row = b"\0\0\1\0\0\0"
    ask(script, m.StmtFetch(5, 1))
    fetched = hear(script, row, end(2 | c.CURSOR_EXISTS))
    assert fetched[0] == columns
    assert fetched[2] == Done("ROWS 1", 1, True, Outcome(status=66))
    ask(script, m.StmtFetch(5, 1))
    last = hear(script, row, end(2 | c.CURSOR_EXISTS | c.LAST_ROW_SENT))
    assert last[2] == Done("ROWS 1", 1, False, Outcome(status=194))


def test_rows_of_a_statement_that_was_not_executed_fail() -> None:
    script = Conversation(ALL)
    ask(script, m.StmtFetch(5, 1))
    with pytest.raises(ProtocolError):
        hear(script, b"\0\0\1\0\0\0")


def test_an_error_ends_a_command_wherever_it_comes() -> None:
    error = a.Err(1064, "42000", "no")
    failed = Failed("42000", "no", code=1064)
    script = Conversation(ALL)
    for command in (m.Query("x"), m.StmtPrepare("x"), m.InitDb("x"), m.FieldList("x"), m.Ping()):
        ask(script, command)
        assert hear(script, error) == [failed, "end"]
    ask(script, m.Query("x"))
    assert hear(script, a.ColumnCount(1), ID, ROW, error)[2:] == [failed, "end"]


def test_commands_without_an_answer_end_their_turn_at_once() -> None:
    script = Conversation(ALL)
    for command in (m.StmtClose(1), m.StmtSendLongData(1, 0, b"x"), m.Quit()):
        ask(script, command)
        assert hear(script) == ["end"]
    assert script.idle


def test_answers_to_commands_sent_together_go_to_their_turns() -> None:
    script = Conversation(ALL)
    ask(script, m.Query("a"), owner="one")
    ask(script, m.StmtClose(1), owner="two")
    ask(script, m.Ping(), owner="three")
    assert hear(script, a.Ok()) == [Done("OK 0", 0, False, OUTCOME), "one", "two"]
    assert hear(script, a.Ok()) == [Done("OK 0", 0, False, OUTCOME), "three"]


def test_of_the_gateways_own_commands_only_a_failure_is_told() -> None:
    script = Conversation(ALL)
    script.begin("own")
    script.send_own(m.Query("set"))
    script.send_own(m.Query("select"))
    assert hear(script, a.Ok()) == []
    assert hear(script, a.ColumnCount(1), ID, ROW, END) == ["own"]
    script.begin("own")
    script.send_own(m.Query("set"))
    assert hear(script, a.Err(1, "HY000", "x")) == [Failed("HY000", "x", code=1), "own"]


def test_what_small_commands_do_is_kept() -> None:
    script = Conversation(ALL)
    ask(script, m.StmtPrepare("select"))
    hear(script, a.PrepareOk(5, 0, 0))
    ask(script, m.InitDb("shop"))
    assert hear(script, a.Ok()) == [Done("OK 0", 0, False, OUTCOME), "end"]
    assert script.database == "shop"
    ask(script, m.ResetConnection())
    hear(script, a.Ok(status=3))
    assert script.statements.get(5) is None
    assert script.in_transaction


@pytest.mark.parametrize("capabilities", [ALL, PLAIN])
def test_a_list_of_fields_and_statistics_go_on_as_they_came(capabilities: int) -> None:
    script, end = Conversation(capabilities), END if capabilities == ALL else a.Eof()
    ask(script, m.FieldList("people"))
    field = replace(ID, default=b"\x011")
    packets = framed(field.encode(0), 1) + framed(end.encode(capabilities), 2)
    assert hear(script, field, end) == [Native(packets), "end"]
    ask(script, m.Statistics())
    assert hear(script, b"Uptime: 3") == [Native(framed(b"Uptime: 3", 1)), "end"]
    ask(script, m.SetOption(1))
    assert hear(script, end) == [Done("OK 0", 0, False, OUTCOME), "end"]


def test_an_answer_to_a_command_over_16_mb_is_numbered_behind_it() -> None:
    script = Conversation(ALL)
    assert len(ask(script, m.Query("x" * FULL))) > FULL
    assert hear(script, a.Ok(), first=2) == [Done("OK 0", 0, False, OUTCOME), "end"]


def test_a_change_of_what_texts_are_read_by_fails() -> None:
    change = a.Change(0, b"\x14character_set_client\x04sjis")
    script = Conversation(ALL)
    ask(script, m.Query("set names sjis"))
    with pytest.raises(ProtocolError, match="character_set_client"):
        hear(script, a.Ok(status=0x4002, changes=(change,)))


def test_what_came_beforehand_is_forgotten_once_the_statement_is_executed() -> None:
    script = Conversation(ALL)
    ask(script, m.StmtPrepare("select"))
    hear(script, a.PrepareOk(5, 0, 1), ID)
    script.statements.keep(m.StmtSendLongData(5, 0, b"long"))
    ask(script, m.StmtExecute(5))
    statement = script.statements.get(5)
    assert statement is not None
    assert not statement.long


@pytest.mark.parametrize(
    "command",
    [m.ChangeUser("x"), m.Unlisted(0x12), m.Unreadable(3), m.StmtExecute(LAST_PREPARED)],
)
def test_what_is_not_for_servers_is_not_sent(command: m.Command) -> None:
    script = Conversation(ALL)
    script.begin("x")
    with pytest.raises(ProtocolError):
        script.send(command)


@pytest.mark.parametrize(
    "replies",
    [
        [b"\xfb/etc/passwd"],  # a file of the client's is asked for
        [b""],
        [b"\xfe"],
        [b"\xff"],
        [b"\xff\xff\xff\x01\x01\x01\0\0\0"],  # progress
        [a.ColumnCount(4097)],
        [b"\x01x"],
        [a.ColumnCount(1), a.Ok()],
        [a.ColumnCount(1), ID, b""],
        [a.ColumnCount(1), ID, b"\xfe\xff"],
        [a.ColumnCount(1), ID, END, a.Ok()],  # more than was announced
        [a.Ok(), a.Ok()],
        [a.Ok(status=0x4002, changes=(a.Change(1, b"\x05shop"),))],
    ],
)
def test_an_answer_that_makes_no_sense_fails_then_and_ever_after(
    replies: list[a.Answer | bytes],
) -> None:
    script = Conversation(ALL)
    ask(script, m.Query("select"))
    with pytest.raises(ProtocolError):
        hear(script, *replies)
    with pytest.raises(ProtocolError):
        script.next_event()


def test_a_server_that_speaks_unasked_fails() -> None:
    script = Conversation(ALL)
    assert hear(script) == []
    with pytest.raises(ProtocolError):
        hear(script, a.Err(1927, "70100", "killed"), first=0)


def test_more_results_of_what_has_none_fail() -> None:
    for command in (m.Ping(), m.InitDb("x"), m.SetOption(1)):
        script = Conversation(ALL)
        ask(script, command)
        with pytest.raises(ProtocolError):
            hear(script, a.Ok(status=2 | c.MORE_RESULTS))


def test_binary_rows_of_a_type_that_nobody_knows_fail() -> None:
    script = Conversation(ALL)
    ask(script, m.StmtExecute(5))
    with pytest.raises(ProtocolError):
        hear(script, a.ColumnCount(1), replace(ID, type=20))
