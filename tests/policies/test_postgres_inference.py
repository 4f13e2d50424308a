"""Which labels decide about rows, and which are only matched with what the asker knows already."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.sql.facts import SqlFacts, TableName
from policies.sql.postgres import analyse
from tests.policies.catalogs import catalog


def facts(text: str) -> SqlFacts:
    found = analyse(text, catalog())
    assert found.opaque is None, found.opaque
    return found


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id FROM users WHERE ssn LIKE '1%'",
        "SELECT id FROM v_users WHERE contact = 'a'",
        "SELECT id FROM users WHERE ssn < '5'",
        "SELECT id FROM users WHERE ssn BETWEEN '1' AND '2'",
        "SELECT id FROM users WHERE left(ssn, 1) = '1'",
        "SELECT id FROM users WHERE ssn::char(1) = '1'",
        "SELECT id FROM users WHERE ssn ~ '^1'",
        "SELECT id FROM users WHERE ssn = ANY($1)",
        "SELECT id FROM users WHERE ssn = ANY('{1,2,3}')",
        "SELECT id FROM users WHERE length(ssn) = 9",
        "SELECT id FROM users WHERE ssn = name",
        "SELECT id FROM users WHERE (id, ssn) < (1, '5')",
        "SELECT id FROM users WHERE ssn IN ('1','2','3','4','5','6','7','8','9','10','11')",
        "SELECT id FROM users WHERE ssn = '1' OR ssn LIKE '2%'",
        "SELECT id FROM users WHERE id IN (SELECT id FROM users WHERE ssn > '5')",
        "SELECT array_agg(id), string_agg(name, chr(44) ORDER BY ssn) FROM users",
        "SELECT id FROM users WHERE EXISTS (SELECT 1 WHERE users.ssn > '5')",
        "SELECT id FROM users WHERE (SELECT users.ssn > '5')",
        "SELECT id FROM users WHERE (SELECT max(ssn) FROM users) > '5'",
        "SELECT id FROM users ORDER BY ssn",
        "SELECT id, ssn FROM users ORDER BY 2",
        "SELECT ssn AS id FROM users ORDER BY id",
        "SELECT id, ssn AS s FROM users ORDER BY s",
        "SELECT id FROM users ORDER BY left(ssn, 1)",
        "SELECT id FROM users ORDER BY (SELECT u.ssn FROM users u WHERE u.id = users.id)",
        "SELECT id, row_number() OVER (ORDER BY ssn) FROM users",
        "SELECT id, count(*) OVER (PARTITION BY ssn) FROM users",
        "SELECT id, rank() OVER w FROM users WINDOW w AS (ORDER BY ssn)",
        "SELECT count(*) FROM users GROUP BY ssn",
        "SELECT ssn, count(*) FROM users GROUP BY 1",
        "SELECT count(*) FROM users GROUP BY ROLLUP (ssn)",
        "SELECT count(*) FROM users GROUP BY left(ssn, 1)",
        "SELECT dept_id FROM users GROUP BY dept_id HAVING max(ssn) > '5'",
        "SELECT DISTINCT ssn FROM users",
        "SELECT DISTINCT ON (ssn) id FROM users",
        "SELECT ssn FROM users UNION SELECT email FROM users",
        "SELECT ssn FROM users INTERSECT ALL SELECT '1'",
        "SELECT u.id FROM users u JOIN departments d ON u.ssn LIKE '1%'",
        "SELECT id FROM (SELECT id, left(ssn, 1) AS x FROM users) q WHERE x = '1'",
        "SELECT id FROM (SELECT id, lower(left(ssn, 1)) AS x FROM users) q WHERE x = '1'",
        "SELECT id FROM users u WHERE u > ROW(1)",
        "UPDATE orders SET total = 1 FROM users WHERE ssn LIKE '1%'",
        "DELETE FROM users WHERE ssn LIKE '1%'",
        "WITH w AS (SELECT id FROM users WHERE ssn LIKE '1%') SELECT * FROM w",
        "INSERT INTO departments SELECT id, name FROM users WHERE ssn LIKE '1%'",
        "EXPLAIN SELECT id FROM users WHERE ssn LIKE '1%'",
    ],
)
def test_a_label_that_decides_about_rows_is_told(text: str) -> None:
    assert "pii" in facts(text).labels_filtered


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id, ssn FROM users WHERE email = 'x@example.com'",
        "SELECT id FROM users WHERE email = $1::text",
        "SELECT id FROM users WHERE $1 = email",
        "SELECT id FROM users WHERE lower(email) = lower($1) AND name LIKE 'A%'",
        "SELECT id FROM users WHERE email IN ('a', 'b', 'c') ORDER BY id",
        "SELECT id FROM users WHERE email = ANY(ARRAY['a', 'b'])",
        "SELECT id FROM users WHERE email <> 'a' OR NOT ssn = '1'",
        "SELECT id FROM users WHERE email IS NOT DISTINCT FROM $1",
        "SELECT id FROM (SELECT id, email AS mail FROM users) q WHERE mail = 'a'",
        "WITH q AS (SELECT * FROM users) SELECT id FROM q WHERE email = 'a'",
        "SELECT id FROM orders WHERE user_id IN (SELECT id FROM users WHERE email = 'a')",
        "SELECT id FROM orders o"
        " WHERE EXISTS (SELECT 1 FROM users u WHERE u.id = o.user_id AND u.email = 'a')",
        "SELECT a.id FROM users a JOIN users b ON a.email = b.email",
        "SELECT a.id FROM users a JOIN users b USING (email)",
        "UPDATE users SET name = 'x' WHERE email = 'a'",
    ],
)
def test_a_whole_value_compared_with_a_few_constants_is_only_matched(text: str) -> None:
    found = facts(text)
    assert (found.labels_filtered, found.labels_matched) == (frozenset(), {"pii"})


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id, ssn FROM users WHERE id = 1 ORDER BY name",
        "SELECT id FROM users WHERE ssn IS NOT NULL",
        "SELECT name, count(ssn) FROM users GROUP BY name",
        "SELECT id, CASE WHEN ssn LIKE '1%' THEN 1 END FROM users",
        "SELECT ssn FROM users UNION ALL SELECT name FROM departments",
        "SELECT DISTINCT name FROM users",
        "SELECT id, (SELECT ssn FROM users u WHERE u.id = o.user_id) FROM orders o",
        "SELECT o.id, rank() OVER (ORDER BY o.total) FROM orders o JOIN users u ON u.id = user_id",
    ],
)
def test_labels_that_are_only_shown_do_not_decide(text: str) -> None:
    found = facts(text)
    assert (found.labels_filtered, found.labels_matched) == (frozenset(), frozenset())


@pytest.mark.parametrize(
    "text",
    [
        "SELECT left(ssn, 3), g FROM users, generate_series(0, 9) g"
        " INTERSECT SELECT g::text, g FROM generate_series(0, 9) g",
        "SELECT left(ssn, 3), g FROM users, generate_series(0, 9) g"
        " UNION SELECT g::text, g FROM generate_series(0, 9) g",
        "SELECT g::text, g FROM generate_series(0, 9) g"
        " EXCEPT ALL SELECT left(ssn, 3), 1 FROM users",
        "SELECT ssn FROM users INTERSECT VALUES ('1'), ('2')",
    ],
)
def test_rows_that_a_set_operation_compares_with_other_data_are_told(text: str) -> None:
    assert facts(text).labels_compared == {"pii"}


def test_a_constant_in_place_of_a_labelled_column_is_no_other_data() -> None:
    found = facts("SELECT id, ssn FROM users UNION SELECT id, NULL FROM departments")
    assert found.labels_compared == frozenset()


@pytest.mark.parametrize("kind", ["v", "m"])
def test_a_view_may_show_a_part_of_a_value_so_equality_with_it_tells_that_part(kind: str) -> None:
    plain = catalog()
    name = TableName("public", "users")
    view = replace(plain.relations[name], kind=kind)
    shown = replace(plain, relations={**plain.relations, name: view})
    found = analyse("SELECT id FROM users WHERE ssn = '2'", shown)
    assert (found.labels_filtered, found.labels_matched) == ({"pii"}, frozenset())
