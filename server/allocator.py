"""glibc's allocator in a process that lives for months: quick with large blocks, and gives back.

By default it asks the kernel for each large block and returns it at once, which costs more than
what is done with the block; and what many small ones have left in pieces it keeps for good. On
other C libraries nothing is changed. Source: mallopt(3), malloc_trim(3).
"""

from __future__ import annotations

import asyncio
import ctypes
import platform
from collections.abc import Callable
from typing import Final

GIVE_BACK_EVERY: Final = 10.0  # seconds; it takes some 1 to 5 ms
_TRIM_THRESHOLD: Final = (-1, 64 << 20)  # bytes free at the top of the heap that are kept
_TOP_PAD: Final = (-2, 1 << 20)  # bytes asked for besides what is needed
_MMAP_THRESHOLD: Final = (-3, 4 << 20)  # bytes from which a block is the kernel's own

_SETTINGS: Final = (_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD)


def prepare() -> None:
    """Keep blocks of up to some megabytes in the heap, in this process from now on."""
    library = _glibc()
    if library is not None:
        for parameter, value in _SETTINGS:
            library.mallopt(parameter, value)


async def give_back() -> None:
    """Return free memory to the kernel again and again, until cancelled."""
    trim = _trimmed()
    while True:
        await asyncio.sleep(GIVE_BACK_EVERY)
        trim()


def _trimmed() -> Callable[[], object]:
    library = _glibc()
    return (lambda: None) if library is None else (lambda: library.malloc_trim(0))


def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
