"""L07: secrets in known positions of what callers send are in no record, ticket, log or answer."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import BackendReader
from tests.attacks.attacker import Attacker
from tests.e2e.world import World
from tests.server.protocols.raw_client import RawClient

pytestmark = [pytest.mark.anyio, pytest.mark.gateways]

CANARY: Final = "Hunter2-c4n4ry-9f31"
OTHER: Final = "Hunter2-c4n4ry-0000"
REFUSED: Final = (
    f"ALTER USER rita PASSWORD '{CANARY}'",
    f"ALTER ROLE rita WITH ENCRYPTED PASSWORD E'{CANARY}' VALID UNTIL '2030-01-01'",
    f"CREATE USER mallory PASSWORD /* a */ $q${CANARY}$q$",
    f"CREATE ROLE mallory LOGIN PASSWORD {CANARY}",
    f"ALTER USER rita PASSWORD '{CANARY}",
    f"CREATE USER MAPPING FOR rita SERVER s OPTIONS (user 'rita', password '{CANARY}')",
    f"CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (host 'h', password '{CANARY}')",
    f"CREATE SUBSCRIPTION s CONNECTION 'host=h password={CANARY}' PUBLICATION p",
    f"SELECT * FROM dblink('host=h password={CANARY}', 'SELECT 1') AS t (a int)",
    f"DO $$ BEGIN EXECUTE format('ALTER USER rita PASSWORD %L', '{CANARY}'); END $$",
    f"SET app.token = '{CANARY}'",
    f"SELECT set_config('app.jwt_secret', '{CANARY}', false)",
    f"CREATE USER mallory IDENTIFIED BY '{CANARY}'",
    f"SELECT 1; ALTER USER rita PASSWORD '{CANARY}'",
    f"psql postgres://rita:{CANARY}@h/shop",
    f'curl -H "Authorization: Bearer {CANARY}" https://h/',
)
RUN: Final = (
    f"SELECT count(*) FROM customers WHERE notes = 'https://rita:{CANARY}@h/'",
    f"SELECT count(*) FROM orders WHERE status = 'Cookie: session={CANARY}'",
    f"SELECT count(*) FROM orders /* Authorization: Bearer {CANARY} */",
)
FAILS: Final = f"SELECT 'https://{CANARY}@h/'::int"
CHANGE: Final = "UPDATE orders SET status = 'https://rita:{}@h/' WHERE id = 7"
UNDER_WAY: Final = """
SELECT count(*) FROM records o WHERE kind = 'session_opened'
AND NOT EXISTS (SELECT FROM records c WHERE c.session = o.session AND c.kind = 'session_closed')
"""


async def dump(world: World) -> str:
    """Every table of the store as text, and the bytes in it as text too."""
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    found: list[str] = []
    async with world.journal() as store:
        for table in await store.fetch(tables):
            rows = await store.fetch(f'SELECT t::text FROM public."{table[0]}" AS t')
            found += [row[0] for row in rows]
    return "\n".join(found)


async def check_nowhere(world: World, *shown: str, statements: int) -> None:
    """Once what is on its way has arrived: a note of what was removed for each, and no canary."""
    noted = "SELECT count(*) FROM records WHERE document LIKE '%\"removed\":{%'"
    async with asyncio.timeout(20), world.journal() as store:
        while await store.fetchval(noted) < statements or await store.fetchval(UNDER_WAY):
            await asyncio.sleep(0.1)
    for place in (await dump(world), world.log.read_text(), *shown):
        for secret in (CANARY, OTHER, CANARY.encode().hex(), OTHER.encode().hex()):
            assert secret not in place


async def test_l07_over_mcp_a_secret_in_a_known_position_is_kept_nowhere(
    attacker: Attacker,
) -> None:
    answers = []
    for sql in (*REFUSED, *RUN, FAILS):
        said = await attacker.sql(sql, reason=f"for https://rita:{CANARY}@h/")
        answers.append(said)
        assert (said["code"] == "OK") == (sql in RUN), said
    await check_nowhere(attacker.world, str(answers), statements=len(answers))


async def test_l07_a_bind_parameter_in_a_known_position_is_kept_nowhere(
    attacker: Attacker,
) -> None:
    """By its place in the statement, or by what it says itself."""
    by_place = "SELECT set_config('app.secret', $1, false)"
    by_content = "SELECT count(*) FROM orders WHERE status = $1"
    answers = [
        await attacker.sql(by_place, params=[CANARY]),
        await attacker.sql(by_content, params=[f"host=h password={CANARY}"]),
        await attacker.sql(by_content, params=[f"ALTER USER rita PASSWORD '{CANARY}'"]),
    ]
    assert [said["code"] == "OK" for said in answers] == [False, True, True]
    await check_nowhere(attacker.world, str(answers), statements=3)


async def test_l07_explaining_a_statement_keeps_its_secret_nowhere(attacker: Attacker) -> None:
    for sql in (REFUSED[0], REFUSED[3]):
        question = {"target": "shop", "sql": sql}
        answer = await attacker.api("POST", "/api/policy/explain", "rita", json=question)
        assert answer.status_code == 200, answer.text
        await check_nowhere(attacker.world, answer.text, statements=1)


async def test_l07_over_the_listener_a_secret_in_a_known_position_is_kept_nowhere(
    attacker: Attacker,
) -> None:
    """As one message, and prepared with a parameter."""
    world = attacker.world
    reader, writer = await asyncio.open_connection("127.0.0.1", world.listener)
    client = RawClient(reader, writer, BackendReader())
    await client.log_in(world.token("rita"), {"user": "rita", "database": "shop"})
    said: list[object] = []
    for sql in (*REFUSED, *RUN, FAILS):
        client.send(f.Query(sql))
        said += await client.until_ready()
        client.send(f.Parse("", sql), f.Bind("", ""), f.Execute(""), f.Sync())
        said += await client.until_ready()
    writer.close()
    await check_nowhere(world, str(said), statements=2 * len(REFUSED))


async def test_l07_an_approver_sees_that_there_is_a_secret_and_approves_the_exact_bytes(
    attacker: Attacker,
) -> None:
    """The ticket shows a mark; the digest binds what it stands for by a key, not to be guessed."""
    asked = await attacker.sql(CHANGE.format(CANARY))
    ticket = asked["approval_id"]
    seen = await attacker.api("GET", f"/api/approvals/{ticket}", "victor")
    assert "[removed]@h/" in seen.text
    assert "secrets not shown here" in seen.text
    await attacker.decide(ticket)
    other = await attacker.sql(CHANGE.format(OTHER))
    assert other["approval_id"] != ticket
    assert (await attacker.sql(CHANGE.format(CANARY)))["code"] == "OK"
    written = await attacker.direct("SELECT status FROM orders WHERE id = 7")
    assert written == f"https://rita:{CANARY}@h/"
    await attacker.decide(other["approval_id"], verdict="deny")
    await check_nowhere(attacker.world, seen.text, str(asked), str(other), statements=4)
