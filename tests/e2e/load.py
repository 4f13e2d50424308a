"""Gateways at work that are killed, life after life: several on one store, each under load."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import httpx2
import yaml

from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import BackendReader, RowRun
from tests.e2e.evidence import approve, call, deny, insert, marker, plain_http, ticket_for
from tests.e2e.nursery import Nursery, alive, kill
from tests.e2e.world import World, free_port
from tests.server.protocols.raw_client import RawClient

SEED: Final = 20_260_728
TOGETHER: Final = 3
"""Gateways that live at the same time, beside the one that is never killed."""

CALLERS: Final = 4
READY_WITHIN: Final = 60.0
STREAMED: Final = "SELECT a.oid AS i, b.oid AS j FROM pg_class a, pg_class b, pg_class c"
STAGES: Final = ("starting", "writes", "writes", "writes", "tickets", "tickets", "stream")
"""What is under way when a gateway is killed. The moment is drawn within that, to a millisecond."""


BUSY: Final = "another process holds on to"
"""What a gateway says that finds the file of anchors locked for 2 s, on a disk that is busy: it
does not start, and whoever started it tries again. Seldom; more of it is a fault."""


class NotStarted(Exception):
    """A gateway that ended by itself; the last that it said."""


@dataclass(slots=True)
class Tally:
    """What was seen from outside: what was said to callers, and where each life ended."""

    answered: set[str] = field(default_factory=set)
    stages: Counter[str] = field(default_factory=Counter)
    started_in: float = 0.5  # seconds that the latest life took, to draw moments from


@dataclass(slots=True)
class Place:
    """Where one gateway after the other lives: the same ports and configuration."""

    world: World
    nursery: Nursery
    port: int
    listener: int
    file: Path

    @classmethod
    def of(cls, world: World, nursery: Nursery, number: int) -> Place:
        port, listener = free_port(), free_port()
        configuration = copy.deepcopy(world.configuration())
        configuration["gateway"]["listen"] = f"127.0.0.1:{port}"
        configuration["gateway"]["allowed_hosts"] = [f"127.0.0.1:{port}"]
        configuration["listeners"][0]["listen"] = f"127.0.0.1:{listener}"
        file = world.directory / f"place-{number}.yaml"
        file.write_text(yaml.safe_dump(configuration))
        return cls(world, nursery, port, listener, file)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def ready(self, pid: int) -> None:
        async with asyncio.timeout(READY_WITHIN):
            while True:
                if not alive(pid):
                    raise NotStarted(self.nursery.log.read_text()[-300:])
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    return
                await asyncio.sleep(0.005)


@dataclass(slots=True)
class Life:
    """One gateway, from fork to kill. The same number draws the same stage and moments."""

    place: Place
    number: int
    tally: Tally
    random: Random = field(init=False)
    stage: str = field(init=False)
    after: int = field(init=False)
    answers: int = 0
    latest: float = 0.2  # seconds that the latest call took
    asked: list[str] = field(default_factory=list)
    approved: list[str] = field(default_factory=list)
    now: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.random = Random(f"{SEED}:{self.number}")
        self.stage = self.random.choice(STAGES)
        self.after = self.random.choice((0, 1, 1, 2, 4, 8))

    async def run(self) -> None:
        if self.stage == "tickets":
            await self._get_approvals()
        pid = self.place.nursery.fork(self.place.file)
        try:
            await self._live(pid)
            self.tally.stages[self.stage] += 1
        except NotStarted as ended:
            if BUSY not in str(ended):
                raise
            self.tally.stages[BUSY] += 1
        if self.asked:
            await deny(self.place.world, self.asked)

    async def _live(self, pid: int) -> None:
        begun = time.monotonic()
        if self.stage == "starting":
            await asyncio.sleep(self.random.random() * self.tally.started_in)
            kill(pid)
        else:
            await self.place.ready(pid)
            self.tally.started_in = time.monotonic() - begun
            await self._killed_at_work(pid)

    async def _get_approvals(self) -> None:
        async with plain_http() as http:
            marks = [approved_statement(self.place.world, http) for _ in range(2)]
            self.asked = await asyncio.gather(*marks)
        self.approved = [mark for mark in self.asked for _ in range(2)]

    async def _killed_at_work(self, pid: int) -> None:
        """At a moment of a call: the time of half a call more than one takes is drawn from."""
        async with plain_http() as http, asyncio.TaskGroup() as callers:
            for _ in range(CALLERS):
                callers.create_task(self._call_on(http))
            if self.stage == "stream":
                callers.create_task(self._stream())
            elif self.stage == "writes" and self.after == 0:
                self.now.set()
            await self.now.wait()
            await asyncio.sleep(self.random.random() * 1.5 * self.latest)
            self.gone.set()
            kill(pid)

    async def _call_on(self, http: httpx2.AsyncClient) -> None:
        while not self.gone.is_set():
            mark, target = self._next()
            begun = time.monotonic()
            try:
                said = await call(http, self.place.world, insert(mark), target, url=self.place.url)
            except (httpx2.TransportError, ValueError):  # cut off, before or in the answer
                assert self.gone.is_set()
                return
            if not said["isError"]:
                self.tally.answered.add(mark)
            self.latest = time.monotonic() - begun
            self.answers += 1
            if self.stage == "writes" and self.answers >= self.after:
                self.now.set()

    def _next(self) -> tuple[str, str]:
        """The approved statements once all callers are warm: two send each, at the same time."""
        if self.approved and self.answers >= CALLERS:
            self.now.set()
            return self.approved.pop(), "shop"
        return marker(), "sandbox"

    async def _stream(self) -> None:
        """A client that reads rows until they end: by then the gateway is gone."""
        async with self._native() as client:
            client.send(f.Query(STREAMED))
            with contextlib.suppress(EOFError, OSError):
                while True:
                    if isinstance(await client.reply(), RowRun):
                        self.now.set()

    @contextlib.asynccontextmanager
    async def _native(self) -> AsyncIterator[RawClient]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.place.listener)
        client = RawClient(reader, writer, BackendReader())
        token = self.place.world.token("rita")
        await client.log_in(token, {"user": "rita", "database": "sandbox"})
        try:
            yield client
        finally:
            writer.close()


async def approved_statement(world: World, http: httpx2.AsyncClient) -> str:
    """A statement that a reviewer has approved after its caller went; its marker."""
    mark = marker()
    asked = asyncio.create_task(call(http, world, insert(mark), "shop"))
    ticket = await ticket_for(world, mark)
    asked.cancel()
    await asyncio.wait({asked})
    await approve(world, ticket)
    return mark


async def kill_again_and_again(world: World, kills: int, nursery: Nursery) -> Tally:
    """So many lives, `TOGETHER` at a time; what fails names the life's number."""
    tally, numbers = Tally(), iter(range(kills))
    places = [Place.of(world, nursery, number) for number in range(TOGETHER)]

    async def lives(place: Place) -> None:
        for number in numbers:
            try:
                await Life(place, number, tally).run()
            except BaseException as error:
                error.add_note(f"seed {SEED}, life {number}")
                raise

    async with asyncio.TaskGroup() as together:
        for place in places:
            together.create_task(lives(place))
    await _last_life(places)
    return tally


async def _last_life(places: Sequence[Place]) -> None:
    """One more, which closes at its start what the dead have left, and leaves in order."""
    place = places[0]
    pid = place.nursery.fork(place.file)
    await place.ready(pid)
    os.kill(pid, signal.SIGTERM)
    async with asyncio.timeout(READY_WITHIN):
        while alive(pid):
            await asyncio.sleep(0.01)
