"""Packets: payloads come back however they were cut; odd ones are a `ProtocolError`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.errors import ProtocolError
from server.protocols.mysql.packets import (
    FULL,
    MAX_ROW,
    PacketReader,
    framed,
    packets_of,
    renumbered,
)

LIMIT = 64 * 1024 * 1024


def payloads(reader: PacketReader, content: bytes, size: int) -> list[bytes]:
    found = []
    for start in range(0, len(content), size):
        reader.receive_data(content[start : start + size])
        while (payload := reader.next_payload()) is not None:
            found.append(payload)
    return found


@given(st.lists(st.binary(max_size=20), max_size=5), st.integers(1, 7), st.integers(0, 255))
def test_payloads_come_back_however_they_were_cut(sent: list[bytes], size: int, first: int) -> None:
    wire = b"".join(framed(payload, first + number) for number, payload in enumerate(sent))
    reader = PacketReader(LIMIT, first)
    assert payloads(reader, wire, size) == sent
    assert reader.empty
    assert reader.sequence == (first + len(sent)) % 256


@pytest.mark.parametrize("size", [FULL - 1, FULL, FULL + 1, 2 * FULL, 2 * FULL + 5])
def test_a_payload_that_fills_a_packet_goes_on_in_the_next(size: int) -> None:
    payload = b"x" * size
    wire = framed(payload, 255)
    assert packets_of(size) == size // FULL + 1
    assert len(wire) == size + 4 * packets_of(size)
    assert wire[3] == 255
    if size >= FULL:
        assert wire[FULL + 4 + 3] == 0
    assert payloads(PacketReader(LIMIT, 255), wire, 1 << 20) == [payload]


@pytest.mark.parametrize("number", [0, 2, 255])
def test_a_packet_out_of_sequence_fails(number: int) -> None:
    reader = PacketReader(LIMIT, 1)
    reader.receive_data(framed(b"x", number))
    with pytest.raises(ProtocolError):
        reader.next_payload()


def test_a_payload_longer_than_the_limit_fails_before_it_is_held() -> None:
    reader = PacketReader(100)
    reader.receive_data(b"\x65\0\0\0")
    with pytest.raises(ProtocolError):
        reader.next_payload()
    reader = PacketReader(FULL + 1)
    reader.receive_data(framed(b"x" * FULL, 0)[:-4] + b"\2\0\0\1")
    with pytest.raises(ProtocolError):
        reader.next_payload()


def test_rows_come_in_their_own_packets_up_to_what_is_none() -> None:
    rows = b"".join(framed(b"\1" + bytes([65 + i]), 3 + i) for i in range(3))
    reader = PacketReader(LIMIT, 3)
    reader.receive_data(rows + framed(b"\xfe\0\0\2\0", 6))
    assert reader.next_rows() == (rows, 3)
    assert reader.next_rows() is None
    assert not reader.at_row()
    assert reader.next_payload() == b"\xfe\0\0\2\0"


def test_rows_cut_anywhere_are_delivered_whole_and_once() -> None:
    wire = b"".join(framed(bytes([i]) + b"x" * i, i) for i in range(20))
    reader, found, count = PacketReader(LIMIT), b"", 0
    for position in range(len(wire)):
        assert reader.at_row()
        reader.receive_data(wire[position : position + 1])
        while (run := reader.next_rows()) is not None:
            found, count = found + run[0], count + run[1]
    assert (found, count) == (wire, 20)


def test_rows_come_in_chunks_of_about_64_kib() -> None:
    reader = PacketReader(LIMIT)
    reader.receive_data(b"".join(framed(b"\1" + b"x" * 1000, i) for i in range(500)))
    runs = []
    while (run := reader.next_rows()) is not None:
        runs.append(run)
    assert sum(count for _, count in runs) == 500
    assert all(len(frames) < 66_600 for frames, _ in runs)


def test_a_row_of_several_packets_is_one_row_even_if_it_begins_like_an_end() -> None:
    for size in (FULL, FULL + 9):
        wire = framed(b"\xfe" + b"x" * (size - 1), 254)
        reader = PacketReader(LIMIT, 254)
        reader.receive_data(wire[:-1])
        assert reader.next_rows() is None
        assert reader.at_row()
        reader.receive_data(wire[-1:])
        assert reader.next_rows() == (wire, 1)
        assert reader.sequence == 0


def test_a_row_longer_than_the_limit_fails() -> None:
    reader = PacketReader(LIMIT)
    part = b"\xff\xff\xff"
    for number in range(MAX_ROW // FULL + 1):
        reader.receive_data(part + bytes([number]) + b"\0" * FULL)
    with pytest.raises(ProtocolError):
        reader.next_rows()


def test_whole_packets_are_numbered_anew() -> None:
    wire = b"".join(framed(b"x" * size, 9) for size in (1, 0, 300))
    expected = b"".join(framed(b"x" * size, 254 + i) for i, size in enumerate((1, 0, 300)))
    assert renumbered(wire, 254) == (expected, 1)
    with pytest.raises(ProtocolError):
        renumbered(wire[:-1], 0)
