"""The fast path beside plain Presidio on the same cells, in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

from masking.fast.scanner import FastScanner
from masking.spans import Span
from tests.masking.generated import Cell, fuzzed, repeating

GENERATORS = {"repeating": repeating, "fuzzed": fuzzed}


@dataclass(slots=True)
class Compared:
    """How many cells there were, how many of them differ from each other, and what came of it."""

    cells: int = 0
    distinct: int = 0
    with_spans: int = 0
    beyond_ascii: int = 0
    differing: list[tuple[Cell, list[Span], list[Span]]] = field(default_factory=list)

    def add(self, other: Compared) -> None:
        self.cells += other.cells
        self.distinct += other.distinct
        self.with_spans += other.with_spans
        self.beyond_ascii += other.beyond_ascii
        self.differing += other.differing


def compared(fast: FastScanner, generated: Iterable[Cell]) -> Compared:
    """Each distinct cell once in plain Presidio, and all of a column at once in the fast path."""
    found = Compared()
    columns: dict[str, list[str]] = {}
    for context, text in generated:
        columns.setdefault(context, []).append(text)
        found.cells += 1
    for context, texts in columns.items():
        spans = fast.spans(texts, context)
        for text, quickly in dict(zip(texts, spans, strict=True)).items():
            plainly = fast.plain.analyze(text, context)
            found.distinct += 1
            found.with_spans += bool(plainly)
            found.beyond_ascii += not text.isascii()
            if quickly != plainly:
                found.differing.append(((context, text), quickly, plainly))
    return found


def compared_in_processes(generator: str, count: int, piece: int = 5_000) -> Compared:
    """As many cells of a generator, by pieces with a seed each, on every core."""
    jobs = [(generator, seed, piece) for seed in range(count // piece)]
    total = Compared()
    context = multiprocessing.get_context("spawn")
    with context.Pool(os.cpu_count()) as pool:
        for found in pool.imap_unordered(_piece, jobs):
            total.add(found)
    return total


class _Own:
    """This process's scanner, made with its first piece."""

    fast: FastScanner | None = None


def _piece(job: tuple[str, int, int]) -> Compared:
    generator, seed, count = job
    _Own.fast = _Own.fast or FastScanner()
    return compared(_Own.fast, islice(GENERATORS[generator](seed), count))
