"""From cells to values and back: the way that every typed mask goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from masking.values.guards import Always, CellMask

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Fixed(Generic[Value]):
    """The mask that leaves one value, whatever a cell holds: it need not even be readable."""

    value: Value

    def __call__(self, _: Value) -> Value:
        return self.value


@dataclass(frozen=True, slots=True)
class Form(Generic[Value]):
    """How values of a type are written in one format. Both raise ValueError and the like."""

    read: Callable[[bytes], Value]
    write: Callable[[Value], bytes]

    def masked(self, mask: Callable[[Value], Value | None] | None) -> CellMask | None:
        """The mask for cells, or None where nothing is ever left."""
        if mask is None:
            return None
        if isinstance(mask, Fixed):
            return Always(self.write(mask.value))

        def masked(cell: bytes) -> bytes | None:
            value = mask(self.read(cell))
            return None if value is None else self.write(value)

        return masked
