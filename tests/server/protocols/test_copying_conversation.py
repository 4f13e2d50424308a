"""A COPY to the client as a script: its columns are asked for first, and without them it ends."""

from __future__ import annotations

import pytest

from policies.errors import ProtocolError
from policies.sql.copied import CopiedOut, CopyLayout
from recordings.copied_rows import codec_name
from recordings.events import Column, Columns, Done, Failed, Rows
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import FrontendReader, FrontendState, NeedData
from server.protocols.postgres.conversation import Conversation
from tests.server.protocols.test_conversation import ERROR, conversation, hear, native

ID = Column("id", 23, 16385, 1, -1, 4)
NAME = Column("name", 25, 16385, 2)
COPY = f.Query("COPY t TO STDOUT")
COPIED = CopiedOut('SELECT * FROM ONLY "t"', CopyLayout(), in_order=True)
HEADED = CopiedOut("SELECT 1", CopyLayout(), header=True)
ROW = b"d\0\0\0\x081\tx\n"
NAMES = b"d\0\0\0\x0cid\tname\n"
DESCRIBED = (b.ParseComplete(), b.ParameterDescription(()), b.RowDescription((ID, NAME)))
ANNOUNCED = b.CopyOutResponse(0, (0, 0))


def asked(script: Conversation, message: f.Command, copied: CopiedOut = COPIED) -> list[f.Command]:
    """What is written for a message, as the server reads it."""
    script.begin("copy")
    reader = FrontendReader(FrontendState.READY)
    reader.receive_data(script.send(message, copied=copied))
    messages: list[f.Command] = []
    while not isinstance(read := reader.next_command(), NeedData):
        messages.append(read)
    return messages


def test_the_columns_are_asked_for_in_the_transaction_of_the_copy() -> None:
    parse, describe, close, *rest = asked(conversation(), COPY)
    assert isinstance(parse, f.Parse)
    assert parse.text == COPIED.query
    assert [describe, close] == [f.Describe("S", parse.statement), f.Close("S", parse.statement)]
    assert rest == [COPY, f.Sync()]


def test_the_name_under_which_they_are_asked_for_is_another_one_each_time() -> None:
    script = conversation()
    names = {m.statement for _ in range(3) for m in asked(script, COPY) if isinstance(m, f.Parse)}
    assert len(names) == 3


def test_an_execute_is_not_synchronised_for_it() -> None:
    *_, last = asked(conversation(), f.Execute("p"))
    assert last == f.Execute("p")


def test_columns_and_rows_come_as_events_and_one_readiness() -> None:
    script = conversation()
    asked(script, COPY)
    end = (b.CopyOutDone(), b.CommandComplete("COPY 1"), b.ReadyForQuery("I"), b.ReadyForQuery("I"))
    codec = codec_name(CopyLayout())
    assert hear(script, *DESCRIBED, b.CloseComplete(), ANNOUNCED, ROW, *end) == [
        Columns((ID, NAME), codec),
        Rows(ROW, 1, codec),
        native(b.CopyOutDone()),
        Done("COPY 1", 1),
        native(b.ReadyForQuery("I")),
        "copy",
    ]


def test_the_line_of_names_is_no_row() -> None:
    script = conversation()
    asked(script, COPY, HEADED)
    heard = hear(script, *DESCRIBED, b.CloseComplete(), ANNOUNCED, NAMES + ROW + ROW)
    assert [e.count for e in heard if isinstance(e, Rows)] == [2]


def test_where_the_columns_are_not_found_the_copy_has_not_run() -> None:
    script = conversation()
    asked(script, COPY)
    heard = hear(script, ERROR, b.ReadyForQuery("E"))
    assert heard == [Failed("42601", "syntax error"), native(b.ReadyForQuery("E")), "copy"]
    assert script.status == "E"


@pytest.mark.parametrize(
    ("copied", "replies"),
    [
        (COPIED, (*DESCRIBED, b.CloseComplete(), b.CopyOutResponse(0, (0,)))),
        (COPIED, (*DESCRIBED, b.CloseComplete(), b.CopyOutResponse(0, (0, 0, 0)))),
        (COPIED, (*DESCRIBED, b.CloseComplete(), b.CopyOutResponse(1, (1, 1)))),
        (COPIED, (*DESCRIBED, b.CloseComplete(), b.CopyOutResponse(0, (0, 1)))),
        (COPIED, (*DESCRIBED, b.CloseComplete(), ANNOUNCED, ANNOUNCED)),
        (COPIED, (*DESCRIBED, b.CloseComplete(), ROW)),
        (COPIED, (b.ParseComplete(), b.NoData(), b.CloseComplete(), ANNOUNCED)),
        (COPIED, (b.ParseComplete(), b.RowDescription((NAME, ID)), b.CloseComplete(), ANNOUNCED)),
        (COPIED, (*DESCRIBED, b.CloseComplete(), ANNOUNCED, b"D\0\0\0\x0b\0\x01\0\0\0\x01x")),
        (HEADED, (*DESCRIBED, b.CloseComplete(), ANNOUNCED, ROW)),
        (CopiedOut("SELECT 1", None), (*DESCRIBED, b.CloseComplete(), ANNOUNCED)),
    ],
)
def test_what_was_not_described_does_not_come_out(
    copied: CopiedOut, replies: tuple[b.BackendMessage | bytes, ...]
) -> None:
    script = conversation()
    asked(script, COPY, copied)
    with pytest.raises(ProtocolError):
        hear(script, *replies)


def test_nothing_is_copied_out_by_a_statement_that_was_not_judged_to() -> None:
    script = conversation()
    script.begin("copy")
    script.send(COPY)
    with pytest.raises(ProtocolError):
        hear(script, ANNOUNCED)
