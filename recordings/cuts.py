"""Rows that were walked once: the cells of some columns, and how others are put in their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from masking.errors import MaskingFailed

Cell = bytes | None


@dataclass(slots=True)
class Cut:
    """The rows of one chunk, of which only what is wanted was taken out.

    `starts`: where each row's frame begins. `wanted`: numbers of columns, rising. `columns`: their
    cells, in the order of `wanted`; whoever masks replaces cells in these lists.
    """

    frames: bytes
    width: int
    wanted: Sequence[int]
    starts: list[int] = field(default_factory=list)
    columns: list[list[Cell]] = field(default_factory=list)


def wrong_width() -> MaskingFailed:
    """A row has not as many cells as its description; nobody knows which are which."""
    return MaskingFailed("a row does not have the columns that were announced")
