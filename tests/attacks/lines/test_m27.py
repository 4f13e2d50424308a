"""Line M27: masks of one value put side by side, pseudonyms compared and computed again."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

import pytest

from masking.operators import PseudonymKey
from masking.shapes import ColumnShape
from masking.values import column_mask
from tests.attacks.lines.guard import Guard

FIRST_PARTS = [
    "SELECT left(ssn, 5) FROM customers",
    "SELECT substr(ssn, 1, 5) FROM customers",
    "SELECT substring(ssn FROM '^...-..') FROM customers",
    "SELECT split_part(ssn, '-', 1) FROM customers",
    "SELECT reverse(ssn) FROM customers",
    "SELECT lpad(ssn, 5) FROM customers",
    "SELECT overlay(ssn placing 'xxxxxxxxxxxx' from 6) FROM customers",
    "SELECT ssn || 'abcdefghijkl' FROM customers",
    "SELECT repeat(ssn, 2) FROM customers",
    "SELECT length(ssn), ssn FROM customers",
]


@pytest.mark.anyio
async def test_m27_no_second_query_shows_what_the_first_one_hides(guard: Guard) -> None:
    """A column has one operator, and whatever is made of the column shows nothing at all."""
    shown = (await guard.ask("SELECT ssn FROM customers")).cells
    assert {cell[:7] for cell in shown if cell} == {"***-**-"}
    for sql in FIRST_PARTS:
        answer = await guard.ask(sql)
        assert answer.cells <= shown | {"<redacted>", None}, sql
        assert answer.leaks == set(), sql


def _masked(secret: bytes, operator: str, type_: int, value: bytes) -> bytes:
    cell = column_mask(ColumnShape("a", type_), operator, PseudonymKey(secret))(value)
    assert cell is not None
    return cell


VALUES = [(25, b"219-09-9991"), (20, b"219099991"), (1700, b"219099991.50"), (869, b"10.20.30.40"),
          (2950, b"d3ac94af-0f21-4db6-acad-4a268d116ece"), (17, b"\\x219099991f")]  # fmt: skip


@pytest.mark.parametrize(("type_", "value"), VALUES)
def test_m27_a_pseudonym_is_another_in_another_domain_and_for_another_key(
    type_: int, value: bytes
) -> None:
    asked = [(b"k" * 32, "pseudonym(a)"), (b"k" * 32, "pseudonym(b)"), (b"o" * 32, "pseudonym(a)")]
    assert len({_masked(key, operator, type_, value) for key, operator in asked}) == 3


def test_m27_digits_of_one_number_differ_by_domain_and_key() -> None:
    asked = [(b"k" * 32, "digits"), (b"k" * 32, "digits(b)"), (b"o" * 32, "digits")]
    assert len({_masked(key, operator, 25, b"4111111111111111") for key, operator in asked}) == 3


def _plain_hashes(value: bytes) -> Iterator[str]:
    for name in ("md5", "sha1", "sha256", "sha512", "blake2b", "blake2s"):
        digest = hashlib.new(name, value).digest()
        yield digest.hex()
        yield base64.b32encode(digest).decode().lower()
        yield base64.urlsafe_b64encode(digest).decode().lower()


def test_m27_no_hash_without_the_key_gives_a_pseudonym() -> None:
    token = _masked(b"k" * 32, "pseudonym(a)", 25, b"219-09-9991").decode().removeprefix("p_")
    hashes = [h for n in range(2000) for h in _plain_hashes(b"219-09-%04d" % (n + 8000))]
    assert not any(token[:6] in text[:24] for text in hashes)


def test_m27_what_a_format_tells_is_the_length_and_nothing_of_the_digits() -> None:
    """`digits` keeps length and separators: that is what it is for, and all that it tells."""
    numbers = [b"4111-%04d-1111-%04d" % (n, n) for n in range(500)]
    masked = [_masked(b"k" * 32, "digits", 25, number) for number in numbers]
    assert {len(m) for m in masked} == {19}
    assert len({m[:4] for m in masked}) > 400
