"""Labelled values come out of no expression, relation, error, plan or format (M01-M23, M40)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.attacks_sql.doors import Doors, Said, approved, driver, everything, found, listener
from tests.e2e.world import World

pytestmark = pytest.mark.anyio

# One statement a line.
STATEMENTS = (Path(__file__).parent / "labelled_values.sql").read_text().splitlines()


@pytest.mark.parametrize("sql", STATEMENTS)
async def test_no_labelled_value_comes_out_in_any_form(doors: Doors, sql: str) -> None:
    through_mcp, through_listener = await doors.mcp(sql), await doors.listener(sql)
    assert found(through_mcp.text) == set()
    assert found(through_listener.text) == set()


SPLIT = [
    "SELECT substr(ssn, i, 1) FROM customers, generate_series(1, 11) i",
    "SELECT regexp_split_to_table(ssn, '') FROM customers",
    "SELECT substr(ssn, 1, 1), substr(ssn, 2, 1), substr(ssn, 3, 1) FROM customers",
    "SELECT ascii(substr(ssn, 1, 1)), ascii(substr(ssn, 2, 1)) FROM customers",
    "SELECT length(ssn), md5(ssn), ssn LIKE '2%', ssn > '3' FROM customers",
    "SELECT hashtext(ssn), 'x' || left(ssn, 1) FROM customers",
]


@pytest.mark.parametrize("sql", SPLIT)
async def test_a_value_in_pieces_is_masked_in_every_piece(doors: Doors, sql: str) -> None:
    result = await doors.client.call_tool("run_sql", {"target": "shop", "sql": sql})
    if not result.is_error:
        assert result.structured_content is not None
        cells = {cell for row in result.structured_content["rows"] for cell in row}
        assert cells <= {None, "<redacted>"}


ERRORS = [
    "SELECT ssn::int FROM customers",
    "SELECT ssn::date FROM customers",
    "SELECT id FROM customers WHERE ssn::int = 1",
    "SELECT ssn::json FROM customers",
    "SELECT ssn::inet FROM customers",
    "SELECT to_number(ssn, ssn) / 0 FROM customers",
    "SELECT (SELECT ssn FROM customers)",
    "SELECT ('{' || ssn)::int[] FROM customers",
    "SELECT make_date(left(ssn, 3)::int, 99, 99) FROM customers",
    "SELECT regexp_replace('a', ssn || '(', 'b') FROM customers",
]


@pytest.mark.parametrize("sql", ERRORS)
async def test_an_error_about_a_labelled_value_does_not_say_it(doors: Doors, sql: str) -> None:
    through_mcp = await approved(doors.world, sql)  # where a label decides about rows
    through_listener = await doors.listener(sql)
    assert through_mcp.refused
    assert through_listener.refused
    assert found(through_mcp.text + through_listener.text) == set()
    assert "withheld" in through_mcp.text


async def test_binary_values_are_masked_like_text(world: World) -> None:
    async with driver(world) as connection:
        rows = await connection.fetch(
            "SELECT ssn, email, ARRAY[ssn] AS a, ssn::bytea AS b, to_jsonb(c) AS j,"
            " replace(ssn, '-', '')::bigint AS n FROM customers c WHERE id = $1",
            1,
        )
    assert rows[0]["ssn"] == "***-**-9991"
    assert rows[0]["email"] == "***@example.com"
    assert rows[0]["b"] is rows[0]["n"] is rows[0]["a"] is None
    assert found(str(dict(rows[0]))) == set()


async def test_rows_fetched_in_pieces_are_masked_in_each(world: World) -> None:
    async with driver(world) as connection, connection.transaction():
        cursor = connection.cursor("SELECT ssn, reverse(ssn) AS r FROM customers", prefetch=1)
        rows = [dict(row) async for row in cursor]
    assert len(rows) == 4
    assert {row["r"] for row in rows} == {"<redacted>"}
    assert found(str(rows)) == set()


PERSONAL = [
    "ada@example.com",
    "ADA+tag@sub.example.co.uk",
    "219-09-9991",
    "219 09 9991",
    "4111 1111 1111 1111",
    "4111-1111-1111-1111",
    "DE89370400440532013000",
    "+44 20 7946 0102",
    "AKIAIOSFODNN7EXAMPLE",
    "postgres://bob:hunter2@db/x",
]


@pytest.mark.parametrize("value", PERSONAL)
async def test_personal_data_in_unlabelled_text_is_found_on_both_doors(
    doors: Doors, value: str
) -> None:
    literal = value.replace("'", "''")
    forms = (
        f"'before {literal} after'",
        f"ARRAY['{literal}']",
        f"jsonb_build_object('k', jsonb_build_array('{literal}'))",
        f"'{literal}'::bytea",
        f"rpad('', 70000, 'x ') || '{literal}'",
    )
    for form in forms:
        sql = f"SELECT {form} AS note"
        through_mcp, through_listener = await doors.mcp(sql), await doors.listener(sql)
        assert value not in through_mcp.text.replace(sql, "")
        assert value not in through_listener.text
        assert value.encode().hex() not in through_mcp.text + through_listener.text


async def test_a_view_made_after_the_catalog_was_read_has_its_labels(doors: Doors) -> None:
    await doors.direct.execute("CREATE VIEW v_late AS SELECT id, reverse(ssn) AS x FROM customers")
    try:
        said = await known(doors, "SELECT x, x || '' FROM v_late")
        assert found(said.text) == set()
        assert "<redacted>" in said.text
        assert found((await doors.listener("SELECT x || '' FROM v_late")).text) == set()
    finally:
        await doors.direct.execute("DROP VIEW v_late")


async def test_what_takes_a_tables_place_is_judged_for_what_it_is(doors: Doors) -> None:
    """The name was resolved to an oid that the rows no longer come from."""
    await doors.direct.execute("CREATE TABLE swapped (id int, x text)")
    await known(doors, "SELECT x FROM swapped")
    await doors.direct.execute(
        "DROP TABLE swapped; CREATE VIEW swapped AS SELECT id, ssn AS x FROM customers"
    )
    try:
        said = await doors.mcp("SELECT x FROM swapped")
        assert '"masked_columns": {"x": "label pii"}' in said.text
        assert found(said.text) == set()
    finally:
        await doors.direct.execute("DROP VIEW swapped")


async def known(doors: Doors, sql: str) -> Said:
    """The answer once the gateway has seen what the statement names."""
    async with asyncio.timeout(20):
        while (said := await doors.mcp(sql)).code == "RELATION_UNKNOWN":
            pass
    return said


async def test_a_plan_shows_no_value_of_the_statistics(doors: Doors) -> None:
    for options in ("", "(VERBOSE)", "(FORMAT json)", "(ANALYZE, BUFFERS)"):
        said = await doors.mcp(f"EXPLAIN {options} SELECT * FROM customers WHERE ssn > '3'")
        assert found(said.text) == set()


async def test_a_portal_described_before_its_rows_says_nothing_more(world: World) -> None:
    async with listener(world) as client:
        replies = await client.query("SELECT ssn AS name, name AS ssn FROM customers WHERE id = 1")
    text = everything(replies)
    assert "***-**-9991" in text
    assert found(text) == set()
