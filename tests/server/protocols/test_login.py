"""Logging in to a server over TLS, and what a server in the way can't make of it."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from scramp import ScramMechanism

from policies.errors import BackendUnavailable, ProtocolError
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import FrontendReader, FrontendState, NeedData
from server.protocols.postgres.link import open_link
from server.protocols.postgres.startup import Login, LoginRefused
from server.protocols.postgres.target import PostgresTarget, parse_address

pytestmark = pytest.mark.anyio

PASSWORD = "a password"
PINNED = {"client_encoding": "UTF8", "standard_conforming_strings": "on"}


@dataclass(frozen=True, slots=True)
class Certificate:
    """A self-signed certificate for one name."""

    path: Path
    der: bytes

    @property
    def context(self) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self.path)
        return made


def certificate(directory: Path, name: x509.GeneralName) -> Certificate:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test server")])
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / "server.pem").write_bytes(secret + made.public_bytes(pem))
    return Certificate(directory / "server.pem", made.public_bytes(serialization.Encoding.DER))


@pytest.fixture
def local(tmp_path: Path) -> Certificate:
    return certificate(tmp_path, x509.IPAddress(ipaddress.ip_address("127.0.0.1")))


@dataclass(slots=True)
class Server:
    """The server's side of the wire, as far as login; `mechanism` is the one the client chose."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    codec: FrontendReader
    mechanism: str = ""

    async def next(self) -> f.FrontendMessage:
        while isinstance(message := self.codec.next_event(), NeedData):
            received = await self.reader.read(65536)
            if not received:
                raise EOFError
            self.codec.receive_data(received)
        return message

    def say(self, *messages: b.BackendMessage) -> None:
        self.writer.write(b"".join(message.encode() for message in messages))

    async def begin_tls(self, context: ssl.SSLContext) -> None:
        assert await self.next() == f.SslRequest()
        self.writer.write(b"S")
        await self.writer.start_tls(context)

    async def scram(self, mechanisms: tuple[str, ...], binding: bytes, password: str) -> None:
        assert isinstance(await self.next(), f.StartupMessage)
        offered = b"".join(m.encode() + b"\0" for m in mechanisms) + b"\0"
        self.say(b.AuthenticationRequest(10, offered))
        self.codec.expect(FrontendState.SASL_FIRST)
        first = await self.next()
        assert isinstance(first, f.SaslInitialResponse)
        assert first.response is not None
        self.mechanism = first.mechanism
        mechanism = ScramMechanism(first.mechanism)
        secret = mechanism.make_auth_info(password)
        bound = ("tls-server-end-point", binding) if first.mechanism.endswith("PLUS") else None
        server = mechanism.make_server(lambda _user: secret, channel_binding=bound)
        server.set_client_first(first.response.decode())
        self.say(b.AuthenticationRequest(11, server.get_server_first().encode()))
        self.codec.expect(FrontendState.SASL)
        final = await self.next()
        assert isinstance(final, f.SaslResponse)
        server.set_client_final(final.response.decode())
        self.say(b.AuthenticationRequest(12, server.get_server_final().encode()))

    def accept(self) -> None:
        statuses = [b.ParameterStatus(name, value) for name, value in PINNED.items()]
        self.say(b.AuthenticationRequest(0), *statuses, b.BackendKeyData(1, b"key!"))
        self.say(b.ReadyForQuery("I"))


Script = Callable[[Server], Awaitable[None]]


@asynccontextmanager
async def served(script: Script) -> AsyncIterator[str]:
    """A server that plays a script for each client; yields its address."""
    ended: list[asyncio.Task[None]] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(Server(reader, writer, FrontendReader()))
            await reader.read()
        except (EOFError, OSError):
            pass  # the client has gone, as it should in most of these tests
        finally:
            writer.close()

    def start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(asyncio.ensure_future(play(reader, writer)))

    server = await asyncio.start_server(start, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)


async def log_in(address: str, ca: Certificate | None) -> None:
    target = PostgresTarget("shop", address, "shop", ca=ca.path if ca else None)
    link = await open_link(target, ("ada", PASSWORD), target.settings())
    link.close()
    await link.wire.closed()


BOTH = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256")


@pytest.mark.parametrize(
    ("offered", "chosen"), [(BOTH, "SCRAM-SHA-256-PLUS"), (("SCRAM-SHA-256",), "SCRAM-SHA-256")]
)
async def test_over_tls_scram_is_bound_to_the_channel_where_the_server_can(
    local: Certificate, offered: tuple[str, ...], chosen: str
) -> None:
    used: list[str] = []

    async def script(server: Server) -> None:
        await server.begin_tls(local.context)
        await server.scram(offered, hashlib.sha256(local.der).digest(), PASSWORD)
        used.append(server.mechanism)
        server.accept()

    async with served(script) as address:
        await log_in(address, local)
    assert used == [chosen]


async def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    other = certificate(tmp_path, x509.DNSName("db.internal"))

    async def script(server: Server) -> None:
        await server.begin_tls(other.context)

    async with served(script) as address:
        with pytest.raises(BackendUnavailable):
            await log_in(address, other)


async def test_a_certificate_of_an_unknown_authority_is_refused(local: Certificate) -> None:
    async def script(server: Server) -> None:
        await server.begin_tls(local.context)

    async with served(script) as address:
        with pytest.raises(BackendUnavailable):
            await log_in(address, None)


async def test_a_server_without_tls_gets_not_even_the_user_name(local: Certificate) -> None:
    rest: list[bytes] = []

    async def script(server: Server) -> None:
        await server.next()
        server.writer.write(b"N")
        rest.append(await server.reader.read())

    async with served(script) as address:
        with pytest.raises(BackendUnavailable):
            await log_in(address, local)
        while not rest:
            await asyncio.sleep(0)
    assert rest == [b""]


async def test_bytes_injected_before_tls_are_never_taken_for_the_servers(
    local: Certificate,
) -> None:
    async def script(server: Server) -> None:
        assert await server.next() == f.SslRequest()
        server.writer.write(b"S" + b.AuthenticationRequest(0).encode())
        await server.writer.drain()
        await server.writer.start_tls(local.context)

    async with served(script) as address:
        with pytest.raises(BackendUnavailable):
            await log_in(address, local)


async def test_a_server_that_does_not_know_the_password_is_refused(local: Certificate) -> None:
    async def script(server: Server) -> None:
        await server.begin_tls(local.context)
        assert isinstance(await server.next(), f.StartupMessage)
        server.say(b.AuthenticationRequest(10, b"SCRAM-SHA-256\0\0"))
        server.codec.expect(FrontendState.SASL_FIRST)
        await server.next()
        server.accept()  # without having proved anything

    async with served(script) as address:
        with pytest.raises(BackendUnavailable):
            await log_in(address, local)


def test_a_password_in_clear_is_not_given_without_tls() -> None:
    with pytest.raises(LoginRefused):
        Login("ada", PASSWORD).answer(b.AuthenticationRequest(3))


@pytest.mark.parametrize("code", [2, 5, 7, 9, 11, 12])
def test_other_ways_to_authenticate_are_refused(code: int) -> None:
    with pytest.raises(LoginRefused):
        Login("ada", PASSWORD).answer(b.AuthenticationRequest(code, b"salt"))


def test_a_server_that_offers_channel_binding_only_is_refused_without_tls() -> None:
    with pytest.raises(LoginRefused):
        Login("ada", PASSWORD).answer(b.AuthenticationRequest(10, b"SCRAM-SHA-256-PLUS\0\0"))


@pytest.mark.parametrize(
    "first",
    [
        b"r=another-nonce,s=c2FsdHNhbHRzYWx0,i=4096",
        b"r=,s=,i=0",
        b"\xff",
        b"r=%s,s=c2FsdHNhbHRzYWx0,i=99999999999",
    ],
)
def test_a_scram_challenge_that_is_not_ours_is_refused(first: bytes) -> None:
    login = Login("ada", PASSWORD)
    login.answer(b.AuthenticationRequest(10, b"SCRAM-SHA-256\0\0"))
    with pytest.raises(LoginRefused):
        login.answer(b.AuthenticationRequest(11, first))


@pytest.mark.parametrize(
    "message", [b.ReadyForQuery("I"), b.ParameterStatus("a", "b"), b.BackendKeyData(1, b"key!")]
)
def test_nothing_is_believed_before_authentication(message: b.BackendMessage) -> None:
    with pytest.raises(ProtocolError):
        Login("ada", PASSWORD).answer(message)


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("db.internal:6000", "db.internal", 6000),
        ("db.internal", "db.internal", 5432),
        ("[::1]:5433", "::1", 5433),
        ("unix:/run/postgresql", "/run/postgresql", 5432),
        ("unix:/run/postgresql:5433", "/run/postgresql", 5433),
    ],
)
def test_an_address_is_a_host_or_a_socket_directory(address: str, host: str, port: int) -> None:
    place = parse_address(address)
    assert (place.host, place.port) == (host, port)
