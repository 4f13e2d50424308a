"""What the gateway and its parser processes say to each other. The loops of both are elsewhere.

To a worker go marshalled tuples, which only the gateway writes. From a worker comes JSON, and the
gateway checks its shape: whoever takes a parser over must not be able to run anything with it.
"""

from __future__ import annotations

import marshal
import struct
from collections.abc import Callable
from typing import Final

import orjson

from policies.sql.catalog import Catalog
from policies.sql.facts import SqlFacts

Analyse = Callable[[str, Catalog], SqlFacts]

HEADER: Final = struct.Struct("!I")
LARGEST_ANSWER: Final = 1024 * 1024
"""Bytes. The facts about 64 KB of statement stay far below it."""

NAMES: Final = "names"
FORGET: Final = "forget"
ANALYSE: Final = "analyse"

FORK: Final = b"F"
KILL: Final = b"K"
ORDER: Final = struct.Struct("!cI")
"""To the nursery: FORK with the new worker's end of a socket pair, or KILL with a process id."""


def names_frame(number: int, blob: bytes) -> bytes:
    """A catalog's names, under a number; answered with that number."""
    return _framed(marshal.dumps((NAMES, number, blob)))


def forget_frame(number: int) -> bytes:
    """The names under a number are needed no longer; not answered."""
    return _framed(marshal.dumps((FORGET, number)))


def analyse_frame(number: int, dialect: str, names: int, around: bytes, text: str) -> bytes:
    """One statement to analyse; answered with `number` and the facts."""
    return _framed(marshal.dumps((ANALYSE, number, dialect, names, around, text)))


def answer_frame(about: int, facts: SqlFacts | None = None, spent: float = 0.0) -> bytes:
    """A worker's word: what it speaks about (its process id first), and facts where asked for.

    `spent`: seconds of processor time.
    """
    return _framed(orjson.dumps({"about": about, "facts": facts, "spent": spent}, default=list))


def _framed(content: bytes) -> bytes:
    return HEADER.pack(len(content)) + content
