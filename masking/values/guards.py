"""What stands around the mask of a cell, so that nothing gets past it: compiled where it can be."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from masking.operators import Operator

CellMask = Callable[[bytes], bytes | None]
"""A cell that is not NULL, as it is delivered. Never raises: what can't be read is NULL."""

LARGEST: Final = 1 << 20
"""Bytes of a cell that a mask looks into: all callers wait while it does."""

UNREADABLE: Final = (
    ValueError, ArithmeticError, struct.error, LookupError, RecursionError, MemoryError,
)  # fmt: skip
"""What reading a cell that is no value of its type may raise."""


@dataclass(frozen=True, slots=True)
class Always:
    """The same cell for each."""

    value: bytes | None

    def __call__(self, cell: bytes) -> bytes | None:
        return self.value


def guarded(mask: CellMask | None) -> CellMask:
    """The mask, which now never raises and leaves nothing of a cell that is too large."""
    if mask is None:
        return Always(None)
    if isinstance(mask, Always):
        return mask

    def masked(cell: bytes) -> bytes | None:
        if len(cell) > LARGEST:
            return None
        try:
            return mask(cell)
        except UNREADABLE:
            return None

    return masked


def compiled(make: Callable[[Operator], CellMask | None], operator: Operator) -> CellMask:
    """What `make` makes of the operator; a constant that the type doesn't have leaves nothing."""
    try:
        return guarded(make(operator))
    except UNREADABLE:
        return Always(None)
