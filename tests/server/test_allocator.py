"""A process that has freed memory in pieces gives it back; glibc by itself keeps it."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc's allocator is looked after"
)

# 100 MB in blocks of 1 KB, of which every hundredth stays: the heap can't shrink from its top.
SCRIPT = """
import asyncio, ctypes
from pathlib import Path
from server import allocator

def megabytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

async def main():
    allocator.prepare()
    before = megabytes()
    blocks = [ctypes.create_string_buffer(1000) for _ in range(100_000)]
    kept = blocks[::100]
    del blocks
    freed = megabytes()
    allocator.GIVE_BACK_EVERY = 0.01
    giving = asyncio.create_task(allocator.give_back())
    await asyncio.sleep(0.5)
    giving.cancel()
    print(freed - before, megabytes() - before, len(kept))

asyncio.run(main())
"""


def test_memory_that_was_freed_in_pieces_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    freed, given_back, _ = map(float, done.stdout.split())
    assert freed > 60, "the allocator gave it back by itself: the test shows nothing"
    assert given_back < freed / 2
