"""Tickets and webhooks for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from policies.model import (
    AccessRequest,
    Channel,
    Parameter,
    Principal,
    RequireApproval,
    SqlStatement,
    Target,
)
from policies.sql.facts import SqlEffect, SqlFacts, TableName, TableUse
from server.approvals.tickets import Ticket, bind
from server.connections import Surroundings
from server.webhooks.messages import News
from server.webhooks.settings import Webhook

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""The secret of the specification's own examples."""

RITA: Final = Principal("corp:rita", "Rita", "claude-code", frozenset({"developers"}))
DBA: Final = RequireApproval("changes-need-approval", frozenset({"dba"}), "A DBA agrees.")
SECURITY: Final = RequireApproval("watch", frozenset({"security"}), "Security agrees.")
SQL: Final = "UPDATE customers SET email = 'ada@secret.example' WHERE id = $1"
AROUND: Final = Surroundings("writer", "shop", ("public",), {})
AT: Final = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def request(sql: str = SQL, *, principal: Principal = RITA, reason: str = "") -> AccessRequest:
    use = TableUse(
        TableName("public", "customers"),
        "update",
        columns=frozenset({"email"}),
        labels=frozenset({"pii"}),
    )
    return AccessRequest(
        principal=principal,
        target=Target("shop", "postgres", "production"),
        action=SqlStatement(sql, (Parameter(b"canary-parameter"),)),
        channel=Channel.MCP,
        now=AT,
        session="s1",
        facts=SqlFacts(SqlEffect.WRITE, frozenset({"update"}), (use,)),
        reason=reason,
    )


def ticket(
    asked: AccessRequest | None = None, *requirements: RequireApproval, state: str = "pending"
) -> Ticket:
    asked = asked or request()
    binding = bind(asked, AROUND)
    return Ticket(
        id="ap_1",
        state=state,
        principal=asked.principal.id,
        principal_name=asked.principal.name,
        agent=asked.principal.agent,
        target="shop",
        digest=binding.digest,
        document=binding.document,
        requirements=requirements or (DBA,),
        asked_at=AT,
        expires_at=AT + timedelta(minutes=15),
    )


def news(of: Ticket | None = None, *, event: str = "asked", in_full: bool = False) -> News:
    page = "https://ostiary.example.com/approvals/ap_1"
    return News(event, of or ticket(), page, in_full, AT + timedelta(seconds=1))


def webhook(url: str = "https://hooks.example.com/x", **settings: Any) -> Webhook:
    signed = {"secret": "env:TEST_WEBHOOK_SECRET"} if "format" not in settings else {}
    return Webhook.model_validate({"name": "oncall", "url": url, **signed, **settings})
