"""Approval tickets as values: what is bound, what is required, and who may decide. No I/O."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import orjson

from policies.model import AccessRequest, Principal, Requested, RequireApproval
from policies.people import Person, address, distinct
from recordings.chain import DigestKey
from recordings.journal import Json
from server.connections import Surroundings
from server.recorded_input import kept, kept_text
from server.records import action_document, facts_document

OPEN_STATES: Final = ("pending", "approved")
_PROCESS_KEY: Final = DigestKey("process", secrets.token_bytes(32))
DESTRUCTIVE: Final = frozenset({"delete", "truncate", "ddl"})


@dataclass(frozen=True, slots=True)
class Binding:
    """The digest of everything that an approval is for; any change asks for a new one."""

    digest: bytes
    document: Mapping[str, Json]


def bind(
    request: AccessRequest,
    surroundings: Surroundings,
    *,
    definitions: str = "",
    seal: Callable[[bytes], bytes] = _PROCESS_KEY.seal,
) -> Binding:
    """Bind an approval to this principal, agent, target, role, session settings and exact action.

    What is shown and kept has marks for secrets; `seal` then binds the exact bytes by a key, since
    a plain digest of a password can be guessed from. Without one a ticket is good in this process.
    `definitions` is a digest of what the objects are: a view made anew is another one.
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
        "definitions": definitions,
        "action": action_document(request.action),
    }
    shown_action = kept(request.action)
    if shown_action.removed:
        exact = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
        document["action"] = action_document(shown_action.action)
        document["removed"] = {**shown_action.removed, "seal": seal(exact).hex()}
    canonical = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(b"ostiary approval 1\0" + canonical).digest()
    shown = {
        **document,
        "facts": facts_document(facts),
        "reason": kept_text(request.reason),
        "session": request.session,
        "requester": {
            "email": address(request.principal.email),
            "groups": sorted(request.principal.groups),
        },
    }
    return Binding(digest, shown)


@dataclass(frozen=True, slots=True)
class TicketDecision:
    """What one person said. `policies` are the requirements that an approval counts for."""

    principal: str
    name: str
    approve: bool
    comment: str
    channel: str
    policies: frozenset[str]
    at: datetime
    email: str = ""
    agent: str = ""

    @property
    def by(self) -> Principal:
        """Who said it, through which agent; their groups are not kept."""
        return Principal(self.principal, self.name, self.agent, email=self.email or None)

    @property
    def person(self) -> Person:
        return Person(self.principal, self.email)


@dataclass(frozen=True, slots=True)
class Ticket:
    """One request that needs somebody's approval, and what came of it.

    `ended_by` withdrew or revoked it.
    """

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
    ended_by: str = ""
    ended_name: str = ""
    ended_comment: str = ""

    @property
    def session(self) -> str:
        """The session that asked; what is decided belongs to its recording."""
        return str(self.document.get("session", ""))

    @property
    def is_open(self) -> bool:
        """Whether it may still let something run."""
        return self.state in OPEN_STATES

    @property
    def requester(self) -> Principal:
        """Who asked, with the groups that they were in then."""
        asked = self.document.get("requester")
        known = asked if isinstance(asked, dict) else {}
        groups = known.get("groups")
        return Principal(
            self.principal,
            self.principal_name,
            self.agent,
            frozenset(map(str, groups)) if isinstance(groups, list) else frozenset(),
            str(known.get("email") or "") or None,
        )

    @property
    def open_requirements(self) -> tuple[RequireApproval, ...]:
        return tuple(r for r in self.requirements if self.missing(r) > 0)

    @property
    def self_confirmation(self) -> bool:
        """Whether the requester's own confirmation is enough for all that is still open."""
        return all(r.self_confirmation for r in self.open_requirements)

    def missing(self, requirement: RequireApproval) -> int:
        """How many people must still approve for this requirement."""
        if requirement.self_confirmation:
            return 0 if self._approved_for(requirement) else 1
        return max(0, requirement.people - len(self.approvers(requirement)))

    def approvers(self, requirement: RequireApproval) -> Sequence[Person]:
        """The different people who approved it, none of them the requester."""
        return distinct(self._approved_for(requirement), but=Person.of(self.requester))

    def _approved_for(self, requirement: RequireApproval) -> list[Person]:
        return [d.person for d in self.decisions if d.approve and requirement.policy in d.policies]

    def decidable_by(self, principal: Principal) -> tuple[RequireApproval, ...]:
        """The open requirements that this person's approval counts for.

        Never their own request, unless a gate says so, and never the same one twice. Whoever is in
        the groups of several requirements meets them all at once.
        """
        if principal.id == self.principal:
            return tuple(r for r in self.open_requirements if r.self_confirmation)
        person = Person.of(principal)
        if person.may_be(Person.of(self.requester)):
            return ()
        return tuple(
            r
            for r in self.open_requirements
            if r.groups & principal.groups
            and not any(person.may_be(known) for known in self._approved_for(r))
        )

    def is_concern_of(self, principal: Principal) -> bool:
        """Whether a gate names a group of theirs, or they have said their word on it."""
        named = frozenset[str]().union(*(r.groups for r in self.requirements))
        return bool(named & principal.groups) or self.has_decided(principal)

    def has_decided(self, principal: Principal) -> bool:
        return any(d.principal == principal.id for d in self.decisions)

    def deniable_by(self, principal: Principal) -> bool:
        """One denial denies: of anybody who is asked, and has not approved."""
        if self.has_decided(principal):
            return False
        return bool(self.decidable_by(principal)) or self.revocable_by(principal)

    def previews_for(self, principal: Principal) -> bool:
        """Whether they may see what trying it out did: whoever is asked, never the requester."""
        asker = Person.of(self.requester)
        return self.is_concern_of(principal) and not Person.of(principal).may_be(asker)

    def revocable_by(self, principal: Principal) -> bool:
        """Whoever approved it, and whoever is in an approving group: never the requester."""
        return principal.id != self.principal and self.is_concern_of(principal)

    def requested(self, by: Principal) -> Requested:
        """What policies know of this ticket when this principal acts on it."""
        facts = self.document.get("facts")
        verbs = _verbs(facts)
        return Requested(
            requester=self.requester,
            verbs=verbs,
            destroys=_is_unknown(facts) or bool(verbs & DESTRUCTIVE),
            own=Person.of(by).may_be(Person.of(self.requester)),
            approved=any(d.approve and d.principal == by.id for d in self.decisions),
        )

    def covers(self, requirements: tuple[RequireApproval, ...]) -> bool:
        """Whether what was approved is at least what policy asks for now."""
        enough = all(any(_covers(mine, r) for mine in self.requirements) for r in requirements)
        return enough and not self.open_requirements


def _covers(approved: RequireApproval, asked: RequireApproval) -> bool:
    same = (approved.policy, approved.groups, approved.self_confirmation) == (
        asked.policy,
        asked.groups,
        asked.self_confirmation,
    )
    return same and approved.people >= asked.people


def _verbs(facts: Json) -> frozenset[str]:
    uses = facts.get("tables") if isinstance(facts, dict) else None
    found = uses if isinstance(uses, list) else []
    return frozenset(str(use["verb"]) for use in found if isinstance(use, dict))


def _is_unknown(facts: Json) -> bool:
    return not isinstance(facts, dict) or facts.get("opaque") is not None


def requirement_document(requirement: RequireApproval) -> dict[str, Json]:
    return {
        "policy": requirement.policy,
        "groups": sorted(requirement.groups),
        "sentence": requirement.sentence,
        "self_confirmation": requirement.self_confirmation,
        "people": requirement.people,
    }


def requirement_from(document: Mapping[str, object]) -> RequireApproval:
    groups = document["groups"]
    assert isinstance(groups, list)  # noqa: S101 -- written by requirement_document
    return RequireApproval(
        policy=str(document["policy"]),
        groups=frozenset(map(str, groups)),
        sentence=str(document["sentence"]),
        self_confirmation=document["self_confirmation"] is True,
        people=_count(document.get("people", 1)),
    )


def _count(value: object) -> int:
    assert isinstance(value, int)  # noqa: S101 -- written by requirement_document
    return value
