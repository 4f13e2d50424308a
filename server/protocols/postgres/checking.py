"""What a one-shot call says around its statement: BEGIN, and the check of what its facts hang on.

The order is BEGIN, the caller's Parse, the check, and only then Bind and Execute. Parsing runs
nothing, but it takes the statement's locks: what the check then finds can't change before the end.
A check that fails makes the server skip everything behind it. All of it is one round trip.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal

from recordings.rows import encode_postgres
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from server.protocols.postgres.fingerprints import CHECKS, Expected
from server.protocols.postgres.own import Own, encoded, statements, tagged

Mode = Literal["READ ONLY", "READ WRITE"]

_PARSED: Final = b.ParseComplete().encode()
_FOUND: Final = encode_postgres([[b"1"]]) + tagged("SELECT 1")


@lru_cache(maxsize=64)
def begin(mode: Mode, limit: float | None) -> Own:
    """The transaction, with policy's time limit in seconds, for facts that hang on nothing.

    `SELECT 1` pins it: after a query nothing makes it READ WRITE again. A check does so, too.
    """
    spoken = _begun(mode, limit)
    if mode == "READ ONLY":
        spoken.append(("SELECT 1", _FOUND))
    return statements(*spoken)


@lru_cache(maxsize=64)
def begin_checked(mode: Mode, limit: float | None, *, missing: str | None) -> Own:
    """The same for a statement whose facts are checked; `missing`: a check to be prepared first."""
    begun = statements(*_begun(mode, limit))
    if missing is None:
        return begun
    prepare = Own(f.Parse(missing, CHECKS[missing]).encode(), _PARSED, b.CommandComplete, 0)
    return prepare.then(begun)


@lru_cache(maxsize=1024)
def check(expected: Expected) -> Own:
    """Fails with `CHANGED` where the server is not as it was read."""
    asked = (expected.relations, expected.names, expected.functions, expected.state)
    run = (
        f.Bind("", expected.check, parameters=tuple(value.encode() for value in asked)),
        f.Execute(""),
    )
    return Own(encoded(run), b.BindComplete().encode() + _FOUND, b.CommandComplete, 1)


def _begun(mode: Mode, limit: float | None) -> list[tuple[str, bytes]]:
    spoken = [(f"BEGIN {mode}", tagged("BEGIN"))]
    if limit is not None:
        spoken.append((f"SET LOCAL statement_timeout = {_milliseconds(limit)}", tagged("SET")))
    return spoken


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
