"""Frames that were mutated: a message or a `ProtocolError`, nothing else, in time like the bytes'.

`OSTIARY_FUZZ` raises the full count: OSTIARY_FUZZ=10000000 pytest -m full.
"""

from __future__ import annotations

import os
import random
import time
import tracemalloc
from collections.abc import Callable
from typing import Final

import pytest

from masking.errors import MaskingFailed
from policies.errors import ProtocolError
from recordings.events import Columns, Rows
from recordings.rows import row_codec
from server.protocols.mysql import answers as a
from server.protocols.mysql import capabilities as c
from server.protocols.mysql import commands as m
from server.protocols.mysql.codec import FrontendReader, FrontendState, NeedData
from server.protocols.mysql.conversation import Conversation
from server.protocols.mysql.handshake import AuthMoreData, AuthSwitch, SslRequest
from server.protocols.mysql.login import Channel, Login, LoginRefused, Stage
from server.protocols.mysql.packets import framed
from server.protocols.mysql.statements import Statement, Statements
from tests.server.protocols.mysql.messages import (
    ALL,
    ATTRIBUTES,
    COMMAND_CASES,
    GREETING,
    LOGIN,
    PLAIN,
    SALT,
)
from tests.server.protocols.mysql.test_conversation import ID

FULL_COUNT: Final = int(os.environ.get("OSTIARY_FUZZ", "1000000"))
counts = pytest.mark.parametrize(
    "count", [5_000, pytest.param(FULL_COUNT // 4, marks=pytest.mark.full)]
)
_ODD: Final = (0, 1, 2, 5, 9, 0x7F, 0x80, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF)

LOGINS: Final = [
    framed(LOGIN.encode(), 1),
    framed(SslRequest(ALL).encode(), 1),
    framed(LOGIN.encode(), 1) + framed(b"token\0", 3) + framed(b"\x0e", 0),
]
COMMANDS: Final = [
    *(framed(payload, 0) for payload, _ in COMMAND_CASES),
    framed(m.Query("select 1", ATTRIBUTES).encode(ALL), 0),
    framed(m.StmtExecute(5, body=b"\0\x01\x0f\0\x03foo").encode(ALL), 0),
    framed(m.StmtExecute(5, body=b"\x01\0\x01\x0f\0\x00\x03foo").encode(ALL), 0),
]


def wire(*payloads: bytes) -> bytes:
    return b"".join(framed(payload, 1 + number) for number, payload in enumerate(payloads))


def result(flags: int, row: bytes) -> bytes:
    defined = [a.ColumnCount(2).encode(flags), ID.encode(flags), ID.encode(flags)]
    if flags & c.DEPRECATE_EOF:
        return wire(*defined, row, row, a.Ok(ends_rows=True).encode(flags))
    eof = a.Eof().encode(flags)
    return wire(*defined, eof, row, row, eof)


def answers(flags: int) -> list[tuple[m.Command, bytes]]:
    """Commands and what a server may answer to them."""
    ok = a.Ok(1, 2, 0x4002, 3, b"info", (a.Change(1, b"\x04shop"), a.Change(0, b"\x01a\x01b")))
    end = a.Ok(ends_rows=True) if flags & c.DEPRECATE_EOF else a.Eof()
    eof = [] if flags & c.DEPRECATE_EOF else [a.Eof().encode(flags)]
    definition = ID.encode(flags)
    return [
        (m.Query("x"), result(flags, b"\x011\xfb")),
        (m.Query("x"), wire(ok.encode(flags))),
        (m.Query("x"), wire(a.Err(1064, "42000", "no").encode(flags))),
        (m.StmtExecute(5), result(flags, b"\0\x08\1\0\0\0")),
        (m.StmtFetch(5, 2), wire(b"\0\0\1\0\0\0", end.encode(flags))),
        (
            m.StmtPrepare("x"),
            wire(a.PrepareOk(6, 1, 1).encode(flags), definition, *eof, definition, *eof),
        ),
        (m.FieldList("x"), wire(definition, definition, end.encode(flags))),
        (m.Statistics(), wire(b"Uptime")),
        (m.InitDb("x"), wire(ok.encode(flags))),
        (m.SetOption(1), wire(end.encode(flags))),
    ]


def mutated(content: bytes, chance: random.Random) -> bytes:
    """The frames changed anywhere; or the payload of one, whose header fits."""
    if chance.random() < 0.4:
        return scrambled(content, chance)
    packets, position = [], 0
    while position < len(content):
        end = position + 4 + int.from_bytes(content[position : position + 3], "little")
        packets.append(content[position:end])
        position = end
    number = chance.randrange(len(packets))
    odd = packets[number]
    packets[number] = framed(scrambled(odd[4:], chance), odd[3])
    return b"".join(packets)


def scrambled(content: bytes, chance: random.Random) -> bytes:
    """One to four changes: of bits, bytes, lengths and places."""
    odd = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        place = chance.randrange(len(odd) + 1)
        match chance.randrange(7):
            case 0 if place < len(odd):
                odd[place] ^= 1 << chance.randrange(8)
            case 1 if place < len(odd):
                odd[place] = chance.choice(_ODD)
            case 2:
                odd[place:place] = bytes([chance.choice(_ODD)]) * chance.choice((1, 1, 2, 3, 8))
            case 3:
                del odd[place : place + chance.choice((1, 1, 2, 4))]
            case 4:
                del odd[place:]
            case 5:
                end = place + chance.randrange(20)
                odd[place:place] = odd[place:end] * chance.choice((1, 2))
            case _:
                odd[place:place] = chance.randbytes(chance.randrange(1, 6))
    return bytes(odd)


def feed(receive: Callable[[bytes], None], content: bytes, chance: random.Random) -> None:
    cut = chance.randrange(len(content) + 1)
    receive(content[:cut])
    receive(content[cut:])


def read_client(reader: FrontendReader, content: bytes, chance: random.Random) -> None:
    feed(reader.receive_data, content, chance)
    statements = Statements()
    statements.add(Statement(5, "x", 1))
    try:
        while not isinstance(message := reader.next_event(), NeedData):
            if isinstance(message, m.StmtExecute):
                statements.bound(message, reader.capabilities)
            elif isinstance(message, m.StmtSendLongData):
                statements.keep(message)
            if reader.state is FrontendState.HELD:
                reader.answer(b"x")
                reader.expect(
                    FrontendState.READY if chance.random() < 0.5 else FrontendState.AUTHENTICATION
                )
    except ProtocolError:
        pass


@counts
def test_what_a_client_sends_at_login(count: int) -> None:
    chance = random.Random(f"login {count}")
    for _ in range(count):
        reader = FrontendReader(ALL | c.SSL)
        read_client(reader, mutated(chance.choice(LOGINS), chance), chance)


@counts
def test_what_a_client_sends_as_commands(count: int) -> None:
    chance = random.Random(f"commands {count}")
    for _ in range(count):
        content = b"".join(chance.choices(COMMANDS, k=chance.choice((1, 1, 3))))
        reader = FrontendReader(chance.choice((ALL, PLAIN)), FrontendState.READY)
        read_client(reader, mutated(content, chance), chance)


@counts
def test_what_a_server_says_at_login(count: int) -> None:
    chance = random.Random(f"server {count}")
    ok = a.Ok().encode(ALL)
    switch = AuthSwitch("mysql_native_password", SALT + b"\0").encode()
    sha2 = AuthSwitch("caching_sha2_password", SALT + b"\0").encode()
    said = [
        [GREETING.encode(), ok],
        [GREETING.encode(), AuthSwitch("client_ed25519", bytes(32)).encode(), ok],
        [GREETING.encode(), sha2, AuthMoreData(b"\4").encode(), ok],
        [GREETING.encode(), switch, a.Err(1045, "28000", "no").encode(0)],
    ]
    for _ in range(count):
        login = Login("ada", "secret", channel=chance.choice((Channel.LOCAL, Channel.TLS)))
        script = chance.choice(said)
        odd = chance.randrange(len(script))
        try:
            for number, payload in enumerate(script):
                sent = framed(payload, login.sequence)
                login.receive_data(mutated(sent, chance) if number == odd else sent)
                while not isinstance(login.next_output(), NeedData):
                    if login.stage is Stage.TLS:
                        login.secured()
        except (ProtocolError, LoginRefused):
            pass


@counts
def test_what_a_server_answers(count: int) -> None:
    chance = random.Random(f"answers {count}")
    scripts = {flags: answers(flags) for flags in (ALL, PLAIN, ALL & ~c.DEPRECATE_EOF)}
    for _ in range(count):
        flags = chance.choice(list(scripts))
        command, content = chance.choice(scripts[flags])
        converse(flags, command, mutated(content, chance), chance)


def converse(flags: int, command: m.Command, content: bytes, chance: random.Random) -> None:
    script = Conversation(flags)
    script.statements.add(Statement(5, "x", 0, (), result=()))
    script.begin("x")
    script.send(command)
    feed(script.receive_data, content, chance)
    width = 0
    try:
        while not isinstance(event := script.next_event(), NeedData):
            if isinstance(event, Columns):
                width = len(event.columns)
            elif isinstance(event, Rows):
                cut_rows(event, width)
    except ProtocolError:
        pass


def cut_rows(rows: Rows, width: int) -> None:
    """As a mask would; what is refused here ends the statement."""
    codec = row_codec(rows.codec)
    assert codec is not None
    try:
        decoded = codec.decode(rows.frames)
    except ProtocolError:
        decoded = None
    try:
        cut = codec.cut(rows.frames, width, range(width))
    except (ProtocolError, MaskingFailed):
        assert decoded is None or any(len(row) != width for row in decoded)
        return
    assert decoded is not None
    assert [list(row) for row in zip(*cut.columns, strict=True)] == decoded
    assert codec.splice(cut, range(rows.count)) == rows.frames


def test_bytes_that_come_four_by_four_cost_as_much_as_bytes() -> None:
    """Twice as many take twice the time, not four times: judged by processor time, with room."""

    def seconds(rows: int) -> float:
        row = b"\xfc\xe8\x03" + b"x" * 1000 + b"\xfb"
        script = Conversation(ALL)
        script.begin("x")
        script.send(m.Query("x"))
        defined = [a.ColumnCount(2).encode(ALL), ID.encode(ALL), ID.encode(ALL)]
        sent = wire(*defined, *[row] * rows)
        begun = time.process_time()
        for place in range(0, len(sent), 4):
            script.receive_data(sent[place : place + 4])
            while not isinstance(script.next_event(), NeedData):
                pass
        return time.process_time() - begun

    least = [min(seconds(rows) for _ in range(3)) for rows in (20, 80)]
    assert least[1] < 10 * least[0]


def test_a_flood_of_bytes_that_never_make_a_message_is_bounded() -> None:
    """What a header announces is refused before it comes; a row is held to its limit."""
    tracemalloc.start()
    try:
        for state in (FrontendState.LOGIN, FrontendState.AUTHENTICATION):
            with pytest.raises(ProtocolError):
                flood_with_bytes(state)
        with pytest.raises(ProtocolError):
            flood_with_fields()
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    finally:
        tracemalloc.stop()


def flood_with_bytes(state: FrontendState) -> None:
    reader = FrontendReader(state=state)
    for _ in range(1000):
        reader.receive_data(b"\xff\xff\xff\1" + bytes(60_000))
        reader.next_event()


def flood_with_fields() -> None:
    script = Conversation(ALL)
    script.begin("x")
    script.send(m.FieldList("x"))
    for number in range(1_000_000):
        script.receive_data(framed(ID.encode(ALL), 1 + number))
        script.next_event()
