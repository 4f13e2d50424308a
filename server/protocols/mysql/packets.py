"""MySQL's packets: payloads behind a length of three bytes and a number that rises. No I/O.

A payload that fills a packet goes on in the next one. Source: MySQL's protocol documentation,
"MySQL Packets".
"""

from __future__ import annotations

from typing import Final

from policies.errors import ProtocolError

FULL: Final = 0xFFFFFF
HEADER: Final = 4
# A row is held whole, because a mask needs all of it.
MAX_ROW: Final = 64 * 1024 * 1024
# One chunk of rows: large enough that Python's cost per chunk vanishes, small enough to hold.
ROW_CHUNK: Final = 64 * 1024
_ERROR: Final = 0xFF
_END: Final = 0xFE


def framed(payload: bytes, sequence: int) -> bytes:
    """The packets of a payload, the first of which has this number (modulo 256)."""
    if len(payload) < FULL:
        return len(payload).to_bytes(3, "little") + bytes((sequence & 0xFF,)) + payload
    pieces: list[bytes] = []
    for start in range(0, len(payload) + 1, FULL):
        part = payload[start : start + FULL]
        pieces.append(len(part).to_bytes(3, "little") + bytes((sequence & 0xFF,)))
        pieces.append(part)
        sequence += 1
    return b"".join(pieces)


def packets_of(length: int) -> int:
    """How many packets a payload of this length has."""
    return length // FULL + 1


class PacketReader:
    """Whole payloads of one peer, in sequence, none longer than `limit` bytes.

    `sequence` is the number that the next packet must have. What was taken is cut off when more
    comes, not packet by packet. It raises `ProtocolError` and is of no use after.
    """

    def __init__(self, limit: int, sequence: int = 0) -> None:
        self.limit = limit
        self.sequence = sequence
        self._buffer = bytearray()
        self._position = 0
        self._parts: list[bytes] = []
        self._held = 0

    def receive_data(self, content: bytes) -> None:
        if self._position:
            del self._buffer[: self._position]
            self._position = 0
        self._buffer += content

    def clear(self) -> None:
        """Let go of everything that was received."""
        self._buffer.clear()
        self._parts.clear()
        self._position = self._held = 0

    @property
    def empty(self) -> bool:
        """Whether everything received was taken."""
        return self._position == len(self._buffer) and not self._parts

    @property
    def held(self) -> int:
        """How many bytes have come that nobody took."""
        return len(self._buffer) - self._position + self._held

    @property
    def begun(self) -> bool:
        """Whether a part of the next payload was taken already."""
        return bool(self._parts)

    def next_payload(self) -> bytes | None:
        """The next payload, or None while it has not come whole."""
        buffer = self._buffer
        while True:
            start = self._position
            if len(buffer) - start < HEADER:
                return None
            size = self._header(start)
            if self._held + size > self.limit:
                raise ProtocolError("a message is longer than is allowed")
            end = start + HEADER + size
            if len(buffer) < end:
                return None
            part = bytes(buffer[start + HEADER : end])
            self._position = end
            self.sequence = (self.sequence + 1) & 0xFF
            if size < FULL and not self._parts:
                return part
            self._parts.append(part)
            self._held += size
            if size < FULL:
                payload = b"".join(self._parts)
                self._parts, self._held = [], 0
                return payload

    def next_rows(self) -> tuple[bytes, int] | None:
        """Some 64 KiB of whole rows with their headers, and how many; None if there are none yet.

        None too where the next packet is an error or the end of rows: see `at_row`.
        """
        start = self._position
        end, count, sequence = walk_rows(self._buffer, start, self.sequence)
        if not count:
            return None
        self._position, self.sequence = end, sequence
        return bytes(self._buffer[start:end]), count

    def at_row(self) -> bool:
        """Whether what comes next is not known to be anything but a row."""
        start = self._position
        if len(self._buffer) <= start + HEADER:
            return len(self._buffer) < start + HEADER or self._header(start) > 0
        return _is_row(self._header(start), self._buffer[start + HEADER])

    def _header(self, start: int) -> int:
        buffer = self._buffer
        if buffer[start + 3] != self.sequence:
            raise ProtocolError("a packet is out of sequence")
        return buffer[start] | buffer[start + 1] << 8 | buffer[start + 2] << 16


def _is_row(size: int, first: int) -> bool:
    """A row may begin like the end of rows only if a value of 16 MB makes it fill its packet."""
    return size > 0 and first != _ERROR and (first != _END or size == FULL)


def walk_rows(buffer: bytearray, start: int, sequence: int) -> tuple[int, int, int]:
    """Walk whole rows from `start`: where they end, how many they are, and the next number.

    Stops at what is no row, at one that has not come whole, and once a chunk is full.
    """
    position, count, last = start, 0, len(buffer) - HEADER
    enough = start + ROW_CHUNK
    while position < last and position < enough:
        size = buffer[position] | buffer[position + 1] << 8 | buffer[position + 2] << 16
        if buffer[position + 3] != sequence:
            raise ProtocolError("a packet is out of sequence")
        first = buffer[position + HEADER]
        if size == 0 or first == _ERROR or (first == _END and size < FULL):
            break
        if size == FULL:
            end, following = _long_row(buffer, position, sequence)
        else:
            end, following = position + HEADER + size, (sequence + 1) & 0xFF
        if end < 0 or end > len(buffer):
            break
        position, sequence, count = end, following, count + 1
    return position, count, sequence


def _long_row(buffer: bytearray, position: int, sequence: int) -> tuple[int, int]:
    """Where a row of several packets ends, and the next number; -1 while it has not come whole."""
    held = 0
    while True:
        if len(buffer) < position + HEADER:
            return -1, sequence
        size = buffer[position] | buffer[position + 1] << 8 | buffer[position + 2] << 16
        if buffer[position + 3] != sequence:
            raise ProtocolError("a packet is out of sequence")
        held += size
        if held > MAX_ROW:
            raise ProtocolError("a row is longer than is allowed")
        position, sequence = position + HEADER + size, (sequence + 1) & 0xFF
        if size < FULL:
            return position, sequence


def renumbered(frames: bytes, sequence: int) -> tuple[bytes, int]:
    """Whole packets with numbers that rise from this one, and the number after the last."""
    written, position = bytearray(frames), 0
    while position < len(written):
        if len(written) < position + HEADER:
            raise ProtocolError("a packet is cut short")
        written[position + 3] = sequence
        sequence = (sequence + 1) & 0xFF
        size = written[position] | written[position + 1] << 8 | written[position + 2] << 16
        position += HEADER + size
    if position != len(written):
        raise ProtocolError("a packet is cut short")
    return bytes(written), sequence
