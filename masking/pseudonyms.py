"""Pseudonyms: keyed stand-ins that are equal for equal values of one domain, and only there.

What shares a pseudonym space within a domain: all text types (case and outer blanks don't
count); all exact numbers, whatever their width or scale (1, 1.00 and a bigint 1 are one value);
UUIDs; addresses (inet and cidr); hardware addresses; byte strings. A number kept as text doesn't
join with a number. Numbers, digits and addresses are permuted, so two values never share one;
texts, UUIDs and byte strings have 60, 90 and 128 bits of a keyed hash.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from dataclasses import dataclass
from functools import lru_cache, partial
from math import isqrt
from typing import Final

_ROUNDS: Final = 8
_NETWORKS: Final = 64
"""Permutations that a domain keeps ready; making one costs as much as using it."""


@dataclass(frozen=True, slots=True, repr=False)
class PseudonymKey:
    """The key ring's secret for pseudonyms; its representation doesn't show it."""

    secret: bytes

    def derived(self, purpose: str, name: str) -> bytes:
        """32 bytes for one purpose, from which neither the secret nor other keys follow."""
        return hmac.digest(self.secret, f"{purpose}:{name}".encode(), "sha256")

    @property
    def marks(self) -> bytes:
        """The key of the seals that tell our pseudonyms, whatever their domain."""
        return self.derived("marks", "")

    def domain(self, name: str) -> Domain:
        """What makes the pseudonyms of one domain."""
        return Domain(self.derived("domain", name), self.marks)


def seal(marks: bytes, body: bytes, size: int) -> bytes:
    """`size` bytes that show, to who has the key of marks, that `body` is a pseudonym of ours."""
    return hashlib.blake2b(body, key=marks, digest_size=size).digest()


class Domain:
    """Makes the pseudonyms of one domain (keyed BLAKE2b, RFC 7693)."""

    def __init__(self, key: bytes, marks: bytes) -> None:
        self._key = key
        self._marks = marks
        self._network = lru_cache(_NETWORKS)(partial(_Network, key))

    def digest(self, kind: bytes, value: bytes, size: int = 32) -> bytes:
        """`size` bytes, 64 at most, that tell nothing of the value without the key."""
        return hashlib.blake2b(value, key=self._key, person=kind, digest_size=size).digest()

    def token(self, text: str, characters: int = 0) -> str:
        """`p_` and base32 of a text without case and outer blanks, so that spellings join.

        `characters`: the most there is room for, `SHORTEST` at least; 0 for the full `LONGEST`.
        """
        room = min(characters or LONGEST, LONGEST) - len(PREFIX)
        canonical = text.strip().casefold().encode("utf-8", "surrogatepass")
        body = _base32(self.digest(b"text", canonical, room - seal_length(room)))
        return PREFIX + body + token_seal(self._marks, body, seal_length(room))

    def uuid(self, value: uuid.UUID) -> uuid.UUID:
        """A version 8 UUID (RFC 9562: custom), whose last 32 bits are its seal."""
        return sealed_uuid(self._marks, self.digest(b"uuid", value.bytes, 12))

    def permuted(self, value: int, count: int, space: str) -> int:
        """A keyed permutation of 0 to `count` - 1 that leaves no number where it was.

        One step of a secret cycle through all of them. Raises ValueError for fewer than two.
        """
        if count < 2 or not 0 <= value < count:
            raise ValueError("no permutation")
        network = self._network(count, space)
        return network.number((network.place(value) + 1) % count)


PREFIX: Final = "p_"
LONGEST: Final = 18
SHORTEST: Final = 12
"""Characters; fewer would give one pseudonym to many values, or leave no room for the seal."""


def seal_length(room: int) -> int:
    """How many of a token's characters after `p_` are its seal."""
    return 4 if room >= 14 else 2


def token_seal(marks: bytes, body: str, characters: int) -> str:
    """The last characters of a token that begins with `p_` and the body."""
    return _base32(seal(marks, b"token:" + body.encode(), characters))


def sealed_uuid(marks: bytes, body: bytes) -> uuid.UUID:
    """12 bytes and their seal as a UUID; the version and variant bits are set before sealing."""
    fixed = uuid.UUID(bytes=body + bytes(4)).int & ~(0xF << 76) & ~(0x3 << 62)
    head = (fixed | 8 << 76 | 2 << 62).to_bytes(16, "big")[:12]
    return uuid.UUID(bytes=head + seal(marks, b"uuid:" + head, 4))


_ALPHABET: Final = bytes(b"abcdefghijklmnopqrstuvwxyz234567"[byte & 31] for byte in range(256))


def _base32(value: bytes) -> str:
    """A character of base32 for the low five bits of each byte."""
    return value.translate(_ALPHABET).decode("ascii")


class _Network:
    """A Feistel network on pairs (of `_left` and `_right` numbers), walked until it is in range.

    Rounds add, modulo either size, as those of FF1 do (NIST SP 800-38G); the pairs are hardly more
    than the numbers to permute, so that there is hardly anything to walk.
    """

    def __init__(self, key: bytes, count: int, space: str) -> None:
        self._count = count
        self._left = isqrt(count - 1) + 1
        self._right = -(-count // self._left)
        self._wide = (self._left.bit_length() + 7) // 8
        seed = hashlib.blake2b(f"{space}:{count}".encode(), key=key, person=b"permutation").digest()
        size = min(64, self._wide + 8)
        self._rounds = [
            hashlib.blake2b(bytes([number]), key=seed, digest_size=size)
            for number in range(_ROUNDS)
        ]

    def place(self, value: int) -> int:
        """Forwards."""
        while True:
            left, right = divmod(value, self._right)
            for number in range(0, _ROUNDS, 2):
                left = (left + self._mixed(number, right)) % self._left
                right = (right + self._mixed(number + 1, left)) % self._right
            value = left * self._right + right
            if value < self._count:
                return value

    def number(self, place: int) -> int:
        """Backwards."""
        while True:
            left, right = divmod(place, self._right)
            for number in range(_ROUNDS - 2, -1, -2):
                right = (right - self._mixed(number + 1, left)) % self._right
                left = (left - self._mixed(number, right)) % self._left
            place = left * self._right + right
            if place < self._count:
                return place

    def _mixed(self, number: int, half: int) -> int:
        state = self._rounds[number].copy()
        state.update(half.to_bytes(self._wide, "big"))
        return int.from_bytes(state.digest(), "big")
