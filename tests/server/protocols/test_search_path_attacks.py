"""Attempts to have a session's statements judged by other names than the server looks up.

`customers` is labelled in public and plain in the other schemas: what is computed from a labelled
column shows the value if the gateway took the table for one of the others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Final

import pytest

from policies.sql.search_path import MOST_SCHEMAS
from recordings.rows import decode_postgres
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import RowRun
from tests.fixtures.postgres import PostgresDatabase, SampleDatabase, execute
from tests.server.protocols.gateway import Door, opened
from tests.server.protocols.raw_client import RawClient, Reply, errors

pytestmark = pytest.mark.anyio

SECRET: Final = b"219-09-9991"
SHOWN: Final = "SELECT ssn || '' FROM customers ORDER BY id LIMIT 1"
EVERY: Final = 'sales, "Sales", "a,b", "a""b", spare'
SCHEMAS: Final = f"""
CREATE SCHEMA sales; CREATE SCHEMA "Sales"; CREATE SCHEMA "a,b"; CREATE SCHEMA "a""b";
CREATE SCHEMA apart; CREATE SCHEMA uneven; CREATE SCHEMA spare;
CREATE TABLE sales.customers (id integer, ssn text, plain text);
INSERT INTO sales.customers VALUES (7, 'plain', 'plain');
CREATE TABLE "Sales".customers AS TABLE sales.customers;
CREATE TABLE "a,b".customers AS TABLE sales.customers;
CREATE TABLE "a""b".customers AS TABLE sales.customers;
CREATE TABLE apart.customers AS TABLE sales.customers;
CREATE TABLE uneven.customers AS TABLE sales.customers;
CREATE TABLE public.notes AS SELECT 1 AS id, 'plain' AS body, 'plain' AS other;
GRANT USAGE ON SCHEMA {EVERY} TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA {EVERY}, apart, uneven, public TO PUBLIC;
"""


@pytest.fixture(scope="module")
async def database(shop_database: SampleDatabase) -> SampleDatabase:
    writer, reader = shop_database.writer.user, shop_database.reader.user
    await execute(
        shop_database.dsn,
        SCHEMAS,
        f"GRANT USAGE ON SCHEMA uneven TO {reader};"
        f"GRANT CREATE, USAGE ON SCHEMA public, spare TO {writer};"
        f"ALTER SCHEMA sales OWNER TO {writer}; ALTER TABLE sales.customers OWNER TO {writer};"
        f"ALTER TABLE public.customers OWNER TO {writer}; ALTER TABLE notes OWNER TO {writer};"
        f"ALTER TABLE business_customers OWNER TO {writer}",
    )
    return shop_database


@pytest.fixture(scope="module")
async def door(database: SampleDatabase, store_database: PostgresDatabase) -> AsyncIterator[Door]:
    """The configured path begins with a schema that no role may use."""
    path = ("apart", "public")
    async with opened(database, store_database, search_path=path) as made:
        yield made


@pytest.fixture(autouse=True)
def no_clients_left(door: Door) -> Iterator[None]:
    yield
    door.close()
    door.clients.clear()


def cells(replies: list[Reply]) -> list[list[bytes | None]]:
    runs = [reply.frames for reply in replies if isinstance(reply, RowRun)]
    return [row for frames in runs for row in decode_postgres(frames)]


async def shown(client: RawClient, text: str = SHOWN) -> bytes:
    """The value that comes back, or the error's code."""
    replies = await client.query(text)
    if errors(replies):
        return errors(replies)[0][0].encode()
    return cells(replies)[0][0] or b""


FOLLOWED: Final = {
    '"Sales" , public': b"plain",
    '"a,b",public': b"plain",
    '"a""b",public': b"plain",
    '"",sales': b"plain",
    "SALES\n,\tpublic\f": b"plain",
    '"$user", sales': b"plain",
    '"SALES",public': b"42501",
}


@pytest.mark.parametrize("text", FOLLOWED, ids=ascii)
async def test_a_list_is_read_as_the_server_reads_it(door: Door, text: str) -> None:
    client = await door.client()
    replies = await client.query(f"SELECT set_config('search_path', '{text}', false)")
    expected = FOLLOWED[text]
    assert [code.encode() for code, _ in errors(replies)] in ([], [expected])
    assert await shown(client) in (expected, b"<redacted>")


# Blanks to Python and to a reader; to the server parts of a schema's name, or no list at all.
UNLISTED: Final = [
    *("sales\u00a0, public", "sales\x1c, public", "sales\x1f, public", "sales\u2003,public"),
    *("sales\x85,public", "\u3000sales,public", "sales\v,public", "sales \v,public", "\u017fales"),
    *("SALES\u00a0,public", '"sales"\u00a0,public', "sales,,public", "sales,", "''sales'',public"),
    *('"sales""",public', 'sales."customers"', "sales--x\n,public", "sales/*x*/,public", '"sales'),
    *("sales public", "$user, sales", "pg_temp_3,public", "pg_toast,public", "\ufeffsales,public"),
]


@pytest.mark.parametrize("text", UNLISTED, ids=ascii)
async def test_a_list_that_the_server_reads_otherwise_is_refused(door: Door, text: str) -> None:
    client = await door.client()
    replies = await client.query(f"SELECT set_config('search_path', '{text}', false)")
    assert errors(replies)[0][0] == "42501"
    assert await shown(client) == b"<redacted>"


async def test_a_path_may_hold_so_many_schemas(door: Door) -> None:
    """Each path that a session has is kept, by the gateway and by its parsers."""
    client = await door.client()
    for count, refused in ((MOST_SCHEMAS, []), (MOST_SCHEMAS + 1, ["42501"])):
        replies = await client.query("SET search_path TO " + ", ".join(["sales"] * count))
        assert [code for code, _ in errors(replies)] == refused


async def test_a_schema_that_the_role_may_not_use_is_passed_over_as_by_the_server(
    door: Door,
) -> None:
    client = await door.client()
    assert await shown(client) == b"<redacted>"
    assert errors(await client.query("SET search_path TO apart, public"))[0][0] == "42501"
    assert await shown(client) == b"<redacted>"


async def test_a_schema_that_only_some_roles_may_use_is_not_put_on_a_path(door: Door) -> None:
    client = await door.client()
    assert errors(await client.query("SET search_path TO uneven, public"))[0][0] == "42501"


async def test_a_schema_that_is_granted_later_is_seen_from_then_on(
    door: Door, database: SampleDatabase
) -> None:
    client = await door.client()
    await execute(database.dsn, "GRANT USAGE ON SCHEMA apart TO PUBLIC")
    try:
        await door.gate.read_catalog(door.gate.backends["shop"])
        assert await shown(client) == b"plain"
    finally:
        await execute(database.dsn, "REVOKE USAGE ON SCHEMA apart FROM PUBLIC")
    await door.gate.read_catalog(door.gate.backends["shop"])
    assert await shown(client) == b"<redacted>"


# What makes a name mean another relation, or a relation hold something else, before any catalog
# can show it; and a statement whose name that is. Judged by the catalog each would show a value.
NOTES: Final = "SELECT body || '' FROM notes"
OWN: Final = {
    "dropped": ("DROP TABLE sales.customers", SHOWN),
    "dropped with others": ("DROP SCHEMA sales CASCADE", SHOWN),
    "renamed": ("ALTER TABLE sales.customers RENAME TO others", SHOWN),
    "taking a name": ("ALTER TABLE public.customers RENAME TO notes2", "SELECT * FROM notes2"),
    "a column renamed": (
        "ALTER TABLE public.customers RENAME ssn TO swapped; "
        "ALTER TABLE public.customers RENAME name TO ssn; "
        "ALTER TABLE public.customers RENAME swapped TO name",
        "SELECT name || '' FROM public.customers ORDER BY id LIMIT 1",
    ),
    "a view in front": (
        "CREATE VIEW sales.notes AS SELECT 1 AS id, ssn AS body FROM public.customers",
        NOTES,
    ),
    "a view made anew": (
        "CREATE OR REPLACE VIEW public.harmless AS SELECT ssn AS body FROM public.customers",
        "SELECT body || '' FROM harmless",
    ),
    "a table in front": ("CREATE TABLE sales.notes (id int, body text)", "UPDATE notes SET id = 2"),
}
AT_ONCE: Final = ("in a transaction", "in one message", "in a pipeline", "bound before")


@pytest.mark.parametrize("how", AT_ONCE)
@pytest.mark.parametrize("what", OWN)
async def test_a_name_is_not_judged_by_what_it_was_before_the_sessions_own_definitions(
    door: Door, database: SampleDatabase, what: str, how: str
) -> None:
    await execute(
        database.dsn,
        "DROP VIEW IF EXISTS harmless; CREATE VIEW public.harmless AS SELECT body FROM notes;"
        f"ALTER VIEW public.harmless OWNER TO {database.writer.user}",
    )
    await door.gate.read_catalog(door.gate.backends["shop"])
    definition, text = OWN[what]
    client = await door.client()
    await client.query("SET search_path TO sales, public")
    if how == "in one message":
        replies = await client.query(f"BEGIN; {definition}; {text}")
    elif how == "in a pipeline":
        texts = ("BEGIN", *definition.split("; "), text)
        client.send(*(m for t in texts for m in (f.Parse("", t), f.Bind("", ""), f.Execute(""))))
        client.send(f.Sync())
        replies = await client.until_ready()
    elif how == "bound before":
        client.send(f.Parse("s", text), f.Sync())
        await client.until_ready()
        await client.query(f"BEGIN; {definition}")
        client.send(f.Bind("", "s"), f.Execute(""), f.Sync())
        replies = await client.until_ready()
    else:
        await client.query("BEGIN")
        assert errors(await client.query(definition)) == []
        replies = await client.query(text)
    assert [code for code, _ in errors(replies)][:1] in (["42501"], ["25P02"])
    assert cells(replies) == []
    await client.query("ROLLBACK")


async def test_what_a_transaction_defines_leaves_other_names_alone(door: Door) -> None:
    client = await door.client()
    for text in (
        *("BEGIN", "CREATE TABLE spare.made (id int)", "ALTER TABLE notes ADD COLUMN more int"),
        *("ALTER TABLE notes DROP COLUMN more", "CREATE INDEX ON notes (id)"),
        *("SELECT id FROM customers", "INSERT INTO spare.customers SELECT 1 WHERE false"),
    )[:-1]:
        assert (text, errors(await client.query(text))) == (text, [])
    await client.query("ROLLBACK")


async def test_a_definition_that_is_committed_is_known_to_the_next_statement(door: Door) -> None:
    client = await door.client()
    assert errors(await client.query("CREATE TABLE spare.known (id int, body text)")) == []
    assert errors(await client.query("INSERT INTO spare.known VALUES (1, 'a')")) == []
    await client.query("BEGIN; ALTER TABLE spare.known RENAME TO other; COMMIT")
    assert await shown(client, "SELECT body FROM spare.other") == b"a"
    await client.query("DROP TABLE spare.other")
    assert await shown(client, "SELECT body FROM spare.other") == b"42501"
