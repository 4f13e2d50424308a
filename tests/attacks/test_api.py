"""The HTTP API against people who may not, paths that are none and bodies that are odd."""

from __future__ import annotations

from typing import Any

import pytest

from tests.attacks.attacker import Attacker

pytestmark = pytest.mark.anyio

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/sessions"),
        ("GET", "/api/sessions/x"),
        ("GET", "/api/sessions/x/records"),
        ("POST", "/api/verify"),
    ],
)
@pytest.mark.parametrize("account", ["rita", "vera", "norah"])
async def test_recordings_are_for_auditors_and_each_try_is_recorded(
    attacker: Attacker, account: str, method: str, path: str
) -> None:
    before = (await attacker.refusals())["NOT_PERMITTED"]
    content = b"{}" if method == "POST" else None
    answer = await attacker.api(method, path, account, headers=JSON, content=content)
    assert answer.status_code == 403
    assert (await attacker.refusals())["NOT_PERMITTED"] == before + 1


async def test_a_session_of_ones_own_is_no_exception(attacker: Attacker) -> None:
    session = (await attacker.sql("SELECT 1"))["session"]
    for path in (f"/api/sessions/{session}", f"/api/sessions/{session}/records"):
        assert (await attacker.api("GET", path, "rita")).status_code == 403
        assert (await attacker.api("GET", path, "victor")).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api/sessions/",
        "/api//sessions",
        "/API/sessions",
        "/api/approvals/..%2fsessions",
        "/api/approvals/%00",
        "/api/approvals/%2e%2e",
        "/api/sessions/a'--",
        "/api/sessions/" + "x" * 5_000,
        "/mcp/",
        "/.well-known/../api/sessions/",
    ],
)
async def test_a_crooked_path_leads_nowhere(attacker: Attacker, path: str) -> None:
    assert (await attacker.api("GET", path, "victor")).status_code == 404
    foreign = await attacker.api("GET", path, "victor", headers={"Host": "evil.example"})
    assert foreign.status_code == 421
    assert "evil.example" not in str(foreign.headers)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xef\xbb\xbf{}",
        b'{"target":"shop","target":"shop","sql":"x"}',
        b"[" * 100_000,
        b"NaN",
        b"1" * 5_000,
        b"\xff",
        b"{}{}",
        b" " * 300_000,
        b'{"target":"shop","sql":"x","groups":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"target":"shop","sql":"\\ud800"}',
        b'{"target":"shop","sql":"x","principal":"a\\u0000b"}',
        b'{"target":"shop","sql":"x","admin":true}',
    ],
)
async def test_an_odd_body_is_a_bad_request(attacker: Attacker, content: bytes) -> None:
    answer = await attacker.api(
        "POST", "/api/policy/explain", "victor", headers=JSON, content=content
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "BAD_REQUEST"


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", ""])
async def test_a_form_of_another_site_decides_nothing(attacker: Attacker, kind: str) -> None:
    answer = await attacker.api(
        "POST", "/api/verify", "victor", headers={"Content-Type": kind}, content=b"{}"
    )
    assert answer.status_code == 400


async def explained(attacker: Attacker, account: str, **question: Any) -> tuple[int, str]:
    asked = {"target": "shop", "sql": "SELECT * FROM customers", **question}
    answer = await attacker.api("POST", "/api/policy/explain", account, json=asked)
    refusal = answer.json().get("error") or {}
    return answer.status_code, refusal.get("code", "")


async def test_a_nobody_does_not_learn_of_tables_by_asking_as_somebody(
    attacker: Attacker,
) -> None:
    assert await explained(attacker, "norah") == (403, "TARGET_UNKNOWN")
    for own in ("norah", "demo:norah"):
        question: dict[str, Any] = {"principal": own, "groups": ["developers"]}
        assert await explained(attacker, "norah", **question) == (400, "BAD_REQUEST")
        assert await explained(attacker, "norah", principal=own) == (403, "TARGET_UNKNOWN")
    for other in ("rita", "demo:rita", "NORAH", "norah ", "x"):
        for groups in (None, ["developers"]):
            question = {"principal": other, "groups": groups}
            assert await explained(attacker, "norah", **question) == (403, "NOT_PERMITTED")


async def test_explaining_changes_and_delivers_nothing(attacker: Attacker) -> None:
    before = await attacker.stored("SELECT count(*) FROM tickets")
    code, _ = await explained(attacker, "rita", sql="DELETE FROM orders WHERE id = 3")
    assert code == 200
    assert await attacker.direct("SELECT count(*) FROM orders WHERE id = 3") == 1
    assert await attacker.stored("SELECT count(*) FROM tickets") == before


async def test_a_decision_that_is_not_a_word_of_yes_or_no_changes_nothing(
    attacker: Attacker,
) -> None:
    ticket = (await attacker.sql("DELETE FROM orders WHERE id = 4"))["approval_id"]
    path = f"/api/approvals/{ticket}/decision"
    for decision in ({"approve": 1}, {"approve": "true"}, {"approve": [True]}, {}):
        answer = await attacker.api("POST", path, "victor", json=decision)
        assert answer.status_code == 400
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        assert (await attacker.api(method, path, "victor")).status_code == 405
    assert await attacker.stored("SELECT state FROM tickets WHERE id = $1", ticket) == "pending"
