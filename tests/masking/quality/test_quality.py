"""What is recognised does not get worse: the measured figures against the committed table."""

from __future__ import annotations

from importlib import import_module

import pytest

from masking.engine import Scanner
from masking.entities import ALWAYS, ENTITIES
from tests.masking.quality import table
from tests.masking.quality.infrastructure import KINDS, harmless, positives
from tests.masking.quality.measuring import Measured, measure


@pytest.fixture(scope="module")
def measured(scanner: Scanner) -> Measured:
    return table.infrastructure(scanner)


def test_every_entity_that_is_on_is_in_the_set() -> None:
    wanted = {e.name for e in ENTITIES if e.pack in ALWAYS and e.on}
    assert {kind.entity for kind in KINDS} == wanted


def test_every_kind_names_its_source() -> None:
    assert [kind.name for kind in KINDS if not kind.source.startswith("https://")] == []
    assert len({kind.name for kind in KINDS}) == len(KINDS)


def test_the_set_is_the_same_each_time() -> None:
    assert (positives(2), harmless(2)) == (positives(2), harmless(2))


def test_infrastructure_is_recognised_as_well_as_the_table_says(measured: Measured) -> None:
    assert table.worse(table.INFRASTRUCTURE, measured) == []


def test_harmless_infrastructure_is_left_alone(measured: Measured) -> None:
    assert measured.harmless_precision >= table.HARMLESS_AT_LEAST


@pytest.mark.full
def test_sentences_are_recognised_as_well_as_the_table_says(scanner: Scanner) -> None:
    sentences = import_module("tests.masking.quality.sentences").sentences()
    assert table.worse(table.SENTENCES, measure(scanner, sentences)) == []
