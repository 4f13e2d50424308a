"""Makes the prefilter from what is known of the recognizers, in the worker's process.

What Hyperscan compiled is kept from one process to the next (`masking.fast.cache`).

A recognizer runs on every text if nothing is known of it, if one of its patterns can't be read,
can't be compiled, or does not match the canary that was made for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from typing import Final

import hyperscan

from masking.fast import cache
from masking.fast.canaries import canaries_of
from masking.fast.database import (
    Canary,
    Database,
    Part,
    Prefilter,
    digest_of,
    id_of,
)
from masking.fast.searches import LookedFor, Search, looked_for
from masking.fast.supersets import superset
from masking.fast.trees import NotUnderstood

_FLAGS: Final = hyperscan.HS_FLAG_DOTALL | hyperscan.HS_FLAG_MULTILINE | hyperscan.HS_FLAG_PREFILTER


@dataclass(frozen=True, slots=True)
class _Expression:
    recognizer: int
    id: int
    pattern: str
    canaries: tuple[str, ...]


def compiled(searches: Sequence[Search]) -> Prefilter:
    """The databases of all parts; takes two seconds where they are not kept yet."""
    wanted = {part: _expressions(searches, part) for part in Part}
    refused = {number for number, search in enumerate(searches) if search.necessary is None}
    refused |= {n for by in wanted.values() for n, found in by.items() if found is None}
    databases = {part: _database(by, refused) for part, by in wanted.items()}
    return Prefilter(
        recognizers=len(searches),
        always=frozenset(refused),
        words={number: search.words for number, search in enumerate(searches) if search.words},
        databases=databases,
    )


def _expressions(searches: Sequence[Search], part: Part) -> dict[int, list[_Expression] | None]:
    return {number: _of(number, search, part) for number, search in enumerate(searches)}


def _of(number: int, search: Search, part: Part) -> list[_Expression] | None:
    """None where one of the patterns can't be read."""
    each = (looked_for(search, necessary, part) for necessary in search.necessary or ())
    try:
        return [_expression(number, wanted) for wanted in each if wanted is not None]
    except NotUnderstood:
        return None


def _expression(number: int, wanted: LookedFor) -> _Expression:
    behind = canaries_of(wanted.behind, 0)[0] + " " if wanted.behind else ""
    return _Expression(
        number,
        id_of(number, asks=wanted.asks),
        superset(wanted.pattern, wanted.flags, wanted.behind),
        tuple(behind + text for text in canaries_of(wanted.pattern, wanted.flags)),
    )


def _database(by: Mapping[int, list[_Expression] | None], refused: set[int]) -> Database | None:
    """One database of what is not refused; what it can't take is refused from now on."""
    while True:
        each = [e for n, found in by.items() if n not in refused for e in found or ()]
        if not each:
            return None
        try:
            serialised = _serialised(each)
        except hyperscan.error:
            alone = {e.recognizer for e in each if not _compiles(e)}
            refused |= alone or {e.recognizer for e in each}
            continue
        database = hyperscan.loadb(serialised, hyperscan.HS_MODE_BLOCK)
        scratch = hyperscan.Scratch(database)
        seen = {e: _seen(database, scratch, e) for e in each}
        if all(seen.values()):
            canaries = [Canary(e.recognizer, text) for e, text in seen.items()]
            return Database(serialised, digest_of(serialised), canaries)
        refused |= {e.recognizer for e, text in seen.items() if not text}


def _serialised(expressions: Sequence[_Expression]) -> bytes:
    """The compiled database, from the cache where it has one for these and this machine."""
    place = cache.directory(os.environ)
    key = sha256(repr((version("hyperscan"), _FLAGS, expressions)).encode()).hexdigest()
    found = cache.kept(place, key, lambda: hyperscan.dumpb(_compiled(expressions)))
    try:
        hyperscan.loadb(found, hyperscan.HS_MODE_BLOCK)
    except hyperscan.error:  # made by another processor
        cache.forget(place, key)
        found = hyperscan.dumpb(_compiled(expressions))
    return found


def _compiles(expression: _Expression) -> bool:
    try:
        _compiled([expression])
    except hyperscan.error:
        return False
    return True


def _compiled(expressions: Iterable[_Expression]) -> hyperscan.Database:
    each = list(expressions)
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[e.pattern.encode() for e in each],
        ids=[e.id for e in each],
        flags=[_FLAGS] * len(each),
    )
    return database


def _seen(database: hyperscan.Database, scratch: hyperscan.Scratch, expression: _Expression) -> str:
    """A text on which the database reports the expression's recognizer, or none."""
    for text in expression.canaries:
        found: set[int] = set()
        database.scan(
            text.encode("utf-8", "surrogatepass"),
            match_event_handler=lambda *match, found=found: found.add(match[0]),
            scratch=scratch,
        )
        if expression.id in found:
            return text
    return ""
