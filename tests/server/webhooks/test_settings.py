"""`notifications:` in the configuration: what it means, and what is said of one that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from server import config
from server.config import Configuration
from server.references import Secret
from tests.server.test_config import SMALLEST, refusal, write

ONCALL = "{name: oncall, url: https://hooks.example.com/x, secret: env:S}"


def load(directory: Path, *webhooks: str, extra: str = "") -> Configuration:
    return config.load(write(directory, settings(*webhooks, extra=extra)))


def settings(*webhooks: str, extra: str = "") -> str:
    return f"{SMALLEST}notifications:\n  webhooks: [{', '.join(webhooks)}]\n{extra}"


def test_without_it_nobody_is_told(tmp_path: Path) -> None:
    assert config.load(write(tmp_path, SMALLEST)).notifications.webhooks == ()


def test_a_webhook_is_signed_and_tells_no_statement_unless_it_says_so(tmp_path: Path) -> None:
    [webhook] = load(tmp_path, ONCALL).notifications.webhooks
    assert (webhook.format, webhook.statement, webhook.groups) == ("standard", "none", ())
    assert webhook.url == "https://hooks.example.com/x"
    assert "used" not in webhook.events


def test_a_url_may_be_a_secret_by_reference(tmp_path: Path) -> None:
    [webhook] = load(
        tmp_path, "{name: s, url: env:SLACK_URL, format: slack}"
    ).notifications.webhooks
    assert webhook.url == Secret("env", "SLACK_URL", tmp_path)


def test_times_and_tries_can_be_chosen(tmp_path: Path) -> None:
    extra = "  retries: {timeout: 5s, tries: 2, first_wait: 1s, longest_wait: 2m}\n"
    retries = load(tmp_path, ONCALL, extra=extra).notifications.retries
    chosen = (retries.timeout, retries.tries, retries.first_wait, retries.longest_wait)
    assert chosen == (5, 2, 1, 120)


@pytest.mark.parametrize(
    ("webhook", "expected"),
    [
        ("{name: x, url: https://a.example/x}", "the webhook x is not signed"),
        ("{name: x, url: http://10.0.0.1/x, secret: env:S}", "write an https URL"),
        ("{name: x, url: https://u:hunter2@a.example/x, secret: env:S}", "write an https URL"),
        ("{name: x, url: 'https://a.example/?k=hunter2', secret: env:S}", "write an https URL"),
        ("{name: x, url: ftp://a.example/x, secret: env:S}", "write an https URL"),
        ("{name: x, url: 7, secret: env:S}", "write an https URL"),
        ("{name: x, url: 'env:', secret: env:S}", "write env:NAME"),
        ("{name: x, url: https://a.example/x, secret: hunter2}", "write env:NAME"),
        ("{name: x, url: https://a.example/hunter2, format: slack}", "write `url: env:NAME`"),
        (ONCALL.replace("name", "events: [asked, seen], name"), "write one of"),
        (ONCALL.replace("name", "events: [], name"), "events"),
        (f"{ONCALL}, {ONCALL}", "the webhook name oncall stands there twice"),
    ],
)
def test_a_wrong_one_is_refused_with_advice_and_not_repeated(
    tmp_path: Path, webhook: str, expected: str
) -> None:
    message = refusal(tmp_path, settings(webhook))
    assert expected in message
    assert "hunter2" not in message


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "http://localhost/x", "http://[::1]/x"])
def test_plain_http_is_for_loopback(tmp_path: Path, url: str) -> None:
    [webhook] = load(tmp_path, f"{{name: x, url: '{url}', secret: env:S}}").notifications.webhooks
    assert webhook.url == url
