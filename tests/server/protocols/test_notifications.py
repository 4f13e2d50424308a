"""Notifications: what other sessions say on a channel reaches no client of the listener.

Payloads are text of somebody's, which no rule about columns covers. So LISTEN is refused, and what
a server sends all the same is dropped. NOTIFY is policy's to permit. (UNLISTEN only gives back.)
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from policies import cedar
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from tests.fixtures.postgres import PostgresDatabase, SampleDatabase, execute
from tests.server.protocols.gateway import Door, opened
from tests.server.protocols.raw_client import RawClient, Reply, errors, tags

pytestmark = pytest.mark.anyio

SECRET: Final = "219-09-9991"
LISTENS: Final = "BEGIN LISTEN gossip; RETURN NEW; END"
POLICIES: Final = """
@id("everybody")
permit (
  principal,
  action in [Action::"connect", Action::"read", Action::"change", Action::"sql.session"],
  resource
);
@id("channels")
permit (principal, action in [Action::"sql.listen", Action::"sql.notify"], resource)
when { ["orders", "Orders"].containsAll(context.sql.channels) };
"""


@pytest.fixture(scope="module")
async def door(
    shop_database: SampleDatabase,
    store_database: PostgresDatabase,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Door]:
    async with opened(shop_database, store_database) as made:
        made.gate.decision_point = policies(tmp_path_factory.mktemp("policies"))
        await execute(
            shop_database.dsn,
            "CREATE TABLE heard (a text); GRANT ALL ON heard TO PUBLIC",
            f"CREATE FUNCTION hear() RETURNS trigger LANGUAGE plpgsql AS $${LISTENS}$$",
            "CREATE TRIGGER t BEFORE INSERT ON heard FOR EACH ROW EXECUTE FUNCTION hear()",
        )
        await made.gate.read_catalog(made.gate.backends["shop"])
        yield made


def policies(directory: Path) -> cedar.CedarDecisionPoint:
    (directory / "all.cedar").write_text(POLICIES)
    return cedar.load(directory)


async def say(door: Door) -> None:
    """What another session tells everybody who listens."""
    await execute(door.sample.dsn, f"NOTIFY gossip, '{SECRET}'")


def heard(replies: list[Reply]) -> list[b.NotificationResponse]:
    return [each for each in replies if isinstance(each, b.NotificationResponse)]


async def run(client: RawClient, text: str, *, extended: bool) -> list[Reply]:
    if not extended:
        return await client.query(text)
    client.send(f.Parse("", text), f.Bind("", ""), f.Execute(""), f.Sync())
    return await client.until_ready()


EITHER_PROTOCOL = pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])


@pytest.mark.parametrize(
    "text",
    [
        "LISTEN gossip",
        "NOTIFY gossip, 'x'",
        "/* a */ listen gossip",
        "SELECT pg_notify('gossip', 'x')",
        "DO $$ BEGIN LISTEN gossip; END $$",
        "DO $$ BEGIN EXECUTE 'LIS' || 'TEN gossip'; END $$",
        "SELECT 1; LISTEN gossip",
        "PREPARE p AS SELECT 1; LISTEN gossip",
    ],
)
@EITHER_PROTOCOL
async def test_no_client_listens_or_notifies(door: Door, text: str, extended: bool) -> None:
    client, other = await door.client(), await door.direct()
    await other.query("LISTEN gossip")
    assert errors(await run(client, text, extended=extended))
    assert not heard(await other.query("SELECT 1"))
    await say(door)
    assert tags(await client.query("SELECT 1")) == "TDCZI"


@EITHER_PROTOCOL
async def test_what_policy_permits_is_said_at_commit(door: Door, extended: bool) -> None:
    client, other = await door.client(), await door.direct()
    await other.query('LISTEN "Orders"')
    assert not errors(await run(client, "NOTIFY \"Orders\", 'one'", extended=extended))
    assert [each.payload for each in heard([await other.reply()])] == ["one"]
    for text in ("BEGIN", "NOTIFY \"Orders\", 'two'", "ROLLBACK", "BEGIN"):
        assert not errors(await run(client, text, extended=extended))
    assert not errors(await run(client, "NOTIFY \"Orders\", 'three'", extended=extended))
    assert not heard(await other.query("SELECT 1"))
    assert not errors(await run(client, "COMMIT", extended=extended))
    assert [each.payload for each in heard([await other.reply()])] == ["three"]


async def test_what_a_trigger_listens_to_reaches_nobody(door: Door) -> None:
    """The server does send it: the session's own connection listens from the INSERT on."""
    client, direct = await door.client(), await door.direct()
    for each in (client, direct):
        assert not errors(await each.query("INSERT INTO heard VALUES ('a')"))
    await say(door)
    told = await direct.reply()
    assert isinstance(told, b.NotificationResponse)
    assert told.payload == SECRET
    for text in ("SELECT 1", "BEGIN", "SELECT 1", "COMMIT", "SELECT 2"):
        replies = await client.query(text)
        assert not errors(replies)
        assert not heard(replies)
        assert SECRET.encode() not in b"".join(map(written, replies))


def written(reply: Reply) -> bytes:
    frames = getattr(reply, "frames", None)
    return frames if frames is not None else reply.encode()  # type: ignore[union-attr]
