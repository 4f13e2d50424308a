"""What a verification of the recording found, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from recordings.chain import Json
from server.commands.terminal import say

_COUNTED: Final = ("streams", "records", "bodies", "bodies_deleted", "anchors")


def tell(verdict: Mapping[str, Json]) -> int:
    """A verdict in words; what the command exits with."""
    counts = ", ".join(f"{verdict.get(name, '?')} {name.replace('_', ' ')}" for name in _COUNTED)
    say(f"checked: {counts}")
    if unchecked := verdict.get("bodies_unchecked"):
        say(f"not checked: {unchecked} bodies, whose digests need the gateway's own keys")
    for place in _items(verdict.get("elsewhere")):
        say(f"not checked: the anchors in {place}, a file that is not at hand here")
    for copy in _items(verdict.get("behind")):
        say(f"not checked: newer anchors, which the copy lacks: {copy}")
    match verdict.get("flaw"):
        case {"stream": stream, "sequence": sequence, "why": why}:
            say(f"NOT GOOD: stream {stream}, record {sequence}: {why}")
    match verdict.get("anchor_flaw"):
        case {"file": file, "line": line, "why": why}:
            say(f"NOT GOOD: anchors {file}, line {line}: {why}")
    if verdict.get("flaw") is None and verdict.get("anchor_flaw") is None:
        say("good: every record and body is as it was written")
        return 0
    return 1


def _items(value: Json) -> list[Json]:
    return list(value) if isinstance(value, list | tuple) else []
