"""Who may manage webhooks by the starter policies."""

from __future__ import annotations

import pytest

from policies.cedar import load
from policies.model import Channel, Effect, ManageWebhooks
from tests.policies.requests import Asker, person


@pytest.mark.parametrize(
    ("group", "effect"),
    [
        ("dba", Effect.PERMIT),
        ("security", Effect.PERMIT),
        ("developers", Effect.DENY),
        ("analysts", Effect.DENY),
        ("auditors", Effect.DENY),
    ],
)
@pytest.mark.parametrize("operation", ["list", "failed", "retry", "test"])
def test_dba_and_security_manage_webhooks(group: str, effect: Effect, operation: str) -> None:
    asker = Asker(load("starter"), person(group), target=None, channel=Channel.API)
    assert asker.ask(ManageWebhooks(operation, "oncall")).effect is effect
