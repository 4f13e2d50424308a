"""Times are the store's, rise strictly, and stop where the clock went back too far."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from recordings.clock import StoreClock
from recordings.errors import JournalUnavailable


@dataclass
class Monotonic:
    now: int = 1000

    def __call__(self) -> int:
        return self.now


def clock_at(store_time: int) -> tuple[StoreClock, Monotonic]:
    machine = Monotonic()
    clock = StoreClock(machine)
    clock.follow(store_time, asked_at=machine.now)
    return clock, machine


def test_a_stamp_is_the_store_s_time_carried_on_by_the_machine_s() -> None:
    clock, machine = clock_at(50_000_000)
    machine.now += 7
    assert clock.stamp() == 50_000_007


def test_stamps_of_one_moment_still_rise() -> None:
    clock, _ = clock_at(50_000_000)
    assert [clock.stamp() for _ in range(3)] == [50_000_000, 50_000_001, 50_000_002]


def test_time_does_not_go_back_when_the_store_s_clock_does() -> None:
    clock, machine = clock_at(50_000_000)
    clock.stamp()
    clock.follow(46_000_000, asked_at=machine.now)
    assert clock.stamp() == 50_000_001


def test_nothing_is_stamped_when_the_clock_is_far_behind_the_last_record() -> None:
    clock, machine = clock_at(50_000_000)
    clock.stamp()
    clock.follow(44_999_999, asked_at=machine.now)
    with pytest.raises(JournalUnavailable):
        clock.stamp()


def test_stamping_goes_on_when_the_clock_has_caught_up() -> None:
    clock, machine = clock_at(50_000_000)
    clock.later_than(60_000_000)
    with pytest.raises(JournalUnavailable):
        clock.stamp()
    machine.now += 5_000_000
    assert clock.stamp() == 60_000_001
