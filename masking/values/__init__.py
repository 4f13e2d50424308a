"""Masks that keep a column's type: what can't be masked in its type becomes NULL.

A mask is compiled once per column and then maps cells to cells, in the column's own format.
`numbers`, `plain` and `documents` know values and no format, so that text and binary cells of
one value are masked alike; `postgres` and `mysql` know formats and no operator.
"""

from __future__ import annotations

from functools import partial

from masking.operators import PseudonymKey, parse_operator
from masking.shapes import ColumnShape, MysqlColumn
from masking.values.guards import CellMask, compiled
from masking.values.mysql import mysql_mask
from masking.values.postgres import postgres_mask
from masking.values.postgres_texts import fitted, text_limit

__all__ = ["CellMask", "column_mask", "fitted", "text_limit"]


def column_mask(shape: ColumnShape | MysqlColumn, operator: str, key: PseudonymKey) -> CellMask:
    """The mask of one column. Raises ValueError for an operator that does not exist."""
    parsed = parse_operator(operator)
    if isinstance(shape, MysqlColumn):
        return compiled(partial(mysql_mask, shape, key), parsed)
    return compiled(partial(postgres_mask, shape, key), parsed)
