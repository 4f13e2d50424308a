"""What is known of each recognizer: what it needs to see, what it can score, how it may be asked.

Score reachability. A result counts from the recognizer's threshold. Its score is the pattern's, or
1.0 where the recognizer validates; context adds at most what `context.boosted` adds. So a pattern
is worth looking for

- always, if its score reaches the threshold by itself;
- only beside a context word, if it does so boosted: one of the column's words, which is known
  before, or a word of the text before the span, on its line;
- never, if it reaches the threshold in neither way.

For the second, the prefilter looks for `WORD, no line break, PATTERN`. That loses nothing:
`WindowContextEnhancer` takes lower-cased words between the last line break and the span's begin,
and the pattern matches inside the span. A context word in ASCII that is found in a lower-cased text
stands in the text itself, in either case, or with a Kelvin sign for its "k", which is the only
character that lower-cases to an ASCII letter alone. Other context words are taken for always near.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, cast

from presidio_analyzer import EntityRecognizer, Pattern, PatternRecognizer
from presidio_analyzer.predefined_recognizers import IbanRecognizer

from masking.context import boosted
from masking.fast.database import Part
from masking.fast.declared import Certainty, Declared, Gated, Necessary, Quick
from masking.fast.lines import reads_by_line
from masking.fast.trees import NotUnderstood, flags_of_regex

_ONLY_PATTERNS: Final = (PatternRecognizer.analyze, IbanRecognizer.analyze)
"""Ways to analyze that report matches of the recognizer's patterns, or beginnings of them."""


class Reach(Enum):
    """When a pattern's result can count."""

    ALWAYS = "by itself"
    BESIDE_WORD = "beside a context word"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Search:
    """One recognizer. `necessary` is None where nothing is known: it runs on every text."""

    recognizer: EntityRecognizer
    necessary: tuple[Necessary, ...] | None
    by_line: bool
    words: frozenset[str]
    thresholds: dict[str, float]
    default_threshold: float
    may_hold: Callable[[str], bool]
    quick: Quick | None = None

    def threshold(self, entity: str) -> float:
        """As Presidio's engine resolves it."""
        by_default = self.thresholds.get("default", self.default_threshold)
        return self.thresholds.get(entity, by_default)

    def most(self) -> float:
        """The most that a result may score, beside a context word too."""
        if self.necessary is None:
            return 1.0
        return boosted(max((n.score for n in self.necessary), default=0.0))

    def reach(self, score: float) -> Reach:
        entities = self.recognizer.supported_entities
        least = min([self.threshold(e) for e in entities] or [self.default_threshold])
        if score >= least:
            return Reach.ALWAYS
        return Reach.BESIDE_WORD if self.words and boosted(score) >= least else Reach.NEVER


def search(recognizer: EntityRecognizer, default_threshold: float) -> Search:
    """What can be proved of a recognizer."""
    necessary = _necessary(recognizer)
    return Search(
        recognizer,
        necessary,
        by_line=_reads_by_line(recognizer),
        words=frozenset(recognizer.context or ()),
        thresholds=recognizer.score_thresholds,
        default_threshold=default_threshold,
        may_hold=recognizer.may_hold if isinstance(recognizer, Gated) else _anything,
        quick=recognizer if isinstance(recognizer, Quick) else None,
    )


def _anything(text: str) -> bool:
    return True


def _necessary(recognizer: EntityRecognizer) -> tuple[Necessary, ...] | None:
    if type(recognizer).enhance_using_context is not EntityRecognizer.enhance_using_context:
        return None
    if isinstance(recognizer, Declared):
        return tuple(recognizer.necessary)
    if not isinstance(recognizer, PatternRecognizer) or not _reads_only_patterns(recognizer):
        return None
    try:
        return tuple(_of_patterns(recognizer))
    except NotUnderstood:
        return None


def _reads_only_patterns(recognizer: PatternRecognizer) -> bool:
    return type(recognizer).analyze in _ONLY_PATTERNS


def _of_patterns(recognizer: PatternRecognizer) -> Iterator[Necessary]:
    validates = type(recognizer).validate_result is not PatternRecognizer.validate_result
    flags = flags_of_regex(int(recognizer.global_regex_flags or 0))
    patterns: list[Pattern] = cast(Any, recognizer).patterns
    for pattern in patterns:
        yield Necessary(pattern.regex, flags, 1.0 if validates else pattern.score)


def _reads_by_line(recognizer: EntityRecognizer) -> bool:
    """Whether the recognizer may be given many texts as lines of one."""
    if not isinstance(recognizer, PatternRecognizer) or not _reads_only_patterns(recognizer):
        return False
    try:
        return all(reads_by_line(n.pattern, n.flags) for n in _of_patterns(recognizer))
    except NotUnderstood:
        return False


@dataclass(frozen=True, slots=True)
class LookedFor:
    """A pattern that the prefilter looks for, behind one of some words if there are any."""

    pattern: str
    flags: int
    asks: bool = False
    behind: str = ""


def looked_for(search: Search, necessary: Necessary, part: Part) -> LookedFor | None:
    """What a part of the prefilter looks for, if it does."""
    pattern, flags = necessary.pattern, necessary.flags
    match part, search.reach(necessary.score):
        case Part.EVERY, Reach.ALWAYS:
            return LookedFor(pattern, flags, asks=necessary.certainty is Certainty.ASK)
        case Part.EVERY, Reach.BESIDE_WORD:
            return LookedFor(pattern, flags, behind=_any_of(search.words))
        case Part.NAMED, Reach.BESIDE_WORD:
            return LookedFor(pattern, flags)
        case _:
            return None


def _any_of(words: frozenset[str]) -> str:
    """The context words as a pattern; none for words beyond ASCII, which may be anywhere."""
    return "|".join(map(re.escape, sorted(words))) if all(map(str.isascii, words)) else ""
