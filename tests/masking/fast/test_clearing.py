"""The database on its way to the gateway: what is not the worker's is never used."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from masking.fast.clearing import Clearing, Unusable
from masking.fast.database import Canary, Part, Prefilter, digest_of
from masking.fast.scanner import FastScanner


@pytest.fixture(scope="module")
def prefilter(fast: FastScanner) -> Prefilter:
    assert fast.prefilter is not None
    return fast.prefilter


def _names(fast: FastScanner, clearing: Clearing, context: str, text: str) -> set[str]:
    suspects = clearing.suspects(context, [text]).get(0, {})
    return {fast.plain.recognizers[number].name for number in suspects}


def test_no_curated_recognizer_must_always_run(prefilter: Prefilter) -> None:
    assert prefilter.always == frozenset()


def test_a_prefilter_clears_in_another_process_as_it_does_here(
    fast: FastScanner, prefilter: Prefilter
) -> None:
    clearing = Clearing(pickle.loads(pickle.dumps(prefilter)))
    texts = ["paid", "bob@example.com", "", "日本", "mail josé@bücher.example", "42"]
    assert set(clearing.suspects("", texts)) == {1, 4}


def test_bare_digits_are_suspect_beside_a_word_or_in_a_column_that_says_so(
    fast: FastScanner, prefilter: Prefilter
) -> None:
    clearing = Clearing(prefilter)
    assert "SocialSecurityRecognizer" not in _names(fast, clearing, "id", "123456789")
    assert "SocialSecurityRecognizer" in _names(fast, clearing, "ssn", "123456789")
    assert "SocialSecurityRecognizer" in _names(fast, clearing, "id", "her SSN: 123456789")
    assert "SocialSecurityRecognizer" not in _names(fast, clearing, "id", "SSN:\n123456789")


def test_numbers_of_neighbouring_texts_are_not_joined(prefilter: Prefilter) -> None:
    assert Clearing(prefilter).suspects("", ["4111 ", "1111", "1111", "1111"]) == {}


@pytest.mark.parametrize("spoilt", [b"", b"x" * 100])
def test_a_database_with_another_digest_is_not_loaded(prefilter: Prefilter, spoilt: bytes) -> None:
    part = Part.EVERY
    database = prefilter.databases[part]
    assert database is not None
    bad = replace(database, serialised=database.serialised[:-8] + spoilt)
    with pytest.raises(Unusable, match="digest"):
        Clearing(replace(prefilter, databases={**prefilter.databases, part: bad}))


def test_bytes_that_are_no_database_are_not_loaded(prefilter: Prefilter) -> None:
    part = Part.EVERY
    database = prefilter.databases[part]
    assert database is not None
    bad = replace(database, serialised=b"no database", digest=digest_of(b"no database"))
    with pytest.raises(Unusable, match="loaded"):
        Clearing(replace(prefilter, databases={**prefilter.databases, part: bad}))


def test_a_database_that_is_blind_to_a_recognizer_is_not_used(prefilter: Prefilter) -> None:
    part = Part.NAMED
    database = prefilter.databases[part]
    assert database is not None
    blind = replace(database, canaries=[*database.canaries, Canary(0, "no address here")])
    with pytest.raises(Unusable, match="canary"):
        Clearing(replace(prefilter, databases={**prefilter.databases, part: blind}))


def test_a_database_that_is_not_there_clears_nothing(prefilter: Prefilter) -> None:
    rest = {p: d for p, d in prefilter.databases.items() if p is Part.NAMED}
    with pytest.raises(Unusable, match="missing"):
        Clearing(replace(prefilter, databases=rest))


def test_every_recognizer_has_a_canary(prefilter: Prefilter) -> None:
    database = prefilter.databases[Part.EVERY]
    assert database is not None
    assert {c.recognizer for c in database.canaries} == set(range(prefilter.recognizers))
