"""Connections that have not said who they are: a bounded number, which never holds up others.

Where there is no room left, the one that has waited longest goes, of the address that has most.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

PER_ADDRESS: Final = 64
IN_TOTAL: Final = 512


@dataclass(slots=True, eq=False)
class _Seat:
    leave: Callable[[], object]


@dataclass(slots=True)
class WaitingRoom:
    """One a door. Who has logged in has left it, and is never made to go."""

    per_address: int = PER_ADDRESS
    in_total: int = IN_TOTAL
    _seats: dict[str, dict[_Seat, None]] = field(default_factory=dict)
    _taken: int = 0

    @contextmanager
    def seat(self, address: str, leave: Callable[[], object]) -> Iterator[None]:
        """Wait here until it is known who this is; `leave` ends the connection, at once or soon."""
        origin = origin_of(address)
        while len(self._seats.get(origin, ())) >= self.per_address:
            self._make_leave(origin)
        while self._taken >= self.in_total:
            self._make_leave(max(self._seats, key=lambda each: len(self._seats[each])))
        seat = _Seat(leave)
        self._seats.setdefault(origin, {})[seat] = None
        self._taken += 1
        try:
            yield
        finally:
            self._free(origin, seat)

    def _make_leave(self, origin: str) -> None:
        seat = next(iter(self._seats[origin]))
        self._free(origin, seat)
        seat.leave()

    def _free(self, origin: str, seat: _Seat) -> None:
        seats = self._seats.get(origin, {})
        if seat in seats:
            del seats[seat]
            self._taken -= 1
        if not seats:
            self._seats.pop(origin, None)


def origin_of(address: str) -> str:
    """What counts as one address: of IPv6, the network that one customer is given."""
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv6Address):
        if known.ipv4_mapped is not None:
            return str(known.ipv4_mapped)
        return str(ipaddress.ip_network((known, 64), strict=False))
    return str(known)
