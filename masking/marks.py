"""Whether a text is one of our masks or pseudonyms, so that it isn't written back over the value.

What masks leave follows from the configuration (`Made`), so a text is ours where a mask that is
configured could have left it, and the answer says which. Numbers, digits, dates, addresses, byte
strings and constants under a mask look like any other, and so do texts cut too short; columns like
that are guarded by their labels. A user's own text is taken for a pseudonym of ours once in 1,000
(of 12 to 15 characters) or 1,000,000 (longer) of those that begin with `p_` and go on in base32; a
UUID of version 8 once in 4,000,000,000. With retired keys as often again for each: what they made
is still in people's hands.
"""

from __future__ import annotations

import hmac
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from masking.entities import NAMES
from masking.operators import REDACTED, Email, KeepLast, Partial, WithKeys, parse_operator
from masking.pseudonyms import (
    LONGEST,
    PREFIX,
    SHORTEST,
    PseudonymKey,
    seal_length,
    sealed_uuid,
    token_seal,
)
from masking.spans import NOT_SCANNED, placeholder
from masking.text_masks import after

_E_MAIL: Final = re.compile(r"\*\*\*@[\w.-]+")
_E_MAIL_INSIDE: Final = re.compile(r"(?<![*\w])\*\*\*@[\w-]")
_TOKEN: Final = re.compile(
    rf"(?<![A-Za-z0-9_]){PREFIX}[a-z2-7]{{{SHORTEST - 2},{LONGEST - 2}}}(?![A-Za-z0-9_])"
)
_UUID: Final = re.compile(r"(?<![0-9A-Fa-f])(?:[0-9A-Fa-f]{4}-?){7}[0-9A-Fa-f]{4}(?![0-9A-Fa-f])")
"""With the hyphens of any spelling that PostgreSQL reads: behind each group of four digits."""

_FEWEST_HIDDEN: Final = 3
_FEWEST_CUT: Final = len("<red")
_LONGEST_PARTIAL: Final = 1024
_WORD: Final = re.compile(r"[^\s\"',;{}\[\]<>=]+")


@dataclass(frozen=True, slots=True)
class Made:
    """What masks leave: the operators that columns have, as configured, and the entities that are
    looked for."""

    operators: frozenset[str] = frozenset()
    entities: frozenset[str] = NAMES


_ALWAYS: Final = Made()


class Marks:
    """Knows what was made with these keys, under this configuration."""

    def __init__(self, keys: Sequence[PseudonymKey], made: Made = _ALWAYS) -> None:
        self._keys = keys
        names = sorted({placeholder(entity) for entity in (*made.entities, NOT_SCANNED)})
        self._placeholders = (REDACTED, *names)
        self._placeholder = re.compile("|".join(map(re.escape, self._placeholders)))
        self._partials = tuple(_partials(made.operators))
        self._characters = frozenset(partial.character for _, partial in self._partials)
        self._e_mails = any(isinstance(each, Email) for _, each in _operators(made.operators))

    def whole(self, text: str) -> str:
        """What of ours the whole text is, in words; empty for nothing."""
        plain = text.strip()
        if self._placeholder.fullmatch(plain):
            return plain
        if len(plain) >= _FEWEST_CUT and any(p.startswith(plain) for p in self._placeholders):
            return f"the beginning of a mask such as {REDACTED}"
        if self._e_mails and _E_MAIL.fullmatch(plain):
            return _left_by("email")
        return _PSEUDONYM if self._is_pseudonym(plain) else self._partial(plain)

    def inside(self, text: str) -> str:
        """What of ours stands anywhere in a text, such as a document or an array."""
        if whole := self.whole(text):
            return whole
        if found := self._placeholder.search(text):
            return found[0]
        if self._e_mails and _E_MAIL_INSIDE.search(text):
            return _left_by("email")
        if any(self._is_pseudonym(m[0]) for p in (_TOKEN, _UUID) for m in p.finditer(text)):
            return _PSEUDONYM
        if not any(character in text for character in self._characters):
            return ""
        return next(filter(None, map(self._partial, _WORD.findall(text))), "")

    def _is_pseudonym(self, text: str) -> bool:
        if _TOKEN.fullmatch(text):
            return any(_is_token(text.removeprefix(PREFIX), key) for key in self._keys)
        return _UUID.fullmatch(text) is not None and any(
            _is_our_uuid(uuid.UUID(text), key) for key in self._keys
        )

    def _partial(self, text: str) -> str:
        """Which of the operators that keep a part may have left the text."""
        if len(text) > _LONGEST_PARTIAL:
            return ""
        left = (written for written, operator in self._partials if _may_leave(operator, text))
        return next(map(_left_by, left), "")


_PSEUDONYM: Final = "a pseudonym"


def _left_by(operator: str) -> str:
    return f"what the mask {operator} leaves"


def _operators(written: Iterable[str]) -> Iterator[tuple[str, object]]:
    for each in sorted(written):
        operator = parse_operator(each)
        yield each, operator.operator if isinstance(operator, WithKeys) else operator


def _partials(written: Iterable[str]) -> Iterator[tuple[str, Partial]]:
    for each, operator in _operators(written):
        if isinstance(operator, KeepLast):
            yield each, Partial(0, operator.count)
        elif isinstance(operator, Partial):
            yield each, operator


def _is_token(characters: str, key: PseudonymKey) -> bool:
    length = seal_length(len(characters))
    body, sealed = characters[:-length], characters[-length:]
    return hmac.compare_digest(token_seal(key.marks, body, length), sealed)


def _is_our_uuid(value: uuid.UUID, key: PseudonymKey) -> bool:
    return hmac.compare_digest(sealed_uuid(key.marks, value.bytes[:12]).bytes, value.bytes)


def _may_leave(operator: Partial, text: str) -> bool:
    """Whether a text is what `masking.text_masks.partly` leaves: as many letters and digits kept in
    front and behind, and more mask characters between them, with nothing but signs.

    At least two of them side by side, so that `0 4 * * *` is a timetable and not a mask.
    """
    first, last, hidden = operator.first, operator.last, operator.character
    kept = first + last
    if hidden * 2 not in text or sum(map(str.isalnum, text)) < kept:
        return False
    start, end = after(text, first), len(text) - after(text[::-1], last)
    between = text[start:end]
    if between.count(hidden) < max(_FEWEST_HIDDEN, kept + 1):
        return False
    if not hidden.isalnum() and hidden in text[:start] + text[end:]:
        return False
    rest = between.replace(hidden, "")
    return rest.isascii() and not any(map(str.isalnum, rest))
