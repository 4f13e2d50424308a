"""TPC-H and Sakila: every query is understood, and permitted to analysts."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from policies.cedar import load
from policies.model import Effect, SqlStatement
from policies.sql.facts import SqlFacts
from policies.sql.mysql import analyse
from policies.sql.mysql.absorbed import answered
from tests.policies.mysql.samples import LABELS, administration, client_statements, queries, sample
from tests.policies.requests import Asker, person

ANALYST = Asker(load("analytics", labels=set().union(*LABELS.values())), person("analysts"))


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


def test_nothing_that_clients_send_is_refused_under_the_analytics_pack() -> None:
    """As by the listener, which answers what it does not forward."""
    refused = {}
    for row in client_statements():
        facts = answered(analyse(row["sql"], sample("sakila")))
        if facts.opaque is not None or not is_permitted(row["sql"], facts):
            refused[row["id"]] = (row["sql"], facts.opaque or facts.effect)
    assert refused == {}


def test_only_settings_of_the_gateways_own_are_answered_without_the_target() -> None:
    absorbed = {
        row["sql"] for row in client_statements() if analyse(row["sql"], sample("sakila")).absorbed
    }
    assert absorbed == {
        "/*M!100100 SET @@MAX_STATEMENT_TIME=0.000000 */",
        "SET SESSION character_set_results = 'binary'",
        "SET character_set_results = NULL",
    }


@pytest.mark.parametrize("row", [pytest.param(row, id=row["id"]) for row in administration()])
def test_administration_is_refused_with_what_the_program_does_without_it(
    row: Mapping[str, str],
) -> None:
    facts = analyse(row["sql"], sample("sakila"))
    assert facts.opaque is not None
    assert facts.opaque.code == "SQL_ADMINISTRATION"
    assert "--" in facts.opaque.next_step
    assert not is_permitted(row["sql"], answered(facts))
