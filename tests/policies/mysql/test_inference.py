"""Which labels decide about rows, and which are only matched with what the asker knows already."""

from __future__ import annotations

import pytest

from policies.sql.facts import SqlFacts
from tests.policies.mysql import catalogs


def facts(sql: str) -> SqlFacts:
    found = catalogs.facts(sql)
    assert found.opaque is None, found.opaque
    return found


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM users WHERE ssn LIKE '1%'",
        "SELECT id FROM users WHERE ssn < '5'",
        "SELECT id FROM users WHERE ssn = 219",
        "SELECT id FROM users WHERE ssn SOUNDS LIKE 'x'",
        "SELECT id FROM users WHERE ssn REGEXP '^1'",
        "SELECT id FROM users WHERE LEFT(ssn, 1) = '1'",
        "SELECT id FROM users WHERE CAST(ssn AS CHAR(1)) = '1'",
        "SELECT id FROM users WHERE ssn BETWEEN '1' AND '2'",
        "SELECT id FROM users WHERE ssn IN (1, 2)",
        "SELECT id FROM users WHERE ssn IN ('1','2','3','4','5','6','7','8','9','10','11')",
        "SELECT id FROM users WHERE ssn = '1' OR ssn LIKE '2%'",
        "SELECT id FROM users WHERE ssn",
        "SELECT id FROM users WHERE NOT ssn > '5'",
        "SELECT id FROM users WHERE id IN (SELECT id FROM users WHERE ssn > '5')",
        "SELECT id FROM users WHERE (SELECT MAX(ssn) FROM users) > '5'",
        "SELECT id, ssn p FROM users HAVING p > '5'",
        "SELECT id, ssn p FROM users HAVING p LIKE '1%'",
        "SELECT id, ssn p FROM users HAVING p",
        "SELECT id, LEFT(ssn, 1) p FROM users HAVING p = '1'",
        "SELECT id, ssn p FROM users ORDER BY p > '5'",
        "SELECT id, ssn p FROM users GROUP BY p LIKE '1%'",
        "SELECT id, ssn p FROM users HAVING EXISTS (SELECT 1 FROM orders WHERE p > '5')",
        "SELECT id, ssn p FROM users UNION ALL SELECT id, ssn FROM users ORDER BY p > '5'",
        "SELECT id FROM users ORDER BY ssn",
        "SELECT id, ssn FROM users ORDER BY 2",
        "SELECT ssn AS id FROM users ORDER BY id",
        "SELECT id, ROW_NUMBER() OVER (ORDER BY ssn) FROM users",
        "SELECT COUNT(*) FROM users GROUP BY ssn",
        "SELECT ssn, COUNT(*) FROM users GROUP BY 1",
        "SELECT dept_id FROM users GROUP BY dept_id HAVING MAX(ssn) > '5'",
        "SELECT DISTINCT ssn FROM users",
        "SELECT ssn FROM users UNION SELECT email FROM users",
        "SELECT u.id FROM users u JOIN departments d ON u.ssn LIKE '1%'",
        "SELECT id FROM (SELECT id, LEFT(ssn, 1) AS x FROM users) q WHERE x = '1'",
        "UPDATE users SET name = 'x' WHERE ssn LIKE '1%'",
        "DELETE FROM users WHERE ssn LIKE '1%'",
        "WITH w AS (SELECT id FROM users WHERE ssn LIKE '1%') SELECT * FROM w",
        "EXPLAIN SELECT id FROM users WHERE ssn LIKE '1%'",
    ],
)
def test_a_label_that_decides_about_rows_is_told(sql: str) -> None:
    assert "pii" in facts(sql).labels_filtered


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id, ssn FROM users WHERE email = 'x@example.com'",
        "SELECT id FROM users WHERE ? = email",
        "SELECT id FROM users WHERE LOWER(email) = LOWER(?) AND name LIKE 'A%'",
        "SELECT id FROM users WHERE email IN ('a', 'b') OR NOT (ssn = '1') ORDER BY id",
        "SELECT id FROM users WHERE email <=> NULL",
        "SELECT id FROM (SELECT id, email AS mail FROM users) q WHERE mail = 'a'",
        "SELECT id FROM orders WHERE user_id IN (SELECT id FROM users WHERE email = 'a')",
        "SELECT a.id FROM users a JOIN users b ON a.email = b.email",
        "SELECT a.id FROM users a JOIN users b USING (email)",
        "UPDATE users SET name = 'x' WHERE email = 'a'",
    ],
)
def test_a_whole_value_compared_with_a_few_constants_is_only_matched(sql: str) -> None:
    found = facts(sql)
    assert (found.labels_filtered, found.labels_matched) == (frozenset(), {"pii"})


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id, ssn FROM users WHERE id = 1 ORDER BY name",
        "SELECT id FROM users WHERE ssn IS NOT NULL",
        "SELECT name, COUNT(ssn) FROM users GROUP BY name ORDER BY 2",
        "SELECT id, IF(ssn LIKE '1%', 1, 0) FROM users",
        "SELECT ssn FROM users UNION ALL SELECT name FROM departments",
        "SELECT DISTINCT name FROM users",
    ],
)
def test_labels_that_are_only_shown_do_not_decide(sql: str) -> None:
    found = facts(sql)
    assert (found.labels_filtered, found.labels_matched) == (frozenset(), frozenset())


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT LEFT(ssn, 3), d.id FROM users, departments d INTERSECT SELECT id, id FROM orders",
        "SELECT LEFT(ssn, 3), d.id FROM users, departments d UNION SELECT id, id FROM orders",
        "SELECT id, id FROM orders EXCEPT SELECT LEFT(ssn, 3), 1 FROM users",
    ],
)
def test_rows_that_a_set_operation_compares_with_other_data_are_told(sql: str) -> None:
    assert facts(sql).labels_compared == {"pii"}


def test_a_constant_in_place_of_a_labelled_column_is_no_other_data() -> None:
    found = facts("SELECT id, ssn FROM users UNION SELECT id, NULL FROM departments")
    assert found.labels_compared == frozenset()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT ssn p, name n FROM users HAVING p > n",
        "SELECT ssn p, name FROM users HAVING p > name",
        "SELECT ssn, name n FROM users HAVING ssn > n",
        "SELECT u.ssn p, o.id n FROM users u, orders o HAVING p = n",
        "SELECT u.ssn p, o.id n FROM users u, orders o ORDER BY p = n",
    ],
)
def test_an_alias_is_compared_as_what_it_stands_for(sql: str) -> None:
    assert facts(sql).labels_compared == {"pii"}


def test_an_alias_that_is_looked_up_is_matched() -> None:
    found = facts("SELECT id, ssn p FROM users HAVING p = '219'")
    assert (found.labels_matched, found.labels_filtered) == ({"pii"}, frozenset())
