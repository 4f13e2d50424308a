"""What admission says when it refuses."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from policies.errors import Refusal
from policies.model import Blockable
from recordings.text import escaped
from server.admission.blocks import Block


def blocked(block: Block) -> Refusal:
    """The same words at every door, with the reason of whoever blocked."""
    who = "This agent" if block.kind is Blockable.AGENT else "Your account"
    until = f" until {block.until:%Y-%m-%d %H:%M} UTC" if block.until else ""
    because = f": {escaped(block.reason)}" if block.reason else "."
    return Refusal(
        code="AGENT_BLOCKED" if block.kind is Blockable.AGENT else "PERSON_BLOCKED",
        reason=f"{who} is blocked at this gateway{until}{because}",
        subject=block.name,
        next_step="Stop, and tell the person you act for: they can ask the security team.",
    )


def cut_off(block: Block) -> Refusal:
    """For a call that was under way: the statement is cancelled, and may have had an effect."""
    refusal = blocked(block)
    seen = "The statement under way was cancelled; its recording says whether it had ended."
    return replace(refusal, next_step=f"{refusal.next_step} {seen}")


def too_fast(owner: str, what: str, per_minute: int, wait: float) -> Refusal:
    """`wait`: seconds until there is one again."""
    return Refusal(
        code="RATE_LIMITED",
        reason=f"More than {per_minute} {what} a minute for {owner}.",
        subject=owner,
        next_step=f"Try again in {ceil(wait)} s.",
    )


def too_many(owner: str, most: int) -> Refusal:
    return Refusal(
        code="TOO_MANY_CALLS",
        reason=f"{most} calls are running for {owner}, and no more run at once.",
        subject=owner,
        next_step="Wait for one of them to end; try again in 1 s.",
    )
