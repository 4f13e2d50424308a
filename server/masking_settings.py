"""The configuration's section `masking`: which entities are looked for, and by what.

What there is to choose from is the table in `masking.entities`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Final, Literal, Self

import regex
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema, model_validator

from masking import ner
from masking.backtracking import FLAGS, slow_text
from masking.entities import NAMES, PACKS, CustomPattern, CustomRecognizer, Recognition
from server.config_values import Column

_ENTITY: Final = re.compile("[A-Z][A-Z0-9_]{1,62}")
_WORD: Final = re.compile(r"[^\W_]+")
_LONGEST_PATTERN: Final = 1_000  # characters
_ABOUT_SCORES: Final = "a score is more than 0 and at most 1, such as 0.6"


class _Model(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(
        strict=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )


def _near(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"write {close[0]}?" if close else f"there are {', '.join(names)}"


def _read_pack(value: object) -> str:
    if not isinstance(value, str) or value not in PACKS:
        raise ValueError(f"no such pack; {_near(str(value), PACKS)}")
    return value


def _read_entity(value: object) -> str:
    if not isinstance(value, str) or not _ENTITY.fullmatch(value):
        raise ValueError("an entity is in capitals, such as EMPLOYEE_BADGE")
    return value


def _read_score(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ValueError(_ABOUT_SCORES)
    return float(value)


def _read_switch(value: object) -> bool | float:
    if isinstance(value, bool):
        return value
    try:
        return _read_score(value)
    except ValueError:
        raise ValueError(f"write on, off, or a threshold: {_ABOUT_SCORES}") from None


def _read_regex(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("write a regular expression, such as 'EB-[0-9]{6}'")
    if len(value) > _LONGEST_PATTERN:
        raise ValueError(f"a regular expression has at most {_LONGEST_PATTERN} characters")
    try:
        compiled = regex.compile(value, FLAGS)
    except regex.error as error:
        raise ValueError(f"no regular expression: {error}") from None
    if compiled.fullmatch(""):
        raise ValueError("this matches the empty text, and so everywhere; say what must be there")
    if slow_text(value) is not None:
        raise ValueError(
            "this takes too long on some texts, because a repetition repeats another one that "
            "matches the same; write [a-z]+ instead of ([a-z]+)*, and bounds such as {1,40}"
        )
    return value


def _read_word(value: object) -> str:
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise ValueError("a context word is one word of letters and digits, such as badge")
    return value.lower()


_NUMBER: Final = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
PackName = Annotated[str, PlainValidator(_read_pack), WithJsonSchema({"enum": list(PACKS)})]
EntityName = Annotated[
    str,
    PlainValidator(_read_entity),
    WithJsonSchema({"type": "string", "pattern": f"^{_ENTITY.pattern}$"}),
]
Score = Annotated[float, PlainValidator(_read_score), WithJsonSchema(_NUMBER)]
Switch = Annotated[
    bool | float,
    PlainValidator(_read_switch),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, _NUMBER]}),
]
Regex = Annotated[str, PlainValidator(_read_regex), WithJsonSchema({"type": "string"})]
NameEntity = Literal["PERSON", "LOCATION", "NRP", "ORGANIZATION"]
ContextWord = Annotated[str, PlainValidator(_read_word), WithJsonSchema({"type": "string"})]


class PatternSettings(_Model):
    """Case is ignored, `^` and `$` match at lines. From 0.5 a match counts by itself."""

    regex: Regex = Field(examples=["'EB-[0-9]{6}'"])
    score: Score = Field(examples=["0.6"])


class RecognizerSettings(_Model):
    """A recognizer of your own. A context word on the line, or in the column's name, adds 0.35."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", examples=["employee-badge"])
    entity: EntityName = Field(examples=["EMPLOYEE_BADGE"])
    patterns: tuple[PatternSettings, ...] = Field(
        min_length=1, examples=["[{regex: 'EB-[0-9]{6}', score: 0.6}]"]
    )
    context: tuple[ContextWord, ...] = Field(default=(), examples=["[badge]"])


class NamesInColumn(_Model):
    """A column of free text in which a model looks for names; needs the extra `ostiary[ner]`.

    It misses one name in four, and more outside of English prose: a column that holds names and
    nothing else wants a rule under `columns`.
    """

    column: Column = Field(examples=["public.tickets.note"])
    entities: tuple[NameEntity, ...] = Field(min_length=1, examples=["[PERSON, LOCATION]"])

    @model_validator(mode="after")
    def _model_is_installed(self) -> Self:
        if not ner.installed():
            raise ValueError("names need the extra `ner`: pip install 'ostiary[ner]'")
        return self


class Masking(_Model):
    """What is looked for in results and texts. Packs add to `common` and `secrets`."""

    entities: Mapping[EntityName, Switch] = Field(
        default_factory=dict, examples=["{IP_ADDRESS: on, PHONE_NUMBER: off}"]
    )
    packs: tuple[PackName, ...] = Field(default=(), examples=["[us, uk]"])
    recognizers: tuple[RecognizerSettings, ...] = Field(default=(), examples=["[{name: …}]"])
    recheck: float = Field(default=0.0, ge=0.0, le=1.0, examples=["0.001"])
    """The fraction of texts that plain Presidio searches again; it costs a millisecond each."""
    workers: int = Field(default=1, ge=1, le=64)
    """Processes that search, 150 MB each; a slow text holds up one of them."""

    @model_validator(mode="after")
    def _entities_are_known(self) -> Self:
        known = NAMES | {recognizer.entity for recognizer in self.recognizers}
        for entity in self.entities:
            if entity not in known:
                raise ValueError(f"entities.{entity}: no such entity; {_near(entity, known)}")
        return self

    @model_validator(mode="after")
    def _no_name_twice(self) -> Self:
        names = [recognizer.name for recognizer in self.recognizers]
        for name in dict.fromkeys(names):
            if names.count(name) > 1:
                raise ValueError(f"the recognizer {name} stands there twice; remove one")
        return self

    def recognition(self) -> Recognition:
        """The same for the scanner."""
        thresholds = {e: s for e, s in self.entities.items() if not isinstance(s, bool)}
        return Recognition(
            packs=self.packs,
            switched={e: s for e, s in self.entities.items() if isinstance(s, bool)},
            thresholds=thresholds,
            custom=tuple(map(_custom, self.recognizers)),
        )


def _custom(settings: RecognizerSettings) -> CustomRecognizer:
    patterns = tuple(CustomPattern(p.regex, p.score) for p in settings.patterns)
    return CustomRecognizer(settings.name, settings.entity, patterns, settings.context)
