"""Lines P29 to P32 and P38 to P40: how a text is cut into statements, and what hurts its parser."""

from __future__ import annotations

import asyncio
import struct

import pytest

from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from tests.attacks.lines.guard import Guard, mcp_verdict, wire_verdict
from tests.attacks_sql.doors import listener

pytestmark = pytest.mark.anyio

SEVERAL = "SQL_MULTIPLE_STATEMENTS"
PARSER_WITHIN = 20.0  # seconds, for all of a test's calls on a busy machine


async def one_string(guard: Guard, *statements: str) -> None:
    """Each is a read of one string that only looks like more."""
    await guard.runs(*statements)


async def several(guard: Guard, *statements: str) -> None:
    """Each is more than one statement for the server, one of which is a change: none runs."""
    before = await guard.state()
    for sql in statements:
        verdicts = (await guard.ask(sql)).verdicts
        assert (sql, verdicts.mcp) == (sql, SEVERAL)
        assert verdicts.simple in (SEVERAL, "no-schema-changes", "no-whole-table-changes")
        assert verdicts.extended in (SEVERAL, "42601")
    assert await guard.state() - before == set()


async def unreadable(guard: Guard, *statements: str) -> None:
    """Each is no statement for the server; in parts, as they are judged, some of it may be one."""
    before = await guard.state()
    for sql in statements:
        verdicts = (await guard.ask(sql)).verdicts
        assert (sql, verdicts.mcp, verdicts.extended) == (sql, "SQL_SYNTAX", "SQL_SYNTAX")
        assert (sql, verdicts.simple != "OK") == (sql, True)
    assert await guard.state() - before == set()


async def test_p29_a_literal_ends_where_the_server_ends_it(guard: Guard) -> None:
    await one_string(
        guard,
        "SELECT $$; DROP TABLE orders$$",
        "SELECT $tag$; $$ DROP TABLE orders; $tag$",
        "SELECT $täg$; DROP TABLE orders; $täg$",
        "SELECT $a$ $b$ $a$ , $b$; DROP TABLE orders; $a$ $b$",
        r"SELECT E'\'; DROP TABLE orders; --'",
        r"SELECT e'\\\'; DROP TABLE orders; --'",
        r"SELECT U&'\0027; DROP TABLE orders; --'",
        "SELECT U&'!0027; DROP TABLE orders; --' UESCAPE '!'",
        "SELECT B'101', X'1F', N'; DROP TABLE orders'",
        "SELECT 'a'\n'; DROP TABLE orders'",
        "SELECT 'a' -- '\n || '; DROP TABLE orders; --'",
        "SELECT ''';DROP TABLE orders;--'",
        'SELECT 1 AS "; DROP TABLE orders; --"',
        r'SELECT 1 AS U&"\0022; DROP TABLE orders; --"',
    )
    await several(
        guard,
        "SELECT $a$ $b$ $a$; DROP TABLE orders; --$b$",
        r"SELECT E'\\'; DROP TABLE orders; --'",
        r"SELECT 'a\'; DROP TABLE orders; --'",
        "SELECT X'1'; DROP TABLE orders; --'",
        "SELECT N'x'; DROP TABLE orders",
        "SELECT $1; DROP TABLE orders; SELECT $1",
        "SELECT $A$ $a$ $A$; DROP TABLE orders; --$a$",
        "SELECT 'a'\n; DROP TABLE orders; --'b'",
        r"SELECT U&'\\'; DROP TABLE orders; --'",
    )
    await unreadable(
        guard,
        "SELECT 1$$; DROP TABLE orders; $$",
        "SELECT a$$; DROP TABLE orders; $$",
        "SELECT 'a' 'b'; DROP TABLE orders",
        r"SELECT U&'\; DROP TABLE orders; --'",
        "SELECT $a$; DROP TABLE orders; $A$",
        "SELECT '; DROP TABLE orders",
    )


async def test_p30_comments_nest_and_end_as_the_server_has_it(guard: Guard) -> None:
    await guard.runs(
        "SELECT /* /* */ DELETE FROM orders; */ 1",
        "SELECT 1 -- ; DROP TABLE orders",
        "SELECT 1 --; DROP TABLE orders\n",
        "/*!50000 DELETE FROM orders */ SELECT 1",
        "SELECT 1 /* ' */ /* ; DROP TABLE orders; ' */",
        "SELECT '/*', 1 /* */, '*/; DROP TABLE orders'",
        "SELECT 1 -- /*\n, 2 -- */",
    )
    await several(
        guard,
        "SELECT /* /* */ */ 1; DROP TABLE orders",
        "SELECT 1 --\r; DROP TABLE orders",
        "SELECT 1 -- x\r\n; DROP TABLE orders",
        "SELECT '/*' ; DROP TABLE orders; --*/",
        "SELECT 1 /*/**/*/; DROP TABLE orders",
        "SELECT 1 -- /*\n; DROP TABLE orders -- */",
    )
    await unreadable(
        guard,
        "SELECT 1 /*; DROP TABLE orders",
        "SELECT 1 /* /* */; DROP TABLE orders",
        "SELECT 1 */; DROP TABLE orders",
        "SELECT 1 # ; DROP TABLE orders",
    )
    await guard.waits(
        "/* SELECT */ DELETE FROM orders WHERE id = 1", "--\rDELETE FROM orders WHERE id=1"
    )


async def test_p31_a_nul_ends_nothing_early(guard: Guard) -> None:
    before = await guard.state()
    for sql in ("SELECT 1\0; DELETE FROM orders", "SELECT 1\0", "\0", "SELECT '\0'"):
        assert mcp_verdict(await guard.mcp(sql)) == "SQL_NUL"
    for content in (
        b"Q" + framed(b"SELECT 1\0; DELETE FROM orders\0"),
        b"Q" + framed(b"SELECT 1\0\0"),
        b"P" + framed(b"\0SELECT 1\0; DELETE FROM orders\0\0\0"),
        b"P" + framed(b"a\0b\0SELECT 1\0\0\0"),
        b"Q" + framed(b"SELECT 1\0DELETE FROM orders"),
        b"Q" + framed(b"SELECT 1"),
    ):
        async with listener(guard.world) as client:
            client.writer.write(content)
            client.writer.write_eof()
            replies = await client.to_the_end()
        assert wire_verdict(replies) in ("08P01", "OK")
        assert not any(isinstance(r, b.CommandComplete | b.ParseComplete) for r in replies)
    held = await guard.mcp("SELECT $1::text", params=["a\0; DELETE FROM orders"])
    assert mcp_verdict(held) in ("22021", "SQL_NUL", "ARGUMENTS_INVALID")
    assert await guard.state() - before == set()


def framed(body: bytes) -> bytes:
    return struct.pack("!i", 4 + len(body)) + body


async def test_p32_blanks_are_those_of_the_server(guard: Guard) -> None:
    await guard.runs("SELECT\v1", "SELECT\f1", "\f\v\t\r\nSELECT 1", "SELECT(1)", "SELECT'a'")
    # A letter of a name for the server, or no character of the language at all.
    odd = ("\u00a0", "\u2028", "\u2029", "\u0085", "\u200b", "\u3000", "\ufeff", "\u180e", "\u2060")
    await guard.refuses("SQL_SYNTAX", *(f"{space}SELECT 1" for space in odd))
    await guard.refuses("SQL_SYNTAX", *(f"DELETE{space}FROM orders" for space in odd))
    await guard.refuses(
        "SQL_SYNTAX",
        "\u202eSELECT 1",  # right to left
        "\uff33ELECT 1",
        "SELECT 1\uff1bDROP TABLE orders",
        "SELECT 1\u037e DROP TABLE orders",  # a Greek question mark
        "SELECT 1\x01",
        "SELECT \x1b[2J1",
    )


KILLERS = {
    "100,000 brackets": "SELECT " + "(" * 20_000 + "1" + ")" * 20_000,
    "brackets without end": "SELECT " + "(" * 60_000,
    "a megabyte of brackets": "(" * 1_000_000,
    "10,000 terms of OR": "SELECT 1 WHERE " + " OR ".join(["1=1"] * 8_000),
    "a literal of a megabyte": "SELECT '" + "x" * 1_000_000 + "'",
    "semicolons": ";" * 60_000 + "SELECT (",
    "statements": "SELECT 1;" * 7_000,
    "dollars": "SELECT " + "$a$" * 20_001 + ";",
    "CASE in CASE": "SELECT " + "CASE WHEN true THEN " * 1_500 + "1" + " END" * 1_500,
    "NOT NOT NOT": "SELECT " + "NOT " * 15_000 + "true",
    "minus minus": "SELECT " + "- " * 30_000 + "1",
    "arrays": "SELECT " + "ARRAY[" * 5_000 + "1" + "]" * 5_000,
    "casts": "SELECT 1" + "::int" * 12_000,
    "UNION": "SELECT 1" + " UNION SELECT 1" * 4_000,
    "comments": "SELECT 1 " + "/*" * 30_000,
    "subqueries": "SELECT * FROM " + "(SELECT * FROM " * 3_000 + "orders" + ") x" * 3_000,
    "joins": "SELECT 1 FROM orders a" + " NATURAL JOIN orders" * 3_000,
    "CTE in CTE": "WITH x AS (" * 3_000 + "SELECT 1" + ") SELECT 1" * 3_000,
    "indirection": "SELECT " + "a." * 30_000 + "b",
    "collations": "SELECT 'a'" + ' COLLATE "C"' * 5_000,
    "a chain of operators": "SELECT 1" + "+1" * 30_000,
}
TOO_MUCH = {"SQL_TOO_LONG", "SQL_TOO_DEEP", "SQL_TOO_COMPLEX", "SQL_SYNTAX", "COLUMN_UNKNOWN"}


async def test_p38_no_text_takes_the_parser_down_or_holds_up_others(guard: Guard) -> None:
    async with asyncio.timeout(PARSER_WITHIN * 6), guard.world.mcp("victor") as other:
        for what, sql in KILLERS.items():
            killing = asyncio.create_task(guard.mcp(sql))
            ready = await other.call_tool("run_sql", {"target": "shop", "sql": "SELECT 1"})
            assert not ready.is_error, what
            assert (what, mcp_verdict(await killing) in TOO_MUCH) == (what, True)


async def test_p38_nor_does_it_over_the_listener(guard: Guard) -> None:
    async with asyncio.timeout(PARSER_WITHIN * 6), listener(guard.world) as client:
        for what, sql in KILLERS.items():
            replies = await client.query(sql)
            assert (what, wire_verdict(replies) in TOO_MUCH) == (what, True)
            assert wire_verdict(await client.query("SELECT 1")) == "OK"


NEWER = (
    "SELECT * FROM JSON_TABLE('[1]', '$[*]' COLUMNS (a int PATH '$')) t",
    "UPDATE orders SET status = 'x' WHERE id = 1 RETURNING WITH (OLD AS o) o.status",
    "SELECT JSON_QUERY(to_jsonb(c), '$.ssn') FROM customers c",
    "SELECT JSON_VALUE(to_jsonb(c), '$.ssn') FROM customers c",
    "SELECT JSON_OBJECT('a': ssn) FROM customers",
    "SELECT JSON_ARRAYAGG(ssn) FROM customers",
    "SELECT JSON_SERIALIZE(JSON_SCALAR(ssn)) FROM customers",
    "MERGE INTO orders o USING customers c ON o.id = c.id WHEN MATCHED THEN DELETE"
    " RETURNING merge_action()",
    "CREATE TABLE t (id int, p daterange, PRIMARY KEY (id, p WITHOUT OVERLAPS))",
    "ALTER TABLE orders ADD CONSTRAINT c NOT NULL status NOT VALID",
    "CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a) VIRTUAL)",
    "SELECT * FROM GRAPH_TABLE (g MATCH (a) COLUMNS (a.x))",
    "FROM orders SELECT id",
    "SELECT id FROM orders GROUP BY ALL",
    "INSERT INTO orders (id) VALUES (1) ON CONFLICT DO SELECT RETURNING *",
    "SELECT * FROM orders QUALIFY row_number() OVER () = 1",
    "WAIT FOR LSN '0/0'",
    "REPACK orders",
)


async def test_p39_syntax_of_other_versions_is_not_let_through(guard: Guard) -> None:
    """What this grammar does not know, or the analysis does not yet, is refused or masked."""
    before = await guard.state()
    for sql in NEWER:
        answer = await guard.ask(sql)
        assert (sql, answer.leaks) == (sql, set())
        if sql.startswith("SELECT JSON"):
            continue  # understood by now, or not: no value has come out
        assert answer.verdicts.mcp in (
            *("SQL_SYNTAX", "SQL_NOT_UNDERSTOOD", "APPROVAL_PENDING", "no-schema-changes", "OK"),
            *("RELATION_SENSITIVE", "TYPE_UNKNOWN"),
        )
        assert sql.startswith("SELECT * FROM JSON_TABLE") or answer.verdicts.simple != "OK"
    assert await guard.state() - before == set()


BREAKERS = (
    "SELECT U&'\\FFFF'",
    "SELECT U&'\\D800'",
    "SELECT '\\uD800'::json",
    "SELECT 99999999999999999999999999999999999999",
    "SELECT 1e999999999",
    "SELECT x'" + "f" * 40_000 + "'",
    "SELECT 0x7fffffffffffffffffff",
    "SELECT 1 LIMIT -1",
    "SELECT 1 OFFSET 9223372036854775808",
    "SELECT interval '1' year to month, interval(99) '1'",
    "SELECT $99999",
    "SELECT $0",
    'SELECT 1 AS "\u202e\U000e0041", 2 AS "' + "x" * 5_000 + '"',
    "SELECT ''''",
    "VALUES ()",
    "SELECT FROM orders",
    "SELECT",
    "TABLE",
    "SELECT * FROM generate_series(1, 2) WITH ORDINALITY AS t(a, b, c)",
    "SELECT (SELECT) FROM orders",
    "SELECT * FROM (VALUES (1, 2), (3)) v",
    "SELECT (ARRAY[1])[:]",
    "SELECT GROUPING(id) FROM orders GROUP BY GROUPING SETS ((), (), (id))",
    "WITH x AS (SELECT 1), x AS (SELECT 2) SELECT * FROM x",
    "SELECT * FROM orders AS o(a, b, c, d, e, f)",
    "INSERT INTO orders DEFAULT VALUES",
)


async def test_p40_whatever_goes_wrong_in_the_guard_is_a_refusal_and_recorded(guard: Guard) -> None:
    before = await guard.state()
    for sql in BREAKERS:
        result = await guard.mcp(sql)
        assert (sql, mcp_verdict(result)) != (sql, "INTERNAL_ERROR")
        replies = await guard.simple(sql)
        assert isinstance(replies[-1], b.ReadyForQuery)
    assert await guard.state() - before == set()
    assert "Traceback" not in guard.world.log.read_text()
    marker = "refused-and-recorded-7f3a"
    assert mcp_verdict(await guard.mcp(f"DO '{marker}'")) == "SQL_NOT_UNDERSTOOD"
    query = (
        "SELECT count(*) FROM records r JOIN bodies b USING (stream, sequence)"
        " WHERE r.kind = 'decision' AND position($1::bytea IN b.body) > 0"
    )
    assert await guard.store.fetchval(query, marker.encode()) >= 1


async def test_p40_a_pipeline_of_broken_texts_is_answered_in_order(guard: Guard) -> None:
    async with listener(guard.world) as client:
        for sql in BREAKERS:
            client.send(f.Parse("", sql), f.Bind("", ""), f.Execute(""), f.Sync())
        client.send(f.Query("SELECT 7"))
        replies = await client.until_ready(len(BREAKERS) + 1)
    assert sum(isinstance(r, b.ReadyForQuery) for r in replies) == len(BREAKERS) + 1
    assert isinstance(replies[-2], b.CommandComplete)
    assert replies[-2].command == "SELECT 1"
