"""Annotations on policies: gates, which forbid unless the gateway does something, and wording.

`@approve`, `@mask`, `@row_limit` and `@timeout` belong on a `forbid`: an engine that does not know
them sees less access, never more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from policies.model import LimitRows, LimitTime, MaskLabels, Obligation, RequireApproval

SELF: Final = "self"
_WORDING: Final = frozenset({"id", "reason", "next_step"})
_DURATION = re.compile(r"([1-9][0-9]{0,6})(ms|s|m)")
_SECONDS: Final = MappingProxyType({"ms": 0.001, "s": 1.0, "m": 60.0})


class AnnotationError(ValueError):
    """An annotation is unknown, misplaced or unreadable; the text says what to write instead."""


@dataclass(frozen=True, slots=True)
class Note:
    """What a policy's annotations say. Without obligations it is no gate."""

    id: str
    reason: str
    next_step: str
    obligations: tuple[Obligation, ...]

    @property
    def approver_groups(self) -> frozenset[str]:
        groups = (o.groups for o in self.obligations if isinstance(o, RequireApproval))
        return frozenset().union(*groups)

    @property
    def masked_labels(self) -> frozenset[str]:
        labels = (o.labels for o in self.obligations if isinstance(o, MaskLabels))
        return frozenset().union(*labels)


def read_annotations(policy: str, *, effect: str, annotations: Mapping[str, str]) -> Note:
    """The note of one policy. Raises AnnotationError."""
    unknown = sorted(annotations.keys() - _WORDING - _GATES.keys())
    if unknown:
        known = ", ".join(f"@{name}" for name in sorted(_WORDING | _GATES.keys()))
        raise AnnotationError(f"unknown annotation @{unknown[0]}; known are {known}")
    gates = sorted(annotations.keys() & _GATES.keys())
    if gates and effect != "forbid":
        raise AnnotationError(f"@{gates[0]} on a permit is no gate; write a forbid that carries it")
    sentence = annotations.get("reason", "")
    obligations = tuple(_GATES[name](policy, annotations[name], sentence) for name in gates)
    return Note(policy, sentence, annotations.get("next_step", ""), obligations)


def _approve(policy: str, value: str, sentence: str) -> Obligation:
    names = _names("approve", value)
    return RequireApproval(policy, names - {SELF}, sentence, self_confirmation=SELF in names)


def _mask(policy: str, value: str, sentence: str) -> Obligation:
    return MaskLabels(_names("mask", value), policy)


def _row_limit(policy: str, value: str, sentence: str) -> Obligation:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", value):
        raise AnnotationError(f'@row_limit("{value}") is no positive whole number')
    return LimitRows(int(value), policy)


def _timeout(policy: str, value: str, sentence: str) -> Obligation:
    found = _DURATION.fullmatch(value)
    if found is None:
        raise AnnotationError(f'@timeout("{value}") is no time; write "500ms", "15s" or "2m"')
    return LimitTime(int(found.group(1)) * _SECONDS[found.group(2)], policy)


def _names(annotation: str, value: str) -> frozenset[str]:
    names = frozenset(name.strip() for name in value.split(","))
    if "" in names:
        raise AnnotationError(
            f'@{annotation}("{value}") must name one or more, with commas between'
        )
    return names


_GATES: Final[Mapping[str, Callable[[str, str, str], Obligation]]] = MappingProxyType(
    {"approve": _approve, "mask": _mask, "row_limit": _row_limit, "timeout": _timeout}
)
