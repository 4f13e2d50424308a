"""One request to a real receiver, and what its answer means."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook as Oracle

from server.webhooks.sender import LONGEST_RETRY_AFTER, Delivered, Outcome, Refused, Sender
from tests.e2e.certificates import Certificates
from tests.server.webhooks.receiver import Answer, Receiver, receiving
from tests.server.webhooks.samples import SECRET, webhook

pytestmark = pytest.mark.anyio

PATIENCE = 5.0


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    async with Sender.opened(PATIENCE) as opened:
        yield opened


async def post(sender: Sender, url: str, **settings: object) -> Outcome:
    return await sender.post(
        webhook(url, **settings), {"type": "x"}, identifier="msg_1", now=datetime.now(UTC)
    )


async def test_a_request_is_signed_json(sender: Sender, receiver: Receiver) -> None:
    assert await post(sender, receiver.url) == Delivered()
    [sent] = receiver.sent
    assert Oracle(SECRET).verify(sent.body, sent.headers) == {"type": "x"}
    assert sent.headers["content-type"] == "application/json"
    assert (sent.path, sent.id) == ("/hooks", "msg_1")


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_each_status_of_success_is_one(
    sender: Sender, receiver: Receiver, status: int
) -> None:
    receiver.otherwise = Answer(status)
    assert await post(sender, receiver.url) == Delivered()


@pytest.mark.parametrize("status", [304, 400, 401, 403, 404, 429, 500, 502, 503])
async def test_every_other_is_to_be_tried_again(
    sender: Sender, receiver: Receiver, status: int
) -> None:
    receiver.otherwise = Answer(status)
    assert await post(sender, receiver.url) == Refused(f"HTTP status {status}")


async def test_a_receiver_that_is_gone_wants_no_more(sender: Sender, receiver: Receiver) -> None:
    receiver.otherwise = Answer(410)
    assert await post(sender, receiver.url) == Refused("HTTP status 410", gone=True)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(sender: Sender, receiver: Receiver, status: int) -> None:
    async with receiving() as elsewhere:
        receiver.otherwise = Answer(status, {"Location": elsewhere.url})
        outcome = await post(sender, receiver.url)
        assert isinstance(outcome, Refused)
        assert "redirects are not followed" in outcome.why
        assert elsewhere.url not in outcome.why
        assert elsewhere.sent == []


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("written", "seconds"),
    [("17", 17.0), ("0", 0.0), ("99999999999", LONGEST_RETRY_AFTER), ("soon", 0.0), ("-5", 0.0)],
)
async def test_a_busy_receiver_may_say_when_to_come_again(
    sender: Sender, receiver: Receiver, status: int, written: str, seconds: float
) -> None:
    receiver.otherwise = Answer(status, {"Retry-After": written})
    outcome = await post(sender, receiver.url)
    assert isinstance(outcome, Refused)
    assert outcome.wait == seconds


async def test_or_a_date(sender: Sender, receiver: Receiver) -> None:
    date = datetime.now(UTC) + timedelta(minutes=10)
    receiver.otherwise = Answer(503, {"Retry-After": format_datetime(date, usegmt=True)})
    outcome = await post(sender, receiver.url)
    assert isinstance(outcome, Refused)
    assert 0 < outcome.wait <= 600


async def test_other_statuses_have_no_say_in_it(sender: Sender, receiver: Receiver) -> None:
    receiver.otherwise = Answer(500, {"Retry-After": "86400"})
    assert await post(sender, receiver.url) == Refused("HTTP status 500")


async def test_a_silent_receiver_is_left(receiver: Receiver) -> None:
    receiver.otherwise = Answer(never=True)
    async with Sender.opened(0.2) as impatient:
        assert await post(impatient, receiver.url) == Refused("no answer within 0.2 s")


async def test_an_endless_answer_is_not_read(sender: Sender, receiver: Receiver) -> None:
    receiver.otherwise = Answer(200, endless=True)
    assert await post(sender, receiver.url) == Delivered()


async def test_where_nobody_listens_there_is_no_connection(sender: Sender) -> None:
    async with receiving() as gone:
        url = gone.url
    outcome = await post(sender, f"{url}/hunter2")
    assert outcome == Refused("no connection (ConnectError)")


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    sender: Sender, tmp_path: Path
) -> None:
    certificates = Certificates.make(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.certificate, certificates.key)
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        outcome = await post(sender, f"https://127.0.0.1:{port}/x")
    assert outcome == Refused("no connection (ConnectError)")
    assert receiver.sent == []


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/hunter2",
        "http://hooks.example.com/hunter2",
        "https://user:hunter2@hooks.example.com/",
        "file:///etc/passwd#hunter2",
        "hunter2",
        "https://hooks.example.com:99999/hunter2",
        "https://exa\nmple.com/hunter2",
    ],
)
async def test_a_url_from_a_reference_is_checked_and_not_repeated(
    sender: Sender, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("TEST_WEBHOOK_URL", url)
    outcome = await post(sender, "env:TEST_WEBHOOK_URL")
    assert isinstance(outcome, Refused)
    assert "hunter2" not in outcome.why


async def test_a_secret_that_is_not_there_is_named_by_its_reference(
    sender: Sender, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_WEBHOOK_SECRET")
    outcome = await post(sender, receiver.url)
    assert outcome == Refused("the secret env:TEST_WEBHOOK_SECRET is not set")
    assert receiver.sent == []


async def test_no_library_logs_the_url_either(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with Sender.opened(PATIENCE) as sender:
        assert await post(sender, f"{receiver.url}/hunter2") == Delivered()
    assert "hunter2" not in caplog.text
    assert "msg_1" not in caplog.text


async def test_slack_s_shape_needs_no_secret(
    sender: Sender, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_WEBHOOK_URL", receiver.url)
    assert await post(sender, "env:TEST_WEBHOOK_URL", format="slack") == Delivered()
    assert "webhook-signature" not in receiver.sent[0].headers
