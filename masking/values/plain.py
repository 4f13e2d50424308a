"""Operators on days and moments, UUIDs, byte strings and addresses, without a wire form."""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache
from typing import Final, assert_never

from masking.operators import (
    REDACTED,
    Constant,
    Null,
    Operator,
    Pseudonym,
    PseudonymKey,
    Redact,
    Truncate,
    Unit,
    WithKeys,
)
from masking.text_masks import REMEMBERED, remembered, text_mask
from masking.values.cells import Fixed

DayMask = Callable[[date], date | None]
MomentMask = Callable[[datetime], datetime | None]


def day_mask(operator: Operator) -> DayMask | None:
    """The day of a day would hide nothing, so it is no mask for it."""
    match operator:
        case Constant(value):
            return Fixed(date.fromisoformat(value.strip()))
        case Truncate(Unit.YEAR):
            return lambda day: day.replace(month=1, day=1)
        case Truncate(Unit.MONTH):
            return lambda day: day.replace(day=1)
        case WithKeys(inner):
            return day_mask(inner)
        case _:
            return None


def moment_mask(operator: Operator, zone: tzinfo | None) -> MomentMask | None:
    """A moment with a time zone is cut in UTC: what it is must not depend on who looks.

    `zone`: what a constant is in that has none, for a type whose moments have one.
    """
    match operator:
        case Constant(value):
            return Fixed(_constant(value.strip(), zone))
        case Truncate(unit):
            return lambda moment: _truncated(moment, unit)
        case WithKeys(inner):
            return moment_mask(inner, zone)
        case _:
            return None


def _constant(text: str, zone: tzinfo | None) -> datetime:
    moment = datetime.fromisoformat(text)
    if zone is None and moment.tzinfo is not None:
        raise ValueError("an offset where there is none")
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)


def _truncated(moment: datetime, unit: Unit) -> datetime:
    if moment.tzinfo is None:
        return _first_of(moment, unit)
    return _first_of(moment.astimezone(UTC), unit).astimezone(moment.tzinfo)


def _first_of(moment: datetime, unit: Unit) -> datetime:
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    match unit:
        case Unit.YEAR:
            return midnight.replace(month=1, day=1)
        case Unit.MONTH:
            return midnight.replace(day=1)
        case Unit.DAY:
            return midnight
        case _:
            assert_never(unit)


UuidMask = Callable[[uuid.UUID], uuid.UUID | None]
BytesMask = Callable[[bytes], bytes | None]


def uuid_mask(operator: Operator, key: PseudonymKey) -> UuidMask | None:
    """A pseudonym is a UUID of version 8 that can be told from others (`masking.marks`)."""
    match operator:
        case Constant(value):
            return Fixed(uuid.UUID(value.strip()))
        case Pseudonym(name):
            return lru_cache(REMEMBERED)(key.domain(name).uuid)
        case WithKeys(inner):
            return uuid_mask(inner, key)
        case _:
            return None


SHORTEST_BYTES: Final = 8
"""Fewer bytes would give one pseudonym to many values."""


def bytes_mask(operator: Operator, key: PseudonymKey, room: int | None = None) -> BytesMask | None:
    """Bytes that are UTF-8 are masked as a text; a pseudonym is 16 bytes of a keyed hash."""
    match operator:
        case Null():
            return None
        case Constant(value):
            return Fixed(value.encode()[:room])
        case Redact():
            return Fixed(REDACTED.encode()[:room])
        case Pseudonym(name):
            if room is not None and room < SHORTEST_BYTES:
                return None
            domain, size = key.domain(name), min(room or 16, 16)
            return remembered(lambda value: domain.digest(b"bytes", value, 16)[:size])
        case WithKeys(inner):
            return bytes_mask(inner, key, room)
        case _:
            mask = text_mask(operator, key)
            return lambda value: _as_text(value, mask, room)


def _as_text(value: bytes, mask: Callable[[str], str | None], room: int | None) -> bytes | None:
    masked = mask(value.decode())
    return None if masked is None else masked.encode()[:room]


@dataclass(frozen=True, slots=True)
class Network:
    """An address of 32 or 128 bits and how many of them name its network."""

    address: int
    prefix: int
    bits: int

    @classmethod
    def parsed(cls, text: str) -> Network:
        """Raises ValueError."""
        interface = ipaddress.ip_interface(text)
        return cls(int(interface.ip), interface.network.prefixlen, interface.max_prefixlen)

    def __str__(self) -> str:
        kind = ipaddress.IPv4Address if self.bits == 32 else ipaddress.IPv6Address
        return f"{kind(self.address)}/{self.prefix}"


NetworkMask = Callable[[Network], Network | None]


def network_mask(operator: Operator, key: PseudonymKey) -> NetworkMask | None:
    """A pseudonym keeps the family and the prefix; hosts of one network stay in one network."""
    match operator:
        case Constant(value):
            return Fixed(Network.parsed(value.strip()))
        case Pseudonym(name):
            domain = key.domain(name)

            def masked(value: Network) -> Network:
                space, low = f"network:{value.bits}:{value.prefix}", value.bits - value.prefix
                network, host = value.address >> low, value.address & ((1 << low) - 1)
                if value.prefix:
                    network = domain.permuted(network, 1 << value.prefix, space)
                if not value.prefix and not host:
                    raise ValueError("nothing of it could be hidden")
                if host and low > 1:
                    host = 1 + domain.permuted(host - 1, (1 << low) - 1, f"{space}:host")
                return Network(network << low | host, value.prefix, value.bits)

            return lru_cache(REMEMBERED)(masked)
        case WithKeys(inner):
            return network_mask(inner, key)
        case _:
            return None


def hardware_mask(operator: Operator, key: PseudonymKey, size: int) -> BytesMask | None:
    """MAC addresses of `size` bytes, permuted."""
    match operator:
        case Constant(value):
            return Fixed(hardware_address(value.strip(), size))
        case Pseudonym(name):
            domain = key.domain(name)
            return lru_cache(REMEMBERED)(
                lambda value: domain.permuted(
                    int.from_bytes(value, "big"), 1 << 8 * size, "hardware"
                ).to_bytes(size, "big")
            )
        case WithKeys(inner):
            return hardware_mask(inner, key, size)
        case _:
            return None


def hardware_address(text: str, size: int) -> bytes:
    """`08:00:2b:01:02:03`. Raises ValueError."""
    if not re.fullmatch(rf"(?:[0-9A-Fa-f]{{2}}[:-]){{{size - 1}}}[0-9A-Fa-f]{{2}}", text):
        raise ValueError("not a hardware address")
    return bytes.fromhex(re.sub("[:-]", "", text))
