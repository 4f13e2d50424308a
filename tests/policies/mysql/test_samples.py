"""TPC-H and Sakila: every query is understood, and permitted to analysts."""

from __future__ import annotations

import pytest

from policies.cedar import load
from policies.model import Effect, SqlStatement
from policies.sql.facts import SqlFacts
from policies.sql.mysql import analyse
from tests.policies.mysql.samples import LABELS, client_statements, golden, queries, sample
from tests.policies.requests import Asker, person

ANALYST = Asker(load("analytics", labels=set().union(*LABELS.values())), person("analysts"))
# What does more than read or set up a session is refused to analysts by a policy, not for want of
# understanding it.
CLIENTS = "refused_clients_mysql.txt"


def is_permitted(text: str, facts: SqlFacts) -> bool:
    decision = ANALYST.ask(SqlStatement(text), facts)
    return decision.effect is Effect.PERMIT and not decision.approvals


def test_there_are_the_22_queries_of_tpch_and_the_seven_views_of_sakila() -> None:
    assert list(queries("tpch")) == [f"Q{number}" for number in range(1, 23)]
    assert sum(name.startswith("view ") for name in queries("sakila")) == 7
    assert len(queries("sakila")) >= 40


@pytest.mark.parametrize("database", ["tpch", "sakila"])
def test_no_query_is_refused_under_the_analytics_pack(database: str) -> None:
    refused = {}
    for name, text in queries(database).items():
        facts = analyse(text, sample(database))
        if not (facts.read_only and is_permitted(text, facts)):
            refused[name] = facts.opaque or facts.effect
    assert refused == {}


def test_what_clients_send_is_understood_but_for_what_is_listed_with_its_reason() -> None:
    refused = {}
    for row in client_statements():
        facts = analyse(row["sql"], sample("sakila"))
        if facts.opaque is not None:
            refused[row["id"]] = facts.opaque.code
    assert refused == golden(CLIENTS)


def test_analysts_may_send_whatever_of_that_is_understood() -> None:
    refused = []
    for row in client_statements():
        facts = analyse(row["sql"], sample("sakila"))
        if facts.opaque is None and not is_permitted(row["sql"], facts):
            refused.append((row["client"], row["sql"], facts.effect))
    assert refused == []
