"""Masked columns through real doors: joins hold, both formats are masked alike, drivers read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

import psycopg
import pytest
from mcp import Client

from tests.e2e.world import World

pytestmark = pytest.mark.anyio

TABLES: Final = """
CREATE TABLE people (id bigint PRIMARY KEY, email text, account numeric(12, 2), code uuid,
    address inet, token bytea);
INSERT INTO people SELECT n, 'Person' || n || '@Example.com', n, md5(n::text)::uuid,
    ('10.0.0.' || n)::inet, decode(md5(n::text), 'hex') FROM generate_series(1, 40) AS n;
CREATE TABLE visits (id integer PRIMARY KEY, person integer, email varchar(60), account bigint,
    code uuid, address inet, token bytea, elsewhere integer);
INSERT INTO visits SELECT n, 1 + n % 55, ' person' || 1 + n % 55 || '@example.com', 1 + n % 55,
    md5((1 + n % 55)::text)::uuid, ('10.0.0.' || 1 + n % 55)::inet,
    decode(md5((1 + n % 55)::text), 'hex'), 1 + n % 55 FROM generate_series(1, 150) AS n;
"""
JOINED: Final = {
    "id": "person",
    "email": "email",
    "account": "account",
    "code": "code",
    "address": "address",
    "token": "token",
}
"""Columns of people, and those of visits that refer to them: other types, other spellings."""

TYPES: Final = {
    "smallint": "7",
    "integer": "70000",
    "bigint": "5000000000",
    "numeric": "12.50",
    "numeric(10,3)": "12.500",
    "real": "1.5",
    "double precision": "2.25",
    "text": "'Ann Example'",
    "varchar(20)": "'Ann Example'",
    "char(20)": "'Ann Example'",
    "name": "'ann'",
    "boolean": "true",
    "date": "'1980-05-06'",
    "time": "'01:02:03'",
    "timestamp": "'1980-05-06 01:02:03.5'",
    "timestamptz": "'1980-05-06 01:02:03.5+02'",
    "interval": "'3 days 04:05:06'",
    "uuid": "'d3ac94af-0f21-4db6-acad-4a268d116ece'",
    "json": """'{"a": [1, "Ann"], "b": null}'""",
    "jsonb": """'{"a": [1, "Ann"], "b": null}'""",
    "bytea": "'\\x00ff10'",
    "inet": "'192.0.2.7/24'",
    "cidr": "'192.0.2.0/24'",
    "macaddr": "'08:00:2b:01:02:03'",
    "text[]": "ARRAY['Ann', NULL, 'x, y']",
    "integer[]": "ARRAY[1, NULL, 3]",
    "numeric[]": "ARRAY[1.5]",
    "uuid[]": "ARRAY['d3ac94af-0f21-4db6-acad-4a268d116ece'::uuid]",
    "date[]": "ARRAY['1980-05-06'::date]",
    "jsonb[]": """ARRAY['{"a": "Ann"}'::jsonb]""",
    "a_mood": "'sad'",
    "a_text": "'Ann Example'",
    "int4range": "'[1,10)'",
}
OPERATORS: Final = {
    "p": "pseudonym(people)",
    "r": "redact",
    "k": "keep_last(2)",
    "d": "digits",
    "y": "year",
    "b": "bucket(10)",
    "c": "constant(1)",
    "n": "null",
}


def typed_columns() -> dict[str, tuple[str, str, str]]:
    """Name -> type, value and operator."""
    return {
        f"{letter}_{number}": (type_, value, operator)
        for number, (type_, value) in enumerate(TYPES.items())
        for letter, operator in OPERATORS.items()
    }


def rules() -> list[dict[str, str]]:
    masks = {f"public.typed.{name}": each[2] for name, each in typed_columns().items()}
    for one, other in JOINED.items():
        masks |= {f"public.people.{one}": "pseudonym(people)"}
        masks |= {f"public.visits.{other}": "pseudonym(people)"}
    masks["public.visits.elsewhere"] = "pseudonym(others)"
    masks |= {f"public.moods.{column}": mask for column, mask in MOOD_MASKS.items()}
    return [{"column": c, "label": "pii", "mask": mask} for c, mask in masks.items()]


MOODS: Final = """
CREATE TYPE an_owner AS ENUM ('shared', 'ada@example.com');
CREATE TABLE moods (id integer, shown a_mood, wrong a_mood, cut a_mood, several a_mood[],
    owner an_owner, owners an_owner[]);
INSERT INTO moods VALUES
    (1, 'sad', 'sad', 'sad', '{sad,glad}', 'ada@example.com', '{shared,ada@example.com}'),
    (2, 'glad', 'glad', 'glad', '{}', 'shared', '{shared}'),
    (3, NULL, NULL, NULL, NULL, NULL, NULL);
"""
MOOD_MASKS: Final = {
    "shown": "constant(glad)",
    "wrong": "constant(angry)",
    "cut": "keep_last(2)",
    "several": "constant(glad)",
}


@pytest.fixture(scope="module")
def shop(module_worlds: Callable[..., World]) -> World:
    world = module_worlds()
    target: dict[str, Any] = world.configuration()["targets"]["shop"]
    world.settings = {"targets": {"shop": {**target, "columns": rules()}}}
    columns = typed_columns()
    listed = ", ".join(f"{name} {each[0]}" for name, each in columns.items())
    values = ", ".join(each[1] for each in columns.values())
    world.direct_execute(
        "CREATE TYPE a_mood AS ENUM ('sad', 'glad'); CREATE DOMAIN a_text AS text;"
        f"{TABLES} CREATE TABLE typed (id integer, {listed});"
        f"INSERT INTO typed VALUES (1, {values}); {MOODS}"
    )
    world.start()
    return world


async def read(client: Client, sql: str) -> list[tuple[Any, ...]]:
    result = await client.call_tool("run_sql", {"target": "shop", "sql": sql, "max_rows": 1000})
    assert not result.is_error, result.content
    assert result.structured_content is not None
    assert not result.structured_content["truncated"]
    return [tuple(row) for row in result.structured_content["rows"]]


async def true_joins(shop: World, one: str, other: str) -> Counter[int]:
    """How many visits each number of partners has, by the database itself."""
    same = f"lower(btrim(p.{one})) = lower(btrim(v.{other}))" if one == "email" else ""
    same = same or f"p.{one} = v.{other}"
    sql = f"SELECT v.id, count(p.id) FROM visits v LEFT JOIN people p ON {same} GROUP BY v.id"
    async with shop.direct() as direct:
        return Counter({row[0]: row[1] for row in await direct.fetch(sql)})


@pytest.mark.parametrize(("one", "other"), JOINED.items())
async def test_pseudonyms_join_as_the_values_do(shop: World, one: str, other: str) -> None:
    expected = await true_joins(shop, one, other)
    async with shop.mcp("rita") as client:
        people = await read(client, f"SELECT {one} FROM people")
        visits = await read(client, f"SELECT id, {other} FROM visits")
    partners = Counter(_joined(one, value) for (value,) in people)
    found = {number: partners[_joined(one, value)] for number, value in visits}
    assert Counter(found) == expected
    assert sum(expected.values()) > 100
    assert max(partners.values()) == 1


def _joined(column: str, value: Any) -> Any:
    """A value as it is compared: 1.00 is 1, as in the database."""
    return Decimal(str(value)) if column == "account" else value


async def test_no_pseudonym_is_the_value_and_none_joins_over_domains(shop: World) -> None:
    async with shop.mcp("rita") as client:
        visits = await read(client, "SELECT elsewhere, person FROM visits")
    pairs = set(visits)
    assert len(pairs) == 55
    assert len([pair for pair in pairs if pair[0] == pair[1]]) < 6
    async with shop.direct() as direct:
        true = [row[0] for row in await direct.fetch("SELECT elsewhere FROM visits")]
    assert [a for (a, _), b in zip(visits, true, strict=True) if a == b] == []


def fetched(shop: World, sql: str, *, binary: bool) -> list[tuple[Any, ...]]:
    with psycopg.connect(
        host="127.0.0.1",
        port=shop.listener,
        user="rita",
        password=shop.token("rita"),
        dbname="shop",
        sslmode="disable",
        connect_timeout=30,
    ) as connection:
        return connection.execute(sql.encode(), binary=binary).fetchall()


def test_psycopg_reads_every_masked_type_and_both_formats_are_masked_alike(shop: World) -> None:
    names = list(typed_columns())
    sql = f"SELECT {', '.join(names)} FROM typed"
    (text,), (binary,) = (fetched(shop, sql, binary=each) for each in (False, True))
    by_name = dict(zip(names, zip(text, binary, strict=True), strict=True))
    differing = {n: (t, b, typed_columns()[n]) for n, (t, b) in by_name.items() if t != _said(b)}
    assert differing == {}
    shown = {n: t for n, (t, _) in by_name.items() if t is not None}
    assert not any(n.startswith("n_") for n in shown)
    assert len(shown) > 90, "hardly anything but NULL"


def _said(value: Any) -> Any:
    """psycopg leaves hardware addresses in binary format as they are."""
    return value.hex(":") if isinstance(value, bytes) and len(value) == 6 else value


def test_psycopg_reads_joins_in_both_formats(shop: World) -> None:
    for one, other in JOINED.items():
        for sql in (f"SELECT {one} FROM people", f"SELECT {other} FROM visits"):
            assert _plain(fetched(shop, sql, binary=True)) == _plain(
                fetched(shop, sql, binary=False)
            )


def _plain(rows: Sequence[tuple[Any, ...]]) -> list[str]:
    return [str(row[0]) for row in rows]


async def test_an_enum_under_a_mask_is_one_of_its_labels_or_null(shop: World) -> None:
    """In both formats and on both doors; so is one in which something was found."""
    sql = "SELECT shown, wrong, cut, several, owner, owners FROM moods ORDER BY id"
    expected = [
        ("glad", None, None, None, None, None),
        ("glad", None, None, None, "shared", "{shared}"),
        (None, None, None, None, None, None),
    ]
    async with shop.mcp("rita") as client:
        assert await read(client, sql) == expected
    assert fetched(shop, sql, binary=False) == expected
    binary = [row[:5] for row in fetched(shop, sql, binary=True)]
    assert [tuple(c.decode() if c else c for c in row) for row in binary] == [
        row[:5] for row in expected
    ]
