"""What real clients send is understood and let through, but for what is refused with a reason."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import pytest

from policies.cedar import load
from policies.model import AccessRequest, Channel, Decision, Effect, Principal, SqlStatement, Target
from policies.sql.catalog import Catalog
from policies.sql.facts import Opaque, SqlFacts
from policies.sql.postgres import analyse
from policies.sql.search_path import on_path
from policies.sql.splitting import split
from recordings.events import Done
from server.credentials import Credentials, Login
from server.protocols.postgres.connector import PostgresConnector
from server.protocols.postgres.named_statements import NamedStatements
from server.protocols.postgres.names import Names
from server.protocols.postgres.search_path import PathFollower, SessionPath
from server.protocols.postgres.target import PostgresTarget
from server.refusals import by_itself
from tests.clients.capture import PASSWORD, prepare
from tests.fixtures.postgres import PostgresServer, execute
from tests.server.protocols import grants

CORPUS: Final = Path(__file__).parents[1] / "corpora" / "postgres_clients.jsonl"
ROWS: Final = [json.loads(line) for line in CORPUS.read_text().split("\n") if line]
ANALYST: Final = Principal("corp:ann", "ann", "psql", frozenset({"analysts"}))
WAREHOUSE: Final = Target("warehouse", "postgres", "production")
ADMINISTRATION: Final = ("pg_dump", "pg_dumpall")
"""Copies of databases: these programs lift limits, lock tables and copy rows out unmasked."""
MAKING: Final = {"PREPARE": "PREPARE", "DECLARE": "DECLARE CURSOR"}
"""What the server says to statements that give a name to another."""

REFUSED: Final = {}
"""What must be refused, by its text, and why."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A statement as a session's gate sees it: `path` is the session's when it is not the first."""

    row: Mapping[str, Any]
    text: str
    facts: SqlFacts
    decision: Decision

    @property
    def because(self) -> str | None:
        found = (why for text, why in REFUSED.items() if re.search(text, self.text, re.DOTALL))
        return next(found, None)

    @property
    def refused(self) -> bool:
        return self.decision.effect is not Effect.PERMIT or self.copies_unread

    @property
    def copies_unread(self) -> bool:
        """The listener refuses it, whatever policy says."""
        return self.facts.copied is not None and self.facts.copied.layout is None


@pytest.fixture(scope="module")
def catalog(postgres: PostgresServer) -> Iterator[Catalog]:
    """The names that the clients were captured with."""
    asyncio.run(prepare(postgres.dsn("postgres"), postgres.dsn("everything")))
    yield asyncio.run(_read(postgres))
    drop = "DROP DATABASE everything WITH (FORCE)"
    asyncio.run(execute(postgres.dsn("postgres"), drop, "DROP ROLE app"))


async def _read(postgres: PostgresServer) -> Catalog:
    address = f"unix:{postgres.socket_directory}:{postgres.port}"
    labels = {("public", "people", "ssn"): "pii"}
    target = PostgresTarget("shop", address, "everything", tls="disable", labels=labels)
    account = Login("app", grants.Secret(PASSWORD))
    connector = PostgresConnector(target, Credentials("shop", {"reader": account}))
    try:
        return await connector.catalog(grants.catalog())
    finally:
        await connector.close()


@pytest.fixture(scope="module")
def judged(catalog: Catalog) -> list[Judged]:
    def session(row: Mapping[str, Any]) -> tuple[str, ...]:
        return row["client"], row["version"], row["did"]

    return [
        statement
        for _, rows in groupby(ROWS, session)
        for statement in _session(list(rows), catalog)
    ]


def _session(rows: list[Mapping[str, Any]], catalog: Catalog) -> Iterator[Judged]:
    point = load("analytics")
    following = PathFollower("app", SessionPath.of((*catalog.search_path, "pg_temp")))
    names = NamedStatements((Names(), Names()))
    for row in rows:
        parts = split(row["sql"]) if row["protocol"] == "simple" else (row["sql"],)
        for text in parts:
            seen = on_path(catalog, following.path)
            assert seen is not None
            facts = _looked_up(analyse(text, seen), text, seen, names)
            request = AccessRequest(
                *(ANALYST, WAREHOUSE, SqlStatement(text), Channel.POSTGRES),
                *(datetime.now(UTC), "session"),
                facts=facts,
            )
            request, decision = by_itself(request, point.decide(request))
            if decision.effect is Effect.PERMIT:
                grant = grants.judged(request.action, facts)
                names.admitted(grant, seen.search_path)
                names.succeeded(grant, Done(MAKING.get(text.split()[0], "")))
                following.admitted(facts)
                following.succeeded(facts)
                following.ready("I")
            yield Judged(row, text, facts, decision)


def _looked_up(facts: SqlFacts, text: str, seen: Catalog, names: NamedStatements) -> SqlFacts:
    """The facts as a native session has them, which knows what names stand for."""
    if facts.named is None or facts.opaque is None:
        return facts
    found = names.stands_for(facts.named, text, seen.search_path)
    if isinstance(found, Opaque):
        return replace(facts, opaque=found)
    return names.facts(facts.named, found, analyse(found, seen))


def test_nothing_is_refused_but_what_must_be(judged: list[Judged]) -> None:
    unexplained = {
        (each.row["client"], each.text, str(each.facts.opaque))
        for each in judged
        if each.refused and each.because is None
    }
    assert unexplained == set()


def test_every_reason_for_a_refusal_refuses_something(judged: list[Judged]) -> None:
    assert {e.because for e in judged if e.refused} == set(REFUSED.values())


def test_programs_that_only_look_are_refused_secrets_and_cursors(judged: list[Judged]) -> None:
    looking = [e for e in judged if e.row["client"] not in ADMINISTRATION]
    reasons = {str(e.because) for e in looking if e.refused}
    assert {why for why in reasons if "secrets" not in why and "cursor" not in why} == set()


@pytest.mark.parametrize(
    "client",
    ["psql", "pg_dump", "asyncpg", "psycopg", "sqlalchemy", "pgjdbc", "node-postgres", "dbeaver"],
)
def test_every_client_is_in_the_corpus(client: str) -> None:
    assert any(row["client"] == client for row in ROWS)
