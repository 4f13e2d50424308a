"""The codec: exact inverses, however the bytes arrive; odd bytes are a `ProtocolError`."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masking import mysql_types as t
from policies.errors import ProtocolError
from server.protocols.mysql import answers as a
from server.protocols.mysql import capabilities as c
from server.protocols.mysql import codec
from server.protocols.mysql import commands as m
from server.protocols.mysql.codec import FrontendMessage, FrontendReader, FrontendState, NeedData
from server.protocols.mysql.handshake import (
    AuthAnswer,
    AuthMoreData,
    AuthSwitch,
    Greeting,
    HandshakeResponse,
    SslRequest,
)
from server.protocols.mysql.packets import FULL, framed
from server.protocols.mysql.parameters import Kind, Parameter
from tests.server.protocols.mysql.messages import (
    ALL,
    ANSWER_CASES,
    ATTRIBUTES,
    COMMAND_CASES,
    GREETING,
    LOGIN,
    PLAIN,
    columns,
    listed,
    oks,
)


def ready(capabilities: int = ALL) -> FrontendReader:
    return FrontendReader(capabilities, FrontendState.READY)


def read(reader: FrontendReader, chunks: Iterable[bytes]) -> list[FrontendMessage]:
    found: list[FrontendMessage] = []
    for chunk in chunks:
        reader.receive_data(chunk)
        while reader.state is not FrontendState.HELD and not isinstance(
            message := reader.next_event(), NeedData
        ):
            found.append(message)
    return found


def each(content: bytes) -> list[bytes]:
    return [content[i : i + 1] for i in range(len(content))]


@pytest.mark.parametrize(("payload", "command"), COMMAND_CASES, ids=lambda v: type(v).__name__)
def test_a_command_is_read_and_written_as_the_protocol_says(
    payload: bytes, command: m.Command
) -> None:
    assert not isinstance(command, m.Unlisted | m.Unreadable)
    assert command.encode(PLAIN) == payload
    wire = framed(payload, 0)
    assert read(ready(PLAIN), [wire]) == [command]
    assert read(ready(PLAIN), each(wire)) == [command]
    assert read(ready(PLAIN), [wire + wire[:-1]]) == [command]


def test_every_command_of_the_list_has_a_case() -> None:
    assert {payload[0] for payload, _ in COMMAND_CASES} == set(m.COMMANDS)


@pytest.mark.parametrize("code", sorted(set(range(256)) - set(m.COMMANDS)))
def test_any_other_command_is_unlisted_and_the_next_one_is_read(code: int) -> None:
    wire = framed(bytes([code]) + b"\0\1\2", 0) + framed(m.Ping().encode(ALL), 0)
    assert read(ready(), [wire]) == [m.Unlisted(code), m.Ping()]


@given(st.lists(listed, max_size=4), st.integers(1, 7), st.sampled_from([ALL, PLAIN]))
def test_commands_come_back_however_they_were_cut(
    sent: list[m.Listed], size: int, capabilities: int
) -> None:
    payloads = [command.encode(capabilities) for command in sent]
    wire = b"".join(framed(payload, 0) for payload in payloads)
    cut = [wire[i : i + size] for i in range(0, len(wire), size)]
    for chunks in ([wire], cut):
        found = read(ready(capabilities), chunks)
        assert [getattr(message, "encode")(capabilities) for message in found] == payloads  # noqa: B009
        if capabilities == ALL:
            assert found == sent


def test_attributes_stand_before_a_querys_text() -> None:
    wire = (
        b"\x03\x03\x01\x04\x01"  # three, one set of them, the last is NULL, types follow
        b"\x08\x80\x02id\xfd\x00\x05trace\xfd\x00\x04none"
        b"\x07\0\0\0\0\0\0\0\x03abcselect 1"
    )
    assert m.decode_command(wire, ALL) == m.Query("select 1", ATTRIBUTES)
    assert m.Query("select 1", ATTRIBUTES).encode(ALL) == wire
    assert m.decode_command(b"\x03\0\x01select 1", ALL) == m.Query("select 1")


@pytest.mark.parametrize(
    "body",
    [
        b"\x00\x02select 1",  # two sets of them
        b"\x01\x01\x00\x00select 1",  # values without types
        b"\x01\x01\x00\x01\xfd\x00\x00\xff",  # a value longer than the message
        b"\x01\x01\x00\x01\x14\x00\x00x",  # an unknown type
        b"\xfd\xff\xff\xff\x01",  # more than can be counted
    ],
)
def test_attributes_that_can_be_read_in_no_way_fail(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        m.decode_command(b"\x03" + body, ALL)


def test_a_text_that_is_not_utf_8_can_be_refused_and_the_next_command_is_read() -> None:
    wire = framed(b"\x03\0\1select _binary'\xff'", 0) + framed(b"\x0e", 0)
    assert read(ready(), [wire]) == [m.Unreadable(3), m.Ping()]


@given(st.binary(max_size=60), st.sampled_from(sorted(m.COMMANDS)), st.sampled_from([ALL, PLAIN]))
def test_any_fields_of_a_command_are_one_or_a_protocol_error(
    body: bytes, code: int, capabilities: int
) -> None:
    reader = ready(capabilities)
    reader.receive_data(framed(bytes([code]) + body, 0))
    try:
        found = reader.next_command()
    except ProtocolError:
        with pytest.raises(ProtocolError):
            reader.next_command()
    else:
        assert not isinstance(found, NeedData)


@pytest.mark.parametrize(("capabilities", "payload", "answer"), ANSWER_CASES)
def test_an_answer_is_read_and_written_as_the_protocol_says(
    capabilities: int, payload: bytes, answer: a.Answer
) -> None:
    assert answer.encode(capabilities) == payload
    match answer:
        case a.Ok():
            assert a.Ok.decode(payload, capabilities) == answer
        case a.Text():
            pass
        case _:
            assert type(answer).decode(payload) == answer


@given(oks, columns)
def test_answers_come_back_as_they_were(ok: a.Ok, column: a.ColumnDefinition) -> None:
    assert a.Ok.decode(ok.encode(ALL), ALL) == ok
    assert a.ColumnDefinition.decode(column.encode(ALL)) == column


def test_a_change_of_the_session_tells_schema_and_variables() -> None:
    assert a.Change(1, b"\x04shop").schema() == "shop"
    assert a.Change(0, b"\x0aautocommit\x03OFF").variables() == (("autocommit", "OFF"),)
    assert a.Change(2, b"\x011").schema() is None
    with pytest.raises(ProtocolError):
        a.Change(1, b"\x05shop").schema()


def test_progress_that_nobody_asked_for_fails() -> None:
    with pytest.raises(ProtocolError):
        a.Err.decode(b"\xff\xff\xff\x01\x01\x01\0\0\0")


# -- login


def test_a_greeting_is_read_as_it_was_written() -> None:
    payload = GREETING.encode()
    assert Greeting.decode(payload) == GREETING
    # Source: MySQL's protocol documentation, "Protocol::HandshakeV10".
    assert payload.startswith(b"\x0a8.0.40\0\x07\0\0\0\1\2\3\4\5\6\7\x08\0")
    assert payload.endswith(b"\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\0mysql_native_password\0")


def test_a_greeting_of_a_server_that_is_too_old_fails() -> None:
    with pytest.raises(ProtocolError):
        Greeting.decode(Greeting("5.0", 1, bytes(20), c.PROTOCOL_41).encode())


@pytest.mark.parametrize("size", [0, 20, 250, 251, 1500, 40_000])
def test_a_login_is_read_as_it_was_written(size: int) -> None:
    login = HandshakeResponse(
        ALL, "ada", b"t" * size, "shop", "mysql_clear_password", (("a", "b"),)
    )
    reader = FrontendReader()
    assert read(reader, each(framed(login.encode(), 1))) == [login]
    with pytest.raises(ProtocolError):
        reader.next_event()  # nothing was asked of it yet


def test_the_layout_of_a_login_is_what_its_own_capabilities_say() -> None:
    old = c.PROTOCOL_41 | c.SECURE_CONNECTION | c.LOCAL_FILES | c.MULTI_STATEMENTS
    login = HandshakeResponse(old, "ada", b"x" * 20)
    reader = FrontendReader()
    assert read(reader, [framed(login.encode(), 1)]) == [login]
    assert not reader.capabilities & (c.LOCAL_FILES | c.MULTI_STATEMENTS | c.DEPRECATE_EOF)


def test_what_was_not_offered_is_not_agreed_on() -> None:
    everything = 0xFFFFFFFF & ~c.ZSTD & ~c.SSL
    reader = FrontendReader(PLAIN)
    read(reader, [framed(HandshakeResponse(everything, "ada").encode(), 1)])
    assert reader.capabilities == PLAIN


def test_a_request_for_tls_comes_before_the_login_and_keeps_the_numbers() -> None:
    reader = FrontendReader(ALL | c.SSL)
    assert read(reader, [framed(SslRequest(ALL).encode(), 1)]) == [SslRequest(ALL)]
    assert read(reader, [framed(LOGIN.encode(), 2)]) == [LOGIN]
    assert reader.answer(b"x")[3] == 3


def test_bytes_sent_behind_a_request_for_tls_fail() -> None:
    reader = FrontendReader(ALL | c.SSL)
    with pytest.raises(ProtocolError):
        read(reader, [framed(SslRequest(ALL).encode(), 1) + framed(LOGIN.encode(), 2)])


def test_tls_is_asked_for_once_and_only_where_it_is_offered() -> None:
    reader = FrontendReader(ALL | c.SSL)
    read(reader, [framed(SslRequest(ALL).encode(), 1)])
    with pytest.raises(ProtocolError):
        read(reader, [framed(SslRequest(ALL).encode(), 2)])
    with pytest.raises(ProtocolError):
        read(FrontendReader(ALL), [framed(SslRequest(ALL).encode(), 1)])


def test_a_token_of_40_kb_comes_as_password_after_a_switch_of_methods() -> None:
    reader = FrontendReader()
    read(reader, [framed(LOGIN.encode(), 1)])
    switch = AuthSwitch("mysql_clear_password", b"")
    assert reader.answer(switch.encode())[3] == 2
    reader.expect(FrontendState.AUTHENTICATION)
    token = "t" * 40_000
    (answer,) = read(reader, [framed(token.encode() + b"\0", 3)])
    assert isinstance(answer, AuthAnswer)
    assert answer.password == token
    assert reader.answer(a.Ok().encode(ALL))[3] == 4
    reader.expect(FrontendState.READY)
    assert read(reader, [framed(b"\x0e", 0)]) == [m.Ping()]
    assert reader.answer(a.Ok().encode(ALL))[3] == 1


@pytest.mark.parametrize("content", [b"", b"no end", b"one\0two", b"\xff\0"])
def test_an_odd_password_fails(content: bytes) -> None:
    with pytest.raises(ProtocolError):
        _ = AuthAnswer(content).password


def test_no_token_is_in_a_representation() -> None:
    for message in (
        HandshakeResponse(ALL, "ada", b"token"),
        AuthAnswer(b"token\0"),
        m.ChangeUser("ada", b"token"),
    ):
        assert "token" not in repr(message)


def test_a_command_before_the_login_was_answered_fails() -> None:
    reader = FrontendReader()
    read(reader, [framed(LOGIN.encode(), 1) + framed(b"\x03\0\1select 1", 0)])
    with pytest.raises(ProtocolError):
        reader.next_event()
    with pytest.raises(ProtocolError):
        FrontendReader().next_command()


@pytest.mark.parametrize(
    "payload",
    [
        LOGIN.encode()[:31],
        LOGIN.encode()[:40],
        LOGIN.encode() + b"x",
        b"\0\0\0\0" + LOGIN.encode()[4:],  # before 4.1
        LOGIN.encode().replace(b"_os", b"\xff\xff\xff"),
        HandshakeResponse(ALL, "ada", attributes=(("a", "b" * 65_536),)).encode(),
    ],
)
def test_a_login_that_can_be_read_in_no_way_fails(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(FrontendReader(), [framed(payload, 1)])


@pytest.mark.parametrize(
    ("state", "limit"),
    [
        (FrontendState.LOGIN, codec.MAX_LOGIN),
        (FrontendState.AUTHENTICATION, codec.MAX_PASSWORD),
    ],
)
def test_a_length_out_of_range_fails_before_anything_is_held(
    state: FrontendState, limit: int
) -> None:
    reader = FrontendReader(state=state)
    reader.receive_data((limit + 1).to_bytes(3, "little") + b"\1")
    with pytest.raises(ProtocolError):
        reader.next_event()


def test_a_command_over_16_mb_is_read_and_its_answer_is_numbered_behind_it() -> None:
    reader, query = ready(), m.Query("x" * (FULL + 10))
    assert read(reader, [framed(query.encode(ALL), 0)]) == [query]
    assert reader.answer(a.Ok().encode(ALL))[3] == 2
    with pytest.raises(ProtocolError):
        read(ready(), [b"\xff\xff\xff" + bytes([n]) + bytes(FULL) for n in range(5)])


def test_a_command_out_of_sequence_fails() -> None:
    with pytest.raises(ProtocolError):
        read(ready(), [framed(b"\x0e", 1)])
    with pytest.raises(ProtocolError):
        read(ready(), [b"\0\0\0\0"])


def test_steps_of_an_authentication_are_read_as_they_were_written() -> None:
    switch, more = AuthSwitch("caching_sha2_password", bytes(20)), AuthMoreData(b"\4")
    assert AuthSwitch.decode(switch.encode()) == switch
    assert AuthMoreData.decode(more.encode()) == more


def test_what_is_offered_is_what_the_backend_has_too() -> None:
    backend = c.OFFERED & ~(c.DEPRECATE_EOF | c.QUERY_ATTRIBUTES) | c.LOCAL_FILES | c.COMPRESS
    offered = c.offered(backend, tls=True)
    refused = c.LOCAL_FILES | c.COMPRESS | c.MULTI_STATEMENTS | c.DEPRECATE_EOF | c.QUERY_ATTRIBUTES
    assert not offered & refused
    assert offered & c.SSL
    assert offered & c.LONG_PASSWORD
    assert not c.offered(backend, tls=False) & c.SSL


def test_a_parameter_of_another_length_than_its_types_is_not_written() -> None:
    with pytest.raises(ProtocolError):
        m.Query("x", (Parameter(Kind(t.LONG), b"abc"),)).encode(ALL)
