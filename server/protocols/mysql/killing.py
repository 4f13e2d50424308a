"""KILL, as a client of the door may say it: by number, for a session of its own. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_KILL: Final = re.compile(
    r"\s*(?:/\*(?:[^*!+]|\*(?!/))*\*/\s*)?"
    r"KILL\s+(?:(?P<query>QUERY)\s+|CONNECTION\s+)?(?P<number>[0-9]{1,19})\s*;?\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Killed:
    """`whole`: the connection, and not only the statement that it runs."""

    number: int
    whole: bool


def killed(text: str) -> Killed | None:
    """What a statement asks to be killed, if it is such a one and nothing else."""
    found = _KILL.fullmatch(text) if len(text) < 256 else None
    if found is None:
        return None
    return Killed(int(found["number"]), found["query"] is None)
