"""What the configuration's recognizers look for, as patterns that streams can compare ends with.

Imported only where Presidio is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from presidio_analyzer import EntityRecognizer, Pattern, PatternRecognizer

from masking.beginnings import Beginning
from masking.engine import recognizers
from masking.entities import THRESHOLD, Recognition
from masking.fast.declared import Declared, Necessary
from masking.fast.searches import Reach, search
from masking.fast.trees import flags_of_regex


def beginnings(recognition: Recognition) -> tuple[Beginning, ...]:
    """The patterns of what a configuration adds to the curated recognizers, where they can count.

    Names of people and places have no patterns, and no stream is searched for them.
    """
    if recognition.names or recognition == Recognition():
        return ()
    curated = {_name(recognizer) for recognizer in recognizers()}
    added = [each for each in recognizers(recognition) if _name(each) not in curated]
    return tuple(beginning for recognizer in added for beginning in _of(recognizer))


def _of(recognizer: EntityRecognizer) -> Iterator[Beginning]:
    known = search(recognizer, THRESHOLD)
    for necessary in _patterns(recognizer):
        reach = known.reach(necessary.score)
        if reach is not Reach.NEVER:
            words = known.words if reach is Reach.BESIDE_WORD else frozenset[str]()
            yield Beginning(necessary.pattern, necessary.flags, words)


def _patterns(recognizer: EntityRecognizer) -> Sequence[Necessary]:
    """Raises TypeError for a recognizer that has none: whoever adds one declares them."""
    if isinstance(recognizer, Declared):
        return recognizer.necessary
    if not isinstance(recognizer, PatternRecognizer):
        raise TypeError(f"{_name(recognizer)} has no patterns")
    flags = flags_of_regex(int(recognizer.global_regex_flags or 0))
    checked = type(recognizer).validate_result is not PatternRecognizer.validate_result
    patterns: list[Pattern] = cast(Any, recognizer).patterns
    return [Necessary(p.regex, flags, 1.0 if checked else p.score) for p in patterns]


def _name(recognizer: EntityRecognizer) -> str:
    return str(vars(recognizer)["name"])
