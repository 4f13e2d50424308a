"""The hash chain once more, from the words of `recordings.chain` alone: a second opinion."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from typing import Any


def text(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def number(value: int) -> bytes:
    return text(struct.pack(">Q", value))


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def chained(
    stream: bytes, row: Mapping[str, Any], document: bytes, digest: bytes, previous: bytes
) -> bytes:
    return sha(
        text(b"ostiary.journal.record"),
        number(1),
        text(stream),
        number(row["sequence"]),
        number(row["at"]),
        text(row["session"].encode()),
        text(row["kind"].encode()),
        text(document),
        text(digest),
        text(previous),
    )
