"""A dry run in words for models, and as a document for programs."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue

from tools.escaping import visible
from tools.gateway import DryRunView, PlanStep


def dry_run_text(view: DryRunView) -> str:
    """What would happen, line by line."""
    return "\n".join(_lines(view))


def dry_run_document(view: DryRunView) -> dict[str, JsonValue]:
    """The same for programs; `verdict` is permit or approval."""
    return {
        "verdict": _verdict(view),
        "approvals": list(view.approvals),
        "obligations": list(view.obligations),
        "facts": dict(view.facts),
        "plan": [_step(step) for step in view.plan],
        "no_plan": view.no_plan or None,
    }


def _verdict(view: DryRunView) -> str:
    return "approval" if view.approvals else "permit"


def _step(step: PlanStep) -> dict[str, JsonValue]:
    return {
        "depth": step.depth,
        "node": step.node,
        "relation": step.relation or None,
        "estimated_rows": step.rows,
    }


def _lines(view: DryRunView) -> Iterator[str]:
    yield f"Dry run: nothing was executed, nobody was asked; session {view.session}"
    yield "Verdict: it needs approval first" if view.approvals else "Verdict: permitted"
    yield from (f"Needs: {visible(each)}" for each in view.approvals)
    yield from (f"The gateway will: {visible(each)}" for each in view.obligations)
    yield f"Effect: {view.facts.get('effect')}"
    if view.facts.get("has_where") is False:
        yield "It has no WHERE that narrows the rows."
    yield "Plan, with the rows that the target expects:" if view.plan else f"Plan: {view.no_plan}"
    yield from map(_shown, view.plan)


def _shown(step: PlanStep) -> str:
    on = f" on {visible(step.relation)}" if step.relation else ""
    return f"{'  ' * step.depth}- {step.node}{on}: {step.rows} rows"
