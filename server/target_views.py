"""What each target offers a principal: what policy would say to each verb there. Nothing runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from policies.errors import BackendUnavailable
from policies.model import (
    AccessRequest,
    Action,
    Channel,
    Connect,
    Decision,
    Effect,
    Principal,
    SqlStatement,
)
from policies.sql.facts import SqlEffect, SqlFacts, TableName, TableUse
from policies.sql.server_secrets import SERVER_SECRET
from server.backends import Backend
from server.gate import Gate
from tools.gateway import TargetView

PROBED_TABLES: Final = 20
VERBS: Final = (
    ("read rows", "select", SqlEffect.READ),
    ("insert", "insert", SqlEffect.WRITE),
    ("update", "update", SqlEffect.WRITE),
    ("delete", "delete", SqlEffect.WRITE),
    ("change the schema", "ddl", SqlEffect.DDL),
)


@dataclass(frozen=True, slots=True)
class TargetViews:
    """Answers for one gate, by asking it without recording: nothing happens."""

    gate: Gate

    async def of(self, principal: Principal) -> Sequence[TargetView]:
        """The targets that this principal may connect to, with what each verb will meet there."""
        views = []
        for name, backend in sorted(self.gate.backends.items()):
            if would_decide(self.gate, principal, backend, Connect()).effect is Effect.PERMIT:
                target = backend.target
                notes = await self._notes(principal, backend)
                views.append(TargetView(name, target.kind, target.environment, notes))
        return views

    async def _notes(self, principal: Principal, backend: Backend) -> tuple[str, ...]:
        try:
            await self.gate.facts(backend, "SELECT 1")
        except BackendUnavailable:
            return ("it can't be reached now",)
        tables = [r.name for r in backend.catalog.relations.values() if r.kind in "rp"]
        own = [t for t in tables if t.schema in backend.catalog.search_path]
        return tuple(
            f"{words}: {self._verdict(principal, backend, verb, effect, own)}"
            for words, verb, effect in VERBS
        )

    def _verdict(
        self,
        principal: Principal,
        backend: Backend,
        verb: str,
        effect: SqlEffect,
        tables: Sequence[TableName],
    ) -> str:
        probes = (
            SqlFacts(effect, frozenset({verb}), (TableUse(table, verb),))
            for table in sorted(tables)[:PROBED_TABLES]
        )
        decisions = [
            would_decide(self.gate, principal, backend, SqlStatement(""), facts=facts)
            for facts in probes
        ]
        return _summary(decisions)


def would_decide(
    gate: Gate,
    principal: Principal,
    backend: Backend,
    action: Action,
    *,
    facts: SqlFacts | None = None,
    channel: Channel = Channel.MCP,
) -> Decision:
    """What policy would say; asks, and records nothing, because nothing happens."""
    return gate.decide(
        AccessRequest(
            principal=principal,
            target=backend.target,
            action=action,
            channel=channel,
            now=datetime.now(UTC),
            session="",
            facts=facts,
        )
    )


def _summary(decisions: Sequence[Decision]) -> str:
    """One phrase for what a verb meets on the target's tables."""
    words = sorted({_phrase(d) for d in decisions}) or ["no table to use"]
    return words[0] if len(words) == 1 else "by table: " + "; ".join(words)


def _phrase(decision: Decision) -> str:
    if decision.effect is not Effect.PERMIT:
        return "not permitted"
    phrases = ["permitted"]
    if decision.approvals:
        own = all(r.self_confirmation for r in decision.approvals)
        phrases = [f"needs {'your own confirmation' if own else _approvers(decision)}"]
    if masked := sorted(decision.masked_labels - {SERVER_SECRET}):
        phrases.append(f"{', '.join(masked)} masked")
    if decision.row_limit is not None:
        phrases.append(f"at most {decision.row_limit} rows")
    return ", ".join(phrases)


def _approvers(decision: Decision) -> str:
    """Who must agree: "approval by dba", "approval by dba, 2 of security"."""
    gates = sorted((r.people, ", ".join(sorted(r.groups))) for r in decision.approvals)
    one = sorted({g for r in decision.approvals if r.people == 1 for g in r.groups})
    several = [f"{people} of {groups}" for people, groups in gates if people > 1]
    return "approval by " + ", ".join([*one, *several])
