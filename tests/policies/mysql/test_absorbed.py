"""What sets a setting of the gateway's own is refused, but by a listener that answers it."""

from __future__ import annotations

import pytest

from policies.sql.facts import SqlEffect
from policies.sql.mysql.absorbed import answered
from tests.policies.mysql.catalogs import facts

CHARSET = {"character_set_results"}


@pytest.mark.parametrize(
    ("sql", "settings"),
    [
        ("SET character_set_results = NULL", CHARSET),
        ("set session CHARACTER_SET_RESULTS = null", CHARSET),
        ("SET @@session.character_set_results = 'binary'", CHARSET),
        ("SET max_statement_time = 0", {"max_statement_time"}),
        ("SET SESSION max_execution_time = 0", {"max_execution_time"}),
        (
            "SET character_set_results = NULL, max_statement_time = 0.000000",
            CHARSET | {"max_statement_time"},
        ),
        ("/*!40101 SET character_set_results = NULL */", CHARSET),
        ("/*M!100100 SET @@MAX_STATEMENT_TIME=0.000000 */", {"max_statement_time"}),
    ],
)
def test_it_is_opaque_and_a_session_effect_only_for_who_answers_it(
    sql: str, settings: set[str]
) -> None:
    found = facts(sql)
    assert found.effect is SqlEffect.OPAQUE
    assert found.opaque is not None
    assert found.absorbed == settings
    taken = answered(found)
    assert (taken.effect, taken.opaque, taken.kinds) == (SqlEffect.SESSION, None, {"set"})


@pytest.mark.parametrize(
    "sql",
    [
        "SET character_set_results = NULL, sql_mode = ''",
        "SET sql_mode = '', character_set_results = NULL",
        "SET character_set_results = NULL, autocommit = 0",
        "SET character_set_results = NULL, character_set_results = NULL",
        "SET character_set_results = NULL, sql_mode = 'ANSI_QUOTES'",
        "SET character_set_results = NULL /*!50000 , sql_mode = 'ANSI_QUOTES' */",
        "SET character_set_results = NULL /*!50000 , time_zone = '+00:00' */",
        "SET time_zone = '+00:00' /*!50000 , character_set_results = NULL */",
        "/*!50000 SET character_set_results = NULL */ SELECT 1",
        "SET GLOBAL character_set_results = NULL",
        "SET @@global.character_set_results = NULL",
        "SET PERSIST max_statement_time = 0",
        "SET character_set_results = gbk",
        "SET character_set_results = (SELECT NULL)",
        "SET character_set_client = NULL",
        "SET NAMES NULL",
        "SET NAMES binary",
        "SET max_statement_time = 5",
        "SET max_statement_time = -0",
        "SET max_statement_time = DEFAULT",
        "SET STATEMENT character_set_results = NULL FOR SELECT 1",
        "SET character_set_results = NULL; DELETE FROM orders",
    ],
)
def test_with_anything_else_it_stays_refused_everywhere(sql: str) -> None:
    found = facts(sql)
    assert found.absorbed == frozenset()
    assert answered(found).effect is SqlEffect.OPAQUE


@pytest.mark.parametrize("sql", ["SELECT 1", "DELETE FROM orders", "SET sql_mode = 'ANSI_QUOTES'"])
def test_other_facts_are_as_they_were(sql: str) -> None:
    found = facts(sql)
    assert answered(found) is found


def test_a_query_may_have_settings_of_its_own() -> None:
    found = facts(
        "SET STATEMENT max_statement_time = 0.5, sql_select_limit = 9 FOR SELECT 1 LIMIT 3"
    )
    assert found.effect is SqlEffect.READ
    assert found.kinds == {"set", "select"}
    assert found.limit == 3


def test_labels_are_found_behind_settings() -> None:
    found = facts("SET STATEMENT max_statement_time = 5 FOR SELECT id, ssn FROM users WHERE id = 1")
    assert found.labels_read == {"pii"}
    assert found.clean_outputs == {0}


@pytest.mark.parametrize(
    "sql",
    [
        "SET STATEMENT max_statement_time = 0 FOR SELECT 1",
        "SET STATEMENT max_statement_time = 0.0 FOR SELECT 1",
        "SET STATEMENT max_statement_time = '' FOR SELECT 1",
        "SET STATEMENT max_statement_time = '5' FOR SELECT 1",
        "SET STATEMENT max_statement_time = -1 FOR SELECT 1",
        "SET STATEMENT max_statement_time = DEFAULT FOR SELECT 1",
        "SET STATEMENT max_statement_time = 5, max_statement_time = 0 FOR SELECT 1",
        "SET STATEMENT max_statement_time = (SELECT 1) FOR SELECT 1",
        "SET STATEMENT sql_mode = 'ANSI_QUOTES' FOR SELECT 1",
        "SET STATEMENT sql_mode = '' FOR SELECT 1",
        "SET STATEMENT autocommit = 0 FOR SELECT 1",
        "SET STATEMENT character_set_client = gbk FOR SELECT 1",
        "SET STATEMENT time_zone = @@hostname FOR SELECT 1",
        "SET STATEMENT GLOBAL time_zone = 'x' FOR SELECT 1",
        "SET STATEMENT @@global.time_zone = 'x' FOR SELECT 1",
        "SET STATEMENT max_statement_time = 5 FOR DELETE FROM orders WHERE id = 1",
        "SET STATEMENT max_statement_time = 5 FOR SELECT * FROM orders FOR UPDATE",
        "SET STATEMENT max_statement_time = 5 FOR SELECT 1 INTO OUTFILE '/tmp/x'",
        "SET STATEMENT max_statement_time = 5 FOR SELECT f_del()",
        "SET STATEMENT max_statement_time = 5 FOR SELECT @@report_password",
        "SET STATEMENT max_statement_time = 5 FOR SET GLOBAL sql_mode = ''",
        "SET STATEMENT max_statement_time = 5 FOR SET STATEMENT time_zone = 'x' FOR SELECT 1",
        "SET STATEMENT max_statement_time = 5 FOR CALL p_del()",
        "SET STATEMENT max_statement_time = 5 FOR USE hr",
        "SET STATEMENT max_statement_time = 5 FOR TRUNCATE orders",
        "SET STATEMENT max_statement_time = 5 FOR SELECT 1; DELETE FROM orders",
        "SET STATEMENT max_statement_time = 5 FOR",
        "SET STATEMENT FOR SELECT 1",
        "SET STATEMENT max_statement_time = 5 /*!50000 FOR DELETE FROM orders */ FOR SELECT 1",
        "SET STATEMENT max_statement_time = 5 /*!50000 , max_statement_time = 0 */ FOR SELECT 1",
    ],
)
def test_settings_of_one_statement_do_not_lift_or_change_more(sql: str) -> None:
    assert facts(sql).effect is SqlEffect.OPAQUE
