"""A refusal of a statement, with its place in the text and with what would pass instead.

Policy decides as before; this only asks it further, for the words. Nothing is recorded of that:
the refusal itself is, with what was said.
"""

from __future__ import annotations

from dataclasses import replace

from policies.alternatives import ColumnOf, Decide, passing
from policies.errors import Refusal
from policies.model import AccessRequest, Decision, Effect, SqlPlan, SqlPrepare, SqlStatement
from policies.places import place_of
from policies.sql.catalog import Catalog
from policies.sql.prescan import QUICK_BYTES
from policies.sql.tokens import Kind, tokens

_BY_POLICY = frozenset({"FORBIDDEN", "NOT_PERMITTED", "WRITE_BACK"})


def advised(
    request: AccessRequest, decision: Decision, decide: Decide, catalog: Catalog
) -> Decision:
    """The decision; where it refuses, with what a requester needs to do better."""
    refusal = decision.refusal
    if decision.effect is Effect.PERMIT or refusal is None:
        return decision
    if refusal.code in _BY_POLICY:
        refusal = _with_alternatives(request, refusal, decide, catalog)
    return replace(decision, refusal=placed(refusal, _text(request)))


def placed(refusal: Refusal, text: str) -> Refusal:
    """The refusal with its span in lines and columns."""
    if refusal.span is None or not text:
        return refusal
    return replace(refusal, place=place_of(text, refusal.span))


def _with_alternatives(
    request: AccessRequest, refusal: Refusal, decide: Decide, catalog: Catalog
) -> Refusal:
    found = passing(request, decide, catalog)
    refusal = replace(refusal, would_pass=found.words)
    if found.column is None or refusal.span is not None:
        return refusal
    table, column = found.column
    named = refusal.code == "WRITE_BACK"
    return replace(
        refusal,
        subject=refusal.subject if named else f"{refusal.subject}, column {column} of {table}",
        span=_first_named(_text(request), found.column),
    )


def _first_named(text: str, column: ColumnOf) -> tuple[int, int] | None:
    """Where the statement first names the column; None where it says `*`, or is long."""
    if len(text) > QUICK_BYTES:  # everybody waits for this
        return None
    for token in tokens(text):
        if token.kind in (Kind.WORD, Kind.QUOTED) and token.value == column[1].lower():
            start = len(text[: token.start].encode("utf-8", "replace"))
            return start, start + len(text[token.start : token.end].encode("utf-8", "replace"))
    return None


def _text(request: AccessRequest) -> str:
    match request.action:
        case SqlStatement(text) | SqlPrepare(text) | SqlPlan(text):
            return text
        case _:
            return ""
