"""What would be decided for somebody, and why: every question, its answer, and where it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    Obligation,
    Principal,
    Question,
    SqlStatement,
    Target,
)
from policies.sql.catalog import Catalog
from policies.sql.facts import SqlFacts
from recordings.chain import Json
from recordings.store import STORE_ERRORS, Store
from server.advice import advised
from server.backends import Backend
from server.gate import Gate
from server.records import (
    audit_document,
    facts_document,
    obligation_document,
    refusal_document,
)
from server.refusals import unknown_target
from server.write_back import without_masks

_SEEN: Final = """
SELECT document FROM (
    SELECT document FROM records WHERE kind = 'session_opened' ORDER BY at DESC LIMIT 10000
) AS newest
WHERE $1 IN (document::jsonb #>> '{principal,id}', document::jsonb #>> '{principal,name}')
LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Asking:
    """The way in which the request that is asked about would come."""

    channel: Channel = Channel.MCP
    reason: str = ""


_PLAINLY: Final = Asking()


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

    async def explain(
        self, principal: Principal, *, target: str, sql: str, asking: Asking = _PLAINLY
    ) -> Mapping[str, Json]:
        """The decision on a statement. Raises `Denied` for a target that isn't the principal's."""
        backend = self._backend(principal, target, asking)
        facts = await self.gate.facts(backend, sql, asker=principal.id)
        request = _request(principal, backend, SqlStatement(sql), asking, facts)
        decision = self.gate.decide(request)
        decision = without_masks(request, decision, self.gate.masker.holds_masks)
        decision = advised(request, decision, self.gate.decide, backend.catalog)
        return {
            "principal": principal.id,
            "agent": principal.agent,
            "target": target,
            "effect": decision.effect.value,
            "policy_version": decision.policy_version,
            "facts": facts_document(facts),
            "questions": [self._question(question) for question in decision.questions],
            "obligations": [self._obligation(o) for o in decision.obligations],
            "audits": [
                {**audit_document(audit), **self._written(audit.policy)}
                for audit in decision.audits
            ],
            "refusal": self._refusal(decision),
        }

    async def facts(self, principal: Principal, *, target: str, sql: str) -> SqlFacts:
        """What policy sees of a statement. Raises `Denied`, as all of these do."""
        backend = self._backend(principal, target, _PLAINLY)
        return await self.gate.facts(backend, sql, asker=principal.id)

    async def catalog(self, principal: Principal, target: str) -> tuple[str, Catalog]:
        """The target's kind, and the names that its statements are judged by."""
        backend = self._backend(principal, target, _PLAINLY)
        await self.gate.facts(backend, "SELECT 1")  # what reads a catalog that is too old
        return backend.target.kind, backend.catalog

    def targets(self, principal: Principal) -> Sequence[Target]:
        """Those that this principal may connect to."""
        backends = self.gate.backends.values()
        return [b.target for b in backends if self._may_connect(principal, b, _PLAINLY)]

    def _backend(self, principal: Principal, target: str, asking: Asking) -> Backend:
        backend = self.gate.backends.get(target)
        if backend is None or not self._may_connect(principal, backend, asking):
            raise Denied(unknown_target(target))
        return backend

    def _may_connect(self, principal: Principal, backend: Backend, asking: Asking) -> bool:
        decision = self.gate.decide(_request(principal, backend, Connect(), asking))
        return decision.effect is Effect.PERMIT

    def _question(self, question: Question) -> Json:
        return {
            "action": question.action,
            "resource": question.resource,
            "allowed": question.allowed,
            "policies": [{"id": p, **self._written(p)} for p in question.policies],
        }

    def _obligation(self, obligation: Obligation) -> Json:
        return {**obligation_document(obligation), **self._written(obligation.policy)}

    def _refusal(self, decision: Decision) -> Json:
        refusal = decision.refusal
        if refusal is None:
            return None
        return {**refusal_document(refusal), "location": self._place(refusal.policy)}

    def _written(self, policy: str) -> dict[str, Json]:
        """Where a policy stands, and what its author says about it."""
        said = self.gate.decision_point.sentence(policy)
        return {"location": self._place(policy), "sentence": said}

    def _place(self, policy: str) -> str:
        """File and line without the directory, which is nobody's business but the gateway's."""
        return Path(self.gate.decision_point.location(policy)).name


def _request(
    principal: Principal,
    backend: Backend,
    action: Action,
    asking: Asking,
    facts: SqlFacts | None = None,
) -> AccessRequest:
    return AccessRequest(
        principal=principal,
        target=backend.target,
        action=action,
        channel=asking.channel,
        now=datetime.now(UTC),
        session="",
        facts=facts,
        reason=asking.reason,
    )


def _principal(document: Mapping[str, object]) -> Principal:
    groups = document["groups"]
    return Principal(
        id=str(document["id"]),
        name=str(document["name"]),
        agent=str(document["agent"]),
        groups=frozenset(map(str, groups)) if isinstance(groups, list) else frozenset(),
    )
