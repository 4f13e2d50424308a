"""Printing what others wrote: it stays data, whatever a terminal would make of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from policies.errors import Refusal
from recordings.text import escaped, escaped_lines, table


def say(line: str) -> None:
    """One line on standard output, escaped, at once."""
    print(escaped(line), flush=True)


def complain(line: str) -> None:
    """One line on standard error, escaped."""
    print(escaped(line), file=sys.stderr, flush=True)


def show_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Aligned columns, or a line that says there is nothing."""
    cells = [[escaped(cell) for cell in row] for row in rows]
    for line in table(head, cells) if cells else ["(none)"]:
        print(line, flush=True)


def show_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Names and values; each further line of a value is indented under its first."""
    for name, value in fields:
        first, *rest = escaped_lines(value)
        print(f"{name + ':':<13}{first}")
        for line in rest:
            print(" " * 13 + line)


def complain_refusal(refusal: Refusal) -> None:
    """Why something was refused, and what to do next."""
    complain(f"refused: {refusal.reason} ({refusal.code}, policy {refusal.policy})")
    complain(f"next: {refusal.advice}")
