"""Attack lines X01 to X07: MySQL's wire protocol, at the MySQL door before a real MariaDB."""

from __future__ import annotations

import ssl
import struct
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.e2e import mysql_raw as r
from tests.e2e.mysql_door import (
    MASKED,
    SECRETS,
    connector,
    fetch,
    here,
    rita,
    stock,
)
from tests.e2e.world import World
from tests.fixtures.mariadb import MariaDbServer

__all__ = ["here", "rita", "stock"]

pytestmark = [pytest.mark.programs, pytest.mark.gateways]

BIG = 0xFFFFFF
ALLOWED = {0x01, 0x02, 0x03, 0x09, 0x0C, 0x0E, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x1F}


@pytest.fixture
def raw(here: World) -> Iterator[r.Raw]:
    with closing(r.logged_in(here)) as made:
        yield made


def prepared(raw: r.Raw, text: str) -> int:
    answer = raw.command(b"\x16" + text.encode())
    assert answer[0] == 0, answer
    number, columns, parameters = struct.unpack_from("<IHH", answer, 1)
    for _ in range(columns + parameters):
        raw.read()
    return int(number)


def test_x01_packets_out_of_sequence_long_and_empty(here: World, raw: r.Raw) -> None:
    raw.write(b"\x0e", 7)
    assert r.code(raw.read()) == 1835
    assert raw.read() == b""
    with closing(r.logged_in(here)) as other:
        other.write(b"", 0)
        assert r.code(other.read()) == 1835
    with closing(r.logged_in(here)) as other:
        text = b"\x03SELECT LENGTH('" + b"a" * (BIG + 5) + b"')"
        other.write(text[:BIG], 0)
        other.write(text[BIG:], 1)
        assert r.code(other.read()) == 1153  # whole, and too long to record
    with closing(r.logged_in(here)) as other:
        try:
            for sequence in range(5):  # 80 MB of one command
                other.write(b"\x03" + b" " * (BIG - 1) if not sequence else b" " * BIG, sequence)
        except OSError:
            return
        assert r.code(other.read()) in (0, 1835)
        assert other.read() == b""


def test_x02_the_handshake(here: World) -> None:
    encrypted = int((here.directory / "encrypted").read_text())
    with closing(r.Raw.open(encrypted)) as plain:
        assert plain.offered & r.SSL
        assert r.code(plain.say_who(r.PLAIN, "ada", "stock-prod")) == 3159
    with closing(r.Raw.open(encrypted)) as injected:
        request = struct.pack("<IIB", r.PLAIN | r.SSL, 1 << 24, r.UTF8MB4) + bytes(23)
        login = request + b"ada\0\0stock-prod\0mysql_native_password\0"
        header = len(request).to_bytes(3, "little") + b"\x01"
        second = len(login).to_bytes(3, "little") + b"\x02"
        injected.connection.sendall(header + request + second + login)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(injected.connection)
    with closing(r.Raw.open(here.listener)) as raw:
        refused = r.COMPRESS | r.LOCAL_FILES | r.MULTI_STATEMENTS | (1 << 25) | (1 << 26)
        assert not raw.offered & (refused | r.SSL | r.QUERY_ATTRIBUTES)
        assert raw.say_who(r.PLAIN | refused & ~(1 << 26), "ada", "stock-prod")[0] == 0xFE
    for user, database, charset, code in (
        ("", "stock-prod", 45, 1835),
        ("ada", "", 45, 1142),
        ("ada", "stock-prod", 8, 1115),
        ("ada", "stock-prod", 28, 1115),
    ):
        with closing(r.Raw.open(here.listener)) as raw:
            said = raw.say_who(r.PLAIN, user, database, charset=charset)
            assert r.code(said) == code, (user, database, charset, said)
    with closing(r.Raw.open(here.listener)) as raw:  # attributes over 64 KiB
        flags = r.PLAIN | r.CONNECT_ATTRS
        head = struct.pack("<IIB", flags, 1 << 24, 45) + bytes(23) + b"ada\0\0stock-prod\0x\0"
        raw.write(head + b"\xfd" + (70_000).to_bytes(3, "little") + bytes(70_000))
        assert r.code(raw.read()) == 1835


def test_x03_every_command_byte(here: World) -> None:
    for command in range(256):
        if command in ALLOWED:
            continue
        with closing(r.logged_in(here)) as raw:
            body = b"mysql\0%" if command == 0x04 else b"\0\0"
            said = r.code(raw.command(bytes((command,)) + body))
            assert said in (1047, 1227, 1421, 1835), (command, said)
    with closing(r.logged_in(here)) as raw:
        assert b"Ostiary" in raw.command(b"\x09")
        assert r.code(raw.command(b"\x02mysql")) == 1142
        assert r.code(raw.command(b"\x16DELETE FROM orders; SELECT 1")) == 1142
        assert r.code(raw.command(b"\x16DROP TABLE orders")) == 1142
        assert r.code(raw.command(b"\x0c\x01\0\0\0")) == 1094
        assert raw.command(b"\x0e")[0] == 0


def test_x04_prepared_statements(here: World, raw: r.Raw) -> None:
    number = prepared(raw, "SELECT id, email FROM suppliers WHERE id = ?")
    execute = b"\x17" + struct.pack("<IBI", number, 0, 1)
    with closing(r.logged_in(here)) as other:
        assert r.code(other.command(execute + b"\0\x01\x08\0" + bytes(8))) == 1243
    bound = b"\0\x01\x08\0" + (1).to_bytes(8, "little")
    cursor = b"\x17" + struct.pack("<IBI", number, 1, 1)  # a cursor: rows come at once
    for command in (execute, cursor):
        assert raw.command(command + bound)[0] == 2
        said = b"".join(raw.rest())
        assert b"@" in said
        assert b"zoe.canary" not in said
    assert r.code(raw.command(b"\x1c" + struct.pack("<II", number, 10))) == 1421
    raw.write(b"\x18" + struct.pack("<IH", number, 0) + b"1 OR 1=1", 0)
    assert raw.command(execute + bound[:4])[0] == 2  # a value that came beforehand is a value
    assert len(raw.rest()) <= 4
    for body in (b"", b"\0", b"\0\0" + bytes(8), b"\0\x01\xee\0" + bytes(8), b"\0\x01\x08\0\1"):
        with closing(r.logged_in(here)) as other:
            known = prepared(other, "SELECT id FROM suppliers WHERE id = ?")
            said = other.command(b"\x17" + struct.pack("<IBI", known, 0, 1) + body)
            assert r.code(said) == 1835, body
    # Attributes of a query, which nobody has agreed on: the text begins where it begins.
    with closing(r.logged_in(here, r.PLAIN | r.QUERY_ATTRIBUTES)) as other:
        assert r.code(other.query(b"\x00\x01SELECT 1")) == 1142


def test_x05_another_user_a_reset_and_what_is_tracked(here: World, raw: r.Raw) -> None:
    for database, secret, told in (
        (b"stock-prod", "no", 1045),
        (b"mysql", here.token("rita"), 1142),
        (b"stock-short", "", 1045),
    ):
        change = b"\x11victor\0\0" + database + b"\0\x2d\0mysql_native_password\0"
        with closing(r.logged_in(here)) as other:  # a login of its own, and the last word
            assert other.command(change).startswith(b"\xfemysql_clear_password\0")
            other.write(secret.encode() + b"\0")
            assert r.code(other.read()) == told
            assert other.read() == b""
    with closing(r.logged_in(here)) as other:  # what is sent behind it is not the old user's
        other.write(change, 0)
        other.write(b"\x03SELECT 1", 0)
        assert other.read().startswith(b"\xfe")
        assert r.code(other.read()) == 1835
    assert raw.query("SET SESSION time_zone = '+07:00'")[0] == 0
    number = prepared(raw, "SELECT 1")
    assert raw.command(b"\x1f")[0] == 0
    execute = b"\x17" + struct.pack("<IBI", number, 0, 1)
    assert r.code(raw.command(execute)) == 1243
    assert raw.query("SELECT @@time_zone, @@sql_mode, DATABASE()")[0] == 3
    rows = b"".join(raw.rest())
    assert b"+00:00" in rows
    assert b"STRICT_TRANS_TABLES" in rows
    assert b"\x05stock" in rows
    for sql in ("SET NAMES gbk", "SET character_set_client = gbk", "SET session_track_schema = 0"):
        assert r.code(raw.query(sql)) == 1142, sql


def test_x06_a_server_that_asks_for_a_file(here: World, raw: r.Raw, stock: MariaDbServer) -> None:
    """Neither a statement may ask for one nor a server: its request is an error of the protocol."""
    assert not raw.offered & r.LOCAL_FILES
    sql = "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE orders"
    assert r.code(raw.query(sql)) == 1142
    assert raw.command(b"\x0e")[0] == 0


def test_x07_rows_of_both_kinds_are_masked_and_there_is_one_result(here: World, rita: Any) -> None:
    with closing(connector(here)) as connection:
        cursor = connection.cursor(prepared=True)
        cursor.execute(MASKED.replace("ORDER", "WHERE id >= ? ORDER"), (1,))
        bound = [tuple(row) for row in cursor.fetchall()]
    assert bound == fetch(rita, MASKED)
    assert not [secret for secret in SECRETS if secret in repr(bound)]
    with closing(r.logged_in(here, r.PLAIN | r.DEPRECATE_EOF | r.MULTI_STATEMENTS)) as raw:
        assert r.code(raw.query("SELECT 1; SELECT email FROM suppliers")) == 1142
        assert r.code(raw.query("CALL nothing()")) == 1142
    with closing(r.logged_in(here, r.PLAIN)) as raw:  # with EOF packets
        assert raw.query("SELECT email FROM suppliers WHERE id = 1")[0] == 1
        definition, eof = raw.read(), raw.read()
        assert definition.startswith(b"\x03def")
        assert (eof[0], len(eof)) == (0xFE, 5)
        row, end = raw.read(), raw.read()
        assert b"canary" not in row
        assert (end[0], len(end)) == (0xFE, 5)
