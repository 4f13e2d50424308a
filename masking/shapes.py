"""What masking needs to know of a result column, and what is to be done with it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ColumnShape:
    """A result column: PostgreSQL type oid, type modifier, and the format of its cells."""

    name: str
    type: int
    modifier: int = -1
    binary: bool = False


@dataclass(frozen=True, slots=True)
class Keep:
    """Delivered as it is."""


@dataclass(frozen=True, slots=True)
class Scan:
    """Searched for entities, which are replaced."""


@dataclass(frozen=True, slots=True)
class Mask:
    """Each cell goes under `operator`, as configured (`keep_last(4)`); `why` is for the caller."""

    operator: str
    label: str
    why: str


Treatment = Keep | Scan | Mask
