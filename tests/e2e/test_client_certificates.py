"""Client certificates at the native doors: who they name, until when, and who is let in by none."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import psycopg
import pymysql
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID

from server.commands.gateway_client import open_gateway
from tests.e2e.authority import HOUR, Authority, Shown
from tests.e2e.certificates import Certificates
from tests.e2e.world import World, free_port
from tests.fixtures.mariadb import MariaDbServer

pytestmark = pytest.mark.gateways

WITHIN: Final = 30.0  # seconds, the bound for a session to end
MACHINE: Final = x509.UniformResourceIdentifier("spiffe://example.com/ci")
SECOND: Final = timedelta(seconds=1)
VICTOR: Final = "victor@demo.example"


@dataclass(frozen=True, slots=True)
class Here:
    """A gateway with a door over TLS that takes certificates of this authority."""

    world: World
    authority: Authority
    mysql: int = 0

    def issue(self, *names: x509.GeneralName, **more: Any) -> Shown:
        return self.authority.issue(*(names or (MACHINE,)), organisations=["developers"], **more)

    def place(self, shown: Shown | None, **more: str) -> dict[str, Any]:
        files = (
            {"sslcert": str(shown.certificate), "sslkey": str(shown.key)}
            if shown
            else {"sslcert": "", "sslcertmode": "disable"}
        )
        return {
            "host": "127.0.0.1",
            "port": self.world.listener,
            "user": "anybody",
            "dbname": "shop",
            "sslmode": "verify-full",
            "sslrootcert": str(self.world.directory / "authority.pem"),
            "connect_timeout": "10",
            **files,
            **more,
        }

    def connect(self, shown: Shown | None, **more: str) -> psycopg.Connection[Any]:
        return psycopg.connect(**self.place(shown, **more), autocommit=True)

    def refused(self, shown: Shown | None, **more: str) -> str:
        with pytest.raises(psycopg.OperationalError) as error:
            self.connect(shown, **more)
        return str(error.value)

    def recorded(self, kind: str, part: str) -> dict[str, Any]:
        """The newest record of a kind that has this in it, once it is there."""
        deadline = time.monotonic() + WITHIN
        query = (
            "SELECT document FROM records WHERE kind = %s AND document LIKE '%%' || %s || '%%'"
            " ORDER BY at DESC LIMIT 1"
        )
        with psycopg.connect(self.world.store_dsn, autocommit=True) as store:
            while (row := store.execute(query, (kind, part)).fetchone()) is None:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        found: dict[str, Any] = json.loads(row[0])
        return found


def configured(world: World, authority: Authority, tls: Certificates, **more: Any) -> None:
    door = {"protocol": "postgres", "listen": f"127.0.0.1:{world.listener}", "tls": tls.document}
    certificates = {
        "name": "machines",
        "authority": f"file:{authority.file}",
        "revoked": f"file:{authority.revoked}",
    }
    identity = {**world.configuration()["identity"], "certificates": certificates}
    world.settings = {"listeners": [door], "identity": identity, **more}
    (world.directory / "authority.pem").write_bytes(tls.authority.read_bytes())


@pytest.fixture(scope="module")
def here(
    module_worlds: Callable[..., World], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Here]:
    directory = tmp_path_factory.mktemp("tls")
    world, authority = module_worlds(), Authority.make(directory)
    configured(world, authority, Certificates.make(directory))
    world.start()
    yield Here(world, authority)
    world.stop()


@pytest.fixture(autouse=True)
def nothing_revoked(here: Here) -> None:
    here.authority.revoke()


def ends(connection: psycopg.Connection[Any]) -> str:
    """How a session ended that may not stay, within the bound."""
    deadline = time.monotonic() + WITHIN
    while time.monotonic() < deadline:
        try:
            connection.execute("SELECT 1")
        except psycopg.Error as error:
            assert connection.broken
            return str(error)
        time.sleep(0.1)
    raise AssertionError("the session goes on")


def test_a_certificate_lets_its_holder_in_without_a_password(here: Here) -> None:
    shown = here.issue()
    with here.connect(shown) as connection:
        assert connection.execute("SELECT min(ssn) FROM customers").fetchone() == ("<redacted>",)
        assert not connection.pgconn.used_password
        listed = here.world.cli("victor", "sessions", "list", "--live").stdout
        assert "machines:spiffe://example.com/ci" in listed
    signed_in = here.recorded("signed_in", shown.read.fingerprint(SHA256()).hex())
    assert signed_in["token"] == ""


def test_its_groups_are_the_subjects_organisations(here: Here) -> None:
    assert "There is no target 'shop' that you may use" in here.refused(
        here.authority.issue(MACHINE, organisations=["nobodys"])
    )
    here.connect(here.issue()).close()


@pytest.mark.parametrize(
    ("names", "principal"),
    [
        ([x509.RFC822Name("ci@example.com")], "machines:ci@example.com"),
        ([x509.DNSName("ci.example.com")], "machines:ci.example.com"),
        ([x509.DNSName("a.example.com"), MACHINE, x509.DNSName("b")], f"machines:{MACHINE.value}"),
    ],
)
def test_who_it_is_for_is_its_only_name_of_the_first_kind(
    here: Here, names: list[x509.GeneralName], principal: str
) -> None:
    with here.connect(here.issue(*names)):
        assert principal in here.world.cli("victor", "sessions", "list", "--live").stdout


@pytest.mark.parametrize(
    "names",
    [
        [x509.IPAddress(ip_address("127.0.0.1"))],
        [MACHINE, x509.UniformResourceIdentifier("spiffe://example.com/other")],
        [x509.DNSName("a.example.com"), x509.DNSName("b.example.com")],
        [x509.UniformResourceIdentifier("spiffe://example.com/\x00ci")],
        [x509.UniformResourceIdentifier("spiffe://" + "a" * 300)],
    ],
    ids=["no name", "two URIs", "two hosts", "a NUL", "too long"],
)
def test_one_that_does_not_say_plainly_who_it_is_for_is_refused(
    here: Here, names: list[x509.GeneralName]
) -> None:
    assert "does not say plainly who it is for" in here.refused(here.issue(*names))
    failed = here.recorded("sign_in_failed", "CERTIFICATE_NAMES_NOBODY")
    assert (failed["target"], failed["protocol"]) == ("shop", "postgres")


def test_certificates_of_others_and_for_other_uses_are_not_taken(
    here: Here, tmp_path: Path
) -> None:
    stranger = Authority.make(tmp_path)
    alike = stranger.issue(MACHINE, organisations=["developers"])
    server = here.issue(usage=ExtendedKeyUsageOID.SERVER_AUTH)
    expired = here.issue(lasts=-SECOND)
    early = here.issue(after=HOUR, lasts=2 * HOUR)
    secret = here.world.token("rita")
    for each in (alike, server, expired, early):
        assert "FATAL" not in here.refused(each, password=secret)  # the handshake fails


def test_without_one_a_token_is_asked_for_as_ever(here: Here) -> None:
    with here.connect(None, password=here.world.token("rita")) as connection:
        assert connection.pgconn.used_password
    assert "not accepted" in here.refused(None, password="ostiary_nothing")


def test_what_is_revoked_opens_nothing_and_its_session_ends(here: Here) -> None:
    shown, other = here.issue(), here.issue()
    with here.connect(shown) as connection, here.connect(other) as stays:
        here.authority.revoke(shown)
        assert "certificate was revoked" in ends(connection)
        assert stays.execute("SELECT 1").fetchone() == (1,)
    assert "certificate was revoked" in here.refused(shown)
    here.recorded("sign_in_failed", "CERTIFICATE_REVOKED")
    here.connect(other).close()


def test_a_session_ends_with_its_certificate(here: Here) -> None:
    with here.connect(here.issue(lasts=4 * SECOND)) as connection:
        assert "certificate has expired" in ends(connection)


def test_no_current_list_of_what_is_revoked_lets_nobody_in(here: Here) -> None:
    shown = here.issue()
    with here.connect(shown) as connection:
        here.authority.revoke(lasts=-SECOND)
        assert "no current list" in ends(connection)
        assert "no current list" in here.refused(shown)
    here.authority.revoke()
    here.connect(shown).close()


def test_a_list_of_somebody_elses_or_of_a_part_leaves_the_old_one(here: Here) -> None:
    shown = here.issue()
    here.authority.revoke(shown)
    assert "was revoked" in here.refused(shown)
    here.authority.revoke(key=ec.generate_private_key(ec.SECP256R1()))
    assert "was revoked" in here.refused(shown)
    here.authority.revoke(delta=True)
    assert "was revoked" in here.refused(shown)
    here.authority.revoked.write_text("nonsense")
    assert "was revoked" in here.refused(shown)
    assert here.world.complaints.count("the old lists of revoked certificates are kept") == 3


def test_who_is_blocked_is_refused_with_a_certificate_too(here: Here) -> None:
    name = x509.UniformResourceIdentifier("spiffe://example.com/blocked")
    shown = here.issue(name)
    with here.connect(shown) as connection:
        blocked = here.world.cli("victor", "agents", "block", "--person", f"machines:{name.value}")
        assert blocked.returncode == 0, blocked.stderr
        assert "blocked" in ends(connection).lower()
    assert "blocked" in here.refused(shown).lower()


@pytest.mark.parametrize(
    ("email", "refused"),
    [(VICTOR, "Nothing proves that you are somebody else"), ("ci@demo.example", "")],
)
def test_who_answers_for_a_certificate_does_not_approve_what_it_asks_for(
    here: Here, email: str, refused: str
) -> None:
    """Nobody decides about their own requests as somebody else of another issuer."""
    with open_gateway(None, here.world.as_user("victor")) as gateway:
        victor: Any = gateway.get("whoami")
    assert victor["email"] == VICTOR
    sql = f"UPDATE orders SET status = 'for {email}' WHERE id = 1"
    with here.connect(here.issue(MACHINE, x509.RFC822Name(email))) as connection:
        connection.execute("BEGIN")
        with pytest.raises(psycopg.Error, match="approv"):
            connection.execute(sql)
        connection.execute("ROLLBACK")
        with psycopg.connect(here.world.store_dsn) as store:
            (ticket,) = store.execute(
                "SELECT id FROM tickets WHERE state = 'pending' ORDER BY asked_at DESC LIMIT 1"
            ).fetchone() or ("",)
        decided = here.world.cli("victor", "approvals", "approve", ticket)
        assert decided.returncode == (1 if refused else 0), decided.stderr
        assert refused in decided.stderr
        if not refused:
            assert connection.execute(sql).rowcount == 1


def test_a_new_certificate_of_the_gateway_is_shown_while_it_runs(
    here: Here, tmp_path: Path
) -> None:
    """And clients' certificates are taken behind it as before."""
    following, shown = Certificates.make(tmp_path), here.issue()
    new = {"sslrootcert": str(following.authority)}
    with here.connect(shown) as connection:
        assert "certificate verify failed" in here.refused(shown, **new)
        files = here.world.settings["listeners"][0]["tls"]
        for name in ("key", "certificate"):
            place = Path(files[name].removeprefix("file:"))
            shutil.copy(getattr(following, name), place)
        deadline = time.monotonic() + WITHIN
        while True:
            try:
                here.connect(shown, **new).close()
                break
            except psycopg.OperationalError:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        assert connection.execute("SELECT 1").fetchone() == (1,)
    shutil.copy(following.authority, here.world.directory / "authority.pem")


def until_refused(cursor: Any) -> str:
    deadline = time.monotonic() + WITHIN
    while time.monotonic() < deadline:
        try:
            cursor.execute("SELECT 1")
        except pymysql.err.Error as error:
            return str(error)
        time.sleep(0.1)
    raise AssertionError("the session goes on")


@pytest.mark.programs
def test_the_mysql_door_takes_them_too(
    here: Here,
    mariadb: MariaDbServer,
    worlds: Callable[..., World],
    tmp_path: Path,
) -> None:
    mariadb.run(
        "CREATE OR REPLACE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY, ssn TEXT);"
        " INSERT INTO shop.t VALUES (1, '219-09-9991');"
        " CREATE OR REPLACE USER gateway IDENTIFIED BY 'canary-mysql-password';"
        " GRANT ALL ON *.* TO gateway"
    )
    world, authority, tls = worlds(), Authority.make(tmp_path), Certificates.make(tmp_path)
    port = free_port()
    login = {"user": "gateway", "password": "env:E2E_MYSQL_PASSWORD"}
    world.variables = {**world.variables, "E2E_MYSQL_PASSWORD": "canary-mysql-password"}
    stock = {
        **world.configuration()["targets"]["shop"],
        "kind": "mariadb",
        "address": f"unix:{mariadb.socket}",
        "database": "shop",
        "reader": login,
        "writer": login,
        "columns": [{"column": "shop.t.ssn", "label": "pii", "mask": "keep_last(4)"}],
    }
    door = {"protocol": "mysql", "listen": f"127.0.0.1:{port}", "tls": tls.document}
    configured(world, authority, tls, targets={"stock": stock})
    world.settings = {**world.settings, "listeners": [door]}
    world.start()
    there = Here(world, authority)
    shown = there.issue()

    def connect(who: Shown) -> Any:
        trust = ssl.create_default_context(cafile=tls.authority)
        trust.load_cert_chain(who.certificate, who.key)
        return pymysql.connect(
            host="127.0.0.1", port=port, user="anybody", database="stock", ssl=trust
        )

    connection = connect(shown)
    with connection.cursor() as cursor:
        cursor.execute("SELECT ssn FROM t")
        assert cursor.fetchall() == (("***-**-9991",),)
        connection.ping(reconnect=False)
        authority.revoke(shown)
        assert re.search(r"revoked|Lost connection|sequence", until_refused(cursor))
    with pytest.raises(pymysql.err.OperationalError, match="revoked"):
        connect(shown)
    world.stop()
    mariadb.run("DROP DATABASE shop; DROP USER gateway")
