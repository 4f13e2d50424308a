"""Approval tickets as values: what is bound, what is required, and who may decide. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import orjson

from policies.model import AccessRequest, Principal, RequireApproval
from recordings.journal import Json
from server.connections import Surroundings
from server.records import action_document, facts_document

OPEN_STATES = ("pending", "approved")


@dataclass(frozen=True, slots=True)
class Binding:
    """The digest of everything that an approval is for; any change asks for a new one."""

    digest: bytes
    document: Mapping[str, Json]


def bind(request: AccessRequest, surroundings: Surroundings) -> Binding:
    """Bind an approval to this principal, agent, target, role, session settings and exact action.

    The policy version is not bound: execution decides again, and a stronger requirement voids it.
    """
    facts = request.facts
    document: dict[str, Json] = {
        "principal": request.principal.id,
        "agent": request.principal.agent,
        "target": request.target.name if request.target else "",
        "role": surroundings.role,
        "database": surroundings.database,
        "search_path": list(surroundings.search_path),
        "settings": dict(surroundings.settings),
        "objects": sorted([str(name), oid] for name, oid in facts.objects) if facts else [],
        "action": action_document(request.action),
    }
    canonical = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(b"ostiary approval 1\0" + canonical).digest()
    shown = {
        **document,
        "facts": facts_document(facts),
        "reason": request.reason,
        "session": request.session,
    }
    return Binding(digest, shown)


@dataclass(frozen=True, slots=True)
class TicketDecision:
    """What one person said. `policies` are the requirements that an approval satisfied."""

    principal: str
    name: str
    approve: bool
    comment: str
    channel: str
    policies: frozenset[str]
    at: datetime


@dataclass(frozen=True, slots=True)
class Ticket:
    """One request that needs somebody's approval, and what came of it."""

    id: str
    state: str
    principal: str
    principal_name: str
    agent: str
    target: str
    digest: bytes
    document: Mapping[str, Json]
    requirements: tuple[RequireApproval, ...]
    asked_at: datetime
    expires_at: datetime
    decisions: tuple[TicketDecision, ...] = field(default=())

    @property
    def session(self) -> str:
        """The session that asked; what is decided belongs to its recording."""
        return str(self.document.get("session", ""))

    @property
    def satisfied(self) -> frozenset[str]:
        """Policies whose requirement somebody has met."""
        met = (d.policies for d in self.decisions if d.approve)
        return frozenset[str]().union(*met)

    @property
    def open_requirements(self) -> tuple[RequireApproval, ...]:
        return tuple(r for r in self.requirements if r.policy not in self.satisfied)

    @property
    def self_confirmation(self) -> bool:
        """Whether the requester's own confirmation is enough for all that is still open."""
        return all(r.self_confirmation for r in self.open_requirements)

    def decidable_by(self, principal: Principal) -> tuple[RequireApproval, ...]:
        """The open requirements that this person may meet: never their own, unless it says so."""
        if principal.id == self.principal:
            return tuple(r for r in self.open_requirements if r.self_confirmation)
        return tuple(r for r in self.open_requirements if r.groups & principal.groups)

    def covers(self, requirements: tuple[RequireApproval, ...]) -> bool:
        """Whether what was approved is at least what policy asks for now."""
        approved = {(r.policy, r.groups, r.self_confirmation) for r in self.requirements}
        asked = {(r.policy, r.groups, r.self_confirmation) for r in requirements}
        return asked <= approved and not self.open_requirements


def requirement_document(requirement: RequireApproval) -> dict[str, Json]:
    return {
        "policy": requirement.policy,
        "groups": sorted(requirement.groups),
        "sentence": requirement.sentence,
        "self_confirmation": requirement.self_confirmation,
    }


def requirement_from(document: Mapping[str, object]) -> RequireApproval:
    groups = document["groups"]
    assert isinstance(groups, list)  # noqa: S101 -- written by requirement_document
    return RequireApproval(
        policy=str(document["policy"]),
        groups=frozenset(map(str, groups)),
        sentence=str(document["sentence"]),
        self_confirmation=document["self_confirmation"] is True,
    )
