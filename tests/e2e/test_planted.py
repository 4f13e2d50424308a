"""Planted values through run_sql and a real PostgreSQL: none leaves in clear, in no type."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import mcp.types as t
import pytest
from mcp import Client

from tests.attacks_sql.doors import driver
from tests.e2e.world import World
from tests.masking.planting import Planted, harmless, some_planted

pytestmark = pytest.mark.anyio

A_PAGE: Final = 150
SEED: Final = 20_261_122
CHUNK: Final = 64 * 1024
"""Bytes of rows in one event."""

FILLER: Final = "status ok, nothing to see. " * 3000
REFUSED: Final = {"t_range"}
"""Its type has a cast of a user's, so nothing of it is read at all."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column, and how a value of it is made of a text `$2`; `longest` text that it takes."""

    name: str
    type: str
    made: str = "$2::text"
    longest: int = 1 << 20


TEXTS: Final = (
    Column("t_text", "text"),
    Column("t_varchar", "varchar(900)", longest=900),
    Column("t_char", "char(900)", longest=900),
    Column("t_domain", "a_text"),
    Column("t_json", "json", "json_build_object('note', $2::text)"),
    Column("t_jsonb", "jsonb", "jsonb_build_array(1, jsonb_build_object('a', $2::text))"),
    Column("t_json_key", "json", "json_build_object($2::text, 1)"),
    Column("t_jsonb_key", "jsonb", "jsonb_build_object('a', jsonb_build_object($2::text, 'x'))"),
    Column("t_array", "text[]", "ARRAY['x', $2::text, 'y']"),
    Column("t_square", "text[]", "ARRAY[['x', $2::text], ['y', 'z']]"),
    Column("t_jsonb_array", "jsonb[]", "ARRAY[jsonb_build_object('a', $2::text)]"),
    Column("t_bytea", "bytea", "convert_to($2::text, 'UTF8')"),
    Column("t_bytea_array", "bytea[]", "ARRAY[convert_to($2::text, 'UTF8')]"),
    Column("t_xml", "text", "'<a b=\"1\">' || replace($2::text, '<', '&lt;') || '</a>'"),
    Column("t_tsvector", "tsvector", "array_to_tsvector(ARRAY['x', $2::text])", 900),
    Column("t_composite", "a_pair", "ROW(1, $2::text)::a_pair"),
    Column("t_pairs", "a_pair[]", "ARRAY[ROW(1, $2::text)::a_pair]"),
    Column("t_range", "a_range", "a_range($2::text, $2::text, '[]')"),
    Column("t_hstore", "hstore", "hstore('k', $2::text)"),
    Column("t_hstore_key", "hstore", "hstore($2::text, 'v')"),
    Column("t_enum", "an_enum", "($2::text)::an_enum", 63),
    Column("t_name", "name", "($2::text)::name", 63),
)
NUMBERS: Final[Mapping[str, Sequence[Column]]] = {
    "card": (
        Column("card_number", "bigint", "($2::text)::bigint"),
        Column("credit_card", "numeric", "($2::text)::numeric"),
        Column("card_numbers", "bigint[]", "ARRAY[1, ($2::text)::bigint]"),
        Column("card_pan", "numeric[]", "ARRAY[($2::text)::numeric]"),
        Column("card_range", "int8range", "int8range(($2::text)::bigint, NULL)"),
        Column("card_ranges", "nummultirange", "nummultirange(numrange(1, ($2::text)::numeric))"),
        Column("card_float", "double precision", "($2::text)::float8"),
    ),
    "ssn": (
        Column("ssn", "integer", "($2::text)::integer"),
        Column("social_security", "numeric(12)", "($2::text)::numeric"),
        Column("ssn_list", "integer[]", "ARRAY[($2::text)::integer]"),
        Column("ssn_range", "int4range", "int4range(1, ($2::text)::integer, '[]')"),
        Column("ssn_text", "text", "$2::text"),
        Column("ssn_float", "double precision", "($2::text)::float8"),
        Column("ssn_document", "jsonb", "jsonb_build_object('ssn', ($2::text)::integer)"),
    ),
}
COLUMNS: Final = (*TEXTS, *(column for columns in NUMBERS.values() for column in columns))


def _whole(text: str) -> str:
    return text


def _inside(text: str) -> str:
    return f"On Monday the customer wrote: {text} (see the attached file), and then called again."


def _between_lines(text: str) -> str:
    return f"line one\n\t{text}\nline three \u00e4\u00f6\u00fc \u4f60\u597d"


def _far_behind(text: str) -> str:
    return f"{FILLER[:8000]} {text} {FILLER[:100]}"


def _over_the_border(text: str) -> str:
    """Half of it on either side of what one event holds."""
    return f"{FILLER[: CHUNK - len(text) // 2]} {text} {FILLER[:100]}"


POSITIONS: Final[Sequence[Callable[[str], str]]] = (
    *(_whole, _inside, _whole, _between_lines, _whole, _inside),
    *(_whole, _inside, _whole, _between_lines, _far_behind),
)


@dataclass(frozen=True, slots=True)
class Row:
    id: int
    column: Column
    value: Planted
    text: str


def rows_of(values: Sequence[Planted]) -> Iterator[Row]:
    """Each value in one column and position; their numbers have no common divisor."""
    for number, value in enumerate(values, start=1):
        numbers = NUMBERS.get(value.kind, ())
        if numbers and number % 3 == 0:
            column = numbers[number // 3 % len(numbers)]
            yield Row(number, column, value, value.core)
            continue
        text = POSITIONS[number % len(POSITIONS)](value.written)
        fits = [column for column in TEXTS if len(text.encode()) <= column.longest]
        yield Row(number, fits[number % len(fits)], value, text)


async def plant(world: World, rows: Sequence[Row], lines: Sequence[str]) -> None:
    labels = sorted({row.text for row in rows if row.column.name == "t_enum"})
    async with world.direct() as direct:
        listed = ", ".join("'" + label.replace("'", "''") + "'" for label in labels)
        await direct.execute(
            "DROP TABLE IF EXISTS planted, harmless; DROP TYPE IF EXISTS an_enum;"
            f" CREATE TYPE an_enum AS ENUM ({listed});"
        )
        columns = ", ".join(f"{column.name} {column.type}" for column in COLUMNS)
        await direct.execute(f"CREATE TABLE planted (id integer PRIMARY KEY, {columns})")
        for column in COLUMNS:
            made = f"INSERT INTO planted (id, {column.name}) VALUES ($1, {column.made})"
            await direct.executemany(
                made, [(row.id, row.text) for row in rows if row.column is column]
            )
        await direct.execute(TO_XML)
        await direct.execute("CREATE TABLE harmless (id integer PRIMARY KEY, line text)")
        await direct.copy_records_to_table("harmless", records=list(enumerate(lines)))


TYPES: Final = """
CREATE EXTENSION IF NOT EXISTS hstore;
CREATE DOMAIN a_text AS text;
CREATE TYPE a_pair AS (number integer, note text);
CREATE TYPE a_range AS RANGE (subtype = text);
"""


TO_XML: Final = """
UPDATE pg_attribute SET atttypid = 'xml'::regtype
WHERE attrelid = 'planted'::regclass AND attname = 't_xml'
"""
"""A server built without libxml takes in no XML, and gives it out."""


@pytest.fixture(scope="module")
def shop(module_worlds: Callable[..., World]) -> World:
    world = module_worlds()
    world.direct_execute(TYPES)
    world.start()
    return world


async def call(client: Client, sql: str, **more: str) -> t.CallToolResult:
    """The answer, once the gateway has seen that the tables are there."""
    async with asyncio.timeout(60):
        while True:
            arguments = {"target": "shop", "sql": sql, "max_rows": 1000, **more}
            result = await client.call_tool("run_sql", arguments)
            assert isinstance(result, t.CallToolResult)
            if not result.is_error or "RELATION_UNKNOWN" not in result.model_dump_json():
                return result


async def read(client: Client, sql: str) -> list[list[Any]]:
    rows: list[list[Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        result = await call(client, sql, **({"cursor": cursor} if cursor else {}))
        content = result.structured_content
        assert not result.is_error, result.content
        assert content is not None
        rows += content["rows"]
        cursor = content["next_cursor"]
    return rows


async def read_planted(client: Client, rows: Sequence[Row]) -> dict[int, str]:
    """What run_sql says of each row's cell, where it says anything."""
    by_column: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_column[row.column.name].append(row)
    said: dict[int, str] = {}
    for column, planted in by_column.items():
        for start in range(0, len(planted), A_PAGE):
            numbers = ", ".join(str(row.id) for row in planted[start : start + A_PAGE])
            sql = f"SELECT id, {column} FROM planted WHERE id IN ({numbers})"
            if column in REFUSED:
                refused = await call(client, sql)
                assert "FUNCTION_NOT_ALLOWED" in refused.model_dump_json()
                continue
            found = await read(client, sql)
            said |= {row[0]: json.dumps(row[1], ensure_ascii=False) for row in found}
    return said


def leaks(said: str, core: str) -> bool:
    """Whether a value can be read in a cell: as it is, without separators, or as bytes."""
    plain, wanted = _alphanumeric(said), _alphanumeric(core)
    forms = (wanted, core.encode().hex(), base64.b64encode(core.encode()).decode()[:-4].casefold())
    return any(form in plain for form in forms)


def _alphanumeric(text: str) -> str:
    return "".join(c for c in text if c.isalnum()).casefold()


def test_the_oracle_finds_a_value_in_each_of_its_forms() -> None:
    core = "219099991"
    assert leaks('"219-09-9991"', core)
    assert leaks(f'"\\\\x{core.encode().hex()}"', core)
    assert leaks('{"a": "x 219 09 9991"}', core)
    assert not leaks('"<US_SSN> 9991"', core)


@pytest.mark.parametrize(
    "number", [200, pytest.param(5000, marks=pytest.mark.full)], ids=["a slice", "all"]
)
async def test_no_planted_value_leaves_in_clear_and_little_else_is_masked(
    shop: World, number: int
) -> None:
    rows = list(rows_of(some_planted(SEED, number)))
    lines = harmless(SEED, number)
    await plant(shop, rows, lines)
    async with shop.mcp("rita") as client:
        said = await read_planted(client, rows)
        rows = [row for row in rows if row.column.name not in REFUSED]
        assert said.keys() == {row.id for row in rows}
        clear = [row for row in rows if leaks(said[row.id], row.value.core)]
        where = Counter((r.column.name, r.value.kind, r.value.format) for r in clear)
        assert where == Counter(), [(r.text[:120], said[r.id][:120]) for r in clear[:20]]
        pages = range(0, number, A_PAGE)
        sql = "SELECT id, line FROM harmless WHERE id >= {} AND id < {}"
        shown = [row for n in pages for row in await read(client, sql.format(n, n + A_PAGE))]
    changed = [(lines[n], line) for n, line in shown if line != lines[n]]
    assert len(shown) == number
    assert number / (number + len(changed)) >= 0.95, changed[:20]


async def test_what_is_masked_keeps_the_rest_of_its_text(shop: World) -> None:
    values = some_planted(SEED + 1, 40)
    await plant(
        shop, [Row(n, TEXTS[0], v, _inside(v.written)) for n, v in enumerate(values)], ["x"]
    )
    async with shop.mcp("rita") as client:
        found = await read(client, "SELECT id, t_text FROM planted")
    assert len(found) == 40
    for _, text in found:
        assert text.startswith("On Monday the customer wrote: ")
        assert text.endswith("(see the attached file), and then called again.")


async def test_no_planted_value_leaves_over_a_chunk_s_border(shop: World) -> None:
    """By the listener: run_sql shows no text as long as that."""
    values = some_planted(SEED + 3, 20)
    rows = [Row(n, TEXTS[0], v, _over_the_border(v.written)) for n, v in enumerate(values)]
    await plant(shop, rows, ["x"])
    async with shop.mcp("rita") as client:
        await read(client, "SELECT id FROM planted")
    async with driver(shop) as connection:
        found = await connection.fetch("SELECT id, t_text FROM planted ORDER BY id")
    assert len(found) == len(rows)
    assert [v for v, row in zip(values, found, strict=True) if leaks(row["t_text"], v.core)] == []


async def test_no_planted_value_leaves_in_an_error(shop: World) -> None:
    """Casts that fail quote the value; nothing of these columns is labelled."""
    values = some_planted(SEED + 2, 40)
    await plant(shop, [Row(n, TEXTS[0], v, v.written) for n, v in enumerate(values)], ["x"])
    async with shop.mcp("rita") as client:
        for number, value in enumerate(values):
            for type_ in ("boolean", "integer", "uuid"):
                sql = f"SELECT t_text::{type_} FROM planted WHERE id = {number}"
                result = await call(client, sql)
                assert result.is_error
                said = result.model_dump_json()
                assert not leaks(said, value.core), (type_, value, said)
