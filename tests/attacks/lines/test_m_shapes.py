"""Lines M06 to M11: labelled values moved to other columns, gathered, cut in pieces, decorated."""

from __future__ import annotations

import pytest

from tests.attacks.lines.guard import Guard, Verdicts

pytestmark = pytest.mark.anyio

COMPARED = "no-comparing-of-labelled-values"
C = "FROM customers"
WIDE = "".join(chr(0xFF10 + digit) for digit in range(10))


def each(*expressions: str) -> list[str]:
    return [f"SELECT {expression} FROM customers" for expression in expressions]


async def test_m06_no_list_of_columns_moves_a_label(guard: Guard) -> None:
    await guard.masks(
        "SELECT x.d || '' FROM customers AS x(a, b, c, d, e)",
        "SELECT d || '' FROM customers AS x(id, name, notes, d)",
        "WITH x(a, b, c, d) AS (TABLE customers) SELECT d || '' FROM x",
        "WITH x(ssn, b, c, id) AS (TABLE customers) SELECT id || '' FROM x",
        "SELECT reverse(ssn) FROM customers JOIN vip USING (ssn)",
        "SELECT reverse(ssn) FROM customers NATURAL JOIN vip",
        "SELECT reverse(c.id) FROM (SELECT ssn, id FROM customers) AS c(id, ssn)",
        "SELECT j.d || '' FROM (customers c CROSS JOIN (SELECT 1) o) AS j(a, b, c, d)",
        "SELECT lower(q.name) FROM (SELECT ssn FROM customers) AS q(name)",
    )
    for sql in (
        *("TABLE customers", "SELECT * FROM customers", "SELECT customers.* FROM customers"),
        *(
            "SELECT * FROM customers AS x(a, b, c, d, e, f, g)",
            "WITH x AS (TABLE customers) TABLE x",
        ),
        *(
            "SELECT * FROM customers NATURAL JOIN vip",
            "SELECT * FROM customers JOIN vip USING (id)",
        ),
        *("SELECT x.* FROM customers AS x(ssn, id, name, email)", "SELECT *, * FROM customers"),
        "SELECT * FROM (customers c JOIN orders o ON c.id = o.id) AS j(i, n, e, s, p) LIMIT 3",
        "SELECT c.*, o.* FROM customers c, LATERAL (SELECT c.ssn) o",
        "WITH RECURSIVE r(a, b, c) AS (SELECT ssn, 'x', 'y' FROM customers UNION ALL"
        " SELECT b, c, a FROM r WHERE a <> 'q') SELECT c FROM r LIMIT 20",
    ):
        answer = await guard.ask(sql)
        assert (sql, answer.leaks) == (sql, set())
        waits = answer.verdicts.mcp == "APPROVAL_PENDING"
        assert (sql, answer.verdicts.mcp) in ((sql, "OK"), (sql, COMPARED)) or waits


async def test_m07_no_position_moves_a_label(guard: Guard) -> None:
    await guard.masks(
        "SELECT 'x' UNION ALL SELECT ssn FROM customers",
        "SELECT ssn FROM customers UNION ALL SELECT 'x'",
        "(SELECT reverse(ssn) FROM customers) UNION ALL (VALUES ('x'))",
        "VALUES ('x'), ((SELECT ssn FROM customers LIMIT 1))",
        "SELECT column1 FROM (VALUES ((SELECT ssn FROM customers LIMIT 1))) v",
        "SELECT a FROM (SELECT 'x' AS a UNION ALL SELECT phone FROM customers) q",
        "WITH q(a) AS (SELECT 'x' UNION ALL SELECT email FROM customers) SELECT a FROM q",
    )
    await guard.waits(
        "DELETE FROM customers WHERE id = 99 RETURNING ssn, reverse(ssn), customers",
        "UPDATE customers SET balance = 0 WHERE id = 1 RETURNING ssn || '', to_jsonb(customers)",
        "INSERT INTO customers (id, name) VALUES (99, 'x') RETURNING ssn, customers::text",
    )
    for sql in (
        "MERGE INTO copies k USING customers c ON k.id = c.id WHEN MATCHED THEN UPDATE SET t = 'x'"
        " RETURNING c.ssn",
        "UPDATE customers SET ssn = 'x' WHERE id = 1 RETURNING old.ssn, new.ssn, old",
        "UPDATE customers SET ssn = 'x' WHERE id = 1 RETURNING WITH (OLD AS o) reverse(o.ssn)",
    ):
        answer = await guard.ask(sql)
        assert (sql, answer.verdicts.mcp != "OK", answer.leaks) == (sql, True, set())


async def test_m08_no_aggregate_shows_what_it_gathers(guard: Guard) -> None:
    await guard.masks(
        *each(
            *("string_agg(ssn, ',')", "array_agg(ssn)", "json_agg(ssn)", "json_object_agg(ssn, 1)"),
            *("jsonb_object_agg(reverse(ssn), 1)", "min(ssn)", "max(ssn)", "any_value(ssn)"),
            *("array_agg(email || ssn)", "string_agg(id::text, ssn)", "json_object_agg(id, ssn)"),
            *(
                "bool_or(ssn LIKE '2%')",
                "sum(replace(ssn, '-', '')::bigint)",
                "json_agg(customers)",
            ),
            *("min(reverse(ssn)) FILTER (WHERE true)", "array_to_string(array_agg(ssn), '')"),
            *("bit_xor(replace(ssn, '-', '')::bigint)", "every(ssn > '3')", "avg(length(ssn))"),
            *("count(nullif(ssn LIKE '2%', false))", "sum(CASE WHEN ssn LIKE '2%' THEN 1 END)"),
            *("count(CASE WHEN substr(ssn, 1, 1) = '2' THEN 1 END)", "regr_count(length(ssn), 1)"),
            *(
                "count(*) FILTER (WHERE ssn LIKE '2%')",
                "stddev(length(ssn))",
                "count(nullif(ssn, '2'))",
            ),
        ),
        "SELECT (SELECT string_agg(ssn, ',') FROM customers)",
        "SELECT count(v.x) FROM (SELECT nullif(ssn LIKE '2%', false) AS x FROM customers) v",
        "SELECT (SELECT count(x) FROM (VALUES (nullif(c.ssn LIKE '2%', false))) v(x))"
        " FROM customers c",
    )
    # Sorted or told apart by the values, which is asking about them.
    await guard.waits(
        *each(
            "mode() WITHIN GROUP (ORDER BY ssn)",
            "percentile_disc(0.5) WITHIN GROUP (ORDER BY ssn)",
            "array_agg(id ORDER BY ssn)",
            "string_agg(name, ',' ORDER BY reverse(ssn))",
            "count(DISTINCT left(ssn, 1))",
            "rank('3') WITHIN GROUP (ORDER BY ssn)",
        )
    )
    await guard.runs(f"SELECT count(*), count(id), count(ssn), count(customers) {C}")


async def test_m08_one_statement_does_not_spell_a_value_out_in_counts(guard: Guard) -> None:
    """Each count would be one letter; ninety of them are the whole value."""
    counts = ", ".join(
        f"count(CASE WHEN substr(ssn, {place}, 1) = '{digit}' THEN 1 END)"
        for place in (1, 2, 3)
        for digit in range(10)
    )
    answer = await guard.ask(f"SELECT {counts} FROM customers WHERE id = 1")
    assert (answer.verdicts, answer.cells) == (Verdicts.all("OK"), {None})


async def test_m08_one_statement_does_not_spell_a_value_out_in_nulls(guard: Guard) -> None:
    """A mask that leaves NULL as it is would tell which of these is none."""
    tests = ", ".join(
        f"CASE WHEN substr(ssn, {place}, 1) = '{digit}' THEN 'x' END, nullif(ssn, '{digit}')"
        for place in (1, 2, 3)
        for digit in range(10)
    )
    answer = await guard.ask(f"SELECT {tests} FROM customers WHERE id = 1")
    assert (answer.verdicts, answer.cells) == (Verdicts.all("OK"), {"<redacted>"})


async def test_m08_one_statement_does_not_spell_a_value_out_in_lengths(guard: Guard) -> None:
    """A masked array would have as many elements as the digit says."""
    arrays = ", ".join(
        f"array_fill('x'::text, ARRAY[ascii(substr(ssn, {place}, 1)) - 47])" for place in (1, 2, 3)
    )
    answer = await guard.ask(f"SELECT {arrays} FROM customers WHERE id = 1")
    assert (answer.verdicts, answer.cells) == (Verdicts.all("OK"), {None})


async def test_m09_no_window_shows_its_neighbours(guard: Guard) -> None:
    await guard.masks(
        *each(
            *("lag(ssn) OVER (ORDER BY id)", "lead(reverse(ssn)) OVER (ORDER BY id)"),
            *("first_value(ssn) OVER (ORDER BY id)", "nth_value(ssn, 1) OVER (ORDER BY id)"),
            *("last_value(ssn) OVER ()", "max(ssn) OVER ()", "string_agg(ssn, '') OVER ()"),
            "lag('x', 1, ssn) OVER ()",
            "count(nullif(ssn LIKE '2%', false)) OVER ()",
        ),
        "SELECT nth_value(ssn, 1) OVER w FROM customers WINDOW w AS (ORDER BY id)",
    )
    await guard.waits(
        *each(
            *("row_number() OVER (ORDER BY ssn), id", "rank() OVER (ORDER BY reverse(ssn))"),
            *("ntile(2) OVER (ORDER BY ssn)", "count(*) OVER (PARTITION BY left(ssn, 1))"),
            *(
                "lag(id) OVER (ORDER BY ssn)",
                "sum(id) OVER (ORDER BY ssn RANGE UNBOUNDED PRECEDING)",
            ),
        ),
        "SELECT rank() OVER w FROM customers WINDOW w AS (ORDER BY ssn)",
    )


async def test_m10_no_value_comes_out_in_pieces(guard: Guard) -> None:
    await guard.masks(
        "SELECT substr(ssn, i, 1) FROM customers, generate_series(1, 11) i",
        "SELECT ascii(substr(ssn, i, 1)) FROM customers, generate_series(1, 11) i",
        *each(
            "substr(ssn, 1, 1), substr(ssn, 2, 1), substr(ssn, 3, 1)",
            "string_to_array(ssn, NULL), (string_to_array(ssn, '-'))[1]",
            "regexp_split_to_array(ssn, ''), regexp_match(ssn, '(.)(.)')",
            "get_bit(ssn::bytea, 0), get_byte(ssn::bytea, 1), substring(ssn::bytea FROM 1 FOR 1)",
            "left(ssn, 1) = '2', ssn LIKE '2%', ssn > '3'",
        ),
    )
    # As many rows as there are pieces: to count those is to read.
    await guard.refuses(
        COMPARED,
        *each(
            *("regexp_split_to_table(ssn, '')", "unnest(string_to_array(ssn, NULL))"),
            *(
                "string_to_table(ssn, '-')",
                "(regexp_matches(ssn, '.', 'g'))[1]",
                "ts_parse('default', ssn)",
            ),
            *("generate_series(1, ascii(ssn))", "unnest(to_tsvector('simple', ssn))"),
            *(
                "jsonb_each_text(jsonb_build_object('a', ssn))",
                "jsonb_array_elements(to_jsonb(ARRAY[ssn]))",
            ),
            "jsonb_path_query_tz(to_jsonb(customers), '$.ssn ? (@ starts with \"2\")')",
            "jsonb_path_query(to_jsonb(customers), '$.ssn')",
        ),
        "SELECT t FROM customers, regexp_split_to_table(ssn, '') t",
        "SELECT c.id FROM customers c, ts_debug('simple', c.ssn) t",
        "SELECT c.id FROM customers c, ts_parse('default', c.ssn) t",
        "SELECT u.o FROM customers, unnest(string_to_array(ssn, NULL)) WITH ORDINALITY AS u(a, o)",
        "SELECT c.id FROM customers c,"
        " jsonb_path_query_tz(to_jsonb(c), '$.ssn ? (@ starts with \"2\")')",
        "SELECT c.id FROM customers c,"
        " pg_options_to_table(CASE WHEN c.ssn LIKE '2%' THEN ARRAY['a=1'] END) t",
    )


async def test_m11_no_decoration_hides_a_value_from_its_label(guard: Guard) -> None:
    await guard.masks(
        *each(
            "regexp_replace(ssn, '(.)', '\\1' || chr(8203), 'g')",
            "regexp_replace(ssn, '(.)', '\\1' || chr(8207), 'g')",
            "regexp_replace(ssn, '(.)', '\\1' || chr(769), 'g')",
            f"translate(ssn, '0123456789', '{WIDE}')",
            "translate(ssn, '0123456789', '٠١٢٣٤٥٦٧٨٩')",
            "translate(email, 'aeo', '\u0430\u0435\u043e')",
            "array_to_string(string_to_array(ssn, NULL), ' ')",
            "normalize(ssn, NFKD), normalize(ssn, NFKC)",
            "overlay(ssn PLACING chr(173) FROM 2 FOR 0)",
            "E'\\u202e' || reverse(ssn)",
            "rpad('', 30000, 'x ') || ssn",
            "replace(email, '@', ' at '), replace(email, '.', '(dot)')",
        )
    )
