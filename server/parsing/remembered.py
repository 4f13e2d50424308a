"""What the gateway remembers about statements: their facts, and which ones harmed a parser."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import blake2b
from time import monotonic
from typing import Final

from policies.sql.facts import SqlFacts

ENTRIES: Final = 8192
BYTES: Final = 32 * 1024 * 1024

SUSPECTED: Final = 300.0
"""Seconds for which a statement that harmed a parser is refused, and who asked is suspected."""

SUSPECTS: Final = 4096

SHARE: Final = 0.2
BURST: Final = 0.5
"""Seconds of a worker's time that a caller may take each second, and at once, of what is for
everybody: statements that take half a second each could otherwise fill it with few callers."""

# Sets, tuples and strings take some times the space of the JSON that they came in.
_GROWTH: Final = 6
_OVERHEAD: Final = 500

Key = tuple[str, int, bytes, str]
"""Dialect, names, surroundings, text."""


@dataclass(slots=True)
class FactsCache:
    """Facts by all that they depend on; those that were asked for longest ago go first."""

    _facts: OrderedDict[Key, tuple[SqlFacts, int]] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def get(self, key: Key) -> SqlFacts | None:
        found = self._facts.get(key)
        if found is None:
            return None
        self._facts.move_to_end(key)
        return found[0]

    def put(self, key: Key, facts: SqlFacts, size: int) -> None:
        """Keep facts that came in so many bytes."""
        weight = _OVERHEAD + len(key[2]) + 4 * len(key[3]) + _GROWTH * size
        self._bytes += weight - self._facts.pop(key, (facts, 0))[1]
        self._facts[key] = facts, weight
        while len(self._facts) > ENTRIES or self._bytes > BYTES:
            _, (_, gone) = self._facts.popitem(last=False)
            self._bytes -= gone


@dataclass(slots=True)
class Suspicions:
    """Statements that were late or ended a parser, who asked about them, and who asks for much."""

    _statements: OrderedDict[bytes, tuple[float, SqlFacts]] = field(default_factory=OrderedDict)
    _askers: OrderedDict[str, float] = field(default_factory=OrderedDict)
    _spent: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def note(self, dialect: str, text: str, asker: str, facts: SqlFacts) -> None:
        """A statement harmed a parser; `facts` are what it is answered with from now on."""
        until = monotonic() + SUSPECTED
        self._statements[_digest(dialect, text)] = until, facts
        self._askers[asker] = until
        for kept in (self._statements, self._askers):
            if len(kept) > SUSPECTS:
                kept.popitem(last=False)

    def of_statement(self, dialect: str, text: str) -> SqlFacts | None:
        """The answer to a statement that harmed a parser some minutes ago."""
        if not self._statements:
            return None
        until, facts = self._statements.get(_digest(dialect, text), (0.0, None))
        return facts if until > monotonic() else None

    def spent(self, asker: str, seconds: float) -> None:
        """A statement took so many seconds of a worker's time."""
        self._spent[asker] = self._owed(asker) + seconds, monotonic()
        self._spent.move_to_end(asker)
        if len(self._spent) > SUSPECTS:
            self._spent.popitem(last=False)

    def of_asker(self, asker: str) -> bool:
        """Whether a caller shares a worker with others like it for now."""
        return self._askers.get(asker, 0.0) > monotonic() or self._owed(asker) > BURST

    def _owed(self, asker: str) -> float:
        seconds, at = self._spent.get(asker, (0.0, 0.0))
        return max(seconds - SHARE * (monotonic() - at), 0.0) if seconds else 0.0


def _digest(dialect: str, text: str) -> bytes:
    content = f"{dialect}\0{text}".encode("utf-8", "surrogatepass")
    return blake2b(content, digest_size=16).digest()
