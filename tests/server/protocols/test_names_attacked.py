"""Random sessions that give names in SQL and by the protocol, over each other: nothing leaks.

Every statement here has one column of text; one that is shaped as another would show a value that
has to be masked.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import asyncpg
import pytest

from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import RowRun
from tests.server.protocols.gateway import Door
from tests.server.protocols.raw_client import RawClient, Reply, errors

pytestmark = pytest.mark.anyio

SECRET = b"219-09-9991"
QUERIES = (
    "SELECT name FROM customers ORDER BY id",
    "SELECT name FROM customers WHERE ssn IS NOT NULL ORDER BY id",
    "SELECT ssn FROM customers WHERE name <> '' ORDER BY id",
    "SELECT ssn || '' FROM customers ORDER BY id",
    "SELECT status FROM orders ORDER BY id LIMIT 3",
    "SELECT 'plain'",
)
OF_SQL, OF_DRIVER = ("s", "t", "c"), ("s", "c", "d")
AROUND = (
    *("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT a", "ROLLBACK TO a", "SELECT 1", "SELECT 1 / 0"),
    *("DELETE FROM orders", "DEALLOCATE ALL", "CLOSE ALL", "DISCARD PLANS"),
)


@pytest.fixture(autouse=True)
def no_clients_left(door: Door) -> Iterator[None]:
    yield
    door.close()
    door.clients.clear()


def sql(chance: random.Random) -> str:
    name, query = chance.choice(OF_SQL), chance.choice(QUERIES)
    fetches = f"FETCH {name}", f"FETCH ALL IN {name}", f"FETCH PRIOR FROM {name}"
    uses = chance.choice(((f"EXECUTE {name}",), (f"EXECUTE {name}",), fetches))
    makes = f"PREPARE {name} AS {query}", f"DECLARE {name} SCROLL CURSOR FOR {query}"
    drops = f"DEALLOCATE {name}", f"CLOSE {name}", f"MOVE 1 IN {name}"
    (kind,) = chance.choices((makes, uses, drops, AROUND), (6, 6, 3, 1))
    return chance.choice(kind)


def messages(chance: random.Random) -> list[f.Command]:
    """What a driver may send, in parts that may or may not belong together."""
    name, portal = chance.choice((*OF_DRIVER, "")), chance.choice((*OF_DRIVER, ""))
    parse = f.Parse(name, chance.choice((sql(chance), chance.choice(QUERIES))))
    bind, execute = f.Bind(portal, name), f.Execute(portal, chance.choice((0, 0, 1)))
    parts = ([bind], [execute], [f.Describe("S", name)], [f.Describe("P", portal)], [f.Flush()])
    closes = ([f.Close("S", name)], [f.Close("P", portal)], [parse], [parse, bind])
    wholes = ([f.Parse("", sql(chance)), f.Bind("", ""), f.Execute("")], [parse, bind, execute])
    (kind,) = chance.choices((wholes, [[bind, execute]], closes, parts), (6, 3, 3, 1))
    return list(chance.choice(kind))


async def some(client: RawClient, chance: random.Random) -> list[Reply]:
    if chance.random() < 0.6:
        texts = (sql(chance) for _ in range(chance.choice((1, 1, 1, 1, 2, 3))))
        return await client.query("; ".join(texts))
    for _ in range(chance.choice((1, 1, 2, 3))):
        client.send(*messages(chance))
        if chance.random() < 0.2:
            await client.writer.drain()
    client.send(f.Sync())
    return await client.until_ready()


async def tidied(client: RawClient, chance: random.Random, status: str) -> None:
    """So that most of what is tried gets as far as the server's names."""
    if status == "E":
        await client.query(chance.choice(("ROLLBACK", "ROLLBACK TO a; SELECT 1")))
    elif status == "I" and chance.random() < 0.4:
        await client.query("BEGIN; SAVEPOINT a")
    if chance.random() < 0.1:
        await client.query("ROLLBACK")
        await client.query("DISCARD ALL")


@pytest.mark.parametrize("seed", range(8))
async def test_what_has_a_name_is_shaped_as_what_it_is(door: Door, seed: int) -> None:
    chance = random.Random(seed)
    client = await door.client()
    got = bytearray()
    rows = 0
    for _ in range(120):
        replies = await some(client, chance)
        for reply in replies:
            if isinstance(reply, RowRun):
                got += reply.frames
                rows += reply.count
            assert not isinstance(reply, b.ErrorResponse) or reply.text("S") != "FATAL", reply
        assert isinstance(replies[-1], b.ReadyForQuery)
        await tidied(client, chance, replies[-1].status)
    assert SECRET not in got
    assert rows


TRAP = """
CREATE TABLE trapped (id integer);
CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  EXECUTE 'DEALLOCATE ALL';
  EXECUTE 'PREPARE s AS SELECT ssn || '''' FROM customers';
  RETURN NEW; END $$;
CREATE TRIGGER trap BEFORE INSERT ON trapped FOR EACH ROW EXECUTE FUNCTION trap();
CREATE TABLE trapped_later (id integer);
CREATE CONSTRAINT TRIGGER trap AFTER INSERT ON trapped_later DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION trap();
GRANT ALL ON trapped, trapped_later TO PUBLIC; GRANT EXECUTE ON FUNCTION trap() TO PUBLIC
"""


@pytest.fixture(scope="module")
async def trapped(door: Door) -> Door:
    connection = await asyncpg.connect(door.sample.dsn)
    await connection.execute(TRAP)
    await connection.close()
    return door


@pytest.mark.parametrize(
    "texts",
    [
        (f"PREPARE s AS {QUERIES[0]}", "INSERT INTO trapped VALUES (1)"),
        (
            *("BEGIN", "INSERT INTO trapped_later VALUES (1)", f"PREPARE s AS {QUERIES[0]}"),
            *("EXECUTE s", "COMMIT"),
        ),
        ("BEGIN", f"INSERT INTO trapped_later VALUES (1); PREPARE s AS {QUERIES[0]}", "COMMIT"),
        (f"INSERT INTO trapped_later VALUES (1); PREPARE s AS {QUERIES[0]}",),
    ],
    ids=["at once", "at the end", "in one message", "in a transaction of a message"],
)
async def test_names_are_forgotten_when_code_of_users_has_run(
    trapped: Door, texts: tuple[str, ...]
) -> None:
    """A trigger may give a name to something else."""
    client = await trapped.client()
    for text in texts:
        assert errors(await client.query(text)) == []
    replies = await client.query("EXECUTE s")
    assert [code for code, _ in errors(replies)] == ["42501"]
