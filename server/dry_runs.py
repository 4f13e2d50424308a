"""Dry runs: what would happen to a statement, by policy and by the target's plan. Nothing runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from pydantic import JsonValue, TypeAdapter

from policies.errors import BackendUnavailable, Denied
from policies.model import (
    Channel,
    Decision,
    Effect,
    LimitRows,
    LimitTime,
    MaskLabels,
    Principal,
    RequireApproval,
    SqlPlan,
    SqlStatement,
)
from policies.sql.facts import SqlFacts
from recordings.batches import each
from recordings.events import Failed, Rows
from recordings.rows import ROW_CODECS
from server.connections import CatalogChanged
from server.gate import Gate, Grant, Session
from server.protocols.postgres.planning import WITHHELD, no_plan
from server.records import facts_document
from server.refusals import unmet
from tools.gateway import DryRunView, PlanStep

_NONE: Final = "the target gave none"
_FACTS: Final = TypeAdapter(dict[str, JsonValue])


@dataclass(frozen=True, slots=True)
class DryRuns:
    """Answers for one gate. Planning is an action of its own, recorded like any other."""

    gate: Gate

    async def dry_run(
        self,
        principal: Principal,
        target: str,
        statement: SqlStatement,
        *,
        channel: Channel,
        reason: str,
    ) -> DryRunView:
        """What would happen. No ticket is opened. Raises `Denied`, `BackendUnavailable`."""
        async with self.gate.open(principal, target, channel=channel, reason=reason) as session:
            grant = await session.admit(SqlPlan(statement.text, statement.parameters))
            if not isinstance(grant, Grant):
                raise TypeError("planning waits for nobody")
            decision = self.gate.decide(replace(grant.request, action=statement))
            if decision.effect is not Effect.PERMIT:
                raise Denied(decision.refusal or unmet(decision))
            plan, why = await _planned(session, grant, no_plan(grant.request.facts, statement.text))
            return _view(session.id, decision, grant.request.facts, plan, why)


async def _planned(session: Session, grant: Grant, why: str) -> tuple[tuple[PlanStep, ...], str]:
    """The plan, or why there is none: the verdict stands without it."""
    steps: list[PlanStep] = []
    try:
        async with session.results(grant) as batches:
            async for event in each(batches):
                match event:
                    case Rows():
                        steps += _steps(event)
                    case Failed(sqlstate, message) if sqlstate == WITHHELD:
                        why = f"withheld, because {message}"
                    case Failed(sqlstate, message):
                        why = f"the target can't plan it: {message} (SQLSTATE {sqlstate})"
    except BackendUnavailable as error:
        why = str(error)
    except CatalogChanged:
        why = "the target has just been changed; ask again"
    return tuple(steps), "" if steps else why or _NONE


def _steps(rows: Rows) -> Iterator[PlanStep]:
    for cells in ROW_CODECS[rows.codec].decode(rows.frames):
        depth, node, relation, count = ((cell or b"").decode() for cell in cells)
        yield PlanStep(int(depth or 0), node, relation, int(count or 0))


def _view(
    session: str,
    decision: Decision,
    facts: SqlFacts | None,
    plan: tuple[PlanStep, ...],
    why: str,
) -> DryRunView:
    return DryRunView(
        approvals=tuple(map(_approval, decision.approvals)),
        obligations=tuple(_obligations(decision, facts)),
        facts=_FACTS.validate_python(facts_document(facts) or {}),
        plan=plan,
        no_plan=why,
        session=session,
    )


def _approval(required: RequireApproval) -> str:
    groups = " or ".join(sorted(required.groups))
    who = f"approval by {required.people} of {groups}" if groups else ""
    if required.self_confirmation:
        who = f"your own confirmation{f', or {who}' if who else ''}"
    sentence = f": {required.sentence}" if required.sentence else ""
    return f"{who} ({required.policy}{sentence})"


def _obligations(decision: Decision, facts: SqlFacts | None) -> Iterator[str]:
    """In the words of what comes of them; masks for labels that are not there are left out."""
    read = facts.labels_read if facts else frozenset[str]()
    for obligation in decision.obligations:
        match obligation:
            case MaskLabels(labels, policy):
                if touched := sorted(labels & read):
                    yield f"mask values labelled {', '.join(touched)} ({policy})"
            case LimitRows(count, policy):
                yield f"return at most {count} rows ({policy})"
            case LimitTime(seconds, policy):
                yield f"cancel it after {seconds:g} s ({policy})"
            case RequireApproval():
                pass  # said apart
