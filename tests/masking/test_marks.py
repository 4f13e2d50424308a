"""What is recognised as a mask or a pseudonym of ours, and what is left alone."""

from __future__ import annotations

import random
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masking.marks import Made, Marks
from masking.mysql_types import VAR_STRING
from masking.operators import REDACTED, PseudonymKey, parse_operator
from masking.pseudonyms import LONGEST, SHORTEST
from masking.shapes import ColumnShape, MysqlColumn
from masking.text_masks import mask_text, text_mask
from masking.values import column_mask

KEY, OTHER = PseudonymKey(b"k" * 32), PseudonymKey(b"o" * 32)
PARTIAL = ["keep_last(1)", "keep_last(3)", "keep_last(4)", "partial(1,1)", "partial(2,4)",
           "partial(0,4,#)", "partial(4,0,#)"]  # fmt: skip
MARKS = Marks(
    (KEY,),
    Made(
        frozenset({*PARTIAL, "email", "partial(2,4,#)", "partial(0,4,X)", "partial(0,4,x)",
                   "partial(0,4,\u2022)", "with_keys(partial(2,0))", "partial(1,1,\u2022)"}),
        frozenset({"EMAIL_ADDRESS", "PERSON", "US_SSN"}),
    ),
)  # fmt: skip
is_ours, holds_ours = MARKS.whole, MARKS.inside
OURS = [
    "<redacted>", " <redacted> ", "<reda", "<EMAIL_ADDRESS>", "<PERSON>", "<NOT_SCANNED>",
    "***@example.com", "***@exam", "<EMAIL_ADD", "***-**-6789",
    "**** **** **** 1234", "DE****************3000", "R****t",
    "41########1234", "XXXX-XXXX-1234", "xxx-xx-6789", "\u2022\u2022\u2022\u2022\u20221234",
]  # fmt: skip
NOT_OURS = [
    "", "<", "<re", "<DIV>", "<BR>", "<b>", "<your name>", "a@example.com", "* * * * 1",
    "0 4 * * *", "**bold**", "***important***", "/**** Header", "SELECT * FROM t", "*****", "xxx",
    "Foxx", "max", "# ## heading", "2 ** 3", "p_abcdefghij", "p_a", "p_" + "a" * 16, "1234", "p_",
    "123e4567-e89b-82d3-a456-426614174000",
]  # fmt: skip


@pytest.mark.parametrize("text", OURS)
def test_masks_are_ours(text: str) -> None:
    assert is_ours(text)


@pytest.mark.parametrize("text", NOT_OURS)
def test_what_only_looks_like_a_mask_is_not_ours(text: str) -> None:
    assert not is_ours(text)
    assert not holds_ours(text)


@given(st.text(max_size=40), st.integers(SHORTEST, LONGEST))
def test_every_pseudonym_of_a_text_is_ours_whatever_its_domain_and_length(
    text: str, room: int
) -> None:
    for domain in ("mail", "name"):
        token = KEY.domain(domain).token(text, room)
        assert is_ours(token)
        assert holds_ours(f'{{"a": ["{token}", 1]}}')


@given(st.uuids())
def test_every_pseudonym_of_a_uuid_is_ours_in_every_spelling(value: uuid.UUID) -> None:
    pseudonym = KEY.domain("ids").uuid(value)
    assert is_ours(str(pseudonym))
    assert is_ours(pseudonym.hex)
    assert is_ours(str(pseudonym).upper())
    assert holds_ours(f"SELECT '{pseudonym}'")
    assert not is_ours(str(value))


def test_what_another_key_made_is_not_ours() -> None:
    tokens = [OTHER.domain("mail").token(str(n)) for n in range(300)]
    assert [t for t in tokens if is_ours(t)] == []
    assert not is_ours(str(OTHER.domain("ids").uuid(uuid.UUID(int=1))))


def test_a_users_own_text_is_hardly_ever_taken_for_a_pseudonym() -> None:
    chance = random.Random(7)
    own = ["p_" + "".join(chance.choices("abcdefghijklmnopqrstuvwxyz234567", k=k))
           for k in (10, 16) for _ in range(2000)]  # fmt: skip
    taken = [t for t in own if is_ours(t)]
    assert len([t for t in taken if len(t) == 12]) <= 10
    assert [t for t in taken if len(t) == 18] == []


@given(st.from_regex(r"\A[A-Za-z0-9]{3,30}\Z"), st.sampled_from(PARTIAL))
def test_partial_masks_of_words_and_numbers_are_ours(text: str, operator: str) -> None:
    masked = mask_text(parse_operator(operator), text, KEY) or ""
    if masked != REDACTED and masked.count("*") + masked.count("#") >= 3:
        assert is_ours(masked)


@pytest.mark.parametrize("operator", ["digits", "bucket(10)", "year"])
def test_what_has_no_sign_of_ours_can_not_be_told(operator: str) -> None:
    mask = text_mask(parse_operator(operator), KEY)
    assert not is_ours(mask("1987-05-17") or "") or mask("1987-05-17") == REDACTED


COLUMNS = [
    (ColumnShape("a", 25), b"bob@example.com"),
    (ColumnShape("a", 1043, 4 + 12), b"b@exampl.com"),
    (ColumnShape("a", 1042, 4 + 16), b"b@example.com   "),
    (ColumnShape("a", 114), b'{"a": "bob@example.com"}'),
    (ColumnShape("a", 1009), b"{bob@example.com,NULL}"),
    (MysqlColumn("a", VAR_STRING, length=64), b"bob@example.com"),
]


@pytest.mark.parametrize(("shape", "cell"), COLUMNS)
@pytest.mark.parametrize("operator", ["redact", "email", "pseudonym(d)", "keep_last(3)"])
def test_what_a_column_of_texts_shows_under_a_mask_is_found_in_what_is_written_back(
    shape: ColumnShape | MysqlColumn, cell: bytes, operator: str
) -> None:
    masked = (column_mask(shape, operator, KEY)(cell) or b"").decode()
    assert holds_ours(masked)
    assert holds_ours(f"'{masked}'")
    assert not holds_ours(cell.decode())


TEXTS = [
    "now ***@example.com", "{***-**-6789,NULL}", '["<redacted>"]', "it is a\u2022\u2022\u2022j.",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_a_mask_is_found_inside_a_text(text: str) -> None:
    assert holds_ours(text)
