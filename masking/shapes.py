"""What masking needs to know of a result column, and what is to be done with it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ColumnShape:
    """A result column: PostgreSQL type oid, type modifier, and the format of its cells.

    `labels`: those of an enum, none of an array of enums, None of any other type. Only a label is a
    value: what is found in such a cell makes it NULL, and so does a constant that is none.
    """

    name: str
    type: int
    modifier: int = -1
    binary: bool = False
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class MysqlColumn:
    """A result column of MySQL or MariaDB, as its column definition has it (Protocol::Column).

    A cell is its value alone, without the length in front, in the text or binary row format.
    """

    name: str
    type: int
    flags: int = 0
    charset: int = 45
    length: int = 0
    decimals: int = 0
    binary: bool = False
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Keep:
    """Delivered as it is."""


@dataclass(frozen=True, slots=True)
class Scan:
    """Searched for entities, which are replaced; for these names of people and places too."""

    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mask:
    """Each cell goes under `operator`, as configured (`keep_last(4)`); `why` is for the caller."""

    operator: str
    label: str
    why: str


@dataclass(frozen=True, slots=True)
class Hide:
    """The same cell in every row: where a value was computed, a NULL or a length tells of it too.

    `CASE WHEN ssn LIKE '1%' THEN 'x' END` is NULL or not by what the label covers.
    """

    label: str
    why: str


Treatment = Keep | Scan | Mask | Hide
