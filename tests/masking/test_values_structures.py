"""Masks of documents, arrays and byte strings: what is inside, and what only looks like one."""

from __future__ import annotations

import struct

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from masking.operators import PseudonymKey
from masking.shapes import ColumnShape
from masking.values import column_mask

KEY = PseudonymKey(b"k" * 32)


DEEP = [b"[" * 100_000, b'{"a":' * 50_000, b"{" * 100_000, b"[" * 3000 + b'"secret"' + b"]" * 3000]


@pytest.mark.parametrize("cell", DEEP, ids=range(len(DEEP)))
@pytest.mark.parametrize("type_", [114, 3802, 1009, 1007, 199])
def test_cells_too_deep_to_read_are_null(type_: int, cell: bytes) -> None:
    assert column_mask(ColumnShape("a", type_), "pseudonym(d)", KEY)(cell) is None


DOCUMENT = b'{"name": "Bob", "tags": ["a", {"zip": 12345}], "ok": true, "none": null, "r": 1.50}'


def test_a_documents_values_are_masked_where_they_stand_and_its_keys_stay() -> None:
    masked = column_mask(ColumnShape("d", 3802), "constant(x)", KEY)(DOCUMENT)
    assert masked == b'"x"'
    walked = (column_mask(ColumnShape("d", 3802), "pseudonym(d)", KEY)(DOCUMENT) or b"").decode()
    name = (column_mask(ColumnShape("n", 25), "pseudonym(d)", KEY)(b"bob") or b"").decode()
    number = (column_mask(ColumnShape("n", 23), "pseudonym(d)", KEY)(b"12345") or b"").decode()
    assert walked.startswith(f'{{"name": "{name}", "tags": ["p_')
    assert f'{{"zip": {number}}}], "ok": null, "none": null, "r": ' in walked


def test_by_rule_a_documents_keys_are_masked_too() -> None:
    mask = column_mask(ColumnShape("d", 114), "with_keys(pseudonym(d))", KEY)
    masked = mask(b'{"bob@example.com": {"Bob@Example.com": 1, "BOB@example.com": 2}}') or b""
    token = column_mask(ColumnShape("n", 25), "pseudonym(d)", KEY)(b"bob@example.com") or b""
    assert masked.count(token) == 3
    assert masked.count(token + b"~2") == 1


@given(st.binary(max_size=60))
def test_bytes_are_hashed_whatever_their_text_form(value: bytes) -> None:
    escaped = b"".join(
        b"\\\\" if b == 92 else bytes([b]) if 32 <= b < 127 else b"\\%03o" % b for b in value
    )
    text = column_mask(ColumnShape("b", 17), "pseudonym(d)", KEY)
    binary = column_mask(ColumnShape("b", 17, binary=True), "pseudonym(d)", KEY)(value) or b""
    assert text(b"\\x" + value.hex().encode()) == b"\\x" + binary.hex().encode()
    assert text(escaped) == b"\\x" + binary.hex().encode()


ELEMENT = st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(st.lists(ELEMENT, min_size=1, max_size=6), st.sampled_from(["pseudonym(d)", "keep_last(1)"]))
def test_text_arrays_are_masked_alike_in_both_formats(
    values: list[str | None], operator: str
) -> None:
    one = column_mask(ColumnShape("a", 25), operator, KEY)
    text = column_mask(ColumnShape("a", 1009), operator, KEY)(_text_array(values)) or b""
    binary = column_mask(ColumnShape("a", 1009, binary=True), operator, KEY)(_binary_array(values))
    masked = [v if v is None else (one(v.encode()) or b"").decode() for v in values]
    assert binary == _binary_array(masked)
    assert _elements(text.decode()) == masked


_ARRAY_ELEMENT = regex.compile(r'"((?:[^"\\]|\\.)*)"|([^{},"]+)', regex.DOTALL)


def _elements(text: str) -> list[str | None]:
    found = _ARRAY_ELEMENT.finditer(text)
    return [None if m[2] == "NULL" else m[2] or _unescaped(m[1]) for m in found]


def _unescaped(text: str) -> str:
    return regex.sub(r"\\(.)", r"\1", text, flags=regex.DOTALL)


def _text_array(values: list[str | None]) -> bytes:
    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    return ("{" + ",".join("NULL" if v is None else quoted(v) for v in values) + "}").encode()


def _binary_array(values: list[str | None]) -> bytes:
    parts = [
        struct.pack("!i", -1) if v is None else struct.pack("!i", len(v.encode())) + v.encode()
        for v in values
    ]
    return struct.pack("!iiiii", 1, None in values, 25, len(values), 1) + b"".join(parts)


NOT_ARRAYS = [b"", b"secret", b"{secret", b"{a}secret", b"secret{a}", b"{{a}", b"{a}}", b"{a}{b}",
              b"[1:2=secret]={a}", b'{"secret}', b"{a,b}}secret"]  # fmt: skip


@pytest.mark.parametrize("cell", NOT_ARRAYS)
def test_what_is_no_array_is_null(cell: bytes) -> None:
    assert column_mask(ColumnShape("a", 1009), "redact", KEY)(cell) is None


def test_a_binary_array_of_another_type_or_size_is_null() -> None:
    mask = column_mask(ColumnShape("a", 1009, binary=True), "redact", KEY)
    element = struct.pack("!i", 3) + b"bob"
    assert mask(struct.pack("!iiiii", 1, 0, 25, 1, 1) + element) is not None
    for wrong in ((1, 0, 17, 1, 1), (1, 0, 25, 2, 1), (-1, 0, 25, 1, 1), (7, 0, 25, 1, 1)):
        assert mask(struct.pack("!iiiii", *wrong) + element) is None
    assert mask(struct.pack("!iiiii", 1, 0, 25, 1, 1) + element[:-1]) is None
