"""A real client against the server's side of the codec, over a socket in this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pymysql
import pytest

from masking import mysql_types as t
from server.protocols.mysql import answers as a
from server.protocols.mysql import capabilities as c
from server.protocols.mysql import commands as m
from server.protocols.mysql import fields
from server.protocols.mysql.codec import FrontendReader, FrontendState, NeedData
from server.protocols.mysql.handshake import (
    AuthAnswer,
    AuthSwitch,
    Greeting,
    HandshakeResponse,
    SslRequest,
)
from server.protocols.mysql.packets import framed

TOKEN: Final = "t" * 40_000
SALT: Final = bytes(range(1, 21))


class Door:
    """Asks for a password in clear, and answers every query with one row: its own text."""

    def __init__(self, offered: int) -> None:
        self.reader = FrontendReader(offered)
        self.heard: list[object] = []

    def greeting(self) -> bytes:
        greeting = Greeting("8.0.40-ostiary", 77, SALT, self.reader.capabilities)
        return framed(greeting.encode(), 0)

    def receive(self, content: bytes) -> bytes:
        self.reader.receive_data(content)
        out = b""
        while self.reader.state is not FrontendState.CLOSED:
            message = self.reader.next_event()
            if isinstance(message, NeedData):
                break
            self.heard.append(message)
            for answer in self.answers(message):
                out += self.reader.answer(answer)
        return out

    def answers(self, message: object) -> list[bytes]:
        flags = self.reader.capabilities
        match message:
            case HandshakeResponse():
                self.reader.expect(FrontendState.AUTHENTICATION)
                return [AuthSwitch("mysql_clear_password").encode()]
            case AuthAnswer() as answer if answer.password == TOKEN:
                self.reader.expect(FrontendState.READY)
                return [a.Ok().encode(flags)]
            case AuthAnswer():
                self.reader.expect(FrontendState.CLOSED)
                return [a.Err(1045, "28000", "no").encode(flags)]
            case m.Query(text) if text.startswith("SELECT"):
                return self.result(text)
            case m.Query(text) if text.startswith("DENY"):
                return [a.Err(1142, "42000", "refused").encode(flags)]
            case m.Quit():
                self.reader.expect(FrontendState.CLOSED)
                return []
            case SslRequest():
                raise AssertionError("TLS is not offered")
            case _:
                return [a.Ok(affected=3, info=b"three").encode(flags)]

    def result(self, text: str) -> list[bytes]:
        flags = self.reader.capabilities
        column = a.ColumnDefinition("said", t.VAR_STRING, length=400)
        end = a.Ok(ends_rows=True) if flags & c.DEPRECATE_EOF else a.Eof()
        between = [] if flags & c.DEPRECATE_EOF else [a.Eof().encode(flags)]
        row = fields.text(text)
        count = a.ColumnCount(1).encode(flags)
        return [count, column.encode(flags), *between, row, end.encode(flags)]


@contextmanager
def listening(door: Door) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener, door))
        thread.start()
        yield listener.getsockname()[1]
        thread.join(60)
        assert not thread.is_alive()


def serve(listener: socket.socket, door: Door) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(60)
        connection.sendall(door.greeting())
        while door.reader.state is not FrontendState.CLOSED:
            content = connection.recv(65536)
            if not content:
                break
            connection.sendall(door.receive(content))


def connect(port: int, password: str = TOKEN) -> Any:
    return pymysql.connect(
        host="127.0.0.1", port=port, user="ada+shop", password=password, database="shop"
    )


@pytest.mark.parametrize("offered", [c.OFFERED, c.OFFERED & ~c.SESSION_TRACK])
def test_a_client_logs_in_with_a_token_and_is_answered(offered: int) -> None:
    door = Door(offered)
    with listening(door) as port:
        connection = connect(port)
        assert connection.thread_id() == 77
        assert connection.server_version == "8.0.40-ostiary"
        with connection.cursor() as cursor:
            cursor.execute("SELECT 'ä'")
            assert cursor.fetchall() == (("SELECT 'ä'",),)
            assert cursor.execute("UPDATE x") == 3
            with pytest.raises(pymysql.err.OperationalError, match="refused"):
                cursor.execute("DENY this")
            cursor.execute("SELECT 2")
            assert cursor.description[0][:2] == ("said", t.VAR_STRING)
        connection.ping()
        connection.close()
    login = door.heard[0]
    assert isinstance(login, HandshakeResponse)
    assert (login.user, login.database) == ("ada+shop", "shop")
    assert not door.reader.capabilities & (c.MULTI_STATEMENTS | c.LOCAL_FILES)
    assert door.heard[-2:] == [m.Ping(), m.Quit()]


def test_a_wrong_token_is_told_as_the_protocol_does() -> None:
    with listening(Door(c.OFFERED)) as port, pytest.raises(pymysql.err.OperationalError) as refused:
        connect(port, "wrong")
    assert refused.value.args[0] == 1045
