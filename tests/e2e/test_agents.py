"""Limits and the kill switch at whole gateways: running calls, psql sessions, tickets, the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

from server.identity.demo import RITA, VICTOR, Account
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from tests.attacks.attacker import Attacker, body, open_attacker, said
from tests.e2e.world import World, free_port
from tests.server.protocols.raw_client import RawClient

pytestmark = [pytest.mark.anyio, pytest.mark.gateways]

PEOPLE: Final = (
    RITA,
    VICTOR,
    Account("sean", ("security",), "may block agents, and nothing else"),
    Account("roy", ("developers",), "another requester"),
)
READ: Final = {"target": "shop", "sql": "SELECT 1"}
WAIT: Final = {"target": "shop", "sql": "SELECT count(*) FROM orders"}
WAITING: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    " AND query LIKE '%FROM orders%' AND datname = current_database()"
)


@pytest.fixture(scope="module")
def here(module_worlds: Callable[..., World]) -> Iterator[World]:
    made = module_worlds()
    made.provider.provider.accounts = {each.name: each for each in PEOPLE}
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def elsewhere(here: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Another process of the same gateway: the same store, keys, issuers and targets."""
    directory: Path = tmp_path_factory.mktemp("elsewhere")
    identity = here.configuration()["identity"]
    keys = f"file:{here.directory}/keys.json"
    settings = {**here.settings, "identity": identity, "keys": keys}
    other = replace(
        here,
        directory=directory,
        port=free_port(),
        listener=free_port(),
        settings=settings,
        process=None,
    )
    other.start()
    yield other
    other.stop()


@pytest.fixture
async def client(here: World) -> AsyncIterator[Attacker]:
    async with open_attacker(here) as opened:
        here.provider.provider.accounts = {each.name: each for each in PEOPLE}
        yield opened


@pytest.fixture
async def other_client(client: Attacker, elsewhere: World) -> Attacker:
    return Attacker(elsewhere, client.http)


async def call(
    client: Attacker, arguments: Any = READ, *, agent: str, account: str = "rita"
) -> dict[str, Any]:
    """What run_sql says to this account through this agent."""
    token = client.world.token(account, agent=agent)
    content = body("run_sql", arguments)
    return said(await client.post(content, Authorization=f"Bearer {token}"))


Login = Callable[..., Awaitable["asyncpg.Connection[Any]"]]


@pytest.fixture
async def psql() -> AsyncIterator[Login]:
    """Logs somebody in at a listener, through an agent; all connections are closed at the end."""
    made: list[asyncpg.Connection[Any]] = []

    async def connect(world: World, agent: str, account: str = "rita") -> asyncpg.Connection[Any]:
        connection = await asyncpg.connect(
            host="127.0.0.1",
            port=world.listener,
            user="rita",
            database="shop",
            password=world.token(account, agent=agent),
            timeout=10,
        )
        made.append(connection)
        return connection

    yield connect
    for each in made:
        each.terminate()


@asynccontextmanager
async def locked(world: World) -> AsyncIterator[None]:
    """While open, whoever reads orders waits at the target."""
    async with world.direct() as direct, direct.transaction():
        await direct.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        yield


async def until_waiting(world: World, times: int) -> None:
    """Until so many statements wait at the target: not more, not less."""
    async with world.direct() as direct, asyncio.timeout(5):
        while await direct.fetchval(WAITING) != times:
            await asyncio.sleep(0.05)


async def switch(client: Attacker, to: str, agent: str = "rogue", reason: str = "") -> None:
    what = {"kind": "agent", "name": agent, "reason": reason}
    answer = await client.api("POST", f"/api/agents/{to}", "sean", json=what)
    assert answer.status_code == 200, answer.text


@pytest.fixture
async def unblocked(client: Attacker) -> AsyncIterator[None]:
    """The agent `rogue` may come again after the test."""
    yield
    await switch(client, "unblock")


async def test_a_block_cancels_what_runs_everywhere_and_refuses_what_comes(
    here: World, client: Attacker, other_client: Attacker
) -> None:
    assert (await call(client, agent="rogue"))["code"] == "OK"
    async with locked(here):
        both = (client, other_client)
        running = [asyncio.create_task(call(each, WAIT, agent="rogue")) for each in both]
        await until_waiting(here, 2)
        await switch(client, "block", reason="it dumps tables")
        async with asyncio.timeout(5):
            answers = await asyncio.gather(*running)
        await until_waiting(here, 0)
    assert [answer["code"] for answer in answers] == ["AGENT_BLOCKED"] * 2
    assert "it dumps tables" in answers[0]["reason"]
    for each in both:
        assert (await call(each, agent="rogue"))["code"] == "AGENT_BLOCKED"
        assert (await call(each, agent="rogue", account="roy"))["code"] == "AGENT_BLOCKED"
        assert (await call(each, agent="honest"))["code"] == "OK"
    await switch(client, "unblock")
    assert (await call(client, agent="rogue"))["code"] == "OK"
    assert await client.recorded("agent_blocked", "rogue") == 1
    assert await client.recorded("agent_unblocked", "rogue") == 1
    assert await client.recorded("decision", "AGENT_BLOCKED", at_least=2)


@pytest.mark.usefixtures("unblocked")
async def test_a_blocked_agent_has_no_api_no_list_of_tools_and_no_login(
    here: World, client: Attacker, psql: Login
) -> None:
    await switch(client, "block")
    bearer = {"Authorization": f"Bearer {here.token('rita', agent='rogue')}"}
    answer = await client.api("GET", "/api/whoami", headers=bearer)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "AGENT_BLOCKED")
    listed = await client.post(body("list_targets", {}), name="list_targets", **bearer)
    assert said(listed)["code"] == "AGENT_BLOCKED"
    with pytest.raises(asyncpg.InsufficientPrivilegeError) as refused:
        await psql(here, "rogue")
    assert "AGENT_BLOCKED" in (refused.value.detail or "")


@pytest.mark.usefixtures("unblocked")
async def test_an_open_psql_session_ends_with_the_block(
    here: World, client: Attacker, psql: Login
) -> None:
    idle, busy, others = [await psql(here, agent) for agent in ("rogue", "rogue", "honest")]
    async with locked(here):
        waiting = asyncio.create_task(busy.execute("SELECT count(*) FROM orders"))
        await until_waiting(here, 1)
        await switch(client, "block")
        async with asyncio.timeout(5):
            with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
                await waiting
            while not idle.is_closed():
                await asyncio.sleep(0.02)
        await until_waiting(here, 0)
        assert await others.fetchval("SELECT 1") == 1


@pytest.mark.usefixtures("unblocked")
async def test_an_approved_ticket_of_a_blocked_agent_does_not_run(client: Attacker) -> None:
    statement = {"target": "shop", "sql": "UPDATE orders SET total = 4321 WHERE id = 1"}
    pending = await call(client, statement, agent="rogue")
    assert (await client.decide(pending["approval_id"], "victor")).status_code == 200
    await switch(client, "block")
    assert (await call(client, statement, agent="rogue"))["code"] == "AGENT_BLOCKED"
    assert await client.direct("SELECT count(*) FROM orders WHERE total = 4321") == 0


async def test_a_blocked_person_is_refused_with_every_agent(here: World, client: Attacker) -> None:
    arguments = ("agents", "block", "--person", "demo:roy", "--until", "1h")
    blocked = await asyncio.to_thread(here.cli, "sean", *arguments)
    assert blocked.returncode == 0
    for agent in ("one", "two"):
        assert (await call(client, agent=agent, account="roy"))["code"] == "PERSON_BLOCKED"
        assert (await call(client, agent=agent))["code"] == "OK"
    back = await asyncio.to_thread(here.cli, "sean", "agents", "unblock", "--person", "demo:roy")
    assert back.returncode == 0


@pytest.mark.parametrize("account", ["rita", "roy"])
def test_only_whom_policy_names_may_block(here: World, account: str) -> None:
    refused = here.cli(account, "agents", "block", "honest")
    assert refused.returncode == 1
    assert "NOT_PERMITTED" in refused.stderr
    assert here.cli(account, "agents", "list").returncode == 1


def test_nobody_blocks_the_client_that_they_would_need_to_take_it_back(here: World) -> None:
    refused = here.cli("sean", "agents", "block", "ostiary-cli")
    assert "BLOCKS_ITSELF" in refused.stderr


def test_a_block_until_a_moment_that_is_past_is_refused(here: World) -> None:
    refused = here.cli("sean", "agents", "block", "rogue", "--until", "2020-01-01T00:00Z")
    assert "PAST_ALREADY" in refused.stderr


@pytest.mark.usefixtures("unblocked")
async def test_the_list_shows_who_came_and_what_is_blocked(here: World, client: Attacker) -> None:
    await call(client, agent="listed-agent")
    arguments = ("agents", "block", "rogue", "--reason", "seen elsewhere")
    assert (await asyncio.to_thread(here.cli, "sean", *arguments)).returncode == 0
    async with asyncio.timeout(20):
        shown = ""
        while "listed-agent" not in shown:
            shown = (await asyncio.to_thread(here.cli, "sean", "agents", "list")).stdout
    assert "demo:rita" in shown
    assert "rogue" in shown
    assert "seen elsewhere" in shown


LIMITED: Final = {
    "per_principal": {"calls_per_minute": 8, "statements_per_minute": 30, "concurrent": 2}
}


@pytest.fixture(scope="module")
def limited_world(module_worlds: Callable[..., World]) -> World:
    """Each test has a person of its own in it, whose quota is whole."""
    made = module_worlds(limits=LIMITED)
    made.start()
    return made


@pytest.fixture
async def limited(limited_world: World) -> AsyncIterator[Attacker]:
    async with open_attacker(limited_world) as opened:
        yield opened


async def test_parallel_callers_share_one_quota_and_are_told_when_to_try_again(
    limited: Attacker,
) -> None:
    agents = [f"agent-{number % 3}" for number in range(30)]
    answers = []
    for start in range(0, 30, 2):  # two at once are allowed
        pair = (call(limited, agent=agent) for agent in agents[start : start + 2])
        answers += await asyncio.gather(*pair)
    codes = [answer["code"] for answer in answers]
    assert codes.count("OK") in (8, 9)  # a slow run earns one more
    assert set(codes) == {"OK", "RATE_LIMITED"}
    refused = next(answer for answer in answers if answer["code"] == "RATE_LIMITED")
    assert refused["next_step"].startswith("Try again in ")
    assert (await call(limited, agent="agent-0", account="vera"))["code"] == "OK"
    kept = await limited.recorded("decision", "RATE_LIMITED")
    assert kept <= 3  # one for each agent, and not one for each call


async def test_so_many_calls_run_at_once_over_all_doors(limited: Attacker, psql: Login) -> None:
    await psql(limited.world, "psql", "roy")
    async with locked(limited.world):
        running = asyncio.create_task(call(limited, WAIT, agent="agent", account="roy"))
        await until_waiting(limited.world, 1)
        assert (await call(limited, agent="agent", account="roy"))["code"] == "TOO_MANY_CALLS"
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="are running for you"):
            await psql(limited.world, "psql", "roy")
    assert (await running)["code"] == "OK"


async def test_statements_in_one_psql_session_are_limited_too(limited: Attacker) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", limited.world.listener)
    client = RawClient(reader, writer)
    token = limited.world.token("victor", agent="psql")
    await client.log_in(token, {"user": "rita", "database": "shop"})
    client.send(*(f.Query("SELECT 1") for _ in range(60)))
    refused = None
    while refused is None:
        reply = await client.reply()
        refused = reply if isinstance(reply, b.ErrorResponse) else None
    assert refused.text("D").startswith("RATE_LIMITED")
    assert refused.text("H").startswith("Try again in ")
    writer.close()
