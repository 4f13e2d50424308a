"""Gateway tokens at the PostgreSQL door over TLS: given out, used, refused, taken back."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
from collections.abc import Callable
from typing import Any

import asyncpg
import psycopg
import pytest

from tests.e2e.certificates import Certificates
from tests.e2e.test_endings import BUSY
from tests.e2e.world import World

pytestmark = pytest.mark.anyio

WITHIN = 30  # seconds, the bound for a session to end


@pytest.fixture(scope="module")
def here(module_worlds: Callable[..., World], tmp_path_factory: pytest.TempPathFactory) -> World:
    certificates = Certificates.make(tmp_path_factory.mktemp("tls"))
    made = module_worlds()
    made.settings = {
        "listeners": [
            {
                "protocol": "postgres",
                "listen": f"127.0.0.1:{made.listener}",
                "tls": certificates.document,
            }
        ],
        "tokens": {"ttl": "1h", "longest": "2h", "most": 20},
    }
    made.start()
    (made.directory / "authority.pem").write_bytes(certificates.authority.read_bytes())
    return made


def token(here: World, account: str = "rita", *more: str) -> str:
    made = here.cli(account, "token", "--target", "shop", *more)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def place(here: World, secret: str, **more: str) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "port": here.listener,
        "user": "anybody",
        "password": secret,
        "dbname": "shop",
        "sslmode": "verify-full",
        "sslrootcert": str(here.directory / "authority.pem"),
        "connect_timeout": "10",
        **more,
    }


def connect(here: World, secret: str, **more: str) -> psycopg.Connection[Any]:
    return psycopg.connect(**place(here, secret, **more), autocommit=True)


def only_id(secret: str) -> str:
    return secret.split("_")[1]


def test_psql_connects_with_a_token_over_tls(here: World) -> None:
    secret = token(here)
    settings = {
        "PGPASSWORD": secret,
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": str(here.directory / "authority.pem"),
    }
    command = ["psql", "-X", "-At", "-h", "127.0.0.1", "-p", str(here.listener), "-U", "ada+shop"]
    query = ["-c", "SELECT count(*), min(ssn) FROM customers"]
    done = subprocess.run(
        [*command, *query], env=settings, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "3|<redacted>\n"


@pytest.mark.parametrize("how", [{}, {"sslnegotiation": "direct", "sslmode": "verify-full"}])
@pytest.mark.parametrize("protocol", ["3.0", "3.2", "latest"])
def test_psycopg_connects_in_both_ways_to_tls_and_every_protocol(
    here: World, how: dict[str, str], protocol: str
) -> None:
    versions = {"max_protocol_version": protocol, "min_protocol_version": protocol}
    with connect(here, token(here), **how, **versions) as connection:
        spoken = connection.pgconn.full_protocol_version
        assert spoken == (30000 if protocol == "3.0" else 30002)
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (300,)


def test_a_cancel_by_a_long_key_reaches_its_own_session(here: World) -> None:
    secret = token(here)
    with connect(here, secret, max_protocol_version="3.2") as first, connect(here, secret) as other:
        first.pgconn.send_query(BUSY.encode())
        while first.pgconn.is_busy():  # one that comes before the statement runs cancels nothing
            first.cancel_safe(timeout=10)
            first.pgconn.consume_input()
        states = [
            result.error_field(psycopg.pq.DiagnosticField.SQLSTATE)
            for result in iter(first.pgconn.get_result, None)
        ]
        assert b"57014" in states
        assert other.execute("SELECT 1").fetchone() == (1,)


async def test_asyncpg_connects_over_tls(here: World) -> None:
    trust = ssl.create_default_context(cafile=here.directory / "authority.pem")
    connection = await asyncpg.connect(
        host="127.0.0.1",
        port=here.listener,
        user="anybody",
        password=token(here),
        database="shop",
        ssl=trust,
    )
    try:
        assert await connection.fetchval("SELECT count(*) FROM orders") == 300
    finally:
        await connection.close()


def test_nobody_is_asked_for_a_token_in_clear(here: World) -> None:
    with pytest.raises(psycopg.OperationalError, match="encrypted"):
        connect(here, "a secret", sslmode="disable")


def test_a_token_lasts_no_longer_than_configured_and_is_for_targets_one_may_use(
    here: World,
) -> None:
    long = here.cli("rita", "token", "--target", "shop", "--ttl", "3h")
    assert long.returncode == 1
    assert "7200 seconds" in long.stderr
    unknown = here.cli("rita", "token", "--target", "nowhere")
    assert unknown.returncode == 1
    assert "no target 'nowhere'" in unknown.stderr


def test_tokens_are_listed_without_their_secret_and_of_others_for_who_may_end_sessions(
    here: World,
) -> None:
    secret, victors = token(here), token(here, "victor")
    own, others = (here.cli(who, "tokens", "list") for who in ("rita", "victor"))
    assert only_id(secret) in own.stdout
    assert only_id(victors) not in own.stdout
    assert only_id(secret) in others.stdout, others.stderr
    assert secret.split("_", 2)[2] not in own.stdout + others.stdout


def test_somebody_elses_token_is_not_theirs_to_revoke(here: World) -> None:
    secret = token(here, "victor")
    refused = here.cli("rita", "tokens", "revoke", only_id(secret))
    assert refused.returncode == 1
    with connect(here, secret) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_session_ends_when_its_token_is_revoked_and_the_token_opens_nothing_more(
    here: World,
) -> None:
    secret = token(here)
    with connect(here, secret) as connection:
        connection.execute("SELECT 1")
        revoked = here.cli("rita", "tokens", "revoke", only_id(secret))
        assert revoked.returncode == 0, revoked.stderr
        with socket.socket(fileno=_copied(connection.pgconn.socket)) as watched:
            watched.settimeout(WITHIN)
            assert watched.recv(1, socket.MSG_PEEK)  # the end is said
        with pytest.raises(psycopg.OperationalError, match="revoked"):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="revoked"):
        connect(here, secret)


def _copied(number: int) -> int:
    return os.dup(number)


def test_a_session_ends_when_its_token_expires(here: World) -> None:
    with connect(here, token(here, "rita", "--ttl", "3s")) as connection:
        with socket.socket(fileno=_copied(connection.pgconn.socket)) as watched:
            watched.settimeout(WITHIN)
            assert watched.recv(1, socket.MSG_PEEK)
        with pytest.raises(psycopg.OperationalError, match="expired"):
            connection.execute("SELECT 1")


def test_live_sessions_are_listed_and_ended_by_whom_policy_lets(here: World) -> None:
    with connect(here, token(here)) as connection, connect(here, token(here, "victor")) as other:
        listed = here.cli("victor", "sessions", "list", "--live").stdout
        session, others = (
            next(line.split()[0] for line in listed.splitlines() if f"demo:{who}" in line)
            for who in ("rita", "victor")
        )
        mine = here.cli("rita", "sessions", "list", "--live").stdout
        assert (session in mine, others in mine) == (True, False)
        assert here.cli("rita", "sessions", "kill", others).returncode == 1
        assert other.execute("SELECT 1").fetchone() == (1,)
        killed = here.cli("victor", "sessions", "kill", session)
        assert killed.returncode == 0, killed.stderr
        with pytest.raises(psycopg.OperationalError, match="ended by"):
            connection.execute("SELECT 1")
    assert session not in here.cli("victor", "sessions", "list", "--live").stdout


async def test_issue_use_refusal_and_revocation_are_recorded_and_the_secret_nowhere(
    here: World,
) -> None:
    secret = token(here)
    connect(here, secret).close()
    with pytest.raises(psycopg.OperationalError):
        connect(here, secret[:-4] + "AAAA")
    here.cli("rita", "tokens", "revoke", only_id(secret))
    with pytest.raises(psycopg.OperationalError):
        connect(here, secret)
    name = only_id(secret)
    async with asyncio.timeout(20), here.journal() as journal:
        while True:
            rows = await journal.fetch(
                "SELECT kind, document FROM records WHERE document LIKE '%' || $1 || '%'", name
            )
            kinds = {row["kind"] for row in rows}
            if {"token_issued", "signed_in", "sign_in_failed", "token_revoked"} <= kinds:
                break
            await asyncio.sleep(0.05)
        part = secret.split("_", 2)[2][:20]  # it may hold such a character itself
        found = await journal.fetchval(
            "SELECT count(*) FROM records r LEFT JOIN bodies b USING (stream, sequence)"
            " WHERE r.document LIKE '%' || $1 || '%' OR position($2::bytea IN b.body) > 0",
            part,
            part.encode(),
        )
        kept = await journal.fetchval(
            "SELECT count(*) FROM gateway_tokens t WHERE t::text LIKE $1", f"%{part}%"
        )
    assert (found, kept) == (0, 0)
    assert part not in here.log.read_text()


def test_a_session_ends_when_policy_lets_it_connect_no_more(
    worlds: Callable[..., World],
) -> None:
    world = worlds()
    policies = world.directory / "policies"
    policies.mkdir()
    permits = (
        '@id("all") permit (principal in Group::"developers", action, resource) when { true };\n'
    )
    masks = '@id("m") @mask("pii") forbid (principal, action == Action::"sql.select", resource);\n'
    (policies / "all.cedar").write_text(permits + masks)
    world.settings = {"policies": str(policies)}
    world.start()
    place = f"host=127.0.0.1 port={world.listener} user=a dbname=shop"
    with psycopg.connect(place, password=token(world), autocommit=True) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        forbids = '@id("not-now") forbid (principal, action == Action::"connect", resource);\n'
        (policies / "all.cedar").write_text(permits + masks + forbids)
        with socket.socket(fileno=_copied(connection.pgconn.socket)) as watched:
            watched.settimeout(WITHIN)
            assert watched.recv(1, socket.MSG_PEEK)
        with pytest.raises((psycopg.OperationalError, psycopg.errors.InsufficientPrivilege)):
            connection.execute("SELECT 1")
