"""What a recognizer with code of its own says about itself, so that it need not always run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, runtime_checkable

from presidio_analyzer import RecognizerResult


class Certainty(Enum):
    """What a match of a necessary pattern is worth."""

    RUN = "the recognizer looks at the text"
    ASK = "its `may_hold` is asked about the text first, if no other pattern matches there"


@dataclass(frozen=True, slots=True)
class Necessary:
    """A pattern without which the recognizer finds nothing of this score in a text.

    Wherever it reports a span that scores so much or less before context, one of its patterns with
    at least the span's score matches in the text, and inside the span if the recognizer has context
    words. For spans that count with a context word only, that is one that does not ASK.
    `flags` are those of `re`.
    """

    pattern: str
    flags: int = 0
    score: float = 1.0
    certainty: Certainty = Certainty.RUN


@runtime_checkable
class Declared(Protocol):
    """A recognizer whose `analyze` reports nothing in a text without one of these patterns."""

    @property
    def necessary(self) -> Sequence[Necessary]: ...


@runtime_checkable
class Gated(Protocol):
    """A recognizer that can tell cheaply that a text holds nothing, if no context word is near."""

    def may_hold(self, text: str) -> bool:
        """False only where every result of `analyze` scores below the threshold by itself."""
        ...


@runtime_checkable
class Quick(Gated, Protocol):
    """A recognizer that has another way to its results."""

    def quickly(self, text: str) -> list[RecognizerResult]:
        """The results of `analyze`, all of them."""
        ...

    def quickly_alone(self, text: str) -> list[RecognizerResult]:
        """Of a text in which only patterns that ASK match: those that count by themselves."""
        ...
