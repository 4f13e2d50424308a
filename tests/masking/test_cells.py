from __future__ import annotations

import pytest

from masking.cells import MAXIMUM_CELL, ColumnShape, Hide, Keep, Mask, Masker, Scan
from masking.errors import MaskingFailed
from tests.masking.conftest import LocalFinder

ID, NAME, NOTE = ColumnShape("id", 23), ColumnShape("name", 25), ColumnShape("note", 25)
RULE = Mask("keep_last(4)", "pii", "label pii by policy mask-personal-data")


@pytest.mark.anyio
async def test_each_column_is_kept_masked_or_searched(masker: Masker) -> None:
    plan = masker.plan([ID, NAME, NOTE], [Keep(), RULE, Scan()])
    masked = await masker.rows(plan, [[b"1", b"123-45-6789", b"call (415) 555-0134"]])
    assert masked.rows == [[b"1", b"***-**-6789", b"call <PHONE_NUMBER>"]]


@pytest.mark.anyio
async def test_what_went_is_counted_by_label_and_entity(masker: Masker) -> None:
    plan = masker.plan([NAME, NOTE], [RULE, Scan()])
    rows: list[list[bytes | None]] = [
        [b"a", b"bob@x.io eve@x.io"],
        [None, None],
        [b"b", b"nothing"],
    ]
    assert (await masker.rows(plan, rows)).counts == {"pii": 2, "EMAIL_ADDRESS": 2}


@pytest.mark.anyio
async def test_null_stays_null(masker: Masker) -> None:
    plan = masker.plan([NAME, NOTE], [RULE, Scan()])
    assert (await masker.rows(plan, [[None, None]])).rows == [[None, None]]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("shape", "cell"),
    [
        (ColumnShape("case", 25), b"<redacted>"),
        (ColumnShape("short", 1043, 7), b"<re"),
        (ColumnShape("row_to_json", 114), b'"<redacted>"'),
        (ColumnShape("to_jsonb", 3802, binary=True), b'\x01"<redacted>"'),
        (ColumnShape("array_fill", 1009), None),
        (ColumnShape("length", 23), None),
        (ColumnShape("convert_to", 17), None),
    ],
)
async def test_what_is_computed_is_the_same_in_every_row(
    masker: Masker, shape: ColumnShape, cell: bytes | None
) -> None:
    """NULL or not, and how many elements there are, would tell of what it was computed from."""
    plan = masker.plan([shape], [Hide("pii", "an expression")])
    masked = await masker.rows(plan, [[None], [b"x"], [b"{1,2,3}"]])
    assert masked.rows == [[cell], [cell], [cell]]
    assert (masked.counts, plan.why(0), plan.idle) == ({"pii": 3}, "an expression", False)


def test_the_plan_says_why_a_column_is_masked(masker: Masker) -> None:
    plan = masker.plan([ID, NAME, NOTE], [Keep(), RULE, Scan()])
    assert [plan.why(i) for i in range(3)] == ["", RULE.why, ""]


def test_a_plan_with_nothing_to_do_is_idle(masker: Masker) -> None:
    assert masker.plan([ID, ID], [Keep(), Scan()]).idle
    assert not masker.plan([NAME], [Scan()]).idle


@pytest.mark.anyio
async def test_a_column_that_is_kept_or_masked_is_not_searched(
    masker: Masker, finder: LocalFinder
) -> None:
    plan = masker.plan([ID, NAME, NOTE, NOTE], [Scan(), RULE, Keep(), Scan()])
    await masker.rows(plan, [[b"1", b"bob@x.io", b"eve@x.io", b"mail eve@example.com"]])
    assert [(t.context, t.text) for t in finder.asked] == [("note", "mail eve@example.com")]


@pytest.mark.anyio
async def test_a_cell_is_searched_once_while_a_statement_runs(
    masker: Masker, finder: LocalFinder
) -> None:
    plan = masker.plan([NOTE], [Scan()])
    for _ in range(2):
        masked = await masker.rows(plan, [[b"eve@example.com"]] * 3)
        assert masked.rows == [[b"<EMAIL_ADDRESS>"]] * 3
        assert masked.counts == {"EMAIL_ADDRESS": 3}
    assert len(finder.asked) == 3  # a finder looks at equal texts of one chunk once


@pytest.mark.anyio
async def test_a_cell_that_cannot_be_read_becomes_null(masker: Masker) -> None:
    plan = masker.plan([NOTE], [Scan()])
    masked = await masker.rows(plan, [[b"\xff\xfe"], [b"fine"]])
    assert (masked.rows, masked.counts) == ([[None], [b"fine"]], {"UNREADABLE": 1})


@pytest.mark.anyio
async def test_a_cell_too_long_to_look_into_becomes_null(masker: Masker) -> None:
    plan = masker.plan([NOTE], [Scan()])
    longest = b"x" * MAXIMUM_CELL
    masked = await masker.rows(plan, [[longest + b"x"], [longest]])
    assert (masked.rows, masked.counts) == ([[None], [longest]], {"NOT_SCANNED": 1})


@pytest.mark.anyio
async def test_rows_that_do_not_fit_the_plan_are_refused(masker: Masker) -> None:
    plan = masker.plan([NAME], [RULE])
    with pytest.raises(MaskingFailed):
        await masker.rows(plan, [[b"a", b"123-45-6789"]])


def test_columns_and_treatments_must_be_as_many(masker: Masker) -> None:
    with pytest.raises(ValueError, match="shorter"):
        masker.plan([NAME, NOTE], [RULE])


@pytest.mark.anyio
async def test_the_rows_that_came_in_are_left_as_they_are(masker: Masker) -> None:
    rows: list[list[bytes | None]] = [[b"bob@example.com"]]
    await masker.rows(masker.plan([NAME], [Scan()]), rows)
    assert rows == [[b"bob@example.com"]]


@pytest.mark.anyio
async def test_free_text_goes_out_without_entities(masker: Masker) -> None:
    text = 'invalid input syntax for type integer: "bob@example.com"'
    assert await masker.text(text) == text.replace("bob@example.com", "<EMAIL_ADDRESS>")
    assert await masker.text("division by zero") == "division by zero"
