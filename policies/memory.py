"""A decision point that remembers: the same question to the same policies has the same answer.

Remembered by everything that policies can read. What changes with every request (the time, the
session, the reason given) is part of the question only where a policy reads it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Protocol

from policies.model import (
    AccessRequest,
    Connect,
    DecideApproval,
    Decision,
    DecisionPoint,
    RevokeApproval,
    SqlPrepare,
    SqlStatement,
    WithdrawApproval,
)

DECISIONS: Final = 8192


class Volatile(DecisionPoint, Protocol):
    """A decision point that knows what of a request its policies read."""

    @property
    def reads(self) -> frozenset[str]:
        """Those of "now", "session" and "reason" that may change an answer."""
        ...


class RememberingDecisionPoint:
    """Asks another decision point, once for each question. Made anew with each policy set."""

    def __init__(self, asked: Volatile) -> None:
        self._asked = asked
        self._answers: OrderedDict[Hashable, Decision] = OrderedDict()

    @property
    def version(self) -> str:
        """That of the policies asked."""
        return self._asked.version

    def location(self, policy: str) -> str:
        """Where a policy stands, as `file:line`."""
        return self._asked.location(policy)

    def sentence(self, policy: str) -> str:
        """What a policy's author says about it."""
        return self._asked.sentence(policy)

    def decide(self, request: AccessRequest) -> Decision:
        """The answer to this question; an error's is a deny like any other, and is not kept."""
        key = self._key(request)
        if key is None:
            return self._asked.decide(request)
        known = self._answers.get(key)
        if known is None:
            known = self._asked.decide(request)
            self._keep(key, known)
        return known

    def _key(self, request: AccessRequest) -> Hashable | None:
        if self._asked.reads & {"now", "session"}:
            return None
        match request.action:
            case Connect() | SqlPrepare() | SqlStatement():
                asked: object = type(request.action)
            case (
                DecideApproval(ticket="") | WithdrawApproval(ticket="") | RevokeApproval(ticket="")
            ):  # whether one might; who does is asked each time
                asked = request.action
            case _:
                return None
        reason = request.reason if "reason" in self._asked.reads else ""
        return (
            request.principal,
            request.target,
            asked,
            request.channel,
            request.facts,
            reason,
        )

    def _keep(self, key: Hashable, decision: Decision) -> None:
        if decision.refusal is not None and decision.refusal.code == "POLICY_ERROR":
            return
        self._answers[key] = decision
        if len(self._answers) > DECISIONS:
            self._answers.popitem(last=False)
