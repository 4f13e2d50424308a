"""Programs in front of a database, one beside the other in one run: how many single rows they pass.

Each has a core of its own; clients, database and store share the other one.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from tests.bench.processors import processor_seconds_with_children

ROUNDS: Final = 5
SECONDS: Final = 3
CLIENTS: Final = 16


@dataclass(frozen=True, slots=True)
class Load:
    """A program that selects single rows, in several forms, for so many seconds.

    `rate`: of what it printed, how many rows a second; None where a statement failed.
    """

    title: str
    forms: tuple[str, ...]
    command: Callable[[str, int], Sequence[str]]
    rate: Callable[[str], float | None]


@dataclass(slots=True)
class Proxy:
    """One measured program: how the load reaches it, and what it did."""

    name: str
    pid: int
    load: Load
    environment: Mapping[str, str] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    directory: Path = Path()
    rates: dict[str, list[float]] = field(default_factory=dict)
    processor: dict[str, list[float]] = field(default_factory=dict)

    def run(self, form: str, seconds: int = SECONDS) -> None:
        """One round. Raises `RuntimeError` where a statement failed."""
        before = processor_seconds_with_children(self.pid)
        done = subprocess.run(
            [*self.load.command(form, seconds), *self.arguments],
            env={**os.environ, **self.environment},
            cwd=self.directory,
            capture_output=True,
            text=True,
        )
        rate = None if done.returncode else self.load.rate(done.stdout)
        if rate is None:
            raise RuntimeError(f"{self.name}: {done.stdout}{done.stderr}")
        spent = processor_seconds_with_children(self.pid) - before
        self.rates.setdefault(form, []).append(rate)
        self.processor.setdefault(form, []).append(spent / (rate * seconds))


def measure(proxies: list[Proxy], beside: Proxy, bounds: Mapping[str, float]) -> bool:
    """Alternate, so that a disturbance meets all of them. Whether all bounds are met."""
    met = True
    print(f"{beside.load.title:34} {'tps':>8} {'cpu us':>8} {'ratio':>7}", flush=True)
    for form in beside.load.forms:
        for each in (*proxies, beside):
            each.run(form, 1)
            each.rates.clear()
            each.processor.clear()
        for _ in range(ROUNDS):
            for each in (*proxies, beside):
                each.run(form)
        reference = median(beside.rates[form])
        for each in (*proxies, beside):
            rate, cpu = median(each.rates[form]), median(each.processor[form]) * 1e6
            ratio, bound = rate / reference, bounds.get(each.name, 0.0)
            missed = " MISSED" if ratio < bound else ""
            wanted = f"at least {bound}" if bound else ""
            print(
                f"{form + ', ' + each.name:34} {rate:8.0f} {cpu:8.0f} {ratio:7.2f}"
                f"   {wanted}{missed}",
                flush=True,
            )
            met = met and not missed
    return met
