"""What an agent sees masked does not come back over the value, on either door."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from tests.attacks_sql.doors import Doors, driver, listener, open_doors
from tests.e2e.policy_sets import starter_copy
from tests.e2e.world import World
from tests.server.protocols.raw_client import errors

pytestmark = pytest.mark.anyio

PERMIT = """
@id("developers-write-masked-phones")
permit (
  principal in Group::"developers",
  action == Action::"sql.write_masked",
  resource == Table::"shop/public/customers"
)
when { ["phone", "name"].containsAll(context.sql.columns) };
"""
TABLES = """
CREATE TABLE memos (id integer PRIMARY KEY, body text, document jsonb, words text[], made uuid);
INSERT INTO memos VALUES (1, 'paid', '{}', '{}', NULL);
ALTER TABLE customers ADD COLUMN card text, ADD COLUMN code uuid;
UPDATE customers SET card = '4111-1111-1111-1111', code = 'd3ac94af-0f21-4db6-acad-4a268d116ece';
"""
MASKS = {"card": "partial(2,2,x)", "code": "pseudonym(people)", "name": "pseudonym(people)"}


@dataclass(frozen=True, slots=True)
class Seen:
    """What the agent has read: a mask of each kind."""

    phone: str
    ssn: str
    email: str
    name: str
    card: str
    code: str

    @property
    def all(self) -> tuple[str, ...]:
        return self.phone, self.ssn, self.email, self.name, self.card, self.code


@pytest.fixture(scope="module")
def shop(module_worlds: Callable[..., World], tmp_path_factory: pytest.TempPathFactory) -> World:
    """Changes wait for nobody here, and one column may be written though it is seen masked."""
    policies = starter_copy(Path(tmp_path_factory.mktemp("policies")) / "set")
    permits = policies / "permits.cedar"
    permits.write_text(permits.read_text() + PERMIT)
    world = module_worlds()
    target: dict[str, Any] = world.configuration()["targets"]["shop"]
    more = [
        {"column": f"public.customers.{column}", "label": "pii", "mask": mask}
        for column, mask in MASKS.items()
    ]
    shop = {**target, "environment": "development", "columns": [*target["columns"], *more]}
    world.settings = {"policies": str(policies), "targets": {"shop": shop}}
    world.direct_execute(TABLES)
    world.start()
    return world


@pytest.fixture
async def doors(shop: World) -> AsyncIterator[Doors]:
    async with open_doors(shop) as opened:
        yield opened


@pytest.fixture
async def seen(doors: Doors) -> Seen:
    sql = "SELECT phone, ssn, email, name, card, code FROM customers WHERE id = 1"
    result = await doors.client.call_tool("run_sql", {"target": "shop", "sql": sql})
    assert result.structured_content is not None
    found = Seen(*result.structured_content["rows"][0])
    assert (found.phone, found.ssn) == ("<redacted>", "***-**-9991")
    return found


async def refused(doors: Doors, code: str, *statements: str) -> None:
    """Refused on both doors with this code, and nothing has changed."""
    before = await everything(doors)
    for sql in statements:
        by_tool, by_wire = await doors.mcp(sql), await doors.listener(sql)
        assert (sql, by_tool.code) == (sql, code)
        assert (sql, by_wire.code, f"{code}, policy" in by_wire.text) == (sql, "42501", True)
    assert await everything(doors) == before


async def everything(doors: Doors) -> list[Any]:
    rows = "SELECT c::text FROM customers c UNION ALL SELECT m::text FROM memos m ORDER BY 1"
    return [row[0] for row in await doors.direct.fetch(rows)]


async def test_a_masked_column_is_not_written(doors: Doors, seen: Seen) -> None:
    await refused(
        doors,
        "WRITE_BACK",
        "UPDATE customers SET ssn = '***' WHERE id = 1",
        f"UPDATE customers SET ssn = '{seen.ssn}' WHERE id = 1",
        "UPDATE customers SET phone = 'x', ssn = 'y' WHERE id = 1",
        "INSERT INTO customers (id, name, ssn) VALUES (9, 'x', 'y')",
        "INSERT INTO customers VALUES (9, 'x')",
        "INSERT INTO customers (id, balance) VALUES (1, 2)"
        " ON CONFLICT (id) DO UPDATE SET email = 'x'",
    )


async def test_a_mask_is_not_written_anywhere(doors: Doors, seen: Seen) -> None:
    for mask in seen.all:
        half = len(mask) // 2
        await refused(
            doors,
            "WRITE_BACK_MASK",
            f"UPDATE memos SET body = '{mask}' WHERE id = 1",
            f"UPDATE memos SET body = 'they are {mask}, it says' WHERE id = 1"
            if mask != seen.card
            else f"UPDATE memos SET body = ' {mask} ' WHERE id = 1",
            f"UPDATE memos SET body = '{mask[:half]}' || '{mask[half:]}' WHERE id = 1",
            f"UPDATE memos SET document = '{json.dumps({'a': [mask]})}' WHERE id = 1",
            f"UPDATE memos SET words = '{{a,\"{mask}\"}}' WHERE id = 1",
            f"UPDATE memos SET words = ARRAY['a', $q${mask}$q$] WHERE id = 1",
            f"INSERT INTO memos (id, body) SELECT id, '{mask}' FROM orders",
            f"INSERT INTO memos (id, body) VALUES (1, 'x') ON CONFLICT (id)"
            f" DO UPDATE SET body = '{mask}'",
            f"DELETE FROM memos WHERE body = '{mask}'",
        )


async def test_where_policy_permits_it_a_value_is_written_and_a_mask_is_not(
    doors: Doors, seen: Seen
) -> None:
    await refused(
        doors,
        "WRITE_BACK_MASK",
        f"UPDATE customers SET phone = '{seen.phone}' WHERE id = 1",
        f"UPDATE customers SET name = '{seen.name}' WHERE id = 1",
        f"UPDATE customers SET balance = 1 WHERE name = '{seen.name}'",
    )
    changed = await doors.mcp("UPDATE customers SET phone = '+1 202 555 0199' WHERE id = 1")
    assert changed.code == ""
    phone = await doors.direct.fetchval("SELECT phone FROM customers WHERE id = 1")
    assert phone == "+1 202 555 0199"
    found = await doors.mcp(f"SELECT id FROM customers WHERE name = '{seen.name}'")
    assert '"rows": []' in found.text


async def test_the_refusal_says_what_is_wrong_and_where(doors: Doors, seen: Seen) -> None:
    said = await doors.mcp(f"UPDATE memos SET body = '{seen.ssn}' WHERE id = 1")
    document = json.loads(said.text)
    assert "mask or pseudonym that the gateway made" in document["reason"]
    assert "in a WHERE it finds nothing" in document["reason"]
    assert document["span"] == [24, 24 + len(f"'{seen.ssn}'")]
    said = await doors.mcp("UPDATE customers SET balance = 1, ssn = 'x' WHERE id = 1")
    document = json.loads(said.text)
    assert "the column ssn of public.customers masked" in document["reason"]
    assert "leave out the column ssn" in said.text


async def test_a_mask_in_a_parameter_is_not_written(doors: Doors, seen: Seen, shop: World) -> None:
    before = await everything(doors)
    async with driver(shop) as connection:
        for mask in seen.all:
            for sql, value in (
                ("UPDATE memos SET body = $1 WHERE id = 1", mask),
                ("UPDATE memos SET document = $1 WHERE id = 1", json.dumps({"a": mask})),
                ("UPDATE memos SET words = $1 WHERE id = 1", ["a", mask]),
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match="parameter"):
                    await connection.execute(sql, value)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("UPDATE memos SET made = $1 WHERE id = 1", seen.code)
    said = await doors.mcp("UPDATE memos SET body = $1 WHERE id = 1", params=[seen.ssn])
    assert said.code == "WRITE_BACK_MASK"
    assert await everything(doors) == before
    said = await doors.mcp("UPDATE memos SET body = $1 WHERE id = 1", params=["five stars: *****"])
    assert said.code == ""


async def test_a_mask_in_copied_rows_aborts_the_copy(doors: Doors, seen: Seen, shop: World) -> None:
    before = await everything(doors)
    async with driver(shop) as connection:
        for mask in seen.all:
            rows = [(n, "plain") for n in range(100, 200)] + [(200, mask)]
            for form in ("text", "csv", "binary"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match="copied in"):
                    await _copy(connection, rows, form)
        assert await everything(doors) == before
        await _copy(connection, [(300, "plain"), (301, "0 4 * * *")], "text")
        assert await connection.fetchval("SELECT count(*) FROM memos WHERE id >= 300") == 2
        await connection.execute("DELETE FROM memos WHERE id >= 300")


async def _copy(
    connection: asyncpg.Connection[asyncpg.Record], rows: list[tuple[int, str]], form: str
) -> None:
    columns = ["id", "body"]
    if form == "binary":
        await connection.copy_records_to_table("memos", records=rows, columns=columns)
        return
    separator = "," if form == "csv" else "\t"
    content = "".join(f"{number}{separator}{text}\n" for number, text in rows).encode()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 37):
            yield content[start : start + 37]

    await connection.copy_to_table("memos", source=pieces(), columns=columns, format=form)


async def test_an_aborted_copy_ends_in_order_and_the_session_goes_on(
    shop: World, seen: Seen
) -> None:
    async with listener(shop) as client:
        client.send(f.Query("COPY memos (id, body) FROM STDIN"))
        assert isinstance(await client.reply(), b.CopyInResponse)
        client.send(f.CopyData(f"400\t{seen.ssn}\n".encode()), f.CopyData(b"401\tx\n"))
        client.send(f.CopyDone())
        replies = await client.until_ready()
        ((state, message),) = errors(replies)
        assert (state, replies[-1]) == ("42501", b.ReadyForQuery("I"))
        assert "copied in hold a mask" in message
        again = await client.query("SELECT count(*) FROM memos")
        assert errors(again) == []
    async with shop.journal() as store:
        kept = "SELECT document FROM records WHERE kind = 'decision' ORDER BY at DESC LIMIT 20"
        documents = [json.loads(row[0]) for row in await store.fetch(kept)]
    codes = [d["refusal"]["code"] for d in documents if d.get("refusal")]
    assert "WRITE_BACK_MASK" in codes


async def test_explain_says_it_too(shop: World, seen: Seen) -> None:
    arguments = ("policy", "explain", "--target", "shop")
    said = shop.cli("rita", *arguments, f"UPDATE memos SET body = '{seen.ssn}' WHERE id = 1")
    assert "WRITE_BACK_MASK" in said.stdout + said.stderr
    said = shop.cli("rita", *arguments, "UPDATE customers SET ssn = 'x' WHERE id = 1")
    assert "WRITE_BACK" in said.stdout + said.stderr
    assert "sql.write_masked" in said.stdout + said.stderr
