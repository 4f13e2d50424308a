"""What strangers may cost: seats for those who have not logged in, and failed attempts."""

from __future__ import annotations

from contextlib import ExitStack

from server.native.attempts import MOST_KNOWN, Attempts
from server.native.tokens import digest_of, id_of, new_token
from server.native.waiting_room import WaitingRoom, origin_of


def test_the_one_that_waited_longest_leaves_of_the_address_that_has_most() -> None:
    room, left = WaitingRoom(per_address=3, in_total=4), list[str]()
    with ExitStack() as seats:
        for name in ("a1", "b1", "b2", "b3", "b4", "c1"):
            address = f"192.0.2.{ord(name[0])}"
            seats.enter_context(room.seat(address, lambda name=name: left.append(name)))  # type: ignore[misc]  # a lambda's default
    assert left == ["b1", "b2"]


def test_who_has_left_is_not_made_to_leave() -> None:
    room, left = WaitingRoom(per_address=1, in_total=1), list[int]()
    with room.seat("192.0.2.1", lambda: left.append(1)):
        pass
    with room.seat("192.0.2.1", lambda: left.append(2)):
        pass
    assert left == []


def test_a_network_of_ipv6_is_one_address() -> None:
    assert origin_of("2001:db8::1") == origin_of("2001:db8::ffff:2")
    assert origin_of("2001:db8::1") != origin_of("2001:db8:1::1")
    assert origin_of("::ffff:192.0.2.1") == origin_of("192.0.2.1")
    assert origin_of("fe80::1%eth0") == origin_of("fe80::2")


def test_after_some_failures_one_waits_and_then_has_another() -> None:
    attempts = Attempts(at_once=3, per_minute=60)
    for _ in range(3):
        assert attempts.wait("here", 0.0) == 0
        attempts.failed("here", 0.0)
    assert attempts.wait("here", 0.0) == 1
    assert attempts.wait("elsewhere", 0.0) == 0
    assert attempts.wait("here", 1.0) == 0


def test_a_flood_of_addresses_is_not_remembered_without_end() -> None:
    attempts = Attempts()
    for number in range(MOST_KNOWN + 50):
        attempts.failed(str(number), 0.0)
    assert len(attempts._left) == MOST_KNOWN


def test_a_token_holds_256_random_bits_and_its_digest_tells_nothing_of_it() -> None:
    (name, secret), (_, other) = new_token(), new_token()
    assert id_of(secret) == name
    assert secret.startswith("ostiary_")
    assert len(secret.removeprefix(f"ostiary_{name}_")) == 43
    assert secret != other
    assert secret.encode() not in digest_of(secret)
    assert [id_of(wrong) for wrong in ("", secret + "A", secret[:-1], f"x{secret}")] == [None] * 4
