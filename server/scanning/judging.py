"""Sampled values of one column, and what Presidio found in them -> a proposal with its evidence.

The same sample gives the same proposal. No value leaves here: at most the shape of one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from masking.spans import NOT_SCANNED, Span
from server.scanning.clues import Clue, Rule, clue_of

LIKELY: Final = 0.5
"""Of a column's values, this share or more holds an entity: a rule is proposed."""

NOTED: Final = 0.02
_WITH_CLUE: Final = 0.1
_WHOLE: Final = 0.6
_SHAPE: Final = 24  # characters
_SEPARATORS: Final = " @.-_+/:()"
"""What stands between the parts of a value; other signs may be the secret itself."""

ENTITIES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "EMAIL_ADDRESS": Rule("pii", "email"),
        "PHONE_NUMBER": Rule("pii", "keep_last(2)"),
        "US_SSN": Rule("pii", "keep_last(4)"),
        "CREDIT_CARD": Rule("financial", "keep_last(4)"),
        "IBAN_CODE": Rule("financial", "keep_last(4)"),
        "CRYPTO": Rule("financial", "redact"),
    }
)
SECRET: Final = Rule("secret", "redact")
"""What every other recognizer of ours finds."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One kind of entity in the sampled values. `score` is the mean of what Presidio said.

    `whole`: of the values that hold one, it is most of the value. `example` is its shape alone.
    """

    entity: str
    share: float
    score: float
    whole: bool
    example: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What is proposed for one column: nothing without `rule`.

    `values` counts the sampled values that are not NULL, `hint` says what the name says.
    """

    column: str
    type: str
    values: int
    evidence: tuple[Evidence, ...] = ()
    hint: str = ""
    rule: Rule | None = None
    labels: tuple[str, ...] = ()


def judged(
    column: str,
    type_name: str,
    texts: Sequence[str],
    spans: Sequence[Sequence[Span]],
    *,
    labels: frozenset[str] = frozenset(),
) -> Judged:
    """The proposal for a column; one that has labels already gets none."""
    evidence = _evidence(texts, spans)
    clue = clue_of(column, type_name)
    rule = None if labels else _rule(evidence, clue, len(texts))
    hint = clue.what if clue else ""
    return Judged(column, type_name, len(texts), evidence, hint, rule, tuple(sorted(labels)))


def _rule(evidence: tuple[Evidence, ...], clue: Clue | None, values: int) -> Rule | None:
    """Values speak first; a name alone speaks where they say nothing against it."""
    found = evidence[0] if evidence else None
    if found is not None and found.share >= (LIKELY if clue is None else _WITH_CLUE):
        rule = ENTITIES.get(found.entity, SECRET)
        return rule if found.whole else Rule(rule.label, "redact")
    return clue.rule if clue is not None and found is None else None


def _evidence(texts: Sequence[str], spans: Sequence[Sequence[Span]]) -> tuple[Evidence, ...]:
    """By share, the largest first; what is rarer than `NOTED` is left out."""
    found: defaultdict[str, list[tuple[str, Span]]] = defaultdict(list)
    for text, inside in zip(texts, spans, strict=True):
        first = {span.entity: span for span in reversed(inside) if span.entity != NOT_SCANNED}
        for entity, span in first.items():
            found[entity].append((text, span))
    all_of_them = (_one(entity, hits, len(texts)) for entity, hits in found.items())
    kept = (evidence for evidence in all_of_them if evidence.share >= NOTED)
    return tuple(sorted(kept, key=lambda e: (-e.share, -e.score, e.entity)))


def _one(entity: str, hits: list[tuple[str, Span]], values: int) -> Evidence:
    covered = sum(span.length for _, span in hits) / sum(len(text) for text, _ in hits)
    text, span = hits[0]
    return Evidence(
        entity=entity,
        share=round(len(hits) / values, 3),
        score=round(sum(span.score for _, span in hits) / len(hits), 2),
        whole=covered >= _WHOLE,
        example=shape(text[span.start : span.end]),
    )


def shape(text: str) -> str:
    """Every letter as x, every digit as 9; what stands between tells one kind from another."""
    drawn = "".join(_drawn(character) for character in text[:_SHAPE])
    return drawn if len(text) <= _SHAPE else drawn + "…"


def _drawn(character: str) -> str:
    if character.isalpha():
        return "x"
    if character.isdigit():
        return "9"
    return character if character in _SEPARATORS else "?"
