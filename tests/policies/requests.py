"""Access requests as the gate makes them, over the tests' catalog."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from policies.cedar import CedarDecisionPoint
from policies.model import (
    AccessRequest,
    Action,
    Channel,
    Decision,
    Principal,
    SqlPrepare,
    SqlStatement,
    Target,
)
from policies.sql.facts import SqlFacts
from policies.sql.postgres import analyse
from tests.policies.catalogs import catalog

SHOP = Target("shop", "postgres", "production")
LABORATORY = Target("laboratory", "postgres", "development")
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def person(*groups: str, name: str = "alice", agent: str = "claude") -> Principal:
    return Principal(f"corp:{name}", name, agent, frozenset(groups), f"{name}@example.com")


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks one decision point as one principal on one target."""

    point: CedarDecisionPoint
    principal: Principal
    target: Target | None = SHOP
    channel: Channel = Channel.MCP
    reason: str = field(default="")

    def ask(self, action: Action, facts: SqlFacts | None = None) -> Decision:
        return self.point.decide(
            AccessRequest(
                self.principal,
                self.target,
                action,
                self.channel,
                NOON,
                "session",
                facts,
                self.reason,
            )
        )

    def run(self, text: str) -> Decision:
        return self.ask(SqlStatement(text), analyse(text, catalog()))

    def prepare(self, text: str) -> Decision:
        return self.ask(SqlPrepare(text), analyse(text, catalog()))
