"""With extensions on the search path: built-in names still work, and nothing else is let in."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator

import pytest

from tests.attacks_sql.doors import call, said
from tests.e2e.world import World, build, tear_down
from tests.fixtures.postgres import PostgresServer, execute

pytestmark = pytest.mark.anyio

SETUP = """
CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION pg_trgm; CREATE EXTENSION ltree;
CREATE EXTENSION intarray; CREATE EXTENSION tablefunc;
CREATE TABLE loose (id int PRIMARY KEY, c citext, h hstore, l ltree);
INSERT INTO loose VALUES (1, 'Abc', 'a=>1', 'a.b');
CREATE VIEW v_loose AS SELECT id, c, h -> 'a' AS a FROM loose;
CREATE VIEW v_crosstab AS SELECT *
    FROM crosstab('SELECT reverse(ssn), 1::text, 2::text FROM customers') AS t (a text, b text);
CREATE FUNCTION same(a citext, b integer) RETURNS boolean LANGUAGE sql STABLE AS
    'SELECT EXISTS (SELECT FROM public.customers)';
CREATE OPERATOR <@ (LEFTARG = citext, RIGHTARG = integer, FUNCTION = same);
ALTER EXTENSION citext ADD FUNCTION same(citext, integer);
ALTER FUNCTION same(citext, integer) OWNER TO plain_owner
"""


@pytest.fixture(scope="module")
def extended(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = build(tmp_path_factory.mktemp("extended"), postgres, secrets.token_hex(4))
    owner = f"owner_{secrets.token_hex(4)}"
    try:
        roles = f"CREATE ROLE {owner}; GRANT CREATE ON SCHEMA public TO {owner};"
        script = roles + SETUP.replace("plain_owner", owner)
        asyncio.run(execute(made.direct_dsn, script))
        made.start()
        yield made
    finally:
        tear_down(made)
        asyncio.run(execute(postgres.dsn("postgres"), f"DROP ROLE IF EXISTS {owner}"))


RUNS = [
    "SELECT 1 = 1, 'a' = 'b', 'a' || 'b', 2 > 1, 'a' ~ 'b', 'a' LIKE 'b', 3 % 2, 2 - 1",
    "SELECT count(*) FROM orders WHERE status = 'new' AND id <> 3",
    "SELECT min(id), max(id) FROM orders GROUP BY status ORDER BY status",
    "SELECT replace('a', 'a', 'b'), split_part('a', ',', 1), translate('a', 'a', 'b')",
    "SELECT * FROM loose WHERE c = 'abc'",
    "SELECT lower(c), c::text, h -> 'a', h::text, l @> 'a' FROM loose",
    "SELECT * FROM v_loose",
    "SELECT ARRAY[1, 2] & ARRAY[2]",
    "SELECT a.id FROM loose a JOIN loose b USING (c)",
    "SELECT DISTINCT c FROM loose UNION SELECT 'x'",
]
REFUSED = [
    "SELECT similarity('a', 'b')",
    "SELECT * FROM crosstab('SELECT 1')",
    "SELECT * FROM v_crosstab",
    "SELECT hstore(c) FROM customers c",
    "SELECT 'x'::citext",
    # An owner of an extension can put a function of their own into it.
    "SELECT c <@ 1 FROM loose",
    "SELECT same(c, 1) FROM loose",
]


@pytest.mark.parametrize("sql", RUNS)
async def test_built_in_names_still_mean_what_is_safe(extended: World, sql: str) -> None:
    async with extended.mcp("rita") as client:
        assert said(await call(client, sql)).code == ""


@pytest.mark.parametrize("sql", REFUSED)
async def test_nothing_else_of_an_extension_is_called(extended: World, sql: str) -> None:
    async with extended.mcp("rita") as client:
        assert said(await call(client, sql)).code in (
            "FUNCTION_NOT_ALLOWED",
            "OPERATOR_UNKNOWN",
            "TYPE_UNKNOWN",
        )
