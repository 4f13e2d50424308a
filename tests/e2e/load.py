"""Callers at work while the gateway is killed under them."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Final

import httpx2

from tests.e2e.evidence import approve, call, deny_all, insert, marker, ticket_for
from tests.e2e.world import World

SEED: Final = 20_260_728
CALLERS: Final = 6
APPROVED: Final = 4
"""Statements with an approval, each sent twice at the same time: only one of the two may run."""


class Load:
    """Callers that send INSERTs until the gateway is gone: after so many answers, and a moment."""

    def __init__(
        self, world: World, random: Random, *, approved: list[str], kill_after: int
    ) -> None:
        self.world = world
        self.random = random
        self.approved = [mark for mark in approved for _ in range(2)]
        self.answers_left = kill_after
        self.enough = asyncio.Event()
        self.gone = asyncio.Event()

    async def run(self) -> None:
        async with httpx2.AsyncClient(timeout=30) as http, asyncio.TaskGroup() as callers:
            for _ in range(CALLERS):
                callers.create_task(self._call_on(http))
            await self.enough.wait()
            await asyncio.sleep(self.random.random() * 0.01)
            self.gone.set()
            self.world.kill()

    async def _call_on(self, http: httpx2.AsyncClient) -> None:
        while not self.gone.is_set():
            mark, target = self._next()
            try:
                await call(http, self.world, insert(mark), target)
            except httpx2.TransportError:
                assert self.gone.is_set()
                return
            self.answers_left -= 1
            if self.answers_left <= 0:
                self.enough.set()

    def _next(self) -> tuple[str, str]:
        if self.approved and self.random.random() < 0.4:
            return self.approved.pop(), "shop"
        return marker(), "sandbox"


async def approved_statement(world: World, http: httpx2.AsyncClient) -> str:
    """A statement that a reviewer has approved after its caller went; its marker."""
    mark = marker()
    asked = asyncio.create_task(call(http, world, insert(mark), "shop"))
    ticket = await ticket_for(world, mark)
    asked.cancel()
    await asyncio.wait({asked})
    await approve(world, ticket)
    return mark


async def kill_again_and_again(world: World, kills: int) -> None:
    """Each time under load, after a random number of answers; then start the gateway anew."""
    random = Random(SEED)
    for _ in range(kills):
        async with httpx2.AsyncClient(timeout=30) as http:
            asked = (approved_statement(world, http) for _ in range(APPROVED))
            approved = await asyncio.gather(*asked)
        load = Load(world, random, approved=approved, kill_after=random.randrange(1, 40))
        async with asyncio.timeout(60):
            await load.run()
        world.start()
        await deny_all(world)
