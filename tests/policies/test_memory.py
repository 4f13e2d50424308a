"""What is remembered of decisions, and what is asked every time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from policies.cedar import load
from policies.memory import RememberingDecisionPoint
from policies.model import (
    AccessRequest,
    Action,
    Channel,
    Connect,
    DecideApproval,
    Decision,
    Effect,
    Principal,
    Requested,
    RevokeApproval,
    Target,
    WithdrawApproval,
)

RITA = Principal("corp:rita", "rita", "agent", frozenset({"developers"}))
REQUEST = AccessRequest(
    principal=RITA,
    target=Target("shop", "postgres", "production"),
    action=Connect(),
    channel=Channel.MCP,
    now=datetime(2026, 11, 1, tzinfo=UTC),
    session="s1",
)


class Counting:
    """The real decision point, counting the questions that reach it."""

    def __init__(self, directory: Path, policies: str) -> None:
        directory.joinpath("all.cedar").write_text(policies)
        self.point = load(directory)
        self.asked = 0

    @property
    def version(self) -> str:
        return self.point.version

    @property
    def reads(self) -> frozenset[str]:
        return self.point.reads

    def location(self, policy: str) -> str:
        return self.point.location(policy)

    def sentence(self, policy: str) -> str:
        return self.point.sentence(policy)

    def decide(self, request: AccessRequest) -> Decision:
        self.asked += 1
        return self.point.decide(request)


PLAIN = '@id("p") permit (principal in Group::"developers", action == Action::"connect", resource);'
LATER = datetime(2027, 1, 1, tzinfo=UTC)


def test_the_same_question_is_asked_once_whatever_the_time_session_and_reason(
    tmp_path: Path,
) -> None:
    counting = Counting(tmp_path, PLAIN)
    remembering = RememberingDecisionPoint(counting)
    first = remembering.decide(REQUEST)
    again = remembering.decide(replace(REQUEST, now=LATER, session="s2", reason="please"))
    assert (counting.asked, first.effect, again) == (1, Effect.PERMIT, first)


@pytest.mark.parametrize(
    "changed",
    [
        replace(REQUEST, principal=replace(RITA, groups=frozenset())),
        replace(REQUEST, principal=replace(RITA, agent="another")),
        replace(REQUEST, target=Target("shop", "postgres", "staging")),
        replace(REQUEST, channel=Channel.POSTGRES),
    ],
)
def test_whatever_else_policies_can_read_makes_another_question(
    tmp_path: Path, changed: AccessRequest
) -> None:
    counting = Counting(tmp_path, PLAIN)
    remembering = RememberingDecisionPoint(counting)
    remembering.decide(REQUEST)
    assert remembering.decide(changed) == counting.point.decide(changed)
    assert counting.asked == 2


@pytest.mark.parametrize(
    ("condition", "changed"),
    [
        (
            'when { context.request.now < datetime("2026-12-01") }',
            replace(REQUEST, now=LATER),
        ),
        (
            'when { context.request has reason && context.request.reason == "x" }',
            replace(REQUEST, reason="x"),
        ),
        ('when { context.request["session"] == "s1" }', replace(REQUEST, session="s2")),
    ],
)
def test_a_policy_that_reads_what_is_new_each_time_is_asked_each_time(
    tmp_path: Path, condition: str, changed: AccessRequest
) -> None:
    counting = Counting(tmp_path, PLAIN.removesuffix(";") + f" {condition};")
    remembering = RememberingDecisionPoint(counting)
    assert remembering.decide(REQUEST).effect is not remembering.decide(changed).effect
    assert counting.asked == 2


REQUESTED = Requested(RITA, frozenset({"update"}), destroys=False, own=False)
ACTS = [
    DecideApproval("ap_1", approve=True, requested=REQUESTED),
    WithdrawApproval("ap_1", REQUESTED),
    RevokeApproval("ap_1", REQUESTED),
]


@pytest.mark.parametrize("act", ACTS)
def test_deciding_on_approvals_never_comes_from_memory(tmp_path: Path, act: Action) -> None:
    counting = Counting(tmp_path, PLAIN)
    remembering = RememberingDecisionPoint(counting)
    remembering.decide(replace(REQUEST, action=act))
    remembering.decide(replace(REQUEST, action=act))
    assert counting.asked == 2


@pytest.mark.parametrize("act", ACTS)
def test_whether_one_might_decide_is_remembered_by_all_that_policies_read_of_a_ticket(
    tmp_path: Path, act: Any
) -> None:
    counting = Counting(tmp_path, PLAIN)
    remembering = RememberingDecisionPoint(counting)
    might = replace(act, ticket="")
    others = [
        replace(might, requested=changed)
        for changed in (
            replace(REQUESTED, destroys=True),
            replace(REQUESTED, own=True),
            replace(REQUESTED, approved=True),
            replace(REQUESTED, verbs=frozenset()),
            replace(REQUESTED, requester=replace(RITA, groups=frozenset())),
            replace(REQUESTED, requester=replace(RITA, agent="another")),
        )
    ]
    for action in (might, *others, might, *others):
        remembering.decide(replace(REQUEST, action=action))
    assert counting.asked == 1 + len(others)
