"""Who may press the kill switch, by the policies that come with the gateway."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import pytest

from policies.cedar import load
from policies.model import (
    AccessRequest,
    Blockable,
    BlockAgent,
    Channel,
    Effect,
    ListAgents,
    Principal,
    UnblockAgent,
)

STARTER: Final = load("starter")
ACTS: Final = (
    BlockAgent(Blockable.AGENT, "claude-code"),
    BlockAgent(Blockable.PERSON, "corp:rita"),
    UnblockAgent(Blockable.AGENT, "claude-code"),
    ListAgents(),
)


def permitted(
    act: BlockAgent | UnblockAgent | ListAgents, *groups: str, channel: Channel = Channel.API
) -> bool:
    sean = Principal("corp:sean", "Sean", "ostiary-cli", frozenset(groups))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    request = AccessRequest(sean, None, act, channel, now, "se_1")
    return STARTER.decide(request).effect is Effect.PERMIT


@pytest.mark.parametrize("act", ACTS, ids=repr)
@pytest.mark.parametrize("group", ["security", "dba"])
def test_security_and_dba_may(act: BlockAgent | UnblockAgent | ListAgents, group: str) -> None:
    assert permitted(act, group)


@pytest.mark.parametrize("act", ACTS, ids=repr)
def test_nobody_else_may(act: BlockAgent | UnblockAgent | ListAgents) -> None:
    assert not permitted(act)
    assert not permitted(act, "developers", "analysts", "auditors")


@pytest.mark.parametrize("channel", [c for c in Channel if c is not Channel.API])
def test_only_the_command_line_blocks(channel: Channel) -> None:
    assert not permitted(ACTS[0], "security", channel=channel)


def test_a_policy_may_name_what_must_not_be_blocked() -> None:
    blocked = STARTER.decide(
        AccessRequest(
            Principal("corp:sean", "Sean", "ostiary-cli", frozenset({"security"})),
            None,
            BlockAgent(Blockable.PERSON, "corp:rita"),
            Channel.API,
            datetime(2026, 1, 1, tzinfo=UTC),
            "se_1",
        )
    )
    assert [q.resource for q in blocked.questions] == ['User::"corp:rita"']
