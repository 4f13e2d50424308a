"""Chunks of rows are masked as each of their cells would be by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masking.cells import MAXIMUM_CELL, Masker
from masking.columns import LONGEST_REMEMBERED, REMEMBERED
from masking.engine import Scanner
from masking.operators import PseudonymKey
from masking.scanning import ScanText
from masking.shapes import ColumnShape, Hide, Keep, Mask, Scan, Treatment
from masking.spans import Span
from recordings.rows import ROW_CODECS
from server.protocols.postgres.codec import NEED_DATA, BackendReader, RowRun
from tests.masking.conftest import LocalFinder
from tests.masking.plain import PlainMasker

Cell = bytes | None
POSTGRES = ROW_CODECS["postgres"]
KEY = PseudonymKey(b"k" * 32)

SHAPES = (
    ColumnShape("note", 25),
    ColumnShape("mail", 1043, 24),
    ColumnShape("phone", 20),
    ColumnShape("document", 114),
    ColumnShape("document", 3802),
    ColumnShape("document", 3802, binary=True),
    ColumnShape("names", 1009),
    ColumnShape("content", 17),
    ColumnShape("content", 17, binary=True),
    ColumnShape("markup", 142),
    ColumnShape("amount", 1700),
    ColumnShape("day", 1082),
)
TREATMENTS: tuple[Treatment, ...] = (
    Keep(),
    Scan(),
    Mask("keep_last(4)", "pii", "a rule"),
    Mask("pseudonym(people)", "name", "a rule"),
    Mask("null", "secret", "a rule"),
    Hide("pii", "an expression"),
)
CELLS: tuple[Cell, ...] = (
    *(None, b"", b"Bob", b"a\nb", b"\n", b"4155550134", b"2024-05-06", b"12.50", b"\xff\xfe"),
    *(b"bob@example.com", b"to\nbob@example.com\n", "grüße bob@example.com é".encode(), b"\xc3"),
    *(b'{"mail": "bob@example.com"}', b'{"a": "bob\\u0040example.com"}', b'\x01{"a": 1}'),
    *(b"{a,bob@example.com,NULL}", b"\\x626f62406578616d706c652e636f6d", b"\\x00ff", b"\\xg"),
    *(b"4111 1111 1111 1111", b"password=hunter2!x", b"ssn 219-09-9991", b"x" * 300),
    b"bob@example.com " + b"x" * LONGEST_REMEMBERED,
)


class Remembering(LocalFinder):
    """Presidio is asked about each text once in all examples."""

    def __init__(self, finder: LocalFinder) -> None:
        self._finder = finder
        self._known: dict[ScanText, list[Span]] = {}
        self.asked = []

    async def spans(self, texts: Sequence[ScanText]) -> list[list[Span]]:
        for text in texts:
            if text not in self._known:
                (self._known[text],) = await self._finder.spans([text])
        return [self._known[text] for text in texts]


@pytest.fixture(scope="module")
def remembering(scanner: Scanner) -> Remembering:
    return Remembering(LocalFinder(scanner))


@st.composite
def tables(
    draw: st.DrawFn,
) -> tuple[list[ColumnShape], list[Treatment], list[list[list[Cell]]]]:
    """Columns, what is done to them, and chunks of rows."""
    shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=4))
    how = [draw(st.sampled_from(TREATMENTS)) for _ in shapes]
    row = st.lists(st.sampled_from(CELLS), min_size=len(shapes), max_size=len(shapes))
    chunks = draw(st.lists(st.lists(row, min_size=1, max_size=6), max_size=3))
    return shapes, how, chunks


@settings(max_examples=150, deadline=None)
@given(table=tables())
def test_chunks_are_masked_as_cells_one_by_one_would_be(
    remembering: Remembering,
    table: tuple[list[ColumnShape], list[Treatment], list[list[list[Cell]]]],
) -> None:
    shapes, how, chunks = table
    plain = PlainMasker(KEY, remembering, shapes, how)
    masker = Masker(KEY, remembering)

    async def compared() -> None:
        plan, counts = masker.plan(shapes, how), dict[str, int]()
        for rows in chunks:
            frames = POSTGRES.encode(rows)
            cut = POSTGRES.cut(frames, plan.width, plan.wanted)
            found = await masker.columns(plan, cut.columns)
            assert POSTGRES.splice(cut, found.rows) == POSTGRES.encode(await plain.rows(rows))
            for name, count in found.counts.items():
                counts[name] = counts.get(name, 0) + count
        assert counts == plain.counts

    asyncio.run(compared())


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.lists(st.sampled_from(CELLS), min_size=2, max_size=2), max_size=30),
    cuts=st.lists(st.integers(0, 3000), max_size=8),
)
def test_how_rows_are_split_over_reads_does_not_matter(
    remembering: Remembering, rows: list[list[Cell]], cuts: list[int]
) -> None:
    shapes = [ColumnShape("note", 25), ColumnShape("mail", 25)]
    how: list[Treatment] = [Scan(), Mask("keep_last(4)", "pii", "a rule")]
    sent, reader, masker = POSTGRES.encode(rows), BackendReader(), Masker(KEY, remembering)
    bounds = [0, *sorted(min(cut, len(sent)) for cut in cuts), len(sent)]

    async def delivered() -> bytes:
        plan, out = masker.plan(shapes, how), b""
        for start, end in pairwise(bounds):
            reader.receive_data(sent[start:end])
            while (run := reader.next_event()) is not NEED_DATA:
                assert isinstance(run, RowRun)
                cut = POSTGRES.cut(run.frames, plan.width, plan.wanted)
                found = await masker.columns(plan, cut.columns)
                out += POSTGRES.splice(cut, found.rows)
        return out

    async def plainly() -> bytes:
        return POSTGRES.encode(await PlainMasker(KEY, remembering, shapes, how).rows(rows))

    assert asyncio.run(delivered()) == asyncio.run(plainly())


@pytest.mark.anyio
async def test_a_chunk_in_which_nothing_is_found_goes_out_as_it_came(masker: Masker) -> None:
    plan = masker.plan([ColumnShape("id", 23), ColumnShape("note", 25)], [Keep(), Scan()])
    frames = POSTGRES.encode([[b"1", b"paid in full"], [b"2", None]])
    cut = POSTGRES.cut(frames, plan.width, plan.wanted)
    assert plan.wanted == (1,)
    assert POSTGRES.splice(cut, (await masker.columns(plan, cut.columns)).rows) is frames


@pytest.mark.anyio
async def test_huge_cells_go_whole_and_their_neighbours_stay(masker: Masker) -> None:
    plan = masker.plan([ColumnShape("note", 25)], [Scan()])
    cells: list[Cell] = [b"x" * (MAXIMUM_CELL + 1), b"bob@example.com", b"y" * MAXIMUM_CELL, None]
    longest = cells[2]
    found = await masker.columns(plan, [cells])
    assert cells == [None, b"<EMAIL_ADDRESS>", longest, None]
    assert found.by_column == {"note": {"NOT_SCANNED": 1, "EMAIL_ADDRESS": 1}}
    assert list(found.rows) == [0, 1]


@pytest.mark.anyio
async def test_what_went_is_counted_by_column_and_label_or_entity(masker: Masker) -> None:
    shapes = [ColumnShape("name", 25), ColumnShape("note", 25), ColumnShape("note", 25)]
    how: list[Treatment] = [Mask("redact", "pii", "a rule"), Scan(), Scan()]
    cells: list[list[Cell]] = [
        [b"Bob", None, b"Eve"],
        [b"bob@x.io eve@x.io", None, b"\xff"],
        [b"eve@x.io", None, b"fine"],
    ]
    found = await masker.columns(masker.plan(shapes, how), cells)
    assert found.by_column == {"name": {"pii": 2}, "note": {"EMAIL_ADDRESS": 3, "UNREADABLE": 1}}
    assert found.counts == {"pii": 2, "EMAIL_ADDRESS": 3, "UNREADABLE": 1}


@pytest.mark.anyio
async def test_others_have_their_turn_in_the_midst_of_much_work(masker: Masker) -> None:
    plan = masker.plan([ColumnShape("n", 1700)], [Mask("pseudonym(n)", "pii", "a rule")])
    cells: list[Cell] = [b"%d.25" % number for number in range(20_000)]
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    waiting = asyncio.ensure_future(others())
    await masker.columns(plan, [cells])
    waiting.cancel()
    assert turns > 1


@pytest.mark.anyio
async def test_a_long_cell_is_masked_like_a_short_one(masker: Masker) -> None:
    plan = masker.plan([ColumnShape("text", 25)], [Mask("keep_last(2)", "pii", "a rule")])
    cells: list[Cell] = [b"x" * size for size in (100, 1000, 100_000)]
    await masker.columns(plan, [cells])
    assert cells == [b"*" * (size - 2) + b"xx" for size in (100, 1000, 100_000)]


@pytest.mark.anyio
async def test_what_is_remembered_of_a_column_is_bounded(masker: Masker) -> None:
    shapes = [*[ColumnShape("name", 25)] * 99, ColumnShape("note", 25)]
    plan = masker.plan(shapes, [*[Mask("keep_last(2)", "pii", "a rule")] * 99, Scan()])
    short, long = b"mail bob%d@example.com", b"mail bob%d@example.com" + b"x" * LONGEST_REMEMBERED
    for first in range(0, 500, 100):
        cells: list[Cell] = [short % number for number in range(first, first + 100)]
        notes = [*[long % first] * 50, *cells[:50]]
        await masker.columns(plan, [*(list(cells) for _ in range(99)), notes])
        memories: list[Collection[bytes]] = [c.known for c in plan.masked]
        memories += [c.memory.known for c in plan.scanned]
        assert len(memories) == 100
        assert sum(map(len, memories)) <= REMEMBERED
        assert all(len(cell) <= LONGEST_REMEMBERED for known in memories for cell in known)
