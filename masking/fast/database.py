"""The compiled prefilter as bytes, on its way from the worker to the gateway's process.

Only the standard library and Hyperscan, where that is installed: no Presidio.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256


class Part(Enum):
    """A database of its own, for texts of some columns."""

    EVERY = "all columns"
    NAMED = "columns with a context word in their name, besides: what counts by that alone"


@dataclass(frozen=True, slots=True)
class Canary:
    """A text on which a database must report this recognizer, or it is not to be trusted."""

    recognizer: int
    text: str


@dataclass(frozen=True, slots=True)
class Database:
    """One serialised Hyperscan database, with its SHA-256 and its canaries."""

    serialised: bytes
    digest: bytes
    canaries: Sequence[Canary]


@dataclass(frozen=True, slots=True)
class Prefilter:
    """All that is needed to tell which recognizers need not see a text.

    Recognizers go by their number. `always` run on every text; `words` are the context words of
    each that has any. None in place of a database: nothing to look for.
    """

    recognizers: int
    always: frozenset[int]
    words: Mapping[int, frozenset[str]]
    databases: Mapping[Part, Database | None]


def id_of(recognizer: int, *, asks: bool) -> int:
    """The id of a recognizer's expressions; another one for those that ask `may_hold` first."""
    return 2 * recognizer + asks


def digest_of(serialised: bytes) -> bytes:
    return sha256(serialised).digest()
