"""Compiled databases in the user's cache directory, so that only the first worker compiles them.

A file is native code's data: it is read only where nobody else can have written it, and its
digest and its canaries are checked as if it had come from elsewhere. Whatever goes wrong here
costs two seconds of compiling, never a finding.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from masking.fast.database import digest_of

_KEPT: Final = 8
"""Files: two for each recognition that is in use."""
_DIGEST: Final = 32  # bytes


def directory(environment: Mapping[str, str]) -> Path | None:
    """`$XDG_CACHE_HOME/ostiary`, or `~/.cache/ostiary` without one; None where there is no home.

    The XDG Base Directory Specification has relative paths ignored.
    """
    configured, home = environment.get("XDG_CACHE_HOME", ""), environment.get("HOME", "")
    if configured.startswith("/"):
        return Path(configured) / "ostiary"
    return Path(home) / ".cache" / "ostiary" if home.startswith("/") else None


def kept(place: Path | None, key: str, make: Callable[[], bytes]) -> bytes:
    """The bytes that were kept under the key, or made now and kept."""
    if place is None:
        return make()
    path = place / f"{key}.prefilter"
    with suppress(OSError):
        if (found := _read(path)) is not None:
            return found
    made = make()
    with suppress(OSError):
        _write(path, made)
    return made


def forget(place: Path | None, key: str) -> None:
    """Have it made anew the next time."""
    if place is not None:
        with suppress(OSError):
            (place / f"{key}.prefilter").unlink()


def _read(path: Path) -> bytes | None:
    """None where another user could have written it, or it is not whole."""
    if not _ours(path.parent.lstat(), stat.S_ISDIR):
        return None
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        if not _ours(os.fstat(file.fileno()), stat.S_ISREG):
            return None
        digest, found = file.read(_DIGEST), file.read()
    if digest_of(found) != digest:
        return None
    path.touch()
    return found


def _ours(status: os.stat_result, of_kind: Callable[[int], bool]) -> bool:
    return of_kind(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _write(path: Path, made: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _ours(path.parent.lstat(), stat.S_ISDIR):
        return
    with NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            file.write(digest_of(made) + made)
            file.flush()
            Path(file.name).rename(path)
        except OSError:
            Path(file.name).unlink()
            raise
    files = sorted(path.parent.glob("*.prefilter"), key=lambda each: each.stat().st_mtime)
    for old in files[:-_KEPT]:
        old.unlink()
