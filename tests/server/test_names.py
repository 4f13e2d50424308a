"""Columns that are searched for names: their configuration, and what becomes of result columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from masking import ner
from masking.cells import Scan
from masking.ner import NoNames
from masking.scanning import ScanWorker
from policies.sql.facts import TableName
from recordings.events import Column
from server.names import names_of, searching_names
from server.obligations import treatment
from tests.server.test_config import SMALLEST, load, refusal
from tests.server.test_obligations import CUSTOMERS, PII, TEXT, shaping

NER = "    ner: [{column: public.customers.name, entities: [PERSON, LOCATION]}]\n"
NAMES = ("PERSON", "LOCATION")


def _with(section: str) -> str:
    """The smallest configuration with a line more in its last target."""
    return SMALLEST.rstrip("\n") + "\n" + section


def test_a_column_says_which_names_are_looked_for(tmp_path: Path) -> None:
    (target,) = load(tmp_path, _with(NER)).targets.values()
    assert names_of(target) == {(TableName("public", "customers"), "name"): NAMES}


def test_a_name_that_the_model_does_not_know_is_refused(tmp_path: Path) -> None:
    assert "PERSON" in refusal(tmp_path, _with(NER.replace("LOCATION", "PLANET")))


def test_without_the_extra_the_way_to_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ner, "MODEL", "a_model_that_is_not_there")
    assert "ostiary[ner]" in refusal(tmp_path, _with(NER))


@pytest.mark.anyio
async def test_a_worker_is_there_only_where_a_column_asks(tmp_path: Path) -> None:
    async with searching_names(load(tmp_path, SMALLEST)) as nobody:
        assert isinstance(nobody, NoNames)
    async with searching_names(load(tmp_path, _with(NER))) as worker:
        assert isinstance(worker, ScanWorker)


def test_a_result_column_is_searched_where_it_may_come_from_such_a_column() -> None:
    how = shaping(PII)
    how.backend.names = {(CUSTOMERS, "name"): ("PERSON",)}
    assert treatment(Column("anything", TEXT, 100, 3), 0, how) == Scan(("PERSON",))
    assert treatment(Column("name", TEXT, 100, 1), 0, how) == Scan()
    assert treatment(Column("upper", TEXT), 0, how) == Scan(("PERSON",))
