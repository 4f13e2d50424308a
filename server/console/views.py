"""A ticket as the approval page shows it: words for its state, its text in lines and marked parts.

Nothing is left out and nothing is escaped here: `pages` does that with all it puts out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Final

from policies.model import Principal
from tools.escaping import visible
from tools.gateway import TicketView

LONG_GAP: Final = 24
"""Spaces in a row that push what follows them away."""

MANY_EMPTY: Final = 4
"""Empty lines in a row, the same."""

MOST_NAMED: Final = 8
"""Characters in a row whose names are said; text in another script needs none."""

MOST_LISTED: Final = 10

LONG_LINE: Final = 200
"""Characters of a text's first line that the list shows; its own page shows all of them."""

_GAP: Final = re.compile(rf" {{{LONG_GAP},}}")

_STATES: Final = {
    "pending": "waiting for a decision",
    "approved": "approved, has not run yet",
    "used": "approved, has run",
    "void": "void: policy asks for something else now",
}


@dataclass(frozen=True, slots=True)
class Part:
    """Some characters of a line. `kind`: "" for ASCII, "unusual", or "hidden" in plain display."""

    text: str
    kind: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One ticket with what its page says besides the ticket's own fields."""

    ticket: TicketView
    state: str
    lines: tuple[tuple[Part, ...], ...]
    notes: tuple[str, ...]
    reason: tuple[str, ...]
    expires: str

    @property
    def open(self) -> bool:
        """Whether it may still run."""
        return self.ticket.state in ("pending", "approved")

    @property
    def size(self) -> str:
        """How much there is to read."""
        lines, characters = len(self.lines), len(self.ticket.text)
        return f"{lines:,} {_plural('line', lines)}, {characters:,} characters"


@dataclass(frozen=True, slots=True)
class Row:
    """One ticket in the list."""

    ticket: TicketView
    state: str
    first: str
    more: str
    expires: str


@dataclass(frozen=True, slots=True)
class Section:
    """Some of the list, under a heading; `empty` is what it says without any."""

    heading: str
    rows: tuple[Row, ...]
    empty: str = ""


def sheet(ticket: TicketView) -> Sheet:
    lines = ticket.text.split("\n")
    parts = tuple(tuple(_parts(line)) for line in lines)
    return Sheet(
        ticket=ticket,
        state=state_words(ticket.state),
        lines=parts,
        notes=(*_character_notes(parts), *_gap_notes(lines), *_empty_runs(lines)),
        reason=tuple(ticket.reason.split("\n")) if ticket.reason else (),
        expires=_moment(ticket.expires_at),
    )


def sections(principal: Principal, tickets: Sequence[TicketView]) -> tuple[Section, ...]:
    """The list: what waits for this principal first, then their own, then the rest."""
    waiting = [t for t in tickets if t.may_decide]
    own = [t for t in tickets if not t.may_decide and t.requester_id == principal.id]
    rest = [t for t in tickets if not t.may_decide and t.requester_id != principal.id]
    found = (
        Section("Waiting for your decision", _rows(waiting), "Nothing waits for you."),
        Section("Your own requests", _rows(own)),
        Section("Other requests", _rows(rest)),
    )
    return tuple(each for each in found if each.rows or each.empty)


def state_words(state: str) -> str:
    return _STATES.get(state, state)


def _rows(tickets: Sequence[TicketView]) -> tuple[Row, ...]:
    """Pending ones first; otherwise in the order they came in."""
    return tuple(_row(t) for t in sorted(tickets, key=lambda t: t.state != "pending"))


def _row(ticket: TicketView) -> Row:
    first, *others = [line for line in ticket.text.split("\n") if line.strip()] or [""]
    more = f"and {len(others):,} more {_plural('line', len(others))}" if others else ""
    if len(first) > LONG_LINE:
        first, more = first[:LONG_LINE] + "…", f"{len(ticket.text):,} characters"
    when = _moment(ticket.expires_at)
    return Row(ticket, state_words(ticket.state), first, more, when)


def _parts(line: str) -> Iterator[Part]:
    """Runs of ordinary characters as they are, runs of others by their kind, with their names."""
    if line and line.isascii() and line.isprintable():
        yield Part(line)
        return
    for kind, run in groupby(line, key=_kind):
        text = "".join(run)
        named = kind and len(text) <= MOST_NAMED
        yield Part(text, kind, ", ".join(map(_name, text)) if named else "")


def _kind(character: str) -> str:
    if " " <= character <= "~":
        return ""
    return "unusual" if visible(character) == character else "hidden"


def _name(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, 'without a name')}"


def _character_notes(lines: Sequence[Sequence[Part]]) -> Iterator[str]:
    kinds = {part.kind for line in lines for part in line}
    if "hidden" in kinds:
        yield "It holds characters that can't be seen; they are written out and marked."
    if "unusual" in kinds:
        yield "It holds characters beyond ASCII, which can look like others; they are marked."


def _gap_notes(lines: Sequence[str]) -> Iterator[str]:
    """Where an eye that runs down the beginnings of lines may stop too early."""
    gaps = [
        (number, len(gap)) for number, line in enumerate(lines, 1) for gap in _GAP.findall(line)
    ]
    if gaps:
        longest, where = max(length for _, length in gaps), sorted({number for number, _ in gaps})
        listed = ", ".join(map(str, where[:MOST_LISTED])) + (" …" if where[MOST_LISTED:] else "")
        yield f"Up to {longest:,} spaces in a row: read to the end of line {listed}."


def _empty_runs(lines: Sequence[str]) -> Iterator[str]:
    after = 0
    for empty, run in groupby(lines, key=lambda line: not line.strip()):
        length = sum(1 for _ in run)
        if empty and length >= MANY_EMPTY and after + length < len(lines):
            yield f"The text goes on after {length:,} empty lines below line {after}."
        after += length


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"
