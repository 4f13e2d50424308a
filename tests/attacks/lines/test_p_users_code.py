"""Line P35: code of users that a read would run, named or not."""

from __future__ import annotations

import pytest

from server.protocols.postgres import frontend as f
from tests.attacks.lines.guard import Guard, wire_verdict
from tests.attacks_sql.doors import listener

pytestmark = pytest.mark.anyio

NOT_ALLOWED = "FUNCTION_NOT_ALLOWED"
OPAQUE = "SQL_NOT_UNDERSTOOD"

CALLS = (
    *("SELECT poke('a')", "SELECT public.poke('a')", "SELECT * FROM poke('a')"),
    *("SELECT id FROM orders ORDER BY poke(status)", "VALUES (poke('a'))", "SELECT definer()"),
    *("SELECT 1 LIMIT length(poke('a'))", "SELECT 1 LIMIT (SELECT length(poke('a')))"),
    *("SELECT 1 OFFSET length(poke('a'))", "SELECT gather('a')", "SELECT gather('a') OVER ()"),
    *("SELECT sum(1) OVER (PARTITION BY poke('a'))", "SELECT poke(x => 'a')"),
    *("SELECT sum(1) OVER (ROWS length(poke('a')) PRECEDING)", "EXPLAIN SELECT poke('a')"),
    *("SELECT count(*) FILTER (WHERE poke('a') = 'a')", "SELECT poke(VARIADIC ARRAY['a'])"),
    *("SELECT CASE poke('a') WHEN 'a' THEN 1 END", "SELECT (ARRAY[1, 2])[length(poke('a'))]"),
    *("SELECT array_agg(id ORDER BY poke(status)) FROM orders", "SELECT EXISTS (SELECT poke('a'))"),
    *("SELECT DISTINCT ON (poke(status)) id FROM orders", "WITH x AS (SELECT poke('a')) SELECT 1"),
    *("SELECT id FROM orders GROUP BY ROLLUP (id, poke(status))", "SELECT id FROM v_definer"),
    *(
        "SELECT * FROM orders o JOIN customers c ON poke(o.status) = c.name",
        "SELECT * FROM v_calls",
    ),
    *("SELECT * FROM v_definer", "SELECT p::text FROM typed", "SELECT upper(p) FROM typed"),
    "SELECT * FROM orders TABLESAMPLE poke (1)",
    *("SELECT * FROM v_over_indexed", "SELECT x.id FROM v_over_indexed AS x(id)"),
)
# Nothing of these names a function: the server puts it in.
UNNAMED = (
    *("SELECT g FROM domained", "SELECT coalesce(g, '5') FROM domained"),
    *("SELECT a || '{5}' FROM domained", "SELECT array_append(a, '5') FROM domained"),
    *("SELECT coalesce(h, '(5)') FROM domained", "SELECT lag(g, 1, '5') OVER () FROM domained"),
    *("SELECT array_replace(a, '5', '6') FROM domained", "SELECT * FROM domained"),
    *("SELECT g FROM domained UNION ALL SELECT '5'", "SELECT domained FROM domained"),
    # The planner computes what an index, a constraint or statistics hold of constants.
    *("SELECT id FROM indexed", "EXPLAIN SELECT id FROM indexed", "TABLE indexed"),
    *("SELECT id FROM constrained WHERE id > 0", "SELECT id FROM constrained_1"),
    "SELECT id FROM (SELECT id FROM constrained_1 UNION ALL SELECT id FROM orders) x WHERE id > 0",
    *(
        "SELECT id FROM measured",
        "SELECT id FROM opened",
        "EXPLAIN DELETE FROM indexed WHERE id = 1",
    ),
    *("EXPLAIN INSERT INTO indexed VALUES (1)", "EXPLAIN UPDATE indexed SET id = 2 WHERE id = 1"),
    # And asks the operator class of a partition key, or of an index, how values are ordered.
    *("SELECT id FROM parted WHERE t = 'a'", "SELECT * FROM parted", "SELECT t FROM ordered"),
    *("SELECT s FROM ranged", "SELECT coalesce(s, '[a,b)') FROM ranged"),
    # Policies of rows, and what they read in turn.
    *("SELECT id FROM secured", "TABLE compared", "EXPLAIN SELECT id FROM secured"),
    *("SELECT id FROM checked_rows", "SELECT count(*) FROM looked_up", "TABLE looked_up_twice"),
    *("SELECT id FROM v_secured", "COPY secured TO STDOUT", "EXPLAIN TABLE secured"),
)


async def test_p35_no_code_of_a_user_is_run_by_a_read(guard: Guard) -> None:
    await guard.refuses(NOT_ALLOWED, *CALLS)
    await guard.refuses(NOT_ALLOWED, *UNNAMED)
    await guard.refuses(
        "OPERATOR_UNKNOWN",
        "SELECT 'a' <+> 'b'",
        "SELECT 'a' OPERATOR(public.<+>) 'b'",
        "SELECT 'a' OPERATOR(evil.=) 'b'",
        "SELECT 1 ~<=~ 2",
        "SELECT @@ '/etc/passwd'::text",
    )
    await guard.refuses(
        "TYPE_UNKNOWN",
        *("SELECT 5::guarded", "SELECT CAST('5' AS guarded)", "SELECT guarded '5'"),
        *("SELECT '{5}'::guarded[]", "SELECT '(1,x)'::pair", "SELECT 'sad'::mood"),
        "SELECT NULL::customers",
        "SELECT * FROM json_to_record('{\"a\":5}') AS t(a guarded)",
    )
    await guard.refuses(
        OPAQUE,
        "SELECT id FROM orders ORDER BY id USING OPERATOR(public.~<=~)",
    )
    await guard.refuses(
        "COLUMN_UNKNOWN",
        "SELECT x.poke FROM (SELECT status AS x FROM orders) x",
        "SELECT o.poke FROM orders o",
        "SELECT o.status.poke FROM orders o",
    )


async def test_p35_tables_with_harmless_expressions_are_still_read(guard: Guard) -> None:
    """A user's function of a column, in an index, is not called by a read that does not name it."""
    await guard.runs("SELECT id FROM plainly", "SELECT d FROM typed", "SELECT id FROM ledger")


async def test_p35_tables_with_harmless_row_policies_are_still_read(guard: Guard) -> None:
    """By built-in functions, by other tables; or that are for INSERT, or not in force."""
    await guard.runs("SELECT id FROM owned", "SELECT id FROM v_owned", "SELECT id FROM not_secured")


async def test_p35_a_parameters_type_runs_no_code(guard: Guard) -> None:
    """A client says the types of its parameters: the check of a domain would run at Bind."""
    named = ("guarded", "_guarded", "pair", "span", "holder")
    query = "SELECT oid FROM pg_type WHERE typname = $1"
    oids = {name: await guard.direct.fetchval(query, name) for name in named}
    values = {
        "guarded": b"5",
        "_guarded": b"{5}",
        "pair": b"(1,x)",
        "span": b"[a,b)",
        "holder": b"(5)",
    }
    before = await guard.state()
    async with listener(guard.world) as client:
        for name, oid in oids.items():
            for text in ("SELECT $1", "SELECT $1 IS NULL", "SELECT coalesce($1, NULL)"):
                client.send(f.Parse("", text, (oid,)), f.Bind("", "", (), (values[name],)))
                client.send(f.Execute(""), f.Sync())
                assert (name, wire_verdict(await client.until_ready())) == (name, "TYPE_UNKNOWN")
    assert await guard.state() - before == set()
