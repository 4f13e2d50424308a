"""Changes: what they write, and whether they name their rows."""

from __future__ import annotations

import pytest

from policies.sql.facts import SqlEffect
from tests.policies.mysql.catalogs import facts, refusal, uses


@pytest.mark.parametrize(
    ("sql", "kinds", "expected"),
    [
        ("INSERT INTO orders (id) VALUES (1), (2)", {"insert"}, {"app.orders": {"insert"}}),
        ("INSERT IGNORE orders SET id = 1", {"insert"}, {"app.orders": {"insert"}}),
        ("REPLACE INTO orders (id) VALUES (1)", {"insert", "delete", "replace"},
         {"app.orders": {"insert", "delete"}}),
        ("INSERT INTO orders (id) SELECT id FROM users", {"insert", "select"},
         {"app.orders": {"insert"}, "app.users": {"select"}}),
        ("INSERT INTO orders (id) VALUES (1) ON DUPLICATE KEY UPDATE note = VALUES(note)",
         {"insert", "update"}, {"app.orders": {"insert", "update", "select"}}),
        ("INSERT INTO orders (id) VALUES (1) AS new ON DUPLICATE KEY UPDATE note = new.note",
         {"insert", "update"}, {"app.orders": {"insert", "update"}}),
        ("INSERT INTO orders (id) SELECT id FROM users AS x ON DUPLICATE KEY UPDATE note = 'x'",
         {"insert", "select", "update"},
         {"app.orders": {"insert", "update"}, "app.users": {"select"}}),
        ("UPDATE LOW_PRIORITY orders SET note = 'x'", {"update"}, {"app.orders": {"update"}}),
        ("UPDATE users u, orders o SET o.note = 'x', u.name = 'y' WHERE o.id = u.id",
         {"update"},
         {"app.orders": {"select", "update"}, "app.users": {"select", "update"}}),
        ("DELETE FROM orders", {"delete"}, {"app.orders": {"delete"}}),
        ("DELETE FROM hr.salaries WHERE user_id = 1",
         {"delete"}, {"hr.salaries": {"select", "delete"}}),
        ("DELETE o, u FROM orders o JOIN users u ON u.id = o.user_id WHERE u.id = 5", {"delete"},
         {"app.orders": {"select", "delete"}, "app.users": {"select", "delete"}}),
        ("DELETE o.* FROM orders o JOIN users u ON u.id = o.user_id WHERE u.id = 5", {"delete"},
         {"app.orders": {"select", "delete"}, "app.users": {"select"}}),
        ("DELETE FROM o USING orders o WHERE o.id = 5",
         {"delete"}, {"app.orders": {"select", "delete"}}),
        ("DELETE app.orders FROM orders WHERE id = 5",
         {"delete"}, {"app.orders": {"select", "delete"}}),
        ("WITH x AS (SELECT 1 AS id) DELETE FROM orders WHERE id IN (SELECT id FROM x)",
         {"delete", "select"}, {"app.orders": {"select", "delete"}}),
        ("WITH x AS (SELECT id FROM users) UPDATE orders SET note = '' WHERE id IN (TABLE x)",
         {"update", "select"}, {"app.orders": {"select", "update"}, "app.users": {"select"}}),
    ],
)  # fmt: skip
def test_a_change_names_every_table_that_it_writes(
    sql: str, kinds: set[str], expected: dict[str, set[str]]
) -> None:
    found = facts(sql)
    assert found.effect is SqlEffect.WRITE, found.opaque
    assert found.kinds == kinds
    assert uses(found) == expected


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM orders",
        "UPDATE orders SET note = 'x'",
        "DELETE FROM orders WHERE 1",
        "DELETE FROM orders WHERE TRUE",
        "DELETE FROM orders WHERE 1 = 1",
        "DELETE FROM orders WHERE id = 1 OR 1 = 1",
        "DELETE FROM orders WHERE id = 1 --1 OR 1=1",
        "DELETE FROM orders WHERE id = 1 || 1",
        "DELETE FROM orders WHERE NOT (id = 1 AND 0)",
        "DELETE FROM orders WHERE id = id",
        "DELETE FROM orders WHERE orders.id <=> orders.ID",
        "DELETE FROM orders WHERE id IN (id, 5)",
        "DELETE FROM orders WHERE note LIKE '%'",
        "DELETE FROM orders WHERE note IS NULL OR note IS NOT NULL",
        "DELETE FROM orders WHERE note LIKE 'a' OR note NOT LIKE 'a'",
        "DELETE FROM orders WHERE NOT (note LIKE 'a') OR note LIKE 'a'",
        "DELETE FROM orders WHERE note NOT LIKE 'a' OR NOT note NOT LIKE 'a'",
        "DELETE FROM orders WHERE (SELECT 1 FROM users WHERE users.id = 1)",
        "DELETE FROM orders ORDER BY id LIMIT 1",
        "DELETE o, u FROM orders o, users u WHERE u.id = 5",
        "DELETE o FROM orders o JOIN users u ON u.id = o.user_id",
        "UPDATE orders o JOIN users u ON u.id = o.user_id SET o.note = 'x'",
        "UPDATE orders o LEFT JOIN users u ON u.id = o.user_id SET o.note = 'x' WHERE u.id = 1",
    ],
)
def test_a_change_without_a_telling_where_names_no_rows(sql: str) -> None:
    found = facts(sql)
    assert found.opaque is None, found.opaque
    assert not found.has_where


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM orders WHERE id = 1",
        "DELETE FROM orders WHERE id = ? AND 1 = 1",
        "DELETE FROM orders WHERE id = 1 OR id = 2",
        "DELETE FROM orders WHERE note NOT LIKE 'a%' OR note LIKE 'b%'",
        "DELETE FROM orders WHERE NOT (id = 1 OR 0)",
        "DELETE FROM orders WHERE id IN (SELECT user_id FROM users)",
        "DELETE o FROM orders o JOIN users u ON u.id = o.user_id WHERE u.id = 5",
        "UPDATE orders o JOIN users u ON u.id = o.user_id SET o.note = 'x' WHERE u.id = 5",
        "REPLACE INTO orders (id) VALUES (1)",
    ],
)
def test_a_change_with_a_telling_where_names_its_rows(sql: str) -> None:
    found = facts(sql.replace("SELECT user_id FROM users", "SELECT id FROM users"))
    assert found.opaque is None, found.opaque
    assert found.has_where


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("UPDATE v_users SET name = 'x' WHERE id = 1", "SQL_NOT_UNDERSTOOD"),
        ("INSERT INTO v_users (id) VALUES (1)", "SQL_NOT_UNDERSTOOD"),
        ("DELETE FROM mysql.user WHERE 1 = 2", "RELATION_SENSITIVE"),
        ("INSERT INTO information_schema.tables VALUES (1)", "RELATION_SENSITIVE"),
        ("UPDATE (SELECT id FROM orders) d SET id = 1", "SQL_NOT_UNDERSTOOD"),
        ("INSERT INTO orders (nothing) VALUES (1)", "COLUMN_UNKNOWN"),
        ("UPDATE orders SET nothing = 1 WHERE id = 1", "COLUMN_UNKNOWN"),
        ("INSERT INTO orders (id) VALUES (1, 2)", "SQL_NOT_UNDERSTOOD"),
        ("UPDATE users u, orders o SET id = 1 WHERE u.id = o.id", "COLUMN_UNKNOWN"),
        ("DELETE x FROM orders o WHERE o.id = 1", "COLUMN_UNKNOWN"),
        ("LOAD DATA INFILE '/x' INTO TABLE orders", "SQL_NOT_UNDERSTOOD"),
        ("INSERT INTO orders (id) SELECT 1 INTO OUTFILE '/x'", "SQL_NOT_UNDERSTOOD"),
        ("UPDATE orders SET id = (SELECT 1 INTO @x) WHERE id = 1", "SQL_VARIABLE"),
    ],
)
def test_a_change_that_is_not_understood_is_refused(sql: str, code: str) -> None:
    assert refusal(sql) == code


def test_a_trigger_may_read_anything() -> None:
    assert facts("UPDATE audited SET note = 'x' WHERE id = 1").labels_read == {
        "pii", "secret", "salary",
    }  # fmt: skip


def test_the_errors_of_a_write_show_its_row() -> None:
    assert facts("UPDATE users SET name = 'x' WHERE id = 1").labels_read == {"pii", "secret"}


def test_an_explained_change_only_reads() -> None:
    found = facts("EXPLAIN DELETE FROM orders WHERE id = 1")
    assert (found.effect, uses(found)) == (SqlEffect.READ, {"app.orders": {"select"}})
