"""Two policy sets over the same requests: what is decided otherwise, and by which policies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from typing import Final

from policies.cases import masked, verdict
from policies.model import AccessRequest, Decision, DecisionPoint, RequireApproval
from policies.recorded import RecordedRequest, Skipped
from policies.sql.facts import SqlFacts

EXAMPLES: Final = 3


@dataclass(frozen=True, slots=True)
class Example:
    """One request that the two sets decide otherwise."""

    request: AccessRequest
    before: Decision
    after: Decision


@dataclass(slots=True)
class Changes:
    """What changes, counted by kind of change, with the first few requests of each."""

    decided: int = 0
    changed: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Example]] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)


def compare(
    requests: Iterable[RecordedRequest | Skipped], *, before: DecisionPoint, after: DecisionPoint
) -> Changes:
    """Decide each request by both sets."""
    changes = Changes()
    for recorded in requests:
        match recorded:
            case Skipped(why):
                changes.skipped[why] += 1
            case RecordedRequest(request):
                example = Example(request, before.decide(request), after.decide(request))
                _add(changes, example)
    return changes


def _add(changes: Changes, example: Example) -> None:
    kinds = list(differences(example.before, example.after, example.request.facts))
    changes.decided += 1
    changes.changed += bool(kinds)
    for kind in kinds:
        changes.counts[kind] += 1
        kept = changes.examples.setdefault(kind, [])
        if len(kept) < EXAMPLES:
            kept.append(example)


def differences(before: Decision, after: Decision, facts: SqlFacts | None) -> Iterator[str]:
    """What another set changes about one decision, each as a phrase that can be counted."""
    was, becomes = verdict(before), verdict(after)
    yield from _sets("report (audit mode)", _reported(before), _reported(after))
    if was != becomes:
        yield f"{was} -> {becomes}"
    if "deny" in (was, becomes):
        if was == becomes and _refused(before) != _refused(after):
            yield "refused by another policy"
        return
    yield from _sets(
        "approval", set(map(_asked, before.approvals)), set(map(_asked, after.approvals))
    )
    yield from _sets("mask", masked(before, facts), masked(after, facts))
    yield from _limits("row limit", before.row_limit, after.row_limit)
    yield from _limits("timeout", before.time_limit, after.time_limit)


def _reported(decision: Decision) -> set[str]:
    return {audit.policy for audit in decision.audits}


def _refused(decision: Decision) -> tuple[str, str]:
    refusal = decision.refusal
    return (refusal.code, refusal.policy) if refusal else ("", "")


def _asked(approval: RequireApproval) -> str:
    groups = [*sorted(approval.groups), *(["self"] if approval.self_confirmation else [])]
    return f"{approval.people} of {', '.join(groups)}"


def _sets(what: str, before: Set[str], after: Set[str]) -> Iterator[str]:
    yield from (f"{what} added: {name}" for name in sorted(after - before))
    yield from (f"{what} removed: {name}" for name in sorted(before - after))


def _limits(what: str, before: float | None, after: float | None) -> Iterator[str]:
    if before != after:
        yield f"{what}: {_limit(before)} -> {_limit(after)}"


def _limit(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"
