"""The decision point: Cedar over facts. It answers, changes nothing, and denies on any error."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import cedarpy
import orjson

from policies import packs, write_back
from policies.errors import Refusal
from policies.loading import PolicySets, load_policy_sets, policy_set
from policies.mentions import attributes, words
from policies.model import (
    AccessRequest,
    Audit,
    Channel,
    Decision,
    Effect,
    Obligation,
    Question,
    ReadCatalog,
    RequireApproval,
    SqlPlan,
    SqlPrepare,
)
from policies.questions import (
    ON_CHANNELS,
    WRITE_MASKED,
    Asked,
    Entity,
    Unanswerable,
    entities,
    questions,
    request_context,
    sql_facts,
)
from policies.relevance import Actions
from policies.sql.server_secrets import SERVER_SECRET

VOLATILE: Final = ("now", "session", "reason")
KNOWN_ENTITIES: Final = 512
LARGEST_KNOWN: Final = 8192  # characters
STARTER: Final = packs.directory_of("starter")

_NEXT_STEPS: Final[Mapping[str, str]] = {
    "sql.select": "Ask for access to this table, or read another one.",
    "sql.opaque": "Write it as a plain SELECT, INSERT, UPDATE or DELETE.",
}
_ASK: Final = "Ask whoever administers the gateway for this permission."


def load(
    source: Path | str,
    *,
    targets: Collection[str] | None = None,
    labels: Collection[str] = (),
    groups: Collection[str] | None = None,
) -> CedarDecisionPoint:
    """The policies of a directory, or a pack that comes with the gateway, by its name.

    `targets` and `groups` are the configured names, None where they are not known; `labels` are
    those that columns carry. Raises ConfigError with file, line and policy id.
    """
    directory = packs.directory_of(source)
    sets = load_policy_sets(directory, targets=targets, labels=labels, groups=groups)
    return CedarDecisionPoint(sets)


@dataclass(frozen=True, slots=True)
class _Answer:
    """Cedar's answer to one question: hard forbids, or gates to be met, or neither."""

    asked: Asked
    allowed: bool
    permits: tuple[str, ...] = ()
    forbids: tuple[str, ...] = ()
    gates: tuple[str, ...] = ()

    def question(self) -> Question:
        resource = f'{self.asked.resource["type"]}::"{self.asked.resource["id"]}"'
        policies = self.permits + self.forbids + self.gates
        return Question(self.asked.action, resource, self.allowed, policies)


@dataclass(frozen=True, slots=True)
class _Put:
    """Questions as they are put to Cedar, with what they speak about."""

    asked: tuple[Asked, ...]
    documents: list[dict[str, Any]]
    known: cedarpy.Entities


class _EvaluationFailed(Exception):
    """Cedar reported an error. It skips the policy that failed, so its answer means nothing."""


class CedarDecisionPoint:
    """Decides by one loaded policy set."""

    def __init__(self, sets: PolicySets) -> None:
        self._sets = sets
        self._order = {identifier: i for i, identifier in enumerate(sets.policies)}
        self._reads = frozenset(_volatile_names(sets))
        self._named = frozenset(w for p in sets.policies.values() for w in words(p.document))
        self._actions = Actions(sets.schema)
        self._by_action: dict[str, cedarpy.PolicySet] = {}
        self._known: OrderedDict[str, cedarpy.Entities] = OrderedDict()

    @property
    def version(self) -> str:
        """A digest of the schema and every policy text in force."""
        return self._sets.version

    @property
    def reads(self) -> frozenset[str]:
        """What policies may read of a request that is new each time: now, session, reason."""
        return self._reads

    @property
    def attributes(self) -> frozenset[str]:
        """Whatever conditions read by name, of whatever entity."""
        return frozenset(n for p in self._sets.policies.values() for n in attributes(p.document))

    def location(self, policy: str) -> str:
        """Where a policy stands, as `file:line`; empty for what no file says."""
        found = self._sets.policies.get(policy)
        return found.source.place if found else ""

    def sentence(self, policy: str) -> str:
        """What a policy's author says about it in `@reason`."""
        found = self._sets.policies.get(policy)
        return found.note.reason if found else ""

    def decide(self, request: AccessRequest) -> Decision:
        """Permit with obligations, or deny with a refusal; never raises for any request."""
        if isinstance(request.action, ReadCatalog):
            return self._catalog(request)
        try:
            put = self._put(request)
            answers, audits = self._answers(put), self._audits(request, put)
        except (_EvaluationFailed, Unanswerable, ValueError):
            return self._deny(_policy_error(), ())
        decision = self._decision(request, answers)
        return replace(decision, audits=audits) if audits else decision

    def _decision(self, request: AccessRequest, answers: tuple[_Answer, ...]) -> Decision:
        refusal = self._refusal(request, answers)
        if refusal is not None:
            return self._deny(refusal, answers)
        asked = tuple(answer.question() for answer in answers)
        return Decision(
            Effect.PERMIT, self.version, self._obligations(request, answers), None, asked
        )

    def _catalog(self, request: AccessRequest) -> Decision:
        # The gateway needs names before it can ask anything; no user has this action.
        if request.channel is Channel.GATEWAY:
            return Decision(Effect.PERMIT, self.version)
        return self._deny(_not_permitted("reading the catalog", None, _ASK), ())

    def _deny(self, refusal: Refusal, answers: Iterable[_Answer]) -> Decision:
        asked = tuple(answer.question() for answer in answers)
        return Decision(Effect.DENY, self.version, (), refusal, asked)

    def _put(self, request: AccessRequest) -> _Put:
        asked = (*questions(request), *self._masked_writes(request))
        context = request_context(request)
        documents = [
            {**question.document(request.principal), "context": self._context(question, context)}
            for question in asked
        ]
        return _Put(asked, documents, self._entities(entities(request, asked)))

    def _masked_writes(self, request: AccessRequest) -> tuple[Asked, ...]:
        """What is asked besides where values go into columns that this principal sees masked."""
        reading = write_back.reading(request)
        if reading is None or reading.facts is None:
            return ()
        whole, *each = self._answers(self._put(reading))
        seen = {
            (use.table, use.through): self._seen_masked(use.labels, whole, answer)
            for use, answer in zip(reading.facts.tables, each, strict=True)
        }
        return write_back.masked_writes(request, seen)

    def _seen_masked(self, labels: frozenset[str], *answers: _Answer) -> frozenset[str]:
        """Those of the labels that are masked in a read; all of them where it is not permitted."""
        if not all(answer.allowed for answer in answers):
            return labels
        gates = (self._sets.policies[gate].note for answer in answers for gate in answer.gates)
        return labels & frozenset({SERVER_SECRET}).union(*(note.masked_labels for note in gates))

    def _context(self, question: Asked, request: Mapping[str, Any]) -> str:
        """What policies read of a question's context: the rest would cost more than to decide."""
        whole = question.whole(request)
        return _text({part: self._read(value) for part, value in whole.items()})

    def _read(self, value: object) -> object:
        # Whoever compares a record as a whole names its attributes, too.
        if not isinstance(value, dict):
            return value
        return {name: part for name, part in value.items() if name in self._named}

    def _entities(self, found: list[Entity]) -> cedarpy.Entities:
        """Cedar's form of them; that of the same ones is kept for a while."""
        written = _text(found)
        known = self._known.get(written)
        if known is None:
            known = cedarpy.Entities.from_json_str(written, self._sets.schema)
            if len(written) <= LARGEST_KNOWN:
                self._known[written] = known
            if len(self._known) > KNOWN_ENTITIES:
                self._known.popitem(last=False)
        return known

    def _answers(self, put: _Put) -> tuple[_Answer, ...]:
        answers: list[_Answer] = []
        asked = zip(put.asked, put.documents, strict=True)
        for action, together in groupby(asked, key=lambda pair: pair[0].action):
            pairs = tuple(together)
            results = self._ask([document for _, document in pairs], action, put.known)
            for (question, _), result in zip(pairs, results, strict=True):
                answers.append(self._answer(question, result))
        return tuple(answers)

    def _deciding(self, action: str) -> cedarpy.PolicySet:
        """The policies in force that have a say on an action, as Cedar is asked with them.

        Gates go in as permits, so that one question tells of both: a hard forbid wins over them
        as over permits, and what permits is what `_answer` finds to be a permit by its own text.
        """
        found = self._by_action.get(action)
        if found is None:
            documents = {
                p.id: {**p.document, "effect": "permit"} if p.note.obligations else p.document
                for p in self._sets.policies.values()
                if p.enforced and self._actions.has_say(p.document, action)
            }
            found = self._by_action[action] = policy_set(documents)
        return found

    def _audits(self, request: AccessRequest, put: _Put) -> tuple[Audit, ...]:
        """What policies in audit mode would have done; an error of theirs is reported as well."""
        if self._sets.audited is None:
            return ()
        results: list[cedarpy.AuthzResult] = cedarpy.is_authorized_batch(
            put.documents, self._sets.audited, put.known
        )
        fired = {policy for result in results for policy in result.diagnostics.reasons}
        errors = "\n".join(e for result in results for e in result.diagnostics.errors)
        audited = [p for p in self._sets.policies.values() if not p.enforced]
        failed = {p.id for p in audited if f"policy `{p.id}`" in errors}
        audits = (self._audit(request, p, failed=p in failed) for p in self._sorted(fired | failed))
        return tuple(audit for audit in audits if audit is not None)

    def _audit(self, request: AccessRequest, policy: str, *, failed: bool) -> Audit | None:
        written = self._sets.policies[policy].note.obligations
        obligations = _owed(request, written)
        return None if written and not obligations else Audit(policy, obligations, failed)

    def _ask(
        self, documents: list[dict[str, Any]], action: str, known: cedarpy.Entities
    ) -> list[cedarpy.AuthzResult]:
        # Contexts are not checked against the schema again: they are made of typed facts, the
        # tests check what is made, and an attribute that is missing is an error, which denies.
        results: list[cedarpy.AuthzResult] = cedarpy.is_authorized_batch(
            documents, self._deciding(action), known
        )
        failed = any(
            result.diagnostics.errors or result.decision is cedarpy.Decision.NoDecision
            for result in results
        )
        if failed or len(results) != len(documents):
            raise _EvaluationFailed
        return results

    def _answer(self, asked: Asked, result: cedarpy.AuthzResult) -> _Answer:
        policies = self._sets.policies
        determining = self._sorted(result.diagnostics.reasons)
        gates = tuple(p for p in determining if policies[p].note.obligations)
        others = tuple(p for p in determining if not policies[p].note.obligations)
        if result.decision is not cedarpy.Decision.Allow:
            return _Answer(asked, allowed=False, forbids=others)
        if not any(policies[p].document["effect"] == "permit" for p in others):
            return _Answer(asked, allowed=False)
        return _Answer(asked, allowed=True, permits=others, gates=gates)

    def _sorted(self, policies: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(policies, key=lambda policy: self._order[policy]))

    def _refusal(self, request: AccessRequest, answers: tuple[_Answer, ...]) -> Refusal | None:
        facts = sql_facts(request)
        if facts is not None and facts.opaque is not None:
            unknown = facts.opaque
            policy = answers[0].forbids[0] if answers[0].forbids else "built-in"
            subject = answers[0].asked.subject
            return Refusal(
                unknown.code, unknown.reason, unknown.next_step, policy, subject, unknown.span
            )
        denied = [answer for answer in answers if not answer.allowed]
        forbidden = [answer for answer in denied if answer.forbids]
        if forbidden:
            return self._forbidden(forbidden[0])
        return _default_deny(denied[0].asked) if denied else None

    def _forbidden(self, answer: _Answer) -> Refusal:
        note = self._sets.policies[answer.forbids[0]].note
        asked = answer.asked
        return Refusal(
            code="FORBIDDEN",
            reason=note.reason or f"{asked.subject} is forbidden by the policy {note.id}.",
            next_step=note.next_step or _NEXT_STEPS.get(asked.action, _ASK),
            policy=note.id,
            subject=asked.subject,
            span=asked.use.span if asked.use else None,
        )

    def _obligations(
        self, request: AccessRequest, answers: tuple[_Answer, ...]
    ) -> tuple[Obligation, ...]:
        fired = self._sorted({policy for answer in answers for policy in answer.gates})
        return _owed(request, (o for p in fired for o in self._sets.policies[p].note.obligations))


def _owed(request: AccessRequest, obligations: Iterable[Obligation]) -> tuple[Obligation, ...]:
    """Parsing and planning run nothing; what runs then is asked again: no human for it twice."""
    skipped = RequireApproval if isinstance(request.action, SqlPrepare | SqlPlan) else ()
    return tuple(o for o in obligations if not isinstance(o, skipped))


def _text(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError as error:
        raise Unanswerable("the request holds what is no text") from error


def _volatile_names(sets: PolicySets) -> Iterator[str]:
    """A policy that reads an attribute names it in a condition; one too many costs only time."""
    for policy in sets.policies.values():
        written = json.dumps(policy.document["conditions"])
        yield from (name for name in VOLATILE if f'"{name}"' in written)


def _default_deny(asked: Asked) -> Refusal:
    if asked.action == WRITE_MASKED:
        return write_back.refusal(asked)
    if asked.action in ON_CHANNELS.values():
        return _no_channel(asked)
    span = asked.use.span if asked.use else None
    return _not_permitted(asked.subject, span, _NEXT_STEPS.get(asked.action, _ASK))


def _not_permitted(subject: str, span: tuple[int, int] | None, next_step: str) -> Refusal:
    # What would have permitted it is not said: that is for `policy explain`.
    return Refusal(
        "NOT_PERMITTED",
        f"{subject} is not permitted for you.",
        next_step,
        subject=subject,
        span=span,
    )


def _no_channel(asked: Asked) -> Refusal:
    return Refusal(
        "NOTIFICATIONS",
        f"{asked.subject} is not permitted for you.",
        "Ask for the rows that changed; or ask whoever administers the gateway for a policy that"
        f" permits {asked.action} on this channel.",
        subject=asked.subject,
    )


def _policy_error() -> Refusal:
    return Refusal(
        "POLICY_ERROR",
        "The policies could not be evaluated for this request, so it is refused.",
        "Tell whoever administers the gateway; repeating the request won't help.",
    )
