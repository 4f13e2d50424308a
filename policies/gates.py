"""Annotations on policies: gates, which forbid unless the gateway does something, and wording.

`@approve`, `@mask`, `@row_limit` and `@timeout` belong on a `forbid`: an engine that does not know
them sees less access, never more. `@approvals` says how many people `@approve` needs.
`@mode("audit")` takes a forbid or a gate out of force: what it would have done is reported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from policies.model import LimitRows, LimitTime, MaskLabels, Obligation, RequireApproval

SELF: Final = "self"
MOST_PEOPLE: Final = 10
_APPROVALS: Final = "approvals"
_WORDING: Final = frozenset({"id", "reason", "next_step", "mode"})
_DURATION = re.compile(r"([1-9][0-9]{0,6})(ms|s|m)")
_SECONDS: Final = MappingProxyType({"ms": 0.001, "s": 1.0, "m": 60.0})


class AnnotationError(ValueError):
    """An annotation is unknown, misplaced or unreadable; the text says what to write instead."""


class Mode(StrEnum):
    """`@mode`: whether a policy decides, or is only reported."""

    ENFORCE = "enforce"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True)
class Note:
    """What a policy's annotations say. Without obligations it is no gate."""

    id: str
    reason: str
    next_step: str
    obligations: tuple[Obligation, ...]
    mode: Mode = Mode.ENFORCE

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
    unknown = sorted(annotations.keys() - _WORDING - _GATES.keys() - {_APPROVALS})
    if unknown:
        known = ", ".join(f"@{name}" for name in sorted(_WORDING | _GATES.keys() | {_APPROVALS}))
        raise AnnotationError(f"unknown annotation @{unknown[0]}; known are {known}")
    gates = sorted(annotations.keys() & _GATES.keys())
    if gates and effect != "forbid":
        raise AnnotationError(f"@{gates[0]} on a permit is no gate; write a forbid that carries it")
    if _APPROVALS in annotations and "approve" not in gates:
        raise AnnotationError("@approvals says how many people @approve needs; write both")
    obligations = tuple(_GATES[name](policy, annotations[name], annotations) for name in gates)
    reason, next_step = annotations.get("reason", ""), annotations.get("next_step", "")
    mode = _mode(annotations.get("mode", Mode.ENFORCE.value), effect)
    return Note(policy, reason, next_step, obligations, mode)


def _mode(value: str, effect: str) -> Mode:
    if value not in list(Mode):
        raise AnnotationError(f'@mode("{value}") is no mode; write "audit", or leave @mode out')
    if value == Mode.AUDIT and effect == "permit":
        raise AnnotationError(
            '@mode("audit") on a permit would grant nothing and report nothing; take the permit '
            "out, or audit the forbid that narrows it"
        )
    return Mode(value)


def _approve(policy: str, value: str, annotations: Mapping[str, str]) -> Obligation:
    names = _names("approve", value)
    own = SELF in names
    if own and _APPROVALS in annotations:
        raise AnnotationError(
            '@approvals with @approve("self"): one confirmation by oneself is enough or none is; '
            "take self out, or @approvals"
        )
    return RequireApproval(
        policy,
        names - {SELF},
        annotations.get("reason", ""),
        self_confirmation=own,
        people=_people(annotations.get(_APPROVALS, "1")),
    )


def _people(value: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]?", value) or int(value) > MOST_PEOPLE:
        raise AnnotationError(
            f'@approvals("{value}") is no number of people; write "1" to "{MOST_PEOPLE}"'
        )
    return int(value)


def _mask(policy: str, value: str, annotations: Mapping[str, str]) -> Obligation:
    return MaskLabels(_names("mask", value), policy)


def _row_limit(policy: str, value: str, annotations: Mapping[str, str]) -> Obligation:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", value):
        raise AnnotationError(f'@row_limit("{value}") is no positive whole number')
    return LimitRows(int(value), policy)


def _timeout(policy: str, value: str, annotations: Mapping[str, str]) -> Obligation:
    return LimitTime(seconds(value), policy)


def seconds(value: str) -> float:
    """A time as `@timeout` has it. Raises AnnotationError."""
    found = _DURATION.fullmatch(value)
    if found is None:
        raise AnnotationError(f'@timeout("{value}") is no time; write "500ms", "15s" or "2m"')
    return int(found.group(1)) * _SECONDS[found.group(2)]


def _names(annotation: str, value: str) -> frozenset[str]:
    names = frozenset(name.strip() for name in value.split(","))
    if "" in names:
        raise AnnotationError(
            f'@{annotation}("{value}") must name one or more, with commas between'
        )
    return names


_GATES: Final[Mapping[str, Callable[[str, str, Mapping[str, str]], Obligation]]] = MappingProxyType(
    {"approve": _approve, "mask": _mask, "row_limit": _row_limit, "timeout": _timeout}
)
