"""Grants for tests of what is behind the gate. Real code gets them from the gate alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from policies.model import (
    AccessRequest,
    Action,
    Channel,
    Decision,
    Effect,
    LimitTime,
    Parameter,
    Principal,
    ReadCatalog,
    SqlStatement,
    Target,
)
from policies.sql.facts import SqlEffect, SqlFacts
from server import gate
from server.credentials import Credentials, Login
from server.gate import Grant
from server.protocols.postgres.target import PostgresTarget
from tests.fixtures.postgres import SampleDatabase

SHOP = Target("shop", "postgres", "test")
ADA = Principal("corp:ada", "ada", "agent-1")


@dataclass(frozen=True, slots=True)
class Secret:
    value: str

    def resolve(self) -> str:
        return self.value


def granted(
    action: Action, effect: SqlEffect | None = None, *, time_limit: float | None = None
) -> Grant:
    facts = SqlFacts(effect) if effect is not None else None
    request = AccessRequest(
        ADA, SHOP, action, Channel.MCP, datetime.now(UTC), "session-1", facts=facts
    )
    limits = () if time_limit is None else (LimitTime(time_limit, "test"),)
    decision = Decision(Effect.PERMIT, "test", limits)
    return Grant(request, decision, gate._ONLY_THE_GATE)


def judged(action: Action, facts: SqlFacts) -> Grant:
    """A grant of a statement with these facts, for somebody who speaks the target's protocol."""
    request = AccessRequest(
        ADA, SHOP, action, Channel.POSTGRES, datetime.now(UTC), "session-1", facts=facts
    )
    return Grant(request, Decision(Effect.PERMIT, "test"), gate._ONLY_THE_GATE)


def read(
    text: str, *parameters: str | None, skip: int = 0, max_rows: int = 0, time: float | None = None
) -> Grant:
    return granted(_statement(text, parameters, skip, max_rows), SqlEffect.READ, time_limit=time)


def write(text: str, *parameters: str | None, max_rows: int = 0) -> Grant:
    return granted(_statement(text, parameters, 0, max_rows), SqlEffect.WRITE)


def catalog() -> Grant:
    return granted(ReadCatalog())


def _statement(
    text: str, parameters: tuple[str | None, ...], skip: int, max_rows: int
) -> SqlStatement:
    bound = tuple(Parameter(None if p is None else p.encode()) for p in parameters)
    return SqlStatement(text, bound, skip, max_rows)


def shop(sample: SampleDatabase, **changes: object) -> PostgresTarget:
    database = sample.database
    place = f"unix:{database.socket_directory}:{database.port}"
    if not database.socket_directory.startswith("/"):
        place = f"{database.socket_directory}:{database.port}"
    settings: dict[str, object] = {"tls": "disable", **changes}
    return PostgresTarget("shop", place, database.name, **settings)  # type: ignore[arg-type]


def credentials(sample: SampleDatabase) -> Credentials:
    reader = Login(sample.reader.user, Secret(sample.reader.password))
    writer = Login(sample.writer.user, Secret(sample.writer.password))
    return Credentials("shop", {"reader": reader, "writer": writer})
