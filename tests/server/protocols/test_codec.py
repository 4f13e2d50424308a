"""The codec: exact inverses, however the bytes arrive; odd bytes are a `ProtocolError`."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.errors import ProtocolError
from recordings.rows import ROW_CODECS
from server.protocols.postgres import backend as b
from server.protocols.postgres import codec
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import (
    NEED_DATA,
    BackendReader,
    CopyRun,
    FrontendReader,
    FrontendState,
    NeedData,
    RowRun,
)
from tests.server.protocols.messages import BACKEND_CASES, FRONTEND_CASES, commands, replies

Message = f.FrontendMessage | b.BackendMessage | RowRun | CopyRun
Reader = FrontendReader | BackendReader


def ready() -> FrontendReader:
    return FrontendReader(FrontendState.READY)


def read(reader: Reader, chunks: Iterable[bytes]) -> list[Message]:
    found: list[Message] = []
    for chunk in chunks:
        reader.receive_data(chunk)
        while not isinstance(message := reader.next_event(), NeedData):
            found.append(message)
    return found


def each(content: bytes) -> list[bytes]:
    return [content[i : i + 1] for i in range(len(content))]


@pytest.mark.parametrize(("wire", "message"), FRONTEND_CASES, ids=lambda v: type(v).__name__)
def test_a_frontend_message_is_read_and_written_as_the_protocol_says(
    wire: bytes, message: f.Command
) -> None:
    assert message.encode() == wire
    assert read(ready(), [wire]) == [message]
    assert read(ready(), each(wire)) == [message]
    assert read(ready(), [wire + wire[:-1]]) == [message]


@pytest.mark.parametrize(("wire", "message"), BACKEND_CASES, ids=lambda v: type(v).__name__)
def test_a_backend_message_is_read_and_written_as_the_protocol_says(
    wire: bytes, message: b.BackendMessage
) -> None:
    assert message.encode() == wire
    assert read(BackendReader(), [wire]) == [message]
    assert read(BackendReader(), each(wire)) == [message]
    assert read(BackendReader(), [wire + wire[:-1]]) == [message]


def test_every_message_of_the_protocol_has_a_case() -> None:
    assert {c[0][:1] for c in FRONTEND_CASES} == set(f.COMMANDS)
    assert {c[0][:1] for c in BACKEND_CASES} == set(b.MESSAGES)


@given(st.lists(commands, max_size=5), st.integers(1, 7))
def test_frontend_messages_come_back_however_they_were_cut(
    sent: list[f.Command], size: int
) -> None:
    wire = b"".join(m.encode() for m in sent)
    cut = [wire[i : i + size] for i in range(0, len(wire), size)]
    assert read(ready(), [wire]) == sent == read(ready(), cut)


@given(st.lists(replies, max_size=5), st.integers(1, 7))
def test_backend_messages_come_back_however_they_were_cut(
    sent: list[b.BackendMessage], size: int
) -> None:
    wire = b"".join(m.encode() for m in sent)
    cut = [wire[i : i + size] for i in range(0, len(wire), size)]
    assert read(BackendReader(), [wire]) == sent == read(BackendReader(), cut)


def framed(tags: bytes) -> st.SearchStrategy[bytes]:
    """Well-framed bodies of noise: the fields inside are what is under test."""
    return st.tuples(st.sampled_from(sorted(tags)), st.binary(max_size=40)).map(
        lambda parts: bytes([parts[0]]) + struct.pack("!i", len(parts[1]) + 4) + parts[1]
    )


@given(st.one_of(st.binary(max_size=60), framed(b"".join(f.COMMANDS))))
def test_any_bytes_of_a_client_are_a_message_or_a_protocol_error(content: bytes) -> None:
    for state in FrontendState:
        reader = FrontendReader(state)
        reader.receive_data(content)
        try:
            taken = b"".join(m.encode() for m in read(reader, [b""]) if not isinstance(m, RowRun))
        except ProtocolError:
            with pytest.raises(ProtocolError):
                reader.next_event()
        else:
            assert content.startswith(taken)


@given(st.one_of(st.binary(max_size=60), framed(b"".join(b.MESSAGES) + b"Dd")))
def test_any_bytes_of_a_server_are_a_message_or_a_protocol_error(content: bytes) -> None:
    reader = BackendReader()
    try:
        found = read(reader, [content])
    except ProtocolError:
        with pytest.raises(ProtocolError):
            reader.next_event()
    else:
        taken = b"".join(m.frames if isinstance(m, RowRun) else m.encode() for m in found)
        assert content.startswith(taken)


def test_rows_come_in_their_own_frames_and_are_counted() -> None:
    frames = ROW_CODECS["postgres"].encode([[b"1", None], [b"2", b"x"], [b"3", b""]])
    end = b.CommandComplete("SELECT 3")
    assert read(BackendReader(), [frames + end.encode()]) == [RowRun(frames, 3), end]


def test_what_is_copied_out_comes_in_its_own_frames_and_is_counted() -> None:
    frames = b"d\0\0\0\x06x\n" + b"d\0\0\0\x05\n"
    end = b.CopyOutDone()
    assert read(BackendReader(), [frames + end.encode()]) == [CopyRun(frames, 2), end]


def test_rows_cut_anywhere_are_delivered_whole_and_once() -> None:
    frames = ROW_CODECS["postgres"].encode([[bytes([65 + i]) * i] for i in range(20)])
    runs = [m for m in read(BackendReader(), each(frames)) if isinstance(m, RowRun)]
    assert b"".join(run.frames for run in runs) == frames
    assert sum(run.count for run in runs) == 20


def test_a_long_result_comes_in_chunks_of_about_64_kib() -> None:
    frames = ROW_CODECS["postgres"].encode([[b"x" * 1000]] * 500)
    runs = read(BackendReader(), [frames])
    assert all(isinstance(r, RowRun) and len(r.frames) < 66_000 for r in runs)
    assert len(runs) == 8


@pytest.mark.parametrize("length", [-1, 0, 3, codec.MAX_COMMAND + 1, 2**31 - 1])
def test_a_length_out_of_range_fails_before_anything_is_held(length: int) -> None:
    for reader, tag in ((ready(), b"d"), (BackendReader(), b"C")):
        reader.receive_data(tag + struct.pack("!i", length))
        with pytest.raises(ProtocolError):
            reader.next_event()


def test_a_row_longer_than_the_limit_fails() -> None:
    for tag in (b"D", b"d"):
        reader = BackendReader()
        reader.receive_data(tag + struct.pack("!i", codec.MAX_ROW + 1))
        with pytest.raises(ProtocolError):
            reader.next_event()


def test_an_unknown_message_fails_at_its_first_byte() -> None:
    for reader in (ready(), BackendReader()):
        reader.receive_data(b"\x16")
        with pytest.raises(ProtocolError):
            reader.next_event()


@pytest.mark.parametrize(
    "body",
    [
        b"SELECT 1",  # no terminator
        b"SELECT 1\0;DROP TABLE t\0",  # a NUL inside
        b"\xff\xfe\0",  # not UTF-8
        b"\xed\xa0\x80\0",  # a surrogate
        b"\xc0\xaf\0",  # overlong
    ],
)
def test_a_query_whose_text_is_not_one_utf8_string_fails(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(ready(), [b"Q" + struct.pack("!i", len(body) + 4) + body])


@pytest.mark.parametrize(
    "body",
    [
        b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0",  # a length of -2
        b"\0\0\0\0\0\x02\0\0\0\x01a\0\0",  # fewer values than counted
        b"\0\0\0\x02\0\0\0\0\0\x01\0\0\0\x01a\0\0",  # two formats for one value
        b"\0\0\0\x01\0\x02\0\0\0\0",  # format 2
        b"\0\0\0\0\0\0\0\0x",  # more bytes than fields
    ],
)
def test_a_bind_whose_counts_and_bytes_differ_fails(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(ready(), [b"B" + struct.pack("!i", len(body) + 4) + body])


def test_a_bind_carries_as_many_parameters_as_the_protocol_can_count() -> None:
    bind = f.Bind("", "", (), (b"",) * 65_535)
    assert read(ready(), [bind.encode()]) == [bind]
    with pytest.raises(ProtocolError):
        f.Bind("", "", (), (b"",) * 65_536).encode()


def test_a_startup_message_keeps_its_parameters_in_order_with_duplicates() -> None:
    message = f.StartupMessage(196608, (("user", "ada"), ("user", "bob"), ("database", "")))
    assert read(FrontendReader(), [message.encode()]) == [message]


def test_after_startup_only_an_answer_to_the_authentication_request_is_read() -> None:
    reader = FrontendReader()
    startup = f.StartupMessage(196608, (("user", "ada"),))
    with pytest.raises(ProtocolError):
        read(reader, [startup.encode() + f.Query("SELECT 1").encode()])


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (FrontendState.PASSWORD, f.Password("token")),
        (FrontendState.SASL_FIRST, f.SaslInitialResponse("SCRAM-SHA-256", b"n,,")),
        (FrontendState.SASL_FIRST, f.SaslInitialResponse("OAUTHBEARER", None)),
        (FrontendState.SASL, f.SaslResponse(b"c=biws")),
    ],
)
def test_an_authentication_answer_is_read_as_what_was_asked_for(
    state: FrontendState, message: f.Authentication
) -> None:
    assert read(FrontendReader(state), [message.encode()]) == [message]


def test_bytes_sent_behind_a_request_for_encryption_fail() -> None:
    reader = FrontendReader()
    with pytest.raises(ProtocolError):
        read(reader, [f.SslRequest().encode() + b"\x16"])


def test_encryption_is_asked_for_once_of_each_kind() -> None:
    reader = FrontendReader()
    assert read(reader, [f.GssRequest().encode()]) == [f.GssRequest()]
    assert read(reader, [f.SslRequest().encode()]) == [f.SslRequest()]
    with pytest.raises(ProtocolError):
        read(reader, [f.SslRequest().encode()])


@pytest.mark.parametrize("size", [4, 256])
def test_a_cancel_request_ends_the_conversation(size: int) -> None:
    reader, request = FrontendReader(), f.CancelRequest(7, b"k" * size)
    assert read(reader, [request.encode()[:10], request.encode()[10:12]]) == []
    reader.receive_data(request.encode()[12:])
    assert reader.next_event() == request
    with pytest.raises(ProtocolError):
        reader.next_event()


@pytest.mark.parametrize("wire", [b"\0\0\0\x07abc", struct.pack("!ii", 10_001, 196608)])
def test_a_startup_packet_of_odd_size_fails(wire: bytes) -> None:
    reader = FrontendReader()
    reader.receive_data(wire)
    with pytest.raises(ProtocolError):
        reader.next_event()


def test_an_older_or_unknown_protocol_fails() -> None:
    reader = FrontendReader()
    reader.receive_data(struct.pack("!ii", 8, 2 << 16))
    with pytest.raises(ProtocolError):
        reader.next_event()


def test_nothing_received_needs_data() -> None:
    assert FrontendReader().next_event() is NEED_DATA
    assert BackendReader().next_event() is NEED_DATA
