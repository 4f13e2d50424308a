from __future__ import annotations

from masking.fast.rechecks import Sample


def test_nothing_is_chosen_where_rechecks_are_off() -> None:
    assert Sample(0.0).of(1_000_000) == []


def test_all_are_chosen_at_one() -> None:
    sample = Sample(1.0)
    assert sample.of(3) == [0, 1, 2]
    assert sample.of(2) == [0, 1]


def test_about_the_fraction_is_chosen_however_small_the_pieces_are() -> None:
    sample = Sample(0.01)
    chosen = [place for _ in range(10_000) for place in sample.of(10)]
    assert 700 < len(chosen) < 1_300  # nine standard deviations
    assert set(chosen) == set(range(10))
