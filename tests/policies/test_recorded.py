"""Facts survive their recording: policy sees the same of a request that is decided anew."""

from __future__ import annotations

import json

import pytest

from policies.model import AccessRequest, Channel, SqlStatement
from policies.questions import Asked, questions
from policies.recorded import RecordedRequest, Skipped, facts_of, recorded_requests
from policies.sql.facts import SqlEffect, SqlFacts, TableName, TableUse
from policies.sql.postgres import analyse
from policies.sql.snapshot import NoSnapshot, catalog_of, snapshot_of
from server.records import facts_document
from tests.policies.catalogs import catalog, statements
from tests.policies.requests import NOON, SHOP, person


def asked(facts: SqlFacts) -> tuple[Asked, ...]:
    action = SqlStatement("-")
    who = person("staff")
    return questions(AccessRequest(who, SHOP, action, Channel.MCP, NOON, "s", facts))


def seen(facts: SqlFacts) -> list[tuple[object, ...]]:
    """All that Cedar is told of a statement."""
    return [(q.action, q.resource, q.subject, q.context) for q in asked(facts)]


def test_every_statement_of_the_corpus_asks_the_same_after_it_was_recorded() -> None:
    for row in statements():
        facts = analyse(row["sql"], catalog())
        document = json.loads(json.dumps(facts_document(facts)))
        recorded = [
            {"resource": f'{q.resource["type"]}::"{q.resource["id"]}"'} for q in asked(facts)
        ]
        assert seen(facts_of(document, recorded)) == seen(facts), row["sql"]


@pytest.mark.parametrize(
    "table",
    [
        TableName("public", "a.b"),
        TableName("a.b", "c"),
        TableName("a/b", "c%2F"),
        TableName("hr", ""),
    ],
)
def test_a_dot_in_a_name_is_told_from_one_between_two(table: TableName) -> None:
    facts = SqlFacts(SqlEffect.DDL, tables=(TableUse(table, "ddl"),))
    recorded = [{"resource": f'{q.resource["type"]}::"{q.resource["id"]}"'} for q in asked(facts)]
    document = facts_document(facts)
    assert document is not None
    assert facts_of(document, recorded).tables == facts.tables


OPENED = {
    "kind": "session_opened",
    "session": "s1",
    "document": {"principal": {"id": "corp:a", "name": "a", "agent": "c", "groups": ["dba"]}},
}


def intent(**changes: object) -> dict[str, object]:
    document = {
        "action": {"kind": "SqlStatement"},
        "target": "shop",
        "channel": "mcp",
        "reason": "why",
        "effect": "permit",
        "questions": [],
        "facts": facts_document(SqlFacts(SqlEffect.READ)),
        **changes,
    }
    time = "2026-11-22T12:00:00.000000+00:00"
    return {
        "kind": "intent",
        "session": "s1",
        "time": time,
        "body": "SELECT 1",
        "document": document,
    }


def test_a_request_is_rebuilt_with_who_asked_from_the_session() -> None:
    (found,) = recorded_requests([OPENED, intent()], {"shop": SHOP})
    assert isinstance(found, RecordedRequest)
    request = found.request
    assert (request.principal.id, request.principal.groups) == ("corp:a", frozenset({"dba"}))
    assert (request.now, request.reason, request.target) == (NOON, "why", SHOP)
    assert request.action == SqlStatement("SELECT 1")


def test_what_can_not_be_decided_anew_is_left_out_and_says_why() -> None:
    lines = [
        intent(),
        OPENED,
        intent(target="gone"),
        intent(action={"kind": "ReadRecording"}),
        {"kind": "decision", "session": "", "document": {"tool": "run_sql", "effect": "deny"}},
        {"kind": "rows", "session": "s1", "document": {}},
    ]
    found = list(recorded_requests(lines, {"shop": SHOP}))
    assert [type(each) for each in found] == [Skipped] * 3
    assert len({each.why for each in found if isinstance(each, Skipped)}) == 3


def test_a_catalog_comes_back_from_its_snapshot_as_it_was() -> None:
    document = json.loads(json.dumps(snapshot_of(catalog(), kind="postgres")))
    assert catalog_of(document) == catalog()


@pytest.mark.parametrize("change", [{"format": "x"}, {"relations": [1]}, {"functions": 7}])
def test_what_is_no_snapshot_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(NoSnapshot):
        catalog_of({**snapshot_of(catalog(), kind="postgres"), **change})
