"""The conversation as a script: what was sent, what the server says, what comes of it."""

from __future__ import annotations

import pytest

from policies.errors import ProtocolError
from recordings.events import Column, Columns, Done, Event, Failed, Native, Rows
from recordings.rows import ROW_CODECS
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from server.protocols.postgres.awaited import Ended
from server.protocols.postgres.codec import NEED_DATA, NeedData
from server.protocols.postgres.conversation import Conversation
from server.protocols.postgres.own import Own, queries, statements

PINNED = {"client_encoding": "UTF8", "standard_conforming_strings": "on"}
ID = Column("id", 23, 16385, 1, -1, 4)
DESCRIBED = (b.ParameterDescription(()), b.RowDescription((ID,)))
ERROR = b.ErrorResponse((("S", b"ERROR"), ("V", b"ERROR"), ("C", b"42601"), ("M", b"syntax error")))
FAILED = Failed("42601", "syntax error")
ROW = ROW_CODECS["postgres"].encode([[b"1"]])


def conversation() -> Conversation:
    return Conversation(parameters=dict(PINNED))


def ask(script: Conversation, owner: str, *messages: f.Command) -> bytes:
    script.begin(owner)
    return b"".join(script.send(message) for message in messages)


def hear(script: Conversation, *replies: b.BackendMessage | bytes) -> list[Event | str]:
    """The events of what the server says; the end of a turn as its owner's name."""
    for reply in replies:
        script.receive_data(reply if isinstance(reply, bytes) else reply.encode())
    heard: list[Event | str] = []
    while not isinstance(event := script.next_event(), NeedData):
        heard.append(str(event.turn.owner) if isinstance(event, Ended) else event)
    return heard


def native(message: b.BackendMessage) -> Native:
    return Native(message.encode())


def test_a_parse_is_followed_by_a_hidden_describe_whose_answer_stays_inside() -> None:
    script = conversation()
    sent = ask(script, "parse", f.Parse("s", "SELECT 1"))
    assert sent == f.Parse("s", "SELECT 1").encode() + f.Describe("S", "s").encode()
    assert hear(script, b.ParseComplete(), *DESCRIBED) == [native(b.ParseComplete()), "parse"]


def test_an_execute_tells_its_columns_before_its_rows_in_the_format_that_was_bound() -> None:
    script = conversation()
    ask(script, "parse", f.Parse("", "SELECT 1"))
    ask(script, "run", f.Bind("", "", (), (), (1,)), f.Execute(""), f.Sync())
    hear(script, b.ParseComplete(), *DESCRIBED)
    heard = hear(script, b.BindComplete(), ROW, b.CommandComplete("SELECT 1"), b.ReadyForQuery("I"))
    binary = Column("id", 23, 16385, 1, -1, 4, binary=True)
    assert heard == [
        native(b.BindComplete()),
        Columns((binary,)),
        Rows(ROW, 1),
        Done("SELECT 1", 1),
        native(b.ReadyForQuery("I")),
        "run",
    ]


def test_a_result_without_rows_has_columns_too() -> None:
    script = conversation()
    ask(script, "run", f.Parse("", "SELECT 1"), f.Bind("", ""), f.Execute(""))
    heard = hear(
        script, b.ParseComplete(), *DESCRIBED, b.BindComplete(), b.CommandComplete("SELECT 0")
    )
    assert heard[2:] == [Columns((ID,)), Done("SELECT 0"), "run"]


def test_rows_of_a_portal_that_nobody_bound_here_are_a_protocol_error() -> None:
    script = conversation()
    ask(script, "run", f.Execute("sql-level cursor"))
    with pytest.raises(ProtocolError):
        hear(script, ROW)


def test_an_error_skips_every_turn_up_to_the_sync() -> None:
    script = conversation()
    ask(script, "first", f.Parse("", "SELEKT"))
    ask(script, "second", f.Bind("", ""), f.Execute(""))
    ask(script, "third", f.Sync())
    heard = hear(script, ERROR, b.ReadyForQuery("I"))
    assert heard == [FAILED, "first", "second", native(b.ReadyForQuery("I")), "third"]


def test_after_an_error_without_a_sync_what_is_sent_is_skipped_until_one_is() -> None:
    script = conversation()
    ask(script, "first", f.Parse("", "SELEKT"))
    assert hear(script, ERROR) == [FAILED, "first"]
    ask(script, "second", f.Parse("s", "SELECT 1"), f.Bind("", "s"), f.Query("SELECT 2"))
    assert hear(script) == ["second"]
    ask(script, "third", f.Sync())
    assert hear(script, b.ReadyForQuery("I")) == [native(b.ReadyForQuery("I")), "third"]
    assert script.text_of(f.Bind("", "s")) is None


def test_names_of_skipped_messages_mean_what_they_meant_before() -> None:
    script = conversation()
    ask(script, "old", f.Parse("s", "SELECT 'old'"), f.Sync())
    hear(script, b.ParseComplete(), *DESCRIBED, b.ReadyForQuery("I"))
    ask(script, "new", f.Execute("nope"), f.Close("S", "s"), f.Parse("s", "SELECT 'new'"), f.Sync())
    assert script.text_of(f.Bind("", "s")) == "SELECT 'new'"
    hear(script, ERROR, b.ReadyForQuery("I"))
    assert script.text_of(f.Bind("", "s")) == "SELECT 'old'"


def test_an_error_of_a_query_is_followed_by_its_own_ready() -> None:
    script = conversation()
    ask(script, "query", f.Query("SELEKT"))
    ask(script, "next", f.Query("SELECT 1"))
    assert hear(script, ERROR) == [FAILED]
    assert hear(script, b.ReadyForQuery("E")) == [native(b.ReadyForQuery("E")), "query"]
    assert script.status == "E"


def test_an_error_at_sync_still_waits_for_ready() -> None:
    script = conversation()
    ask(script, "sync", f.Sync())
    heard = hear(script, ERROR, b.ReadyForQuery("I"))
    assert heard == [FAILED, native(b.ReadyForQuery("I")), "sync"]


def test_notices_and_notifications_are_no_events_and_answer_nothing() -> None:
    script = conversation()
    ask(script, "query", f.Query("SELECT 1"))
    notice = b.NoticeResponse((("M", b"ssn is 123-45-6789"),))
    assert hear(script, notice, b.NotificationResponse(1, "c", "x")) == []
    assert hear(script, b.EmptyQueryResponse()) == [Done("")]


def test_whoever_hears_notifications_is_told_in_a_turn_and_between_turns() -> None:
    script, told = conversation(), list[b.NotificationResponse]()
    script.hear = told.append
    first, second = (b.NotificationResponse(1, "c", text) for text in ("one", "two"))
    ask(script, "query", f.Query(""))
    hear(script, b.EmptyQueryResponse(), first, b.ReadyForQuery("I"))
    assert told == []  # before its reader has followed what stands before it: a LISTEN, perhaps
    script.tell()
    half, rest = second.encode()[:7], second.encode()[7:]
    script.overhear(half)
    assert told == [first]
    script.overhear(rest)
    assert told == [first, second]


def test_what_is_reported_between_turns_is_the_next_turns_first_event() -> None:
    script, status = conversation(), b.ParameterStatus("application_name", "psql")
    script.overhear(status.encode())
    ask(script, "query", f.Query(""))
    assert hear(script, b.EmptyQueryResponse()) == [native(status), Done("")]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b.ReadyForQuery("I"), ProtocolError),
        (b.ParameterStatus("client_encoding", "SJIS"), ProtocolError),
        (b.ErrorResponse((("S", b"FATAL"), ("V", b"FATAL"))), ConnectionResetError),
    ],
)
def test_what_makes_no_sense_between_turns_ends_the_connection(
    said: b.BackendMessage, expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        conversation().overhear(said.encode())


def test_what_comes_while_a_turn_is_open_is_left_to_it() -> None:
    script = conversation()
    ask(script, "query", f.Query(""))
    script.overhear(b.EmptyQueryResponse().encode())
    assert hear(script, b.ReadyForQuery("I")) == [Done(""), native(b.ReadyForQuery("I")), "query"]


@pytest.mark.parametrize(
    "status",
    [
        b.ParameterStatus("client_encoding", "SJIS"),
        b.ParameterStatus("standard_conforming_strings", "off"),
    ],
)
def test_a_change_of_how_statements_are_read_ends_the_connection(
    status: b.ParameterStatus,
) -> None:
    script = conversation()
    ask(script, "query", f.Query("SET x = y"))
    with pytest.raises(ProtocolError):
        hear(script, status)


def test_a_harmless_setting_is_passed_on() -> None:
    script, status = conversation(), b.ParameterStatus("application_name", "psql")
    ask(script, "query", f.Query("SET application_name = 'psql'"))
    assert hear(script, status) == [native(status)]


def test_copy_in_lasts_until_the_server_has_answered_it() -> None:
    script, copy_in = conversation(), b.CopyInResponse(0, (0,))
    ask(script, "copy", f.Query("COPY t FROM STDIN"))
    assert hear(script, copy_in) == [native(copy_in)]
    assert script.copying_in
    assert script.send(f.CopyData(b"1\n")) == f.CopyData(b"1\n").encode()
    script.send(f.CopyDone())
    assert hear(script, b.CommandComplete("COPY 1"))[0] == Done("COPY 1")
    assert not script.copying_in


@pytest.mark.parametrize(
    "reply",
    [
        b.CopyOutResponse(0, ()),
        b.CopyBothResponse(0, ()),
        b.BindComplete(),
        b.AuthenticationRequest(3),
        b.FunctionCallResponse(None),
        ROW,
    ],
    ids=lambda reply: type(reply).__name__,
)
def test_an_answer_that_does_not_fit_is_a_protocol_error(reply: b.BackendMessage | bytes) -> None:
    script = conversation()
    ask(script, "query", f.Query("SELECT 1"))
    with pytest.raises(ProtocolError):
        hear(script, reply)


def test_an_answer_to_nothing_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        hear(conversation(), b.ReadyForQuery("I"))


def test_a_marker_that_the_server_accepts_is_a_protocol_error() -> None:
    script = conversation()
    script.begin("substitute", marker="m")
    script.send(f.Parse("m", "m"))
    with pytest.raises(ProtocolError):
        hear(script, b.ParseComplete())


def test_a_fatal_error_ends_the_connection_without_its_text() -> None:
    script = conversation()
    ask(script, "query", f.Query("SELECT 1"))
    fatal = b.ErrorResponse((("S", b"FATAL"), ("C", b"57P01"), ("M", b"host db7 goes down")))
    with pytest.raises(ConnectionResetError, match=r"57P01$"):
        hear(script, fatal)


def test_function_calls_are_not_relayed() -> None:
    script = conversation()
    script.begin("call")
    with pytest.raises(ProtocolError):
        script.send(f.FunctionCall(b""))


def test_a_portal_that_is_suspended_says_that_there_is_more() -> None:
    script = conversation()
    ask(script, "run", f.Parse("", "SELECT 1"), f.Bind("", ""), f.Execute("", 1))
    hear(script, b.ParseComplete(), *DESCRIBED, b.BindComplete())
    assert hear(script, ROW, b.PortalSuspended())[-2:] == [Done("", 1, more=True), "run"]


def test_a_new_conversation_is_idle_and_needs_data() -> None:
    script = conversation()
    assert script.idle
    assert script.next_event() is NEED_DATA


OWN = statements(("BEGIN READ ONLY", b.CommandComplete("BEGIN").encode()))
RESET = queries("ROLLBACK", "DISCARD ALL")
BEGUN = (b.ParseComplete(), b.BindComplete(), b.CommandComplete("BEGIN"))
NOTICE = b.NoticeResponse((("S", b"WARNING"), ("C", b"25P01"), ("M", b"no transaction")))


def own(script: Conversation, owner: str, sent: Own) -> None:
    script.begin(owner)
    assert script.send_own(sent) == sent.frames


@pytest.mark.parametrize("cut", range(1, len(OWN.answer) + 1))
def test_what_the_gateway_says_itself_is_heard_wherever_the_answer_is_cut(cut: int) -> None:
    script = conversation()
    own(script, "begin", OWN)
    ask(script, "run", f.Parse("", "SELECT 1"))
    first = hear(script, OWN.answer[:cut])
    assert first + hear(script, OWN.answer[cut:], b.ParseComplete(), *DESCRIBED) == [
        "begin",
        native(b.ParseComplete()),
        "run",
    ]


def test_a_server_may_say_more_to_the_gateways_own_statements() -> None:
    script = conversation()
    own(script, "reset", RESET)
    assert hear(
        script,
        *(NOTICE, b.CommandComplete("ROLLBACK"), b.ReadyForQuery("I")),
        *(b.CommandComplete("DISCARD ALL"), NOTICE, b.ReadyForQuery("I")),
    ) == ["reset"]
    assert script.status == "I"
    assert script.idle


def test_a_failed_begin_skips_what_follows_to_the_sync() -> None:
    script = conversation()
    own(script, "begin", OWN)
    ask(script, "run", f.Parse("", "SELECT 1"), f.Bind("", ""), f.Execute(""), f.Sync())
    heard = hear(script, b.ParseComplete(), b.BindComplete(), ERROR, b.ReadyForQuery("I"))
    assert heard == [FAILED, "begin", native(b.ReadyForQuery("I")), "run"]


def test_a_reset_that_fails_says_so_and_ends() -> None:
    script = conversation()
    own(script, "reset", RESET)
    replies = (b.CommandComplete("ROLLBACK"), b.ReadyForQuery("I"), ERROR, b.ReadyForQuery("I"))
    assert hear(script, *replies) == [FAILED, "reset"]


def test_rows_of_the_gateways_own_statements_never_leave() -> None:
    script = conversation()
    own(script, "begin", statements(("SELECT 1", ROW + b.CommandComplete("SELECT 1").encode())))
    replies = (b.ParseComplete(), NOTICE, b.BindComplete(), ROW, b.CommandComplete("SELECT 1"))
    assert hear(script, *replies) == ["begin"]


def test_a_server_that_answers_the_gateway_with_a_copy_broke_the_protocol() -> None:
    script = conversation()
    own(script, "begin", OWN)
    script.receive_data(b.CopyInResponse(0, ()).encode())
    with pytest.raises(ProtocolError):
        script.next_event()
