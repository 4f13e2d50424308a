"""Processor time of processes, from Linux's /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def family(pid: int) -> Iterator[int]:
    """A process and all that it has started."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from family(int(child))


def processor_seconds_of(pid: int) -> float:
    """Of a process, with its ended threads and with children that ended and were waited for."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    # Behind the name in brackets the third field follows; 14 to 17 are the times (proc(5)).
    return sum(map(int, stat.rpartition(")")[2].split()[11:15])) / os.sysconf("SC_CLK_TCK")


def processor_seconds_with_children(pid: int) -> float:
    """The same with its living descendants."""
    return sum(map(processor_seconds_of, family(pid)))
