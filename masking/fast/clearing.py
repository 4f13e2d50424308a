"""Which recognizers need not see which texts: one scan by Hyperscan over many texts at once.

Runs in the gateway's process as in the worker's; no Presidio here. A database is used only if its
digest is right and each of its canaries is reported; else `Unusable`, and nothing is cleared by it.

Texts are joined by a separator that no expression matches. Whatever an expression matches in a text
it matches in the joined ones too (`masking.fast.supersets`), ending inside the text, and Hyperscan
reports every end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Final

try:
    import hyperscan
except ImportError:  # no wheel for this platform: `masking.prefilter` serves instead
    AVAILABLE = False
else:
    AVAILABLE = True

from masking.fast.database import Database, Part, Prefilter, digest_of
from masking.fast.supersets import SEPARATOR
from masking.prefilter import name_words, says

_MARK: Final = SEPARATOR.strip()
_LATIN_SEPARATOR: Final = SEPARATOR.decode("latin-1")

_MOST_COLUMNS: Final = 1024
"""Column names that are remembered."""

Suspects = Mapping[int, Mapping[int, bool]]
"""By a text's index, the numbers of the recognizers that must see it; True where a recognizer's
`may_hold` may still spare it. Texts that aren't here hold nothing."""


class Unusable(Exception):
    """A database that is not what the worker compiled."""


class Clearing:
    """The prefilter, loaded. For one thread: Hyperscan's scratch space is not shared."""

    def __init__(self, prefilter: Prefilter) -> None:
        self._prefilter = prefilter
        self._scans = {part: _loaded(prefilter.databases, part) for part in Part}
        self._named: dict[str, bool] = {}

    def suspects(self, context: str, texts: Sequence[str]) -> Suspects:
        """What must be looked at of the texts of one column. Raises `Unusable`."""
        found: dict[int, dict[int, bool]] = {}
        if self._prefilter.always:
            always = dict.fromkeys(self._prefilter.always, False)
            found = {index: dict(always) for index in range(len(texts))}
        parts = Part if self._is_named(context) else (Part.EVERY,)
        buffer = _joined(texts)
        for scan in (self._scans[part] for part in parts):
            if scan is not None and (hits := scan.hits(buffer)):
                _note(hits, buffer, found)
        return found

    def _is_named(self, context: str) -> bool:
        """Whether a word of the column's name is a context word of any recognizer."""
        named = self._named.get(context)
        if named is None:
            words = name_words(context)
            every = self._prefilter.words.values()
            named = any(says(wanted, word) for wanted in every for word in words)
            if len(self._named) >= _MOST_COLUMNS:
                self._named.clear()
            self._named[context] = named
        return named


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _joined(texts: Sequence[str]) -> bytes:
    if all(map(str.isascii, texts)):
        return _LATIN_SEPARATOR.join(texts).encode("latin-1")
    return SEPARATOR.join(map(_encoded, texts))


def _note(
    hits: Sequence[tuple[int, int]], buffer: bytes, found: dict[int, dict[int, bool]]
) -> None:
    """`hits` end inside of texts; the mark that stands once in each separator counts the texts."""
    index = place = 0
    for identity, end in sorted(dict.fromkeys(hits), key=itemgetter(1)):
        index += buffer.count(_MARK, place, end)
        place = end
        recognizer, asks = divmod(identity, 2)
        seen = found.setdefault(index, {})
        seen[recognizer] = bool(asks) and seen.get(recognizer, True)


def _loaded(databases: Mapping[Part, Database | None], part: Part) -> _Scan | None:
    if part not in databases:
        raise Unusable("a database is missing")
    database = databases[part]
    return None if database is None else _Scan(database)


class _Scan:
    """One loaded database."""

    def __init__(self, database: Database) -> None:
        if digest_of(database.serialised) != database.digest:
            raise Unusable("the digest is wrong")
        try:
            self._database = hyperscan.loadb(database.serialised, hyperscan.HS_MODE_BLOCK)
            self._scratch = hyperscan.Scratch(self._database)
        except hyperscan.error as error:
            raise Unusable("the database can't be loaded") from error
        for canary in database.canaries:
            if canary.recognizer not in {i // 2 for i, _ in self.hits(_encoded(canary.text))}:
                raise Unusable("a canary is not seen")

    def hits(self, buffer: bytes) -> list[tuple[int, int]]:
        """The ids of expressions and where they end, in order. Raises `Unusable`."""
        found: list[tuple[int, int]] = []
        append = found.append

        def note(identity: int, start: int, end: int, flags: int, context: object) -> None:
            append((identity, end))

        try:
            self._database.scan(buffer, match_event_handler=note, scratch=self._scratch)
        except hyperscan.error as error:
            raise Unusable("the scan failed") from error
        return found
