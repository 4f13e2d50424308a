"""Output columns that are proven clean, and labels that are copied or compared."""

from __future__ import annotations

import pytest

from tests.policies.mysql.catalogs import facts, refusal


def clean(sql: str) -> set[int]:
    found = facts(sql)
    assert found.opaque is None, found.opaque
    return set(found.clean_outputs)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT id, ssn FROM users", {0}),
        ("SELECT * FROM users", {0, 1, 4}),
        ("SELECT o.*, u.* FROM users u JOIN orders o ON o.user_id = u.id", {0, 1, 2, 3, 4, 5, 8}),
        ("SELECT ssn AS name, name AS ssn FROM users", {1}),
        ("SELECT ssn 'name', name FROM users", {1}),
        ("SELECT CONCAT(ssn, ''), LEFT(ssn, 1), HEX(ssn), name FROM users", {3}),
        ("SELECT ssn COLLATE utf8mb4_bin, BINARY ssn, -ssn, (ssn), name FROM users", {4}),
        ("SELECT CAST(ssn AS CHAR), CONVERT(ssn USING utf8mb4), CONVERT(ssn, CHAR) FROM users",
         set()),
        ("SELECT CASE WHEN ssn LIKE '1%' THEN 1 ELSE 0 END, IF(ssn > 1, 1, 0) FROM users", set()),
        ("SELECT COUNT(ssn), MAX(ssn), GROUP_CONCAT(ssn), JSON_ARRAYAGG(ssn) FROM users", {0}),
        ("SELECT LAG(ssn) OVER (ORDER BY id), ROW_NUMBER() OVER (ORDER BY ssn), id FROM users",
         {2}),
        ("SELECT (SELECT ssn FROM users LIMIT 1), (SELECT name FROM users LIMIT 1)", {1}),
        ("SELECT ssn IN ('x'), ssn = ANY (SELECT 'x'), EXISTS (SELECT 1 WHERE ssn = 1) FROM users",
         set()),
        ("SELECT 'x' UNION ALL SELECT ssn FROM users", set()),
        ("SELECT 1, 'x' UNION SELECT id, ssn FROM users", {0}),
        ("SELECT a, b FROM (SELECT id AS a, ssn AS b FROM users) d", {0}),
        ("SELECT a, b FROM (SELECT id, ssn FROM users) d (b, a)", {1}),
        ("SELECT b.x FROM (SELECT ssn AS x FROM users) a, (SELECT id AS x FROM users) b", {0}),
        ("WITH a AS (SELECT ssn AS x FROM users) SELECT x FROM a", set()),
        ("WITH a (x, y) AS (SELECT ssn, id FROM users) SELECT * FROM a", {1}),
        ("WITH a AS (SELECT id FROM users), b AS (SELECT ssn FROM users) SELECT * FROM a, b", {0}),
        ("WITH RECURSIVE t(a, b) AS (SELECT 1, ssn FROM users UNION SELECT b, a FROM t) TABLE t",
         set()),
        ("SELECT * FROM users a JOIN departments b USING (id)", {0, 1, 4, 6}),
        ("SELECT * FROM departments NATURAL JOIN orders", {0, 1, 2, 3, 4}),
        ("SELECT * FROM veiled", {0, 1}),
        ("SELECT v.*, ssn, id FROM veiled v", {0, 1, 3}),
        ("SELECT contact, id FROM v_users", {1}),
        ("SELECT a FROM JSON_TABLE((SELECT max(ssn) FROM users), '$' COLUMNS (a INT PATH '$')) t",
         set()),
        ("SELECT x.s FROM users u, LATERAL (SELECT u.ssn AS s) x", set()),
        ("SELECT * FROM (VALUES ROW(1, (SELECT ssn FROM users LIMIT 1))) v", {0}),
        ("SELECT DATE_ADD(now(), INTERVAL ssn DAY), 5 DIV ssn, EXTRACT(DAY FROM ssn) FROM users",
         set()),
        ("SELECT SUBSTRING('x' FROM ssn), TRIM(ssn FROM 'x'), POSITION('x' IN ssn) FROM users",
         set()),
        ("SELECT TIMESTAMPDIFF(DAY, now(), ssn), CHAR(ssn USING utf8mb4) FROM users", set()),
    ],
)  # fmt: skip
def test_exactly_the_outputs_without_labelled_values_are_clean(
    sql: str, expected: set[int]
) -> None:
    assert clean(sql) == expected


@pytest.mark.parametrize(
    "sql",
    [
        # The server names an expression after its text, and names in the way lead outward.
        "SELECT (SELECT `-ssn` FROM (SELECT -ssn FROM users) d) FROM (SELECT 1 AS `-ssn`) o",
        "SELECT (SELECT id FROM (SELECT 'id' UNION SELECT ssn FROM users) d) FROM departments",
        "SELECT (SELECT name FROM (SELECT (ssn) FROM users) d) FROM (SELECT 1 AS ssn) o",
        "SELECT ssn FROM (SELECT (ssn) FROM users) d",
        "SELECT ssn AS x, (SELECT x) FROM users",
        "SELECT id FROM users WHERE x = 1 AND (SELECT ssn AS x)",
    ],
)  # fmt: skip
def test_a_name_that_servers_may_resolve_otherwise_is_refused(sql: str) -> None:
    assert refusal(sql) == "COLUMN_UNKNOWN"


def test_a_dropped_word_does_not_lend_its_output_the_columns_name() -> None:
    """`BINARY name` is no column called name, so the name means the outer one."""
    found = facts("SELECT (SELECT ssn FROM (SELECT BINARY ssn FROM users) d) FROM users")
    assert found.opaque is not None or not found.clean_outputs


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("INSERT INTO orders (id, note) SELECT id, ssn FROM users", {"pii"}),
        ("INSERT INTO orders (id, note) SELECT id, name FROM users", set()),
        ("INSERT INTO orders SET id = 1, note = (SELECT ssn FROM users LIMIT 1)", {"pii"}),
        ("REPLACE orders (note) SELECT max(ssn) FROM users",
         {"pii"}),
        ("REPLACE INTO orders (note) SELECT password_hash FROM users", {"secret"}),
        ("UPDATE users SET name = ssn WHERE id = 1", {"pii"}),
        ("UPDATE users SET ssn = TRIM(LOWER(ssn)) WHERE id = 1", set()),
        ("UPDATE users SET ssn = LEFT(ssn, 1) WHERE id = 1", {"pii"}),
        ("UPDATE users SET ssn = email WHERE id = 1", {"pii"}),
        ("UPDATE orders o JOIN users u ON u.id = o.user_id SET o.note = u.ssn WHERE u.id = 1",
         {"pii"}),
        ("CREATE TABLE t AS SELECT ssn FROM users", {"pii"}),
        ("CREATE VIEW v AS SELECT ssn AS harmless FROM users", {"pii"}),
        ("ALTER TABLE users ADD COLUMN z VARCHAR(9) AS (ssn)", {"pii"}),
    ],
)  # fmt: skip
def test_labels_that_are_written_elsewhere_are_told(sql: str, expected: set[str]) -> None:
    found = facts(sql)
    assert found.opaque is None, found.opaque
    assert found.labels_copied == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT id FROM users WHERE ssn LIKE '1%'", set()),
        ("SELECT u.id FROM users u JOIN departments d ON u.ssn = d.name", {"pii"}),
        ("SELECT d.id FROM departments d WHERE EXISTS (SELECT 1 FROM users u WHERE u.ssn = d.name)",
         {"pii"}),
        ("SELECT id FROM orders WHERE note IN (SELECT ssn FROM users)", {"pii"}),
        ("SELECT u.id FROM users u LEFT JOIN departments d ON u.ssn LIKE '1%'", {"pii"}),
        ("SELECT 1 FROM users u JOIN (SELECT '1' AS ssn) g USING (ssn)", {"pii"}),
        ("SELECT name FROM users LIMIT 1 OFFSET 2", set()),
    ],
)  # fmt: skip
def test_labels_that_meet_other_rows_are_told(sql: str, expected: set[str]) -> None:
    assert facts(sql).labels_compared == expected


def test_every_label_that_is_touched_anywhere_is_read() -> None:
    sql = "SELECT id FROM users WHERE email = 'x' ORDER BY password_hash"
    assert facts(sql).labels_read == {"pii", "secret"}


def test_rows_that_hang_on_labelled_values_make_a_querys_outputs_unclean() -> None:
    assert clean("SELECT name FROM (SELECT name FROM users WHERE ssn LIKE '1%') d") == set()


def test_a_plan_tells_of_labelled_values() -> None:
    assert clean("EXPLAIN SELECT id FROM users WHERE ssn = '1'") == set()
    assert clean("EXPLAIN SELECT id FROM orders")


def test_what_was_just_copied_does_not_come_back_clean() -> None:
    sql = "INSERT INTO orders (id, note) SELECT id, ssn FROM users RETURNING note"
    assert clean(sql) == set()
    assert clean("DELETE FROM orders WHERE id = 1 RETURNING note") == {0}


STORED = {
    "SELECT ssn FROM users": {(0, "ssn")},
    "SELECT * FROM users": {(2, "email"), (3, "ssn"), (5, "password_hash")},
    "WITH o AS (SELECT ssn AS note FROM users) SELECT note FROM o": {(0, "ssn")},
    "SELECT ssn FROM users UNION SELECT ssn FROM users": {(0, "ssn")},
    "SELECT note, ssn FROM users JOIN orders ON user_id = users.id": {(1, "ssn")},
    "SELECT (ssn) AS email FROM users": {(0, "ssn")},
    # An alias is no origin, nor is what was computed, or is there in some rows alone.
    "WITH users AS (SELECT note AS ssn FROM orders) SELECT ssn FROM users": set(),
    "SELECT ssn FROM users UNION SELECT email FROM users": set(),
    "SELECT ssn FROM users UNION SELECT 'x'": set(),
    "SELECT UPPER(ssn), TRIM(ssn), MAX(ssn), CONCAT(ssn, '') FROM users": set(),
    "SELECT COALESCE(ssn, ''), IF(id = 1, ssn, ssn), ssn = ssn FROM users": set(),
    "SELECT (SELECT ssn FROM users LIMIT 1) FROM orders": set(),
    "SELECT contact FROM v_users": set(),
    "EXPLAIN SELECT ssn FROM users": set(),
}


@pytest.mark.parametrize("sql", STORED)
def test_outputs_that_are_a_columns_stored_values_are_told(sql: str) -> None:
    found = facts(sql)
    assert found.opaque is None
    assert {(index, column) for index, _, column in found.stored_outputs} == STORED[sql]
    assert not {index for index, _, _ in found.stored_outputs} & found.clean_outputs
