"""What one principal, and one agent, has left of its limits. Pure: the time is handed in.

Not in here: who is blocked (`blocks`), and what runs (`flights`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from policies.errors import Refusal
from policies.model import Principal
from server.admission.refusals import too_fast, too_many
from server.admission.settings import Limits, PrincipalLimits

MOST_ACCOUNTS: Final = 10_000
"""Idle ones are forgotten beyond this; whoever runs something or used up something is not."""


@dataclass(slots=True)
class Bucket:
    """So many at once, then so many a minute. Times in seconds."""

    per_minute: int
    left: float
    at: float
    most: float

    def wait(self, now: float) -> float:
        """Seconds until there is one; 0 if there is one now."""
        self.left = min(self.most, self.left + (now - self.at) * self.per_minute / 60)
        self.at = now
        return 0.0 if self.left >= 1 else (1 - self.left) * 60 / self.per_minute

    def take(self) -> None:
        self.left -= 1

    @property
    def full(self) -> bool:
        return self.left >= self.most


@dataclass(slots=True)
class Account:
    """One principal's, or one agent's. `running` counts its sessions."""

    owner: str
    limits: PrincipalLimits
    calls: Bucket
    requests: Bucket
    statements: Bucket
    running: int = 0

    @classmethod
    def full(cls, owner: str, limits: PrincipalLimits, now: float) -> Account:
        calls, statements = limits.calls_per_minute, limits.statements_per_minute
        return cls(
            owner,
            limits,
            Bucket(calls, calls, now, calls),
            Bucket(calls, calls, now, calls),
            Bucket(statements, statements, now, statements),
        )

    def idle(self, now: float) -> bool:
        """Whether forgetting it changes nothing."""
        buckets = (self.calls, self.requests, self.statements)
        return not self.running and all(b.wait(now) == 0 and b.full for b in buckets)


Pair = tuple[Account, Account]


@dataclass(slots=True)
class Accounts:
    """All accounts of one gateway process. Each method answers with a refusal, or counts."""

    limits: Limits
    _principals: dict[str, Account] = field(default_factory=dict)
    _agents: dict[str, Account] = field(default_factory=dict)

    def of(self, principal: Principal, now: float) -> Pair:
        """The two that count what this principal does through this agent."""
        whose, which = principal.id, principal.agent
        person = self._principals.get(whose)
        if person is None:
            forget_idle(self._principals, now)
            person = Account.full("you", self.limits.per_principal, now)
            self._principals[whose] = person
        agent = self._agents.get(which)
        if agent is None:
            forget_idle(self._agents, now)
            agent = Account.full(f"the agent {which[:64]}", self.limits.per_agent, now)
            self._agents[which] = agent
        return person, agent

    def call(self, pair: Pair, now: float) -> Refusal | None:
        """One more session."""
        for account in pair:
            if account.running >= account.limits.concurrent:
                return too_many(account.owner, account.limits.concurrent)
        for account in pair:
            if wait := account.calls.wait(now):
                return too_fast(account.owner, "calls", account.limits.calls_per_minute, wait)
        for account in pair:
            account.calls.take()
        return None

    def request(self, pair: Pair, now: float) -> Refusal | None:
        """One more message of a door that is no session: a list, a wait, a look at the API."""
        for account in pair:
            if wait := account.requests.wait(now):
                return too_fast(account.owner, "requests", account.limits.calls_per_minute, wait)
        for account in pair:
            account.requests.take()
        return None

    def statement(self, pair: Pair, now: float) -> Refusal | None:
        """One more action in a session."""
        for account in pair:
            if wait := account.statements.wait(now):
                most = account.limits.statements_per_minute
                return too_fast(account.owner, "statements", most, wait)
        for account in pair:
            account.statements.take()
        return None


def forget_idle(accounts: dict[str, Account], now: float) -> None:
    """Make room, where that changes nothing for anybody."""
    if len(accounts) < MOST_ACCOUNTS:
        return
    for name in [name for name, account in accounts.items() if account.idle(now)]:
        del accounts[name]
