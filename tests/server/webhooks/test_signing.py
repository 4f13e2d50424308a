"""Signatures, checked by the reference library of the specification."""

from __future__ import annotations

import base64
import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from policies.errors import ConfigError
from server.webhooks.signing import signed_headers, signing_keys
from tests.server.webhooks.samples import SECRET

OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()
BODY = '{"type": "approval.asked", "name": "Zoë"}'.encode()


def headers(secret: str, body: bytes = BODY) -> dict[str, str]:
    now = int(time.time())  # the library accepts only what was signed within five minutes
    return signed_headers(signing_keys(secret), identifier="msg_1", seconds=now, body=body)


def test_the_reference_library_accepts_a_signature() -> None:
    assert Webhook(SECRET).verify(BODY, headers(SECRET)) == {
        "type": "approval.asked",
        "name": "Zoë",
    }


def test_while_a_secret_is_replaced_both_verify() -> None:
    both = headers(f"{OTHER} {SECRET}")
    assert Webhook(SECRET).verify(BODY, both) == Webhook(OTHER).verify(BODY, both)


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        (BODY + b" ", {}),
        (BODY, {"webhook-id": "msg_2"}),
        (BODY, {"webhook-timestamp": str(int(time.time()) - 7)}),
    ],
)
def test_what_was_changed_on_the_way_does_not_verify(body: bytes, changed: dict[str, str]) -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body, {**headers(SECRET), **changed})


def test_another_secret_does_not_verify() -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(BODY, headers(SECRET))


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "hunter2hunter2",
        "whsec_",
        "whsec_hunter2!",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        SECRET.removeprefix("whsec_"),
        f"{SECRET} hunter2hunter2",
    ],
)
def test_what_is_no_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ConfigError) as raised:
        signing_keys(secret)
    assert "hunter2" not in str(raised.value)
