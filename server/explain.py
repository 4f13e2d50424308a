"""What would be decided for somebody, and why: every question, its answer, and where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson

from policies.errors import BackendUnavailable, Denied
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
from policies.sql.facts import SqlFacts
from recordings.chain import Json
from recordings.store import STORE_ERRORS, Store
from server.backends import Backend
from server.gate import Gate
from server.records import facts_document, obligation_document, refusal_document
from server.refusals import unknown_target

_SEEN: Final = """
SELECT document FROM (
    SELECT document FROM records WHERE kind = 'session_opened' ORDER BY at DESC LIMIT 10000
) AS newest
WHERE $1 IN (document::jsonb #>> '{principal,id}', document::jsonb #>> '{principal,name}')
LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Explainer:
    """Answers for one gate. Nothing runs; what is read of the target is its catalog."""

    gate: Gate
    store: Store

    async def known(self, name: str) -> Principal | None:
        """A principal that this gateway has seen, by id or by name, with its groups then.

        Raises `BackendUnavailable`.
        """
        try:
            document = await self.store.pool.fetchval(_SEEN, name)
        except STORE_ERRORS as error:
            raise BackendUnavailable("the recordings can't be read now; try again") from error
        return None if document is None else _principal(orjson.loads(document)["principal"])

    async def explain(self, principal: Principal, *, target: str, sql: str) -> Mapping[str, Json]:
        """The decision on a statement. Raises `Denied` for a target that isn't the principal's."""
        backend = self.gate.backends.get(target)
        if backend is None or not self._may_connect(principal, backend):
            raise Denied(unknown_target(target))
        facts = await self.gate.facts(backend, sql)
        decision = self._decide(principal, backend, SqlStatement(sql), facts)
        return {
            "principal": principal.id,
            "target": target,
            "effect": decision.effect.value,
            "policy_version": decision.policy_version,
            "facts": facts_document(facts),
            "questions": self._questions(decision),
            "obligations": [obligation_document(o) for o in decision.obligations],
            "refusal": refusal_document(decision.refusal) if decision.refusal else None,
        }

    def _may_connect(self, principal: Principal, backend: Backend) -> bool:
        return self._decide(principal, backend, Connect(), None).effect is Effect.PERMIT

    def _decide(
        self, principal: Principal, backend: Backend, action: Action, facts: SqlFacts | None
    ) -> Decision:
        request = AccessRequest(
            principal=principal,
            target=backend.target,
            action=action,
            channel=Channel.MCP,
            now=datetime.now(UTC),
            session="",
            facts=facts,
        )
        return self.gate.decide(request)

    def _questions(self, decision: Decision) -> list[Json]:
        place = self._place
        return [
            {
                "action": question.action,
                "resource": question.resource,
                "allowed": question.allowed,
                "policies": [{"id": p, "location": place(p)} for p in question.policies],
            }
            for question in decision.questions
        ]

    def _place(self, policy: str) -> str:
        """File and line without the directory, which is nobody's business but the gateway's."""
        return Path(self.gate.decision_point.location(policy)).name


def _principal(document: Mapping[str, object]) -> Principal:
    groups = document["groups"]
    return Principal(
        id=str(document["id"]),
        name=str(document["name"]),
        agent=str(document["agent"]),
        groups=frozenset(map(str, groups)) if isinstance(groups, list) else frozenset(),
    )
