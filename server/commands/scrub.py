"""`ostiary scrub`: standard input to standard output under masks, as the gateway would mask it."""

from __future__ import annotations

import asyncio
import json
import os
import select
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Awaitable, Iterator
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from math import inf
from pathlib import Path
from typing import Final, TypeVar

from masking.entities import NAMES, Recognition
from masking.scanning import ScanWorker, StreamFinder
from masking.streams.bounds import Bounds
from masking.streams.searching import ALWAYS, Wanted, everything
from masking.streams.stream import Masked, Stream, table_stream, text_stream
from server.commands.terminal import complain
from server.config import load

DONE: Final = 0
NOT_UNDERSTOOD: Final = 2
NOT_ALL_SEARCHED: Final = 3

_READ: Final = 1 << 17  # bytes at once
_TICK: Final = 0.05  # seconds between looks at what is held back
_SLOW: Final = 1.0  # seconds after which a person is told what takes so long

_LARGE: Final = 16 << 20
"""Characters of a document with --format json, which take some 60 bytes each while it is walked. A
larger one is walked in parts, cut where an item begins."""

Result = TypeVar("Result")


def scrub(arguments: Namespace) -> int:
    """Mask until the input ends; 0 done, 2 an entity that nobody knows, 3 some not searched."""
    recognition = _recognition(arguments.config)
    known = NAMES | {custom.entity for custom in recognition.custom}
    asked = list(_names(arguments.entities))
    if unknown := sorted(set(asked) - known):
        complain(f"ostiary scrub: unknown entities: {', '.join(unknown)}")
        complain(f"known: {', '.join(sorted(known))}")
        return NOT_UNDERSTOOD
    with asyncio.Runner() as runner:
        scrubbing = Scrubbing(arguments.format, asked, explain=arguments.explain)
        return runner.run(scrubbing.run(_looking_for(recognition, asked)))


def _names(lists: list[str]) -> Iterator[str]:
    for each in lists:
        yield from (name.strip().upper() for name in each.split(",") if name.strip())


def _recognition(config: str | None) -> Recognition:
    return load(Path(config)).masking.recognition() if config else Recognition()


def _looking_for(recognition: Recognition, asked: list[str]) -> Recognition:
    """What is asked for by name is looked for, also where it is off by default."""
    switched = dict.fromkeys(asked, True)
    return replace(recognition, switched={**recognition.switched, **switched})


class Scrubbing:
    """One run of the command."""

    def __init__(self, form: str, asked: list[str], *, explain: bool) -> None:
        self._form = form
        self._wanted: Wanted = frozenset(asked).__contains__ if asked else everything
        self._explain = explain
        self._counts: Counter[str] = Counter()
        self._told = False

    async def run(self, recognition: Recognition) -> int:
        """To the end of standard input. Raises BrokenPipeError where nobody reads the output."""
        async with AsyncExitStack() as lifetime:
            worker = await lifetime.enter_async_context(ScanWorker(recognition=recognition))
            worker.warm()
            await self._copy(self._stream(worker))
        if lost := sum(self._counts[entity] for entity in ALWAYS):
            complain(f"ostiary scrub: {lost} pieces could not be searched, and went as a whole")
            return NOT_ALL_SEARCHED
        return DONE

    def _stream(self, finder: StreamFinder) -> Stream:
        match self._form:
            case "csv":
                return table_stream(finder, wanted=self._wanted)
            case "json":
                bounds = Bounds(document=_LARGE, document_wait=inf)
                return text_stream(finder, wanted=self._wanted, bounds=bounds)
            case _:
                return text_stream(finder, wanted=self._wanted)

    async def _copy(self, stream: Stream) -> None:
        source = sys.stdin.fileno()
        poll = select.poll()
        poll.register(source, select.POLLIN)
        while True:
            # Nothing else runs here, so this may block.
            if stream.waiting and not poll.poll(_TICK * 1000):
                self._write(await self._patiently(stream.tick(time.monotonic())))
                continue
            piece = os.read(source, _READ)
            if not piece:
                break
            self._write(await self._patiently(stream.feed(piece)))
        self._write(await self._patiently(stream.end()))

    async def _patiently(self, work: Awaitable[Result]) -> Result:
        """Says once, to a person at a terminal, why nothing is seen yet."""
        task = asyncio.ensure_future(work)
        if not self._told and sys.stderr.isatty():
            done, _ = await asyncio.wait({task}, timeout=_SLOW)
            if not done:
                complain("loading the recognizers, once …")
                self._told = True
        return await task

    def _write(self, masked: Masked) -> None:
        self._counts.update(masked.counts)
        self._told = self._told or bool(masked.output)
        written = masked.output
        if self._explain:
            lines = (json.dumps(asdict(found)) + "\n" for found in masked.findings)
            written = "".join(lines).encode()
        while written:
            written = written[os.write(sys.stdout.fileno(), written) :]
