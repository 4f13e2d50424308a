"""Cells become JSON values only where nothing is lost."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from recordings.events import Column
from tools.cells import cell_text, json_value, type_name

CASES: list[tuple[int, str, JsonValue]] = [
    (16, "t", True),
    (16, "f", False),
    (21, "-7", -7),
    (23, "42", 42),
    (20, "9007199254740991", 9007199254740991),
    (20, "9007199254740992", "9007199254740992"),
    (20, "-9223372036854775808", "-9223372036854775808"),
    (701, "1.5", 1.5),
    (701, "1e+20", 1e20),
    (701, "NaN", "NaN"),
    (701, "-Infinity", "-Infinity"),
    (1700, "1.10", "1.10"),
    (114, '{"a": [1, null, "x"]}', {"a": [1, None, "x"]}),
    (3802, "12345678901234567890", "12345678901234567890"),
    (3802, '{"n": 0.12345678901234567890}', '{"n": 0.12345678901234567890}'),
    (3802, '{"n": 1e999}', '{"n": 1e999}'),
    (114, '{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
    (114, "[" * 100_000, "[" * 100_000),
    (25, "42", "42"),
    (25, "null", "null"),
    (1184, "2026-01-01 00:00:00+00", "2026-01-01 00:00:00+00"),
]


@pytest.mark.parametrize(("oid", "text", "value"), CASES)
def test_a_cell_is_its_type_where_that_is_exact_else_text(
    oid: int, text: str, value: JsonValue
) -> None:
    result = json_value(text, Column("c", oid))
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize("oid", [16, 20, 23, 701])
@pytest.mark.parametrize("mask", ["****6789", "true", "null", "[1]", "1_000", "", " "])
def test_what_a_mask_left_of_a_number_stays_text(oid: int, mask: str) -> None:
    assert json_value(mask, Column("c", oid, masked="pii")) == mask


def test_a_binary_cell_is_hexadecimal() -> None:
    column = Column("c", 23, binary=True)
    assert cell_text(b"\x00\xff", column) == "\\x00ff"
    assert json_value("\\x00ff", column) == "\\x00ff"


def test_bytes_that_are_no_text_are_shown_not_dropped() -> None:
    assert cell_text(b"a\xff", Column("c", 25)) == "a\\xff"


def test_a_type_that_is_not_built_in_is_named_by_its_oid() -> None:
    names = [type_name(Column("c", oid)) for oid in (23, 16_400)]
    assert names == ["int4", "oid:16400"]
