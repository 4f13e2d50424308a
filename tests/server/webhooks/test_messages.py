"""What a receiver learns of a ticket, and what it does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from server.webhooks.messages import document
from tests.server.webhooks.samples import DBA, SECURITY, SQL, news, request, ticket


def content(**asked: Any) -> dict[str, Any]:
    written = orjson.loads(orjson.dumps(document(news(**asked))))
    assert isinstance(written, dict)
    return written


def test_it_says_who_wants_what_through_which_agent_and_where_to_decide() -> None:
    written = content()
    assert written["type"] == "approval.asked"
    assert written["timestamp"] == "2026-11-01T12:00:00+00:00"
    told = written["data"]
    assert told["url"] == "https://ostiary.example.com/approvals/ap_1"
    assert (told["requester"], told["requester_id"]) == ("Rita", "corp:rita")
    assert (told["agent"], told["target"]) == ("claude-code", "shop")
    assert told["effect"] == "write"
    assert told["tables"] == [
        {
            "table": "public.customers",
            "verb": "update",
            "columns": ["email"],
            "labels": ["pii"],
            "kind": "table",
        }
    ]
    assert told["policies"] == ["changes-need-approval: A DBA agrees."]
    assert told["digest"] == ticket().digest.hex()
    assert told["expires_at"] == "2026-11-01T12:15:00+00:00"


def test_it_says_what_is_still_needed_a_line_a_requirement() -> None:
    told = content(of=ticket(None, DBA, SECURITY))["data"]
    assert [line.split(":")[0] for line in told["progress"]] == ["changes-need-approval", "watch"]


def test_nothing_is_needed_of_a_ticket_that_is_closed() -> None:
    told = content(of=ticket(state="denied"), event="denied")["data"]
    assert (told["state"], told["progress"]) == ("denied", [])


def test_of_a_preview_the_count_is_told_and_nothing_else() -> None:
    assert "preview_rows" not in content()["data"]
    tried = orjson.loads(orjson.dumps(document(replace(news(), changed=12))))["data"]
    assert tried.pop("preview_rows") == 12
    assert tried == content()["data"]


def test_statement_parameters_and_reason_stay_at_home() -> None:
    of = ticket(request(reason="canary-reason"))
    shown = orjson.dumps(document(news(of))).decode()
    for secret in ("ada@secret.example", "canary-parameter", "canary-reason", "UPDATE"):
        assert secret not in shown


def test_they_go_out_where_the_configuration_says_so() -> None:
    told = content(of=ticket(request(reason="typo")), in_full=True)["data"]
    assert (told["text"], told["parameters"]) == (SQL, ["canary-parameter"])
    assert told["reason"] == "typo"
