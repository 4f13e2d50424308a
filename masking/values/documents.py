"""Operators on JSON documents: value by value, and by rule the keys too."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from masking.operators import (
    REDACTED,
    Constant,
    Null,
    Operator,
    PseudonymKey,
    Redact,
    WithKeys,
)
from masking.text_masks import TextMask, text_mask
from masking.values.cells import Fixed
from masking.values.numbers import Decimal, DecimalMask, decimal_mask

DocumentMask = Callable[[str], str | None]


def document_mask(operator: Operator, key: PseudonymKey) -> DocumentMask | None:
    """Strings and numbers go under the operator; true, false and what can't be masked is null.

    `constant` and `redact` leave one string of a document.
    """
    match operator:
        case Null():
            return None
        case Constant(value):
            return Fixed(json.dumps(value))
        case Redact():
            return Fixed(json.dumps(REDACTED))
        case WithKeys(inner):
            strings = text_mask(inner, key)
            return _Walk(strings, decimal_mask(inner, key, None), strings)
        case _:
            return _Walk(text_mask(operator, key), decimal_mask(operator, key, None), _kept)


def _kept(name: str) -> str:
    return name


class _Number(str):
    """A number as it is spelled."""

    __slots__ = ()


class _Pairs(list[tuple[str, Any]]):
    """An object's members in their order; `json` lets a key come twice."""


_LONGEST_NUMBER: Final = 60
_NULL: Final = "null"


@dataclass(frozen=True, slots=True)
class _Walk:
    """Reads a document, and writes it again from what each operator leaves."""

    strings: TextMask
    numbers: DecimalMask | None
    names: TextMask

    def __call__(self, document: str) -> str:
        """Raises ValueError for what is no document, and RecursionError for one too deep."""
        read = json.loads(
            document,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_Number,
            object_pairs_hook=_Pairs,
        )
        return self._written(read)

    def _written(self, value: Any) -> str:
        match value:
            case _Number():
                return self._number(value)
            case str():
                masked = self.strings(value)
                return _NULL if masked is None else json.dumps(masked)
            case _Pairs():
                return "{" + ", ".join(self._members(value)) + "}"
            case list():
                return "[" + ", ".join(map(self._written, value)) + "]"
            case _:
                return _NULL

    def _members(self, pairs: Sequence[tuple[str, Any]]) -> Iterator[str]:
        """Keys that look the same under their mask are told apart by a number."""
        seen: dict[str, int] = {}
        for name, value in pairs:
            masked = self.names(name) or REDACTED
            seen[masked] = count = seen.get(masked, 0) + 1
            told = masked if count == 1 or self.names is _kept else f"{masked}~{count}"
            yield f"{json.dumps(told)}: {self._written(value)}"

    def _number(self, spelled: str) -> str:
        if self.numbers is None or len(spelled) > _LONGEST_NUMBER:
            return _NULL
        try:
            masked = self.numbers(Decimal.parsed(spelled))
        except (ValueError, OverflowError):
            return _NULL
        return _NULL if masked is None else str(masked)
