"""How COPY sends rows to the client: the layout of its text, and a query with the same columns."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CopyLayout:
    """How a row's values are written in a line: `format` is text or csv.

    Only layouts in which no value looks like NULL: a mask would pass it by. `quoted`: every value
    that is not NULL stands in quotes.
    """

    format: str = "text"
    delimiter: str = "\t"
    null: str = "\\N"
    quote: str = ""
    escape: str = ""
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class CopiedOut:
    """What COPY … TO STDOUT sends: rows with the columns of `query`.

    `header`: after a line of their names. `in_order`: they are a table's, in the table's order.
    `layout` is None for one that can't be read back; `why` and `next_step` say more.
    """

    query: str
    layout: CopyLayout | None = field(default_factory=CopyLayout)
    header: bool = False
    in_order: bool = False
    why: str = ""
    next_step: str = ""
