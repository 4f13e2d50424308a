"""Which output columns are proven to carry no labelled value, and which labels a change copies."""

from __future__ import annotations

import pytest

from policies.sql.postgres import analyse
from tests.policies.catalogs import catalog


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("SELECT id, ssn, 1, $1::int, id + 1, ssn || '' FROM users", {0, 2, 3, 4}),
        # id, name, email, ssn, dept_id, password_hash
        ("SELECT * FROM users", {0, 1, 4}),
        ("SELECT o.*, ssn, 1 FROM orders o, users", {0, 1, 2, 3, 5}),
        ("SELECT * FROM users JOIN departments USING (id)", {0, 1, 4, 6}),
        ("SELECT d, a FROM users u(a, b, c, d, e, f)", {1}),
        ("SELECT u FROM users u", set()),
        ("SELECT (u).id, (u).ssn, id(u), ssn(u) FROM users u", {0, 2}),
        ("SELECT count(*), count(ssn), max(ssn), max(id) FROM users", {0, 1, 3}),
        ("SELECT count(*) OVER (ORDER BY ssn), count(*) OVER () FROM users", {1}),
        ("SELECT CASE WHEN ssn = '1' THEN 1 END, coalesce(name, ssn) FROM users", set()),
        ("SELECT id FROM users ORDER BY ssn", {0}),
        ("SELECT contact, id FROM v_users", {1}),
        ("SELECT 'x' AS id UNION ALL SELECT ssn FROM users", set()),
        ("SELECT id, name FROM (SELECT ssn AS name, id FROM users) s", {0}),
        ("WITH a(x, y) AS (SELECT ssn, id FROM users) SELECT x, y FROM a", {1}),
        ("SELECT column2, column1 FROM (VALUES (1, (SELECT ssn FROM users))) v", {1}),
        ("SELECT (SELECT ssn FROM users u WHERE u.id = o.user_id), o.id FROM orders o", {1}),
        ("SELECT EXISTS (SELECT 1 FROM users WHERE ssn = '1'), 1", {1}),
        ("SELECT key, value, 1 FROM users u, json_each_text(row_to_json(u))", {2}),
        ("SELECT i, x FROM unnest(ARRAY['a', 'b']) WITH ORDINALITY AS t(x, i)", {0, 1}),
        ("SELECT z.ssn, d.id FROM departments d, LATERAL (SELECT ssn FROM users) z", {1}),
        ("UPDATE users SET name = 'a' WHERE id = 1 RETURNING id, ssn, name || 'x'", {0, 2}),
        ("EXPLAIN SELECT ssn FROM users", {0}),
        ("EXPLAIN ANALYZE SELECT ssn FROM users", set()),
    ],
)
def test_outputs_are_clean_only_with_a_proof(text: str, clean: set[int]) -> None:
    assert analyse(text, catalog()).clean_outputs == clean


@pytest.mark.parametrize(
    "text",
    [
        # The server finds ssn, lower and case in the inner query, under names that it makes up.
        "SELECT (SELECT ssn FROM unnest(ARRAY(SELECT u FROM users u)) x) FROM (SELECT 1 ssn) d",
        "SELECT (SELECT lower FROM (SELECT lower(ssn) FROM users) z) FROM (SELECT 1 AS lower) d",
        "SELECT (SELECT \"case\" FROM (SELECT CASE WHEN true THEN ssn || '' END FROM users) z)"
        ' FROM (SELECT 1 AS "case") d',
        "SELECT x.*, 1 FROM unnest(ARRAY(SELECT u FROM users u)) x",
        "SELECT j.x FROM (users u JOIN orders o ON u.id = o.user_id) AS j(a, b, c, x)",
        "SELECT a, b FROM users, json_to_record(json_build_object('a', ssn)) AS x(a text, b int)",
        "SELECT string_agg(name, ',' ORDER BY ssn) FROM users",
        "WITH RECURSIVE t(a, b) AS (SELECT name, ssn FROM users UNION ALL SELECT b, a FROM t)"
        " SELECT a FROM t",
        "INSERT INTO departments SELECT id, ssn FROM users RETURNING name",
    ],
)
def test_ways_round_the_proof_are_not_clean(text: str) -> None:
    assert analyse(text, catalog()).clean_outputs == set()


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("INSERT INTO departments SELECT id, ssn FROM users", {"pii"}),
        ("INSERT INTO departments SELECT id, name FROM users WHERE ssn = '1'", set()),
        ("INSERT INTO departments VALUES (1, (SELECT email FROM users WHERE id = 1))", {"pii"}),
        ("INSERT INTO departments SELECT id, u::text FROM users u", {"pii", "secret"}),
        ("WITH s AS (SELECT ssn FROM users) UPDATE orders SET note = s.ssn FROM s", {"pii"}),
        ("UPDATE orders SET note = u.ssn FROM users u WHERE u.id = user_id", {"pii"}),
        ("UPDATE orders SET (note, total) = (SELECT ssn, 1 FROM users)", {"pii"}),
        ("UPDATE users SET name = ssn WHERE id = 1", {"pii"}),
        ("UPDATE users SET email = lower(email) WHERE id = 1", set()),
        ("UPDATE users u SET email = u.email, ssn = o.ssn FROM users o WHERE o.id = 1", set()),
        ("UPDATE users SET email = ssn WHERE id = 1", {"pii"}),
        ("UPDATE users SET email = 'x@' || replace(email, '@', '.') WHERE id = 1", {"pii"}),
        ("INSERT INTO users (id, name, email) SELECT id, name, ssn FROM users", {"pii"}),
        ("UPDATE users SET email = password_hash WHERE id = 1", {"secret"}),
        ("UPDATE users SET ssn = '***' WHERE ssn = '1'", set()),
        ("INSERT INTO users (id, ssn) VALUES (1, '2') ON CONFLICT (id)"
         " DO UPDATE SET name = excluded.ssn", {"pii"}),
        ("CREATE VIEW plain AS SELECT ssn AS note FROM users", {"pii"}),
        ("ALTER TABLE users ALTER name TYPE text USING ssn", {"pii"}),
        ("SELECT ssn FROM users", set()),
    ],
)  # fmt: skip
def test_labels_that_leave_their_column_are_copied(text: str, labels: set[str]) -> None:
    found = analyse(text, catalog())
    assert found.opaque is None, found.opaque
    assert found.labels_copied == labels
