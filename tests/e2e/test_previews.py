"""Previews with a whole gateway: who sees what a change would do, and what is never tried out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

import asyncpg
import pytest

from tests.e2e.policy_sets import rewrite, starter_copy
from tests.e2e.test_main_job import refusal, run_sql, words
from tests.e2e.world import World

pytestmark = pytest.mark.anyio

WITHIN: Final = 60.0  # seconds
DANGERS: Final = """
CREATE TABLE said (id integer PRIMARY KEY, what text);
CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
  $$BEGIN INSERT INTO said VALUES (1, 'x'); RETURN NEW; END$$;
CREATE FUNCTION said_of(integer) RETURNS integer LANGUAGE sql STABLE AS 'SELECT $1';
CREATE FUNCTION pure(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE TABLE numbered (id serial PRIMARY KEY, n integer);
CREATE TABLE identified (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n integer);
CREATE TABLE indexed (id integer PRIMARY KEY, n integer);
CREATE INDEX ON indexed (pure(n));
CREATE TABLE limited (id integer PRIMARY KEY, n integer CHECK (pure(n) > 0));
CREATE TABLE computed (id integer PRIMARY KEY, n integer,
  twice integer GENERATED ALWAYS AS (pure(n)) STORED);
CREATE TABLE parents (id integer PRIMARY KEY, n integer);
CREATE TABLE children (id integer PRIMARY KEY,
  parent integer REFERENCES parents ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE whole (id integer, n integer) PARTITION BY RANGE (id);
CREATE TABLE whole_1 PARTITION OF whole FOR VALUES FROM (0) TO (1000);
INSERT INTO indexed VALUES (1, 1); INSERT INTO limited VALUES (1, 1);
INSERT INTO computed VALUES (1, 1); INSERT INTO parents VALUES (1, 1);
INSERT INTO children VALUES (1, 1); INSERT INTO whole VALUES (1, 1);
INSERT INTO numbered (n) VALUES (1);
CREATE TABLE triggered (id integer PRIMARY KEY, n integer);
INSERT INTO triggered VALUES (1, 1);
CREATE TABLE many (id integer PRIMARY KEY, n integer);
INSERT INTO many SELECT n, n FROM generate_series(1, 10001) AS n;
CREATE TABLE secrets_too (id integer PRIMARY KEY, email text, note text);
INSERT INTO secrets_too VALUES (1, 'eve.canary@example.com', 'a note');
"""


@pytest.fixture(scope="module")
def world(module_worlds: Callable[..., World]) -> World:
    made = module_worlds()
    made.direct_execute(DANGERS)
    made.start()
    return made


async def asked(world: World, sql: str, **arguments: Any) -> str:
    """Ask for a change as Rita; the ticket, once its preview is over."""
    async with world.mcp("rita") as client:
        pending = refusal(await run_sql(client, sql, **arguments))
    assert pending["status"] == "pending_approval", pending
    await ended(world, pending["approval_id"])
    return str(pending["approval_id"])


async def ended(world: World, ticket: str) -> None:
    async with world.journal() as store, asyncio.timeout(WITHIN):
        while await store.fetchval("SELECT state FROM previews WHERE ticket = $1", ticket) not in (
            "done",
            "none",
        ):
            await asyncio.sleep(0.05)


def shown(world: World, account: str, ticket: str) -> str:
    told = world.cli(account, "approvals", "show", ticket)
    assert told.returncode == 0, told
    return told.stdout


async def preview(world: World, ticket: str) -> Any:
    async with world.journal() as store:
        return await store.fetchrow("SELECT * FROM previews WHERE ticket = $1", ticket)


async def test_an_approver_sees_how_many_rows_and_some_of_them_before_and_after(
    world: World,
) -> None:
    sql = "UPDATE orders SET status = $1 WHERE id BETWEEN $2 AND $3"
    ticket = await asked(world, sql, params=["tried", 41, 52])
    told = shown(world, "victor", ticket)
    assert "Tried out and rolled back: it changed 12 rows." in told
    assert told.count("before: ") == told.count("after:  ") == 5
    assert "status=new" in told
    assert "status=tried" in told
    async with world.direct() as target:
        assert await target.fetchval("SELECT count(*) FROM orders WHERE status = 'tried'") == 0
        open_ = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        assert await target.fetchval(open_) == 0


async def test_a_requester_is_told_nothing_of_it_on_any_door(world: World) -> None:
    sql = "UPDATE orders SET status = 'unseen' WHERE id < 8"
    ticket = await asked(world, sql)
    assert "7 rows" in shown(world, "victor", ticket)
    said = shown(world, "rita", ticket)
    async with world.mcp("rita") as client:
        said += words(await client.call_tool("approval_wait", {"approval_id": ticket}))
        said += words(await run_sql(client, sql))
    for told in ("7 rows", "Tried out", "preview:", "before:"):
        assert told not in said


async def test_labelled_values_are_masked_and_others_are_searched(world: World) -> None:
    sql = "UPDATE customers SET balance = 0 WHERE ssn = '219-09-9991'"
    ticket = await asked(world, sql)
    told = shown(world, "victor", ticket)
    kept = str(dict(await preview(world, ticket)))
    assert "it changed 1 row" in told
    assert "balance=0.00" in told
    for text in (told.replace(sql, ""), kept):
        for secret in ("ada.canary", "219-09-9991", "555 0101", "ada.second@example.com"):
            assert secret not in text


async def test_a_reviewers_agent_gets_it_with_the_request(world: World) -> None:
    ticket = await asked(world, "DELETE FROM orders WHERE id = 299")
    async with world.mcp("victor") as client:
        listed = await client.call_tool("review_approvals", {"approval_id": ticket})
    assert "it changed 1 row" in words(listed)
    assert listed.structured_content is not None
    [waiting] = listed.structured_content["waiting"]
    assert waiting["preview"][0].endswith("it changed 1 row.")


async def test_a_delete_shows_what_would_go(world: World) -> None:
    told = shown(world, "victor", await asked(world, "DELETE FROM orders WHERE id IN (3, 4)"))
    assert "it changed 2 rows" in told
    assert "row 2: id=4" in told


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("INSERT INTO orders VALUES (9001, 1, 5), (9002, 1, 5)", 2),
        ("INSERT INTO orders VALUES (1, 1, 5) ON CONFLICT DO NOTHING", 0),
        ("UPDATE orders SET total = 1 FROM customers c WHERE customer_id = c.id AND c.id = 1", 100),
        ("DELETE FROM orders WHERE orders.status::text = 'new' AND id < 11 RETURNING id", 10),
        ("UPDATE orders SET id = id + 5000 WHERE id = 12", 1),
        ("UPDATE whole SET n = 2 WHERE id = 1", 1),
    ],
)
async def test_other_changes_are_counted(world: World, sql: str, rows: int) -> None:
    ticket = await asked(world, sql)
    assert (await preview(world, ticket))["changed"] == rows
    assert "\n".join(await counts(world)) == await unchanged(world)


async def counts(world: World) -> list[str]:
    async with world.direct() as target:
        found = await target.fetch(
            "SELECT 'orders', count(*), sum(id), sum(total) FROM orders"
            " UNION ALL SELECT 'whole', count(*), sum(id), sum(n) FROM whole"
        )
    return [str(tuple(row)) for row in found]


async def unchanged(world: World) -> str:
    total = sum(range(1, 301))
    return f"('orders', 300, {total}, Decimal('{total}.00'))\n('whole', 1, 1, Decimal('1'))"


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("INSERT INTO numbered (n) VALUES (1)", "nextval would be called"),
        ("UPDATE numbered SET id = DEFAULT WHERE n = 1", "nextval would be called"),
        ("INSERT INTO identified (n) VALUES (1)", "takes numbers from a sequence"),
        ("UPDATE indexed SET n = 2 WHERE id = 1", "pure would be called"),
        ("UPDATE limited SET n = 2 WHERE id = 1", "pure would be called"),
        ("UPDATE computed SET n = 2 WHERE id = 1", "pure would be called"),
        ("DELETE FROM parents WHERE id = 1", "children would change along"),
        ("UPDATE parents SET id = 2 WHERE id = 1", "children would change along"),
        ("UPDATE many SET n = 0 WHERE n > 0", "more than 10000 rows"),
        ("INSERT INTO orders SELECT id + 7000, 1, 1 FROM many", "come from a query"),
    ],
)
async def test_what_a_rollback_would_not_undo_is_not_tried_out(
    world: World, sql: str, why: str
) -> None:
    async with world.direct() as target:
        before = await target.fetchval("SELECT last_value FROM numbered_id_seq")
    ticket = await asked(world, sql)
    found = await preview(world, ticket)
    assert found["state"] == "none"
    assert why in found["why"]
    assert f"It was not tried out: {found['why']}" in shown(world, "victor", ticket)
    async with world.direct() as target:
        assert await target.fetchval("SELECT last_value FROM numbered_id_seq") == before


async def test_a_trigger_that_came_after_the_catalog_was_read_is_not_run(world: World) -> None:
    async with world.direct() as target:
        await target.execute(
            "CREATE TRIGGER says BEFORE UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION say()"
        )
        async with world.mcp("rita") as client:
            said = refusal(await run_sql(client, "UPDATE triggered SET n = 2 WHERE id = 1"))
        if said.get("status") == "pending_approval":
            await ended(world, said["approval_id"])
            assert "has been changed" in (await preview(world, said["approval_id"]))["why"]
        assert await target.fetchval("SELECT count(*) FROM said") == 0


async def test_a_lock_of_somebody_else_ends_it_soon_and_the_approval_stands(world: World) -> None:
    sql = "UPDATE orders SET status = 'locked' WHERE id = 77"
    async with world.direct() as target, target.transaction():
        await target.execute("SELECT FROM orders WHERE id = 77 FOR UPDATE")
        ticket = await asked(world, sql)
    assert "somebody else holds a lock" in shown(world, "victor", ticket)
    assert world.cli("victor", "approvals", "approve", ticket).returncode == 0
    async with world.mcp("rita") as client:
        assert not (await run_sql(client, sql)).is_error


async def test_the_targets_own_words_are_not_shown(world: World) -> None:
    sql = "INSERT INTO customers (id, name) VALUES (1, 'x')"
    told = shown(world, "victor", await asked(world, sql))
    assert "the target refused it (SQLSTATE 23505)" in told
    assert "duplicate" not in told


async def test_it_is_an_action_of_its_own_in_the_recording(world: World) -> None:
    ticket = await asked(world, "UPDATE orders SET status = 'kept' WHERE id = 78")
    async with world.journal() as store:
        rows = await store.fetch(
            "SELECT kind, document FROM records WHERE session IN (SELECT session FROM records"
            " WHERE kind = 'intent' AND document::jsonb #>> '{action,ticket}' = $1)"
            " ORDER BY sequence",
            ticket,
        )
    found = [(row["kind"], json.loads(row["document"])) for row in rows]
    assert [kind for kind, _ in found] == ["intent", "outcome"]
    intent, outcome = found[0][1], found[1][1]
    assert intent["action"]["kind"] == "SqlPreview"
    assert [q["action"] for q in intent["questions"]] == ["sql.preview"]
    assert (outcome["status"], outcome["rows"], outcome["ticket"]) == ("rolled back", 1, ticket)


async def test_asking_again_tries_nothing_out_again(world: World) -> None:
    sql = "UPDATE orders SET status = 'once' WHERE id = 79"
    ticket = await asked(world, sql)
    first = (await preview(world, ticket))["begun_at"]
    assert await asked(world, sql) == ticket
    assert (await preview(world, ticket))["begun_at"] == first
    async with world.journal() as store:
        count = "SELECT count(*) FROM records WHERE document::jsonb #>> '{action,ticket}' = $1"
        assert await store.fetchval(count, ticket) == 1


async def test_what_psql_asks_for_is_tried_out_too(world: World) -> None:
    connection = await asyncpg.connect(
        host="127.0.0.1",
        port=world.listener,
        user="rita",
        password=world.token("rita"),
        database="shop",
    )
    sql = "UPDATE orders SET status = $1 WHERE id = $2"
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError) as refused:
            await connection.execute(sql, "native", 80)
    finally:
        await connection.close()
    ticket = str(refused.value).split("ticket ")[1].split(".")[0]
    await ended(world, ticket)
    told = shown(world, "victor", ticket)
    assert "it changed 1 row" in told
    assert "status=native" in told
    assert "1 row" not in str(refused.value.as_dict())


async def test_who_may_not_read_the_table_sees_the_count_alone(
    worlds: Callable[..., World],
) -> None:
    world = worlds()
    directory = starter_copy(world.directory / "policies")
    rewrite(
        directory / "permits.cedar",
        'permit (\n  principal in Group::"dba",\n  action in [Action::"connect", Action::"read",'
        ' Action::"change", Action::"sql.session"],\n  resource\n);',
        "",
    )
    permits = (directory / "permits.cedar").read_text()
    permits = permits.replace('@id("dba-reads-and-changes")\n', "")
    (directory / "permits.cedar").write_text(permits)
    world.settings = {"policies": str(directory)}
    world.start()
    ticket = await asked(world, "UPDATE orders SET status = 'hidden' WHERE id < 4")
    told = shown(world, "victor", ticket)
    assert "it changed 3 rows. You may not read the table" in told
    assert "status=" not in told


async def test_without_a_permit_nothing_is_tried_out(worlds: Callable[..., World]) -> None:
    world = worlds()
    directory = starter_copy(world.directory / "policies")
    rewrite(directory / "permits.cedar", 'action == Action::"sql.preview",', "action,")
    permits = (directory / "permits.cedar").read_text()
    start = permits.index('@id("changes-are-previewed")')
    permits = permits[:start] + permits[permits.index(");", start) + 2 :]
    (directory / "permits.cedar").write_text(permits)
    world.settings = {"policies": str(directory)}
    world.start()
    async with world.mcp("rita") as client:
        sql = "UPDATE orders SET status = 'not' WHERE id < 4"
        ticket = refusal(await run_sql(client, sql))["approval_id"]
    assert "preview" not in shown(world, "victor", ticket)
    async with world.journal() as store:
        assert await store.fetchval("SELECT count(*) FROM previews") == 0
