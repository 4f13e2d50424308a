"""How Cedar is asked: with less than everything, and with the same answers as with everything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cedarpy
import pytest

from policies import packs
from policies.cedar import CedarDecisionPoint
from policies.loading import PolicySets, load_policy_sets, policy_set
from policies.model import (
    AccessRequest,
    Action,
    Blockable,
    BlockAgent,
    Channel,
    Connect,
    DecideApproval,
    ExplainPolicy,
    ListAgents,
    ManageWebhooks,
    ReadRecording,
    Requested,
    RevokeApproval,
    ScanTarget,
    SqlPlan,
    SqlPrepare,
    SqlPreview,
    SqlStatement,
    UnblockAgent,
    WithdrawApproval,
)
from policies.questions import entities, questions, request_context
from policies.relevance import Actions
from policies.sql.facts import SqlFacts
from policies.sql.postgres import analyse
from tests.policies.catalogs import catalog, statements
from tests.policies.requests import LABORATORY, NOON, SHOP, person

PEOPLE = (person("dba"), person("analysts"), person("developers", "dba"), person())
REQUESTED = Requested(
    person("analysts", name="bob"), frozenset({"update"}), destroys=True, own=False
)
ACTIONS: tuple[Action, ...] = (
    Connect(),
    DecideApproval("t", True, REQUESTED),
    WithdrawApproval("t", REQUESTED),
    RevokeApproval("t", REQUESTED),
    ReadRecording(None),
    ReadRecording("s"),
    BlockAgent(Blockable.AGENT, "claude"),
    UnblockAgent(Blockable.PERSON, "alice"),
    ListAgents(),
    ManageWebhooks("list"),
    ExplainPolicy("shop", "alice"),
    ScanTarget((), (), 10),
)
MORE = """
@id("limited") @row_limit("10")
forbid (principal, action in [Action::"read", Action::"sql.update"], resource)
when { context.request.channel != "web" };
@id("reasons") forbid (principal, action == Action::"sql.delete", resource)
unless { context.request has reason && context.request.now > datetime("2020-01-01") };
@id("groups") permit (principal in Group::"analysts", action, resource)
when { action in Action::"change" };
"""


def requested(action: Action, facts: SqlFacts | None = None) -> Iterator[AccessRequest]:
    for principal in PEOPLE:
        for target in (SHOP, LABORATORY):
            yield AccessRequest(principal, target, action, Channel.MCP, NOON, "s", facts, "why")


def of_statements() -> Iterator[AccessRequest]:
    for row in statements()[::15]:
        facts = analyse(row["sql"], catalog())
        for action in (SqlStatement(""), SqlPrepare(""), SqlPlan(""), SqlPreview("t", "")):
            yield from requested(action, facts)


def whole(request: AccessRequest) -> tuple[list[dict[str, Any]], str]:
    """Questions with all of their context, and the entities."""
    asked, context = questions(request), request_context(request)
    documents = [{**q.document(request.principal), "context": q.whole(context)} for q in asked]
    return documents, json.dumps(entities(request, asked))


def sets_of(directory: Path) -> PolicySets:
    return load_policy_sets(directory, targets=None, labels=(), groups=None)


class Everything:
    """All policies asked with all there is, checked by the schema: gates apart."""

    def __init__(self, sets: PolicySets) -> None:
        enforced = [p for p in sets.policies.values() if p.enforced]
        self.schema = sets.schema
        self.core = policy_set({p.id: p.document for p in enforced if not p.note.obligations})
        self.gates = policy_set({p.id: p.document for p in enforced if p.note.obligations})

    def answers(self, request: AccessRequest) -> list[tuple[bool, set[str]]]:
        documents, known = whole(request)
        parsed = cedarpy.Entities.from_json_str(known, self.schema)
        found = []
        for document in documents:
            one = cedarpy.is_authorized(document, self.core, parsed, self.schema)
            other = cedarpy.is_authorized(document, self.gates, parsed, self.schema)
            assert not one.diagnostics.errors + other.diagnostics.errors
            fired = set(other.diagnostics.reasons) if one.allowed else set()
            found.append((one.allowed, set(one.diagnostics.reasons) | fired))
        return found


def as_asked(point: CedarDecisionPoint, request: AccessRequest) -> list[tuple[bool, set[str]]]:
    return [(q.allowed, set(q.policies)) for q in point.decide(request).questions]


@pytest.mark.parametrize("pack", [pack.name for pack in packs.PACKS])
def test_the_answers_are_those_of_all_policies_to_all_facts(pack: str) -> None:
    sets = sets_of(packs.directory_of(pack))
    point, everything = CedarDecisionPoint(sets), Everything(sets)
    for request in of_statements():
        answers = as_asked(point, request)
        if answers:  # a preview of what changes nothing is not asked about
            assert answers == everything.answers(request)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: type(action).__name__)
def test_the_answers_to_acts_on_the_gateway_are_those_of_all_policies(action: Action) -> None:
    sets = sets_of(packs.directory_of("starter"))
    point, everything = CedarDecisionPoint(sets), Everything(sets)
    for request in requested(action):
        assert as_asked(point, request) == everything.answers(request)


def test_policies_on_groups_of_actions_and_on_what_is_new_each_time_are_asked(
    tmp_path: Path,
) -> None:
    (tmp_path / "more.cedar").write_text(MORE)
    sets = sets_of(tmp_path)
    point, everything = CedarDecisionPoint(sets), Everything(sets)
    for text in ("SELECT id FROM users", "DELETE FROM users WHERE id = 1", "UPDATE users SET id=1"):
        facts = analyse(text, catalog())
        for request in requested(SqlStatement(text), facts):
            assert as_asked(point, request) == everything.answers(request)
            without = replace(request, reason="")
            assert as_asked(point, without) == everything.answers(without)


def test_a_gate_alone_permits_nothing(tmp_path: Path) -> None:
    (tmp_path / "gate.cedar").write_text(
        '@id("gate") @row_limit("1") forbid (principal, action, resource);'
    )
    point = CedarDecisionPoint(sets_of(tmp_path))
    facts = analyse("SELECT id FROM users", catalog())
    for request in requested(SqlStatement(""), facts):
        decision = point.decide(request)
        assert decision.refusal is not None
        assert decision.refusal.code == "NOT_PERMITTED"
        assert decision.obligations == ()


def test_a_scope_that_is_not_understood_has_a_say_on_everything() -> None:
    actions = Actions(cedarpy.Schema.from_str("action read; action look in [read];"))
    strange = {"action": {"op": "is", "entity": {"type": "Action", "id": "read"}}}
    elsewhere = {"action": {"op": "in", "entities": [{"type": "Other::Action", "id": "x"}]}}
    assert actions.has_say(strange, "look")
    assert actions.has_say(elsewhere, "look")
    unknown = {"action": {"op": "in", "entity": {"type": "Action", "id": "read"}}}
    assert actions.has_say(unknown, "an action that the schema does not have")


def test_a_scope_speaks_of_an_action_and_of_what_is_in_its_groups() -> None:
    text = "action top; action read in [top]; action look in [read]; action other;"
    actions = Actions(cedarpy.Schema.from_str(text))
    top = {"action": {"op": "in", "entity": {"type": "Action", "id": "top"}}}
    equal = {"action": {"op": "==", "entity": {"type": "Action", "id": "read"}}}
    assert [actions.has_say(top, a) for a in ("top", "read", "look", "other")] == [
        *(True, True, True, False)
    ]
    assert [actions.has_say(equal, a) for a in ("top", "read", "look")] == [False, True, False]
