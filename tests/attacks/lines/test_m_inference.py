"""Lines M12 to M14 and M16: what rows, their order, time, errors and plans tell of a value."""

from __future__ import annotations

import json

import pytest

from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from tests.attacks.lines.guard import WAITING, Guard, Verdicts, everything, mcp_verdict, text_of
from tests.attacks.lines.leaks import found, found_in_bytes
from tests.attacks_sql.doors import approved, listener

pytestmark = pytest.mark.anyio

COMPARED = "no-comparing-of-labelled-values"


def where(*conditions: str) -> list[str]:
    return [f"SELECT id FROM customers WHERE {condition}" for condition in conditions]


async def test_m12_rows_are_not_picked_by_a_labelled_value_without_a_person(guard: Guard) -> None:
    await guard.waits(
        *where(
            *("ssn LIKE '1%'", "ssn ~ '^2'", "ssn BETWEEN '1' AND '2'", "ssn > '3'", "'3' > ssn"),
            *("left(ssn, 1) = '2'", "starts_with(ssn, '2')", "ssn ^@ '2'", "ssn SIMILAR TO '2%'"),
            *("position('9' IN ssn) = 3", "(ssn LIKE '2%') IS TRUE", "(ssn LIKE '2%') = true"),
            *("CASE WHEN ssn LIKE '2%' THEN true ELSE false END", "ssn::\"char\" = '2'"),
            *("ssn::varchar(3) = '219'", "ssn::char = '2'", "ssn = '2' || substr(ssn, 2)"),
            *("ssn = overlay(ssn PLACING '2' FROM 1)", "ssn = least(ssn, '3')", "length(ssn) = 11"),
            *("ssn = CASE WHEN ssn LIKE '2%' THEN ssn END", "(ssn, id) > ('2', 0)"),
            *(
                "customers::text LIKE '%219%'",
                "(customers).ssn LIKE '2%'",
                "ssn < ALL (ARRAY['3'])",
            ),
            *("to_jsonb(customers)->>'ssn' LIKE '2%'", "ARRAY[ssn] > ARRAY['x']"),
            *(
                "coalesce(nullif(left(ssn, 1), '2'), 'x') = 'x'",
                "ssn BETWEEN SYMMETRIC '2' AND '3'",
            ),
            *("replace(ssn, '-', '')::bigint % 2 = 0", "id = CASE WHEN ssn LIKE '2%' THEN 1 END"),
            *("ssn = ANY (string_to_array(ssn, '-') || ARRAY['x'])", "(SELECT ssn LIKE '2%')"),
            *("ssn = 'x' OR ssn > '2'", "id IN (SELECT id FROM customers WHERE ssn LIKE '2%')"),
            *("ssn OPERATOR(pg_catalog.~<~) '3'", "NOT ssn < '3'", "random() < 2 AND ssn > '3'"),
        ),
        "SELECT id FROM customers ORDER BY ssn",
        "SELECT id FROM customers ORDER BY left(ssn, 1), id LIMIT 1",
        "SELECT id, reverse(ssn) AS r FROM customers ORDER BY r",
        "SELECT id, reverse(ssn) FROM customers ORDER BY 2 LIMIT 1 OFFSET 2",
        "SELECT DISTINCT ON (left(ssn, 1)) id FROM customers",
        "SELECT DISTINCT reverse(ssn) FROM customers",
        "SELECT count(*) FROM customers GROUP BY ssn",
        "SELECT min(id) FROM customers GROUP BY ROLLUP (left(ssn, 1))",
        "SELECT count(*) FROM customers HAVING min(ssn) LIKE '1%'",
        "SELECT id FROM customers GROUP BY id HAVING count(nullif(ssn LIKE '2%', false)) = 1",
        "SELECT 1 WHERE (SELECT count(nullif(left(ssn, 1) = '2', false)) FROM customers) = 1",
        "SELECT EXISTS (SELECT 1 FROM customers WHERE ssn LIKE '2%')",
        "SELECT c.id FROM customers c JOIN customers d ON c.ssn > d.ssn",
        "SELECT q.id FROM (SELECT id, left(ssn, 1) AS s FROM customers) q WHERE q.s = '2'",
        "WITH q AS (SELECT id, ssn LIKE '2%' AS s FROM customers) SELECT id FROM q WHERE s",
        "SELECT id FROM (SELECT id, left(ssn, 1) AS s FROM customers UNION ALL SELECT 1, 'x') q"
        " WHERE q.s = '2'",
        "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id AND c.ssn LIKE '2%'",
        "SELECT id FROM contacts WHERE mail LIKE 'a%'",
        "SELECT id FROM m_copies WHERE x LIKE '1%'",
        "SELECT id FROM v_lateral ORDER BY x",
        "UPDATE orders SET status = 'x' FROM customers c WHERE c.ssn LIKE '2%' AND orders.id = 1",
    )


async def test_m12_a_value_is_not_compared_with_a_list_of_guesses(guard: Guard) -> None:
    await guard.refuses(
        COMPARED,
        "SELECT g.x FROM customers c JOIN (VALUES ('219-'), ('457-')) g(x) ON g.x = c.ssn",
        "SELECT g FROM customers c, generate_series(0, 9) g WHERE g::text = left(c.ssn, 1)",
        "SELECT c.id, o.id FROM customers c JOIN orders o ON o.id::text = left(c.ssn, 3)",
        "SELECT id FROM orders WHERE id::text IN (SELECT left(ssn, 3) FROM customers)",
        "SELECT o.id FROM orders o LEFT JOIN customers c ON c.ssn LIKE '2%'",
        "SELECT id FROM orders LIMIT (SELECT left(ssn, 1)::int FROM customers WHERE id = 1)",
        "SELECT id FROM orders OFFSET (SELECT ascii(ssn) FROM customers WHERE id = 1)",
        "SELECT (SELECT g FROM generate_series(0, 9) g WHERE g::text = left(c.ssn, 1))"
        " FROM customers c",
        "SELECT id, generate_series(1, left(ssn, 1)::int) FROM customers",
    )
    # More than a handful of constants is a list of guesses too.
    guesses = ", ".join(f"'{n:03}'" for n in range(500))
    before = await guard.state()
    for sql in where(
        f"ssn IN ({guesses})", f"ssn = ANY (ARRAY[{guesses}])", f"ssn NOT IN ({guesses})"
    ):
        assert (await guard.ask(sql)).verdicts == WAITING
    whole = await guard.ask(
        where("ssn IN (SELECT lpad(g::text, 9, '0') FROM generate_series(1, 99) g)")[0]
    )
    assert whole.verdicts in (WAITING, Verdicts.all(COMPARED))
    assert (
        mcp_verdict(await guard.mcp(where("ssn = ANY ($1)")[0], params=["{1,2}"]))
        == "APPROVAL_PENDING"
    )
    assert await guard.state() - before == set()


async def test_m12_what_is_known_already_is_looked_up(guard: Guard) -> None:
    await guard.runs(
        *where("ssn = 'x'", "email = 'x@example.com'", "lower(email) = 'x'", "ssn IN ('x', 'y')"),
        "SELECT name FROM customers WHERE id = 1",
    )
    held = await guard.mcp("SELECT id FROM customers WHERE email = $1", params=["x"])
    assert mcp_verdict(held) == "OK"


async def test_m13_nothing_waits_for_a_labelled_value(guard: Guard) -> None:
    """Sleeping is refused; how long a masked expression took to compute is not told apart here."""
    await guard.refuses(
        "FUNCTION_NOT_ALLOWED",
        "SELECT CASE WHEN ssn LIKE '2%' THEN pg_sleep(1) END FROM customers",
        "SELECT id FROM customers WHERE ssn LIKE '2%' AND pg_sleep(1) IS NULL",
        "SELECT CASE WHEN ssn LIKE '2%' THEN pg_advisory_lock(1) END FROM customers",
        "SELECT CASE WHEN ssn LIKE '2%' THEN repeat('x', 100000000) END FROM customers",
        "SELECT CASE WHEN ssn LIKE '2%' THEN pg_sleep_for('1s') END FROM customers",
    )
    before = await guard.state()
    for sql in (
        "SELECT id FROM customers WHERE ssn LIKE '2%'"
        " AND (SELECT count(*) FROM generate_series(1, 3000000)) > 0",
        "SELECT id FROM customers WHERE CASE WHEN ssn LIKE '2%'"
        " THEN (SELECT count(*) FROM orders a, orders b, orders c) > 0 END",
    ):
        verdicts = (await guard.ask(sql)).verdicts
        assert (sql, verdicts) in ((sql, WAITING), (sql, Verdicts.all("SQL_TOO_COMPLEX")))
    assert await guard.state() - before == set()


ERRORS = {
    "SELECT ssn::int FROM customers": "22P02",
    "SELECT ssn::date FROM customers": "22008",
    "SELECT ssn::json FROM customers": "22P02",
    "SELECT ssn::inet FROM customers": "22P02",
    "SELECT ssn::uuid FROM customers": "22P02",
    "SELECT (SELECT ssn FROM customers)": "21000",
    "SELECT ('{' || ssn)::int[] FROM customers": "22P02",
    "SELECT regexp_replace('a', ssn || '(', 'b') FROM customers": "2201B",
    "SELECT to_number(ssn, ssn) FROM customers": "22P02",
    "SELECT make_date(left(ssn, 3)::int, 99, 99) FROM customers": "22008",
    "SELECT (ssn || 'x')::interval FROM customers": "22007",
    "SELECT chr(-ascii(ssn)) FROM customers": "22023",
    "SELECT convert_from(ssn::bytea || '\\xff', 'UTF8') FROM customers": "22021",
    "SELECT format('%' || ssn, 1) FROM customers": "22023",
    "SELECT jsonb_path_query_array('{}', ssn::jsonpath) FROM customers": "42601",
    "SELECT ssn::xml FROM customers": "0A000",
    "SELECT name FROM customers WHERE email = 'x' OR id / 0 = 1": "22012",
}


async def test_m14_an_error_says_its_code_and_nothing_of_the_value(guard: Guard) -> None:
    before = await guard.state()
    for sql, code in ERRORS.items():
        answer = await guard.ask(sql)
        assert (sql, answer.leaks) == (sql, set())
        assert (sql, answer.verdicts) == (sql, Verdicts.all(code))
        document = json.loads(text_of(answer.result))
        assert "withheld" in document["reason"]
        assert document["position"] is None
        fields = [r.fields for r in [*await guard.simple(sql)] if isinstance(r, b.ErrorResponse)]
        assert {tag for each in fields for tag, _ in each} <= {"S", "V", "C", "M", "P"}
    assert await guard.state() - before == set()


async def test_m14_an_approved_change_fails_without_showing_the_row(guard: Guard) -> None:
    """The server's own words for these hold the key, or the whole row."""
    constraints = {
        "INSERT INTO checked (id, ssn) SELECT 1, 'x' FROM customers WHERE id = 1": "23514",
        "UPDATE customers SET id = 2 WHERE id = 1": "23505",
        "UPDATE customers SET name = NULL WHERE id = 1": "23502",
        "INSERT INTO customers (id, name) VALUES (1, 'x')": "23505",
        "UPDATE customers SET balance = 123456789012 WHERE id = 1": "22003",
    }
    before = await guard.state()
    for sql, code in constraints.items():
        said = await approved(guard.world, sql)
        assert (sql, code in said.text, found(said.text)) == (sql, True, set()), said
        assert (sql, "withheld" in said.text) == (sql, "checked" not in sql)
    assert await guard.state() - before == set()


async def test_m16_a_plan_shows_no_value_and_counts_nothing(guard: Guard) -> None:
    before = await guard.state()
    for options in (
        "",
        "VERBOSE",
        "(FORMAT json)",
        "(COSTS off)",
        "(ANALYZE)",
        "(ANALYZE, BUFFERS)",
    ):
        for sql in (
            *("SELECT * FROM customers", "SELECT reverse(ssn) FROM customers", "TABLE m_copies"),
            "SELECT ssn, email FROM customers WHERE ssn = 'x'",
            "SELECT name FROM customers WHERE id IN (1, 2)",
        ):
            answer = await guard.ask(f"EXPLAIN {options} {sql}")
            assert (options, sql, answer.verdicts, answer.leaks) == (
                *(options, sql, Verdicts.all("OK"), set()),
            )
            if "ANALYZE" in options and "name" not in sql:
                assert answer.cells <= {None, "<redacted>"}
    # Estimates come from samples of the values, and so does how many rows came.
    await guard.waits(
        "EXPLAIN SELECT * FROM customers WHERE ssn < '3'",
        "EXPLAIN (COSTS) SELECT * FROM customers WHERE ssn LIKE '2%'",
        "EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM customers WHERE ssn LIKE '2%'",
        "EXPLAIN ANALYZE SELECT id FROM customers ORDER BY ssn",
        "EXPLAIN (GENERIC_PLAN) SELECT id FROM customers WHERE ssn > '3'",
    )
    await guard.refuses(
        COMPARED,
        "EXPLAIN VERBOSE SELECT id FROM orders"
        " WHERE id = (SELECT ascii(ssn) FROM customers LIMIT 1)",
    )
    await guard.refuses("SQL_NOT_UNDERSTOOD", "LOAD 'auto_explain'")
    await guard.refuses(
        "SETTING_NOT_ALLOWED", "SET auto_explain.log_min_duration = 0", "SET debug_print_plan = on"
    )
    assert await guard.state() - before == set()


async def test_m16_a_described_statement_tells_no_more_than_its_columns(guard: Guard) -> None:
    async with listener(guard.world) as client:
        client.send(f.Parse("s", "SELECT ssn, reverse(ssn) AS r FROM customers WHERE ssn = $1"))
        client.send(f.Describe("S", "s"), f.Sync())
        replies = await client.until_ready()
    assert found_in_bytes(everything(replies)) == set()
