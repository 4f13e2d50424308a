"""Labelled values can't be read off what they are compared with (M12)."""

from __future__ import annotations

import json

import pytest

from tests.attacks_sql.doors import Doors, approved

pytestmark = pytest.mark.anyio

JOINED = "FROM customers c JOIN"
COMPARED = [
    f"SELECT c.id, g {JOINED} generate_series(0, 9) g ON g::text = substr(c.ssn, 1, 1)",
    "SELECT c.id, g FROM customers c, generate_series(100, 999) g WHERE g::text = left(c.ssn, 3)",
    f"SELECT c.id, o.id {JOINED} orders o ON o.id::text = left(c.ssn, 3)",
    f"SELECT v.x {JOINED} (VALUES ('219'), ('457')) v(x) ON v.x = left(c.ssn, 3)",
    f"SELECT v.ssn {JOINED} (VALUES ('219-09-9991')) v(ssn) USING (ssn)",
    "SELECT v.ssn FROM customers c NATURAL JOIN (VALUES ('219-09-9991')) v(ssn)",
    f"SELECT o.id {JOINED} orders o ON CASE WHEN c.ssn LIKE '2%' THEN o.id = 2 ELSE o.id = 3 END",
    "SELECT id FROM orders WHERE id::text IN (SELECT left(ssn, 3) FROM customers)",
    "SELECT id FROM orders WHERE id = ANY (SELECT left(ssn, 3)::int FROM customers)",
    "SELECT id FROM orders WHERE id = (SELECT left(ssn, 3)::int FROM customers WHERE id = 1)",
    "SELECT o.id FROM orders o WHERE (SELECT left(ssn, 3) = o.id::text FROM customers LIMIT 1)",
    "SELECT o.id FROM orders o"
    " WHERE EXISTS (SELECT 1 FROM customers c WHERE left(c.ssn, 3) = o.id::text)",
    "SELECT id, (SELECT g FROM generate_series(1, 999) g WHERE g::text = left(c.ssn, 3))"
    " FROM customers c",
    "SELECT c.id, g FROM customers c, generate_series(0, 9) g"
    " WHERE (c.ssn LIKE '1%' AND g = 1) OR (c.ssn LIKE '2%' AND g = 2)",
    "SELECT q.id FROM (SELECT c.ssn, o.id FROM customers c, orders o) q"
    " WHERE left(q.ssn, 3) = q.id::text",
    "SELECT o.id FROM customers c, orders o,"
    " LATERAL (SELECT left(c.ssn, 3) = o.id::text AS m) l WHERE l.m",
    "WITH l AS (SELECT o.id, left(c.ssn, 3) = o.id::text AS m FROM customers c, orders o)"
    " SELECT id FROM l WHERE m",
    "WITH q AS (SELECT left(ssn, 3)::int AS id FROM customers) SELECT o.id FROM orders o"
    " JOIN q USING (id)",
    "SELECT c.id, a.x FROM customers c"
    " LEFT JOIN LATERAL (SELECT 1 AS x WHERE c.ssn LIKE '1%') a ON true",
    "SELECT c.id, a.id FROM customers c"
    " LEFT JOIN (SELECT id FROM customers WHERE ssn LIKE '2%') a ON a.id = c.id",
    "SELECT c.id, o.id FROM customers c LEFT JOIN orders o ON c.ssn LIKE '2%' AND o.id = 1",
    "SELECT id FROM orders LIMIT (SELECT left(ssn, 1)::int FROM customers WHERE id = 1)",
    "SELECT id FROM orders OFFSET (SELECT left(ssn, 3)::int FROM customers WHERE id = 1)",
    "SELECT id FROM orders ORDER BY id = (SELECT left(ssn, 3)::int FROM customers LIMIT 1) DESC",
    "SELECT o.id, o.id = (SELECT left(ssn, 3)::int FROM customers LIMIT 1) AS m FROM orders o"
    " ORDER BY m DESC LIMIT 1",
    "SELECT o.id, o.id = (SELECT left(ssn, 3)::int FROM customers LIMIT 1) FROM orders o"
    " ORDER BY 2 DESC LIMIT 1",
    "SELECT min(o.id) FROM orders o, customers c GROUP BY o.id = left(c.ssn, 3)::int",
    "SELECT id FROM orders GROUP BY id"
    " HAVING id = (SELECT left(ssn, 3)::int FROM customers WHERE id = 1)",
    "SELECT count(*) FROM generate_series(1, (SELECT left(ssn, 3)::int FROM customers LIMIT 1))",
    "SELECT id, generate_series(1, left(ssn, 1)::int) FROM customers",
    "SELECT v FROM (VALUES ('219-09-9991')) x(v) INTERSECT SELECT ssn FROM customers",
    f"SELECT left(c.ssn, 3), g {JOINED} generate_series(0, 9) g ON true"
    " INTERSECT SELECT g::text, g FROM generate_series(0, 9) g",
    "UPDATE orders SET status = 'x' FROM customers c WHERE orders.id::text = left(c.ssn, 3)"
    " RETURNING orders.id",
    "DELETE FROM orders USING customers c WHERE orders.id::text = left(c.ssn, 3) RETURNING 1",
]


@pytest.mark.parametrize("sql", COMPARED)
async def test_a_masked_value_is_compared_with_no_other_data(doors: Doors, sql: str) -> None:
    before = await doors.state()
    said = await doors.mcp(sql)
    assert (said.code, "no-comparing-of-labelled-values" in said.text) == ("FORBIDDEN", True)
    assert (await doors.listener(sql)).code == "42501"
    assert await doors.state() == before


MANY_BITS = [
    "SELECT id, 1 FROM customers WHERE ssn LIKE '1%'"
    " UNION ALL SELECT id, 2 FROM customers WHERE ssn LIKE '2%'",
    "SELECT 7, (SELECT 1 WHERE c.ssn LIKE '2%'), (SELECT 1 WHERE c.ssn LIKE '1%') FROM customers c",
    "SELECT ARRAY(SELECT 1 WHERE c.ssn LIKE '2%') FROM customers c",
    "SELECT (SELECT count(*) FROM customers WHERE ssn LIKE '2%')",
    "SELECT EXISTS (SELECT 1 FROM customers WHERE ssn LIKE '2%')",
    "SELECT min(o.id) FILTER (WHERE c.ssn LIKE '2%') FROM orders o, customers c",
    "SELECT (array_agg(o.id ORDER BY c.ssn LIKE '2%'))[1] FROM orders o, customers c",
]


@pytest.mark.parametrize("sql", MANY_BITS)
async def test_an_answer_that_hangs_on_a_masked_value_is_masked_even_where_it_is_approved(
    doors: Doors, sql: str
) -> None:
    said = await approved(doors.world, sql)
    assert said.code == "", said
    document, _ = json.JSONDecoder().raw_decode(said.text[said.text.index("{") :])
    rows = document["rows"]
    assert {cell for row in rows for cell in row} <= {None, 7, "<redacted>"}


GUESSES = [
    "SELECT id FROM customers WHERE ssn LIKE '2%'",
    "SELECT id FROM customers WHERE ssn > '219'",
    "SELECT id FROM customers WHERE ssn = ANY($1)",
    "SELECT id FROM customers ORDER BY ssn",
    "SELECT id FROM customers ORDER BY left(ssn, 1)",
    "SELECT count(*) FROM customers GROUP BY ssn",
    "SELECT count(*) FROM customers WHERE email LIKE '%@example.com'",
    "SELECT DISTINCT ssn FROM customers",
    "SELECT id, row_number() OVER (ORDER BY ssn) FROM customers",
    "SELECT id FROM (SELECT id, left(ssn, 1) AS x FROM customers) q WHERE x = '2'",
    "EXPLAIN SELECT id FROM customers WHERE ssn LIKE '2%'",
]


@pytest.mark.parametrize("sql", GUESSES)
async def test_rows_are_not_told_apart_by_masked_values_without_approval(
    doors: Doors, sql: str
) -> None:
    said = await doors.mcp(sql, params=["{1,2}"] if "$1" in sql else [])
    assert said.code == "APPROVAL_PENDING"
    asked = json.loads(said.text)
    assert "filtering-by-labels-needs-approval" in said.text
    # So that not too many wait.
    assert doors.world.cli("victor", "approvals", "deny", asked["approval_id"]).returncode == 0


async def test_the_listener_refuses_them_with_a_ticket(doors: Doors) -> None:
    assert (await doors.listener(GUESSES[0])).code == "42501"


LOOKUPS = [
    "SELECT id, name FROM customers WHERE email = 'x@example.com'",
    "SELECT id FROM customers WHERE lower(email) = lower($1) OR name = $1",
    "SELECT * FROM orders WHERE customer_id IN (SELECT id FROM customers WHERE email = 'x')",
    "SELECT o.* FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.email = 'x'",
    "SELECT o.* FROM orders o JOIN customers c ON c.id = o.customer_id AND c.email = 'x'",
    "SELECT 1 FROM orders o"
    " WHERE EXISTS (SELECT 1 FROM customers c WHERE c.id = o.customer_id AND c.email = 'x')",
    "SELECT c.name, count(o.id) FROM customers c LEFT JOIN orders o ON o.customer_id = c.id"
    " GROUP BY c.name",
    "WITH c AS (SELECT * FROM customers WHERE email = 'x') SELECT c.ssn, o.id FROM c"
    " JOIN orders o ON o.customer_id = c.id",
    "SELECT a.id, b.id FROM customers a LEFT JOIN vip b ON a.email = b.email",
    "SELECT id, (SELECT max(total) FROM orders o WHERE o.customer_id = c.id) FROM customers c",
]


@pytest.mark.parametrize("sql", LOOKUPS)
async def test_looking_somebody_up_works(doors: Doors, sql: str) -> None:
    parameters = ["x"] if "$1" in sql else []
    assert (await doors.mcp(sql, params=parameters)).code == ""
