"""How much one principal, and one agent, may ask at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from policies.errors import Refusal
from policies.model import Principal
from server.admission import accounts
from server.admission.accounts import Accounts
from server.admission.settings import AgentLimits, Limits, PrincipalLimits

RITA = Principal("corp:rita", "Rita", "claude-code")
ROY = Principal("corp:roy", "Roy", "claude-code")
RITAS_SCRIPT = replace(RITA, agent="script")

LIMITS = Limits(
    per_principal=PrincipalLimits(calls_per_minute=6, statements_per_minute=12, concurrent=2),
    per_agent=AgentLimits(calls_per_minute=9, statements_per_minute=15, concurrent=3),
)


class Desk:
    """Asks as admission does, at a time that a test says."""

    def __init__(self) -> None:
        self.accounts = Accounts(LIMITS)
        self.now = 1000.0

    def call(self, principal: Principal) -> Refusal | None:
        return self.accounts.call(self.accounts.of(principal, self.now), self.now)

    def statement(self, principal: Principal) -> Refusal | None:
        return self.accounts.statement(self.accounts.of(principal, self.now), self.now)

    def request(self, principal: Principal) -> Refusal | None:
        return self.accounts.request(self.accounts.of(principal, self.now), self.now)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_minutes_worth_comes_at_once_and_then_the_rate_holds(desk: Desk) -> None:
    assert [desk.call(RITA) for _ in range(6)] == [None] * 6
    refusal = desk.call(RITA)
    assert refusal is not None
    assert refusal.code == "RATE_LIMITED"
    desk.now += 9.9  # six a minute is one in ten seconds
    assert desk.call(RITA) is not None
    desk.now += 0.1
    assert desk.call(RITA) is None
    assert desk.call(RITA) is not None


def test_a_refusal_says_after_how_many_seconds_to_try_again(desk: Desk) -> None:
    for _ in range(6):
        desk.call(RITA)
    desk.now += 2.5
    refusal = desk.call(RITA)
    assert refusal is not None
    assert refusal.next_step == "Try again in 8 s."


def test_another_agent_of_the_same_person_has_no_quota_of_its_own(desk: Desk) -> None:
    for _ in range(6):
        desk.call(RITA)
    assert desk.call(RITAS_SCRIPT) is not None


def test_one_agent_has_one_quota_over_everybody(desk: Desk) -> None:
    answers = [desk.call(p) for p in (RITA, ROY, RITA, ROY, RITA, ROY, RITA, ROY, RITA)]
    assert answers == [None] * 9
    refusal = desk.call(ROY)
    assert refusal is not None
    assert refusal.subject == "the agent claude-code"


def test_what_the_agent_lacks_is_not_taken_from_the_person(desk: Desk) -> None:
    for principal in (RITA, RITA, RITA, ROY, ROY, ROY, replace(ROY, id="corp:ray")) * 2:
        desk.call(principal)
    nina = replace(RITA, id="corp:nina")
    assert [desk.call(nina) for _ in range(3)] != [None] * 3
    assert [desk.call(replace(nina, agent="other")) for _ in range(6)] == [None] * 6


def test_an_idle_hour_saves_up_no_more_than_a_minutes_worth(desk: Desk) -> None:
    desk.call(RITA)
    desk.now += 3600
    assert [desk.call(RITA) for _ in range(6)] == [None] * 6
    assert desk.call(RITA) is not None


@pytest.mark.parametrize(("kind", "most"), [("statement", 12), ("request", 6)])
def test_statements_and_other_requests_are_counted_apart(desk: Desk, kind: str, most: int) -> None:
    ask = getattr(desk, kind)
    assert [ask(RITA) for _ in range(most)] == [None] * most
    assert ask(RITA).code == "RATE_LIMITED"
    assert desk.call(RITA) is None


def test_so_many_run_at_once_and_no_more(desk: Desk) -> None:
    for account in desk.accounts.of(RITA, desk.now):
        account.running = 2
    refusal = desk.call(RITA)
    assert refusal is not None
    assert refusal.code == "TOO_MANY_CALLS"
    assert "try again in 1 s" in refusal.next_step
    assert desk.call(ROY) is None


@pytest.mark.sources
def test_idle_accounts_are_forgotten_and_used_ones_are_not(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "MOST_ACCOUNTS", 3)
    for _ in range(6):
        desk.call(RITA)
    for number in range(10):
        desk.accounts.of(replace(ROY, id=f"corp:{number}"), desk.now)
    assert len(desk.accounts._principals) <= 3
    assert desk.call(RITA) is not None


def test_the_defaults_of_an_agent_stay_where_only_one_is_set() -> None:
    limits = Limits.model_validate({"per_agent": {"concurrent": 5}})
    assert limits.per_agent.concurrent == 5
    assert limits.per_agent.calls_per_minute == AgentLimits().calls_per_minute
    assert limits.per_agent.calls_per_minute > limits.per_principal.calls_per_minute


@pytest.mark.parametrize(
    "wrong",
    [
        {"per_principal": {"calls_per_minute": 0}},
        {"per_principal": {"concurrent": -1}},
        {"per_principal": {"calls_per_minute": "600"}},
        {"per_principal": {"calls_per_second": 600}},
        {"per_person": {}},
    ],
)
def test_a_limit_that_is_none_does_not_load(wrong: object) -> None:
    with pytest.raises(ValidationError):
        Limits.model_validate(wrong)
