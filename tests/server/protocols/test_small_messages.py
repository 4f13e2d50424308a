"""Small messages by the thousand cost their sender time, and nobody else."""

from __future__ import annotations

import pytest

from server.protocols.postgres import frontend as f
from tests.server.protocols.gateway import Door
from tests.server.protocols.raw_client import tags

pytestmark = pytest.mark.anyio

ONE_READ = 200_000
"""Bytes that may come at once."""


@pytest.mark.parametrize("message", [f.Flush(), f.Describe("S", "s"), f.Bind("", "s")], ids=repr)
async def test_they_hold_up_nobody(door: Door, message: f.Command) -> None:
    """Where each looks at all before it, or all are judged at once, others' records are late."""
    client, other = await door.client(), await door.client()
    client.send(f.Parse("s", "SELECT 1"), *[message] * (ONE_READ // len(message.encode())))
    client.send(f.Sync())
    assert tags(await other.query("SELECT 1")) == "TDCZI"
    assert tags(await client.until_ready()).endswith("ZI")


async def test_one_that_waits_for_the_next_keeps_its_place(door: Door) -> None:
    """A Bind is judged with its Execute, wherever those that are judged together end."""
    client, direct = await door.client(), await door.direct()
    run = [f.Bind("", "s"), f.Describe("P", ""), f.Execute("")]
    for each in client, direct:
        each.send(f.Parse("s", "SELECT 1"), *run * 150, f.Sync())
    assert await client.until_ready() == await direct.until_ready()
    client.send(*run[:2], f.Terminate())
    assert await client.to_the_end() == []


@pytest.mark.parametrize("failing", [0, 50, 150])
async def test_an_error_among_many_comes_while_others_are_judged(door: Door, failing: int) -> None:
    """What comes after it gives the unnamed statement texts that the server does not hear of."""
    texts = [f"SELECT {n}" for n in range(200)]
    texts[failing] = "SELECT nonsense"
    batch = [m for text in texts for m in (f.Parse("", text), f.Bind("", ""), f.Execute(""))]
    client, direct = await door.client(), await door.direct()
    for each in client, direct:
        each.send(*batch, f.Sync(), f.Query("SELECT 1"))
    through = tags(await client.until_ready(2))
    assert through == tags(await direct.until_ready(2)) == "12DC" * failing + "EZI TDCZI"
