"""PostgreSQL's text types and those that are masked as one text: xml and enums."""

from __future__ import annotations

from collections.abc import Callable
from xml.sax.saxutils import escape

from masking.operators import (
    REDACTED,
    Constant,
    Null,
    Operator,
    Pseudonym,
    PseudonymKey,
    Redact,
    WithKeys,
)
from masking.postgres_types import BPCHAR, NAME, VARCHAR
from masking.shapes import ColumnShape
from masking.text_masks import TextMask, text_mask
from masking.values.guards import Always, CellMask


def text_limit(shape: ColumnShape) -> int | None:
    """The most characters that the column's type allows, or None."""
    if shape.type == NAME:
        return 63
    if shape.type in (VARCHAR, BPCHAR) and shape.modifier >= 4:
        return shape.modifier - 4
    return None


def fitted(shape: ColumnShape, text: str) -> bytes:
    """The text cut to the column's length, and padded where PostgreSQL pads."""
    limit = text_limit(shape)
    if limit is None:
        return text.encode()
    if shape.type == NAME:
        return text.encode()[:limit].decode(errors="ignore").encode()
    cut = text[:limit]
    return (cut.ljust(limit) if shape.type == BPCHAR else cut).encode()


def texts_mask(shape: ColumnShape, operator: Operator, key: PseudonymKey) -> CellMask | None:
    """Cut to the column's length; one that is too short for a pseudonym has none."""
    match operator:
        case Null():
            return None
        case Constant(value):
            return Always(fitted(shape, value))
        case Redact():
            return Always(fitted(shape, REDACTED))
        case _:
            mask = text_mask(operator, key, text_limit(shape))
    if text_limit(shape) is None and shape.type != BPCHAR:
        return _unbounded(mask)
    return _bounded(shape, mask, _unpadded if shape.type == BPCHAR else str)


def _unpadded(text: str) -> str:
    return text.rstrip(" ")


def _unbounded(mask: TextMask) -> CellMask:
    def masked(cell: bytes) -> bytes | None:
        text = mask(cell.decode())
        return None if text is None else text.encode()

    return masked


def _bounded(shape: ColumnShape, mask: TextMask, read: Callable[[str], str]) -> CellMask:
    def masked(cell: bytes) -> bytes | None:
        text = mask(read(cell.decode()))
        return None if text is None else fitted(shape, text)

    return masked


def xml_mask(operator: Operator, key: PseudonymKey) -> CellMask | None:
    """A document under a mask is a text, which is well-formed content."""
    match operator:
        case Constant(value):
            return Always(escape(value).encode())
        case Redact():
            return Always(escape(REDACTED).encode())
        case Pseudonym():
            return _unbounded(text_mask(operator, key))
        case WithKeys(inner):
            return xml_mask(inner, key)
        case _:
            return None


def enum_mask(shape: ColumnShape, operator: Operator) -> CellMask | None:
    """A constant that is one of the labels. Types that nobody knows have none."""
    match operator:
        case Constant(value) if value in (shape.labels or ()):
            return Always(value.encode())
        case _:
            return None
