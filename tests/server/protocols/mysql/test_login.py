"""Logins as scripts: what a server says, and what it is answered.

There is no MySQL 8 server in Debian, so caching_sha2_password is spoken by a script that checks the
proofs as its server does; mysql_native_password and ed25519 meet a real MariaDB in `test_mariadb`.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Final

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from policies.errors import ProtocolError
from server.protocols.mysql import answers as a
from server.protocols.mysql import capabilities as c
from server.protocols.mysql.codec import NEED_DATA
from server.protocols.mysql.handshake import (
    AuthMoreData,
    AuthSwitch,
    HandshakeResponse,
    SslRequest,
    decode_login,
)
from server.protocols.mysql.login import Channel, Login, LoginRefused, Stage
from server.protocols.mysql.packets import framed
from tests.server.protocols.mysql.messages import GREETING, SALT

SHA2: Final = replace(GREETING, plugin="caching_sha2_password")
STORED: Final = hashlib.sha256(hashlib.sha256(b"secret").digest()).digest()


def hear(login: Login, payload: bytes, number: int) -> bytes:
    login.receive_data(framed(payload, number))
    output = login.next_output()
    assert isinstance(output, bytes)
    return output


def response(packet: bytes, number: int) -> HandshakeResponse:
    assert packet[3] == number
    message = decode_login(packet[4:])
    assert isinstance(message, HandshakeResponse)
    return message


def proves(answer: bytes, salt: bytes) -> bool:
    mask = hashlib.sha256(STORED + salt).digest()
    opened = bytes(x ^ y for x, y in zip(answer, mask, strict=True))
    return hashlib.sha256(opened).digest() == STORED


def test_a_password_that_the_server_knows_needs_no_more_than_its_proof() -> None:
    login = Login("ada", "secret", "shop", channel=Channel.CLEAR)
    first = response(hear(login, SHA2.encode(), 0), 1)
    assert (first.user, first.database, first.plugin) == ("ada", "shop", "caching_sha2_password")
    assert proves(first.answer, SALT)
    assert hear(login, AuthMoreData(b"\3").encode(), 2) == b""
    assert not login.ready
    assert hear(login, a.Ok().encode(login.capabilities), 3) == b""
    assert login.ready


def test_a_password_that_it_does_not_know_goes_over_tls_in_clear() -> None:
    login = Login("ada", "secret")
    asked = hear(login, SHA2.encode(), 0)
    assert asked[3] == 1
    assert isinstance(decode_login(asked[4:]), SslRequest)
    assert login.stage is Stage.TLS
    assert proves(response(login.secured(), 2).answer, SALT)
    assert hear(login, AuthMoreData(b"\4").encode(), 3) == framed(b"secret\0", 4)
    hear(login, a.Ok().encode(login.capabilities), 5)
    assert login.ready


def test_without_tls_it_goes_to_a_key_that_was_configured_or_not_at_all() -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    login = Login("ada", "secret", channel=Channel.CLEAR, server_key=pem)
    hear(login, SHA2.encode(), 0)
    sent = hear(login, AuthMoreData(b"\4").encode(), 2)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
    plain = key.decrypt(sent[4:], oaep)
    assert bytes(x ^ y for x, y in zip(plain, SALT[:7], strict=True)) == b"secret\0"
    login = Login("ada", "secret", channel=Channel.CLEAR)
    hear(login, SHA2.encode(), 0)
    with pytest.raises(LoginRefused, match="without TLS"):
        hear(login, AuthMoreData(b"\4").encode(), 2)


def test_a_key_that_the_server_offers_itself_is_not_taken() -> None:
    login = Login("ada", "secret", channel=Channel.CLEAR)
    hear(login, SHA2.encode(), 0)
    with pytest.raises(ProtocolError):
        hear(login, AuthMoreData(b"-----BEGIN PUBLIC KEY-----").encode(), 2)


def test_a_switch_of_methods_is_answered_by_its_own_salt() -> None:
    login, salt = Login("ada", "secret", channel=Channel.CLEAR), bytes(range(50, 70))
    hear(login, GREETING.encode(), 0)
    switch = AuthSwitch("caching_sha2_password", salt + b"\0")
    sent = hear(login, switch.encode(), 2)
    assert sent[3] == 3
    assert proves(sent[4:], salt)


def test_a_method_of_the_server_that_is_unknown_is_answered_by_one_of_ours() -> None:
    login = Login("ada", "secret", channel=Channel.CLEAR)
    first = response(hear(login, replace(GREETING, plugin="sha256_password").encode(), 0), 1)
    assert (first.plugin, first.answer) == ("mysql_native_password", b"")


@pytest.mark.parametrize("plugin", ["mysql_clear_password", "sha256_password", "dialog", ""])
def test_a_switch_to_a_method_that_is_not_configured_is_refused(plugin: str) -> None:
    login = Login("ada", "secret")
    hear(login, GREETING.encode(), 0)
    login.secured()
    with pytest.raises(LoginRefused):
        hear(login, AuthSwitch(plugin, SALT + b"\0").encode(), 3)


@pytest.mark.parametrize("channel", list(Channel))
def test_a_password_in_clear_goes_over_tls_alone_even_if_it_is_configured(channel: Channel) -> None:
    login = Login("ada", "secret", channel=channel, methods=("mysql_clear_password",))
    hear(login, GREETING.encode(), 0)
    if channel is not Channel.TLS:
        with pytest.raises(LoginRefused, match="TLS"):
            hear(login, AuthSwitch("mysql_clear_password").encode(), 2)
        return
    login.secured()
    assert hear(login, AuthSwitch("mysql_clear_password").encode(), 3) == framed(b"secret\0", 4)


def test_a_server_that_offers_no_tls_is_told_nothing() -> None:
    login = Login("ada", "secret")
    with pytest.raises(LoginRefused):
        hear(login, replace(GREETING, capabilities=c.OFFERED).encode(), 0)
    with pytest.raises(ProtocolError):
        login.next_output()


def test_bytes_that_a_server_sends_before_tls_has_begun_fail() -> None:
    login = Login("ada", "secret")
    login.receive_data(framed(GREETING.encode(), 0) + framed(a.Ok().encode(0), 1))
    with pytest.raises(ProtocolError):
        login.next_output()


def test_nothing_of_mariadbs_own_and_nothing_that_was_not_wanted_is_agreed_on() -> None:
    everything = replace(SHA2, capabilities=0xFFFFFFFF)
    login = Login("ada", "secret", channel=Channel.CLEAR, wanted=c.OFFERED & ~c.DEPRECATE_EOF)
    first = response(hear(login, everything.encode(), 0), 1)
    refused = c.LOCAL_FILES | c.COMPRESS | c.MULTI_STATEMENTS | c.DEPRECATE_EOF | c.ZSTD
    assert not first.capabilities & (refused | c.OPTIONAL_RESULTSET_METADATA | c.SSL)
    assert first.capabilities & c.LONG_PASSWORD


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b"\x0a8.0", b"\x09" + GREETING.encode()[1:], GREETING.encode() + b"x"),
        GREETING.encode()[:-1],
    ],
)
def test_an_odd_greeting_is_a_protocol_error(payload: bytes) -> None:
    login = Login("ada", "secret", channel=Channel.CLEAR)
    with pytest.raises(ProtocolError):
        hear(login, payload, 0)
    with pytest.raises(ProtocolError):
        login.next_output()


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b"\2", b"\x01\3", b"\xfb/etc/passwd", b"\0", b"\xfe\xff\0"),
        AuthSwitch("caching_sha2_password", b"short").encode(),
        AuthSwitch("client_ed25519", bytes(20)).encode(),
    ],
)
def test_an_odd_answer_is_a_protocol_error(payload: bytes) -> None:
    login = Login("ada", "secret", channel=Channel.CLEAR)
    hear(login, GREETING.encode(), 0)
    with pytest.raises(ProtocolError):
        hear(login, payload, 2)


def test_a_server_that_goes_from_method_to_method_fails() -> None:
    login = Login("ada", "secret", channel=Channel.CLEAR)
    hear(login, GREETING.encode(), 0)
    switch = AuthSwitch("mysql_native_password", SALT + b"\0").encode()
    for number in (2, 4):
        hear(login, switch, number)
    with pytest.raises(ProtocolError):
        hear(login, switch, 6)


def test_an_error_is_the_servers_refusal_whenever_it_comes() -> None:
    login = Login("ada", "secret", channel=Channel.CLEAR)
    with pytest.raises(LoginRefused, match="1040  Too many"):
        hear(login, b"\xff\x10\x04Too many connections", 0)
    login = Login("ada", "secret", channel=Channel.CLEAR)
    assert login.next_output() is NEED_DATA
    hear(login, GREETING.encode(), 0)
    with pytest.raises(LoginRefused, match="1045 28000 no"):
        hear(login, a.Err(1045, "28000", "no").encode(0), 2)


def test_the_password_is_in_no_representation() -> None:
    assert "secret" not in repr(Login("ada", "secret"))
