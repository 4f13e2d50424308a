"""Notifications: a client hears what is said on channels that policy lets it listen to.

Payloads are text of somebody's, which no rule about columns covers: recognizers search it. What a
server sends besides, on channels that a trigger listens to, reaches nobody.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

from masking.cells import Masker
from masking.errors import MaskingFailed
from masking.operators import PseudonymKey
from masking.spans import Span
from policies import cedar
from recordings.journal import JournalUnavailable, Record
from server.notifications import FLOODED
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from tests.fixtures.postgres import PostgresDatabase, SampleDatabase, execute
from tests.server.protocols.gateway import Door, FindsNothing, opened
from tests.server.protocols.raw_client import WITHIN, RawClient, Reply, errors, tags
from tests.server.protocols.test_waiting import decide

pytestmark = pytest.mark.anyio

SECRET: Final = "219-09-9991"
ORDERS: Final = "orders"
RESET: Final = "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;"
"""What asyncpg's pool sends before a connection is used again."""
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
MANY: Final = "SELECT pg_notify('orders', n || repeat('x', 7000)) FROM generate_series(1, 300) n"
"""Two megabytes, in one transaction."""
WAITING: Final = (
    "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE NOT granted AND datname = current_database()"
)
AGREED: Final = """
@id("agreed")
@approve("dba")
forbid (principal, action == Action::"sql.listen", resource);
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
            "CREATE TABLE orders_heard (a text); GRANT ALL ON orders_heard TO PUBLIC",
            f"CREATE FUNCTION hear_orders() RETURNS trigger LANGUAGE plpgsql AS"
            f" $${LISTENS.replace('gossip', ORDERS)}$$",
            "CREATE TRIGGER t BEFORE INSERT ON orders_heard FOR EACH ROW"
            " EXECUTE FUNCTION hear_orders()",
        )
        await made.gate.read_catalog(made.gate.backends["shop"])
        yield made


def policies(directory: Path, *, without: str = "", more: str = "") -> cedar.CedarDecisionPoint:
    """The policies, or those that stand before one of them, and some more."""
    text = POLICIES.partition(f'@id("{without}")')[0] if without else POLICIES
    (directory / "all.cedar").write_text(text + more)
    return cedar.load(directory)


class FindsTheSecret(FindsNothing):
    """A `SpanFinder` for texts that hold one certain number, or nothing."""

    async def column_spans(self, context: str, texts: Sequence[str]) -> dict[int, list[Span]]:
        where = {i: text.find(SECRET) for i, text in enumerate(texts)}
        return {i: [Span(at, at + len(SECRET), "US_SSN")] for i, at in where.items() if at >= 0}


class FindsNoMore(FindsNothing):
    """A `SpanFinder` whose worker is gone."""

    async def column_spans(self, context: str, texts: Sequence[str]) -> dict[int, list[Span]]:
        raise MaskingFailed("the scanner is gone")


def masking(door: Door, finder: FindsNothing) -> None:
    door.gate.masker = Masker(PseudonymKey(b"a pseudonym key of 32 bytes long"), finder)


@pytest.fixture(autouse=True)
def as_it_was(door: Door) -> Iterator[None]:
    """Policies and masks, which some tests replace; and no client is left."""
    before = door.gate.decision_point, door.gate.masker
    yield
    door.close()
    door.clients.clear()
    door.gate.decision_point, door.gate.masker = before


async def say(door: Door, *payloads: str, channel: str = ORDERS) -> None:
    """What another session tells everybody who listens, all in one transaction."""
    said = ", ".join(f"pg_notify('{channel}', '{payload}')" for payload in payloads)
    await execute(door.sample.dsn, f"SELECT {said}")


async def told(client: RawClient) -> tuple[str, str]:
    """What the client hears next, without having asked anything."""
    reply = await client.reply()
    assert isinstance(reply, b.NotificationResponse), reply
    return reply.channel, reply.payload


async def recorded(door: Door, kind: str = "notified") -> list[tuple[dict[str, Any], bytes]]:
    """What the journal has of the newest session with such records."""
    await door.gate.journal.flush()
    rows = await door.store.pool.fetch(
        "SELECT r.document, r.session, b.body FROM records r LEFT JOIN bodies b"
        " ON b.stream = r.stream AND b.sequence = r.sequence WHERE r.kind = $1"
        " ORDER BY r.at, r.sequence",
        kind,
    )
    newest = rows[-1]["session"]
    return [(json.loads(r["document"]), r["body"]) for r in rows if r["session"] == newest]


def heard(replies: list[Reply]) -> list[str]:
    """The payloads among what came."""
    return [each.payload for each in replies if isinstance(each, b.NotificationResponse)]


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
    await say(door, SECRET, channel="gossip")
    assert tags(await client.query("SELECT 1")) == "TDCZI"


@EITHER_PROTOCOL
async def test_what_policy_permits_is_said_at_commit(door: Door, extended: bool) -> None:
    client, other = await door.client(), await door.direct()
    await other.query('LISTEN "Orders"')
    assert not errors(await run(client, "NOTIFY \"Orders\", 'one'", extended=extended))
    assert await told(other) == ("Orders", "one")
    for text in ("BEGIN", "NOTIFY \"Orders\", 'two'", "ROLLBACK", "BEGIN"):
        assert not errors(await run(client, text, extended=extended))
    assert not errors(await run(client, "NOTIFY \"Orders\", 'three'", extended=extended))
    assert not heard(await other.query("SELECT 1"))
    assert not errors(await run(client, "COMMIT", extended=extended))
    assert await told(other) == ("Orders", "three")


async def test_what_a_trigger_listens_to_reaches_nobody(door: Door) -> None:
    """The server does send it: the session's own connection listens from the INSERT on."""
    client, direct = await door.client(), await door.direct()
    assert not errors(await client.query("LISTEN orders"))
    for each in (client, direct):
        assert not errors(await each.query("INSERT INTO heard VALUES ('a')"))
    await say(door, SECRET, channel="gossip")
    assert await told(direct) == ("gossip", SECRET)
    for text in ("SELECT 1", "BEGIN", "SELECT 1", "COMMIT", "SELECT 2"):
        replies = await client.query(text)
        assert not errors(replies)
        assert not heard(replies)
        assert SECRET.encode() not in b"".join(map(written, replies))
    await execute(door.sample.dsn, MANY.replace(ORDERS, "gossip"))
    await say(door, "permitted")
    assert await told(client) == (ORDERS, "permitted")


@EITHER_PROTOCOL
async def test_a_client_that_listens_is_told_while_it_is_silent(door: Door, extended: bool) -> None:
    client, other = await door.client(), await door.client()
    assert tags(await run(client, "LISTEN orders", extended=extended)).endswith("CZI")
    assert not errors(await run(other, "NOTIFY orders, 'from another client'", extended=extended))
    assert await told(client) == (ORDERS, "from another client")
    await say(door, "one", "two", "three")
    assert [await told(client) for _ in range(3)] == [(ORDERS, t) for t in ("one", "two", "three")]
    assert tags(await run(client, "SELECT 1", extended=extended)).endswith("DCZI")
    await say(door, "after a statement")
    assert await told(client) == (ORDERS, "after a statement")
    assert not heard(await other.query("SELECT 1"))


async def test_what_one_says_to_oneself_comes_before_the_server_is_ready(door: Door) -> None:
    client = await door.client()
    assert client.key is not None
    replies = await client.query("LISTEN orders; NOTIFY orders, 'mine'; SELECT 1")
    assert tags(replies) == "CCTDCAZI"
    (mine,) = [each for each in replies if isinstance(each, b.NotificationResponse)]
    assert (mine.payload, mine.process) == ("mine", client.key.process)


async def test_names_of_channels_are_folded_and_quoted_as_the_server_does(door: Door) -> None:
    lower, upper = await door.client(), await door.client()
    assert not errors(await lower.query("LISTEN ORDERS"))
    assert not errors(await upper.query('LISTEN "Orders"'))
    await say(door, "upper", channel="Orders")
    assert await told(upper) == ("Orders", "upper")
    await say(door, "lower")
    assert await told(lower) == (ORDERS, "lower")
    assert not heard(await upper.query("SELECT 1"))


@pytest.mark.parametrize(
    "text", ["UNLISTEN Orders", 'UNLISTEN "orders"', "UNLISTEN *", "DISCARD ALL", RESET]
)
async def test_what_is_not_listened_to_any_more_is_not_told(door: Door, text: str) -> None:
    """Also where a trigger has the session's connection listen again."""
    client, listener = await door.client(), await door.client()
    assert not errors(await client.query("LISTEN orders"))
    assert not errors(await listener.query("LISTEN orders"))
    assert not errors(await client.query(text))
    assert not errors(await client.query("INSERT INTO orders_heard VALUES ('a')"))
    await say(door, "too late")
    assert await told(listener) == (ORDERS, "too late")
    assert not heard(await client.query("SELECT 1"))
    assert not errors(await client.query("LISTEN orders"))
    await say(door, "again")
    assert await told(client) == (ORDERS, "again")


async def test_nothing_is_told_in_a_transaction_and_all_of_it_after(door: Door) -> None:
    client = await door.client()
    for text in ("LISTEN orders", "BEGIN"):
        assert not errors(await client.query(text))
    await say(door, "meanwhile")
    assert not heard(await client.query("SELECT 1"))
    assert heard(await client.query("COMMIT")) == ["meanwhile"]


@pytest.mark.parametrize(
    ("statements", "listens"),
    [
        ("BEGIN; LISTEN orders; COMMIT", True),
        ("BEGIN; LISTEN orders; ROLLBACK", False),
        ("BEGIN; SAVEPOINT s; LISTEN orders; ROLLBACK TO s; COMMIT", False),
        ("BEGIN; LISTEN orders; SAVEPOINT s; SELECT 1/0; ROLLBACK TO s; COMMIT", True),
        ("BEGIN; LISTEN orders; SELECT 1/0; COMMIT", False),
        ("BEGIN; SAVEPOINT s; LISTEN orders; RELEASE s; COMMIT", True),
        (
            "BEGIN; SAVEPOINT s; LISTEN orders; SAVEPOINT s; RELEASE s; ROLLBACK TO s; COMMIT",
            False,
        ),
        ("LISTEN orders; BEGIN; UNLISTEN orders; ROLLBACK", True),
        ("LISTEN orders; BEGIN; UNLISTEN *; COMMIT", False),
        ("BEGIN; LISTEN orders; UNLISTEN orders; LISTEN orders; COMMIT", True),
    ],
)
@EITHER_PROTOCOL
async def test_a_listen_holds_from_its_commit_on(
    door: Door, statements: str, listens: bool, extended: bool
) -> None:
    """A trigger has the connection listen anyway, so that only the gateway tells them apart."""
    client, other = await door.client(), await door.client()
    assert not errors(await other.query("LISTEN orders"))
    for text in statements.split("; "):
        await run(client, text, extended=extended)
    assert not errors(await client.query("INSERT INTO orders_heard VALUES ('a')"))
    await say(door, "said")
    assert await told(other) == (ORDERS, "said")
    if listens:
        assert await told(client) == (ORDERS, "said")
    else:
        assert not heard(await client.query("SELECT 1"))


@pytest.mark.parametrize(
    ("text", "listens"),
    [
        ("LISTEN orders; SELECT 1/0", False),
        ("LISTEN orders; COMMIT; SELECT 1/0", True),
        ("BEGIN; LISTEN orders; ROLLBACK; SELECT 1", False),
        ("LISTEN orders; SELECT 1", True),
    ],
)
async def test_statements_of_one_message_listen_together(
    door: Door, text: str, listens: bool
) -> None:
    client, other = await door.client(), await door.client()
    assert not errors(await other.query("LISTEN orders"))
    await client.query(text)
    assert not errors(await client.query("INSERT INTO orders_heard VALUES ('a')"))
    await say(door, "said")
    assert await told(other) == (ORDERS, "said")
    if listens:
        assert await told(client) == (ORDERS, "said")
    else:
        assert not heard(await client.query("SELECT 1"))


async def test_what_comes_while_a_listen_fails_is_not_told(door: Door) -> None:
    """The connection listens already, by a trigger: the server sends it behind the error."""
    client = await door.client()
    assert not errors(await client.query("INSERT INTO orders_heard VALUES ('a')"))
    holder = await asyncpg.connect(door.sample.dsn)
    try:
        async with holder.transaction(), asyncio.timeout(WITHIN):
            await holder.execute("LOCK TABLE orders_heard")
            client.send(f.Query("LISTEN orders; SELECT a FROM orders_heard; SELECT 1/0"))
            while not await holder.fetchval(WAITING):
                await asyncio.sleep(0.01)
            await say(door, SECRET)
    finally:
        await holder.close()
    replies = await client.until_ready()
    assert [code for code, _ in errors(replies)] == ["22012"]
    assert not heard([*replies, *await client.query("SELECT 1")])


async def test_payloads_are_masked_and_recorded_as_delivered(door: Door) -> None:
    masking(door, FindsTheSecret())
    client = await door.client()
    await client.query("LISTEN orders")
    await say(door, f"ssn {SECRET}", "plain", "")
    expected = ["ssn <US_SSN>", "plain", ""]
    assert [await told(client) for _ in range(3)] == [(ORDERS, each) for each in expected]
    await client.query("SELECT 1")
    records = await recorded(door)
    assert sum(document["count"] for document, _ in records) == 3
    assert records[0][0]["masked"] == {"US_SSN": 1}
    lines = [json.loads(line) for _, body in records for line in body.splitlines()]
    assert lines == [[ORDERS, each] for each in expected]
    assert all(SECRET.encode() not in body for _, body in records)


async def test_what_can_not_be_searched_is_withheld_and_that_is_recorded(door: Door) -> None:
    client = await door.client()
    await client.query("LISTEN orders")
    masking(door, FindsNoMore())
    assert tags(await client.query(f"NOTIFY orders, '{SECRET}'")) == "CZI"
    records = await recorded(door)
    assert records == [({"count": 0, "withheld": 1, "masked": {}}, None)]
    masking(door, FindsNothing())
    await say(door, "found")
    assert await told(client) == (ORDERS, "found")


async def test_what_is_not_recorded_is_not_told(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await door.client()
    await client.query("LISTEN orders")
    accept = type(door.gate.journal).accept

    async def full(journal: Any, record: Record) -> None:
        if record.kind == "notified":
            raise JournalUnavailable("no room")
        await accept(journal, record)

    monkeypatch.setattr(type(door.gate.journal), "accept", full)
    await say(door, "unrecorded")
    replies = await client.to_the_end()
    assert not heard(replies)
    assert errors(replies)[0][0] == "57P03"


async def test_a_policy_that_is_gone_ends_the_session_before_it_hears_more(
    door: Door, tmp_path: Path
) -> None:
    client = await door.client()
    await client.query("LISTEN orders")
    await say(door, "permitted")
    assert await told(client) == (ORDERS, "permitted")
    door.gate.decision_point = policies(tmp_path, without="channels")
    await say(door, "not permitted")
    replies = await client.to_the_end()
    assert not heard(replies)
    assert [error.text("D") for error in replies if isinstance(error, b.ErrorResponse)] == [
        "NOTIFICATIONS, policy built-in: sql.listen on shop, channel orders"
    ]
    refused = (await recorded(door, "decision"))[-1][0]
    assert (refused["effect"], refused["refusal"]["code"]) == ("deny", "NOTIFICATIONS")


async def test_an_approval_that_is_asked_for_since_ends_the_session_too(
    door: Door, tmp_path: Path
) -> None:
    client = await door.client()
    await client.query("LISTEN orders")
    door.gate.decision_point = policies(tmp_path, more=AGREED)
    await say(door, "not approved")
    replies = await client.to_the_end()
    assert not heard(replies)
    assert [error.text("D") for error in replies if isinstance(error, b.ErrorResponse)] == [
        "OBLIGATION_UNMET, policy built-in"
    ]


async def test_what_was_approved_is_told(door: Door, tmp_path: Path) -> None:
    client = await door.client()
    door.gate.decision_point = policies(tmp_path, more=AGREED)
    ((_, said),) = errors(await client.query("LISTEN orders"))
    await decide(door, said.partition(" ticket ")[2].partition(".")[0])
    assert not errors(await client.query("LISTEN orders"))
    await say(door, "approved")
    assert await told(client) == (ORDERS, "approved")


async def test_the_answer_to_a_statement_comes_before_the_end(door: Door, tmp_path: Path) -> None:
    client = await door.client()
    for text in ("LISTEN orders", "BEGIN"):
        await client.query(text)
    await say(door, "not permitted")
    door.gate.decision_point = policies(tmp_path, without="channels")
    client.send(f.Query("COMMIT"))
    assert tags(await client.to_the_end()) == "CZI E"


async def test_a_flood_ends_the_session(door: Door) -> None:
    """The first of it may be told, never all of it."""
    client, other = await door.client(), await door.client()
    await client.query("LISTEN orders")
    await execute(door.sample.dsn, MANY)
    replies = await client.to_the_end()
    assert len(heard(replies)) < 150
    assert errors(replies) == [("54000", FLOODED.reason)]
    assert tags(await other.query("SELECT 1")) == "TDCZI"


async def test_a_server_that_goes_away_ends_a_session_that_listens(door: Door) -> None:
    client = await door.client()
    await client.query("LISTEN orders")
    await execute(
        door.sample.dsn,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND query LIKE 'LISTEN orders%'",
    )
    assert [code for code, _ in errors(await client.to_the_end())] == ["57P03"]


async def test_what_the_server_reports_in_between_reaches_the_client(door: Door) -> None:
    client = await door.client()
    await client.query("LISTEN orders")
    assert "S" in tags(await client.query("SET application_name = 'reports'"))


def written(reply: Reply) -> bytes:
    frames = getattr(reply, "frames", None)
    return frames if frames is not None else reply.encode()  # type: ignore[union-attr]
