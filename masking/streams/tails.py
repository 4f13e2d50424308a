"""The end of an unfinished line that may become a value: it does not go out before its line."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from masking.prefilter import may_hold

_DIGITS: Final = re.compile(r"(?<![A-Za-z0-9])\+?[(]?\d(?:[ .()/-]{0,3}\d){3,}[ .-]?\Z")
"""Four digits at least: a card's first group. A prompt or a counter ends in other signs."""

_WORD: Final = re.compile(r"[^\s\"'<>|,;]{6,}\Z")
_ASSIGNED: Final = re.compile(
    r"(?:pass|pwd|secret|token|key|credential|auth|cookie|bearer|basic)[\w.-]*[\"']?"
    r"(?:\s{0,3}[:=]\s{0,3}|\s+)[\"']?([^\s\"']+)\Z",
    re.IGNORECASE,
)
_ADDRESS: Final = re.compile(r"[\w.+-]+@[\w.-]*\Z")
_PROMPT: Final = re.compile(r"[$#>%:\])?]\s?\Z")


def open_tail(line: str, begins: Callable[[str], int | None]) -> int | None:
    """Where the part begins that may be the beginning of a value, or None.

    `begins` says so of what the configuration adds to what is known here.
    """
    return min(
        (start for start in (_curated(line), begins(line)) if start is not None), default=None
    )


def _curated(line: str) -> int | None:
    if assigned := _ASSIGNED.search(line[-4096:]):
        return max(0, len(line) - 4096) + assigned.start(1)
    base = max(0, len(line) - 512)
    tail = line[base:]
    if digits := _DIGITS.search(tail):
        return base + digits.start()
    if (address := _ADDRESS.search(tail)) and not _PROMPT.search(tail):
        return base + address.start()
    word = _WORD.search(tail)
    return base + word.start() if word and _may_begin(word[0]) else None


_PREFIX: Final = re.compile(
    r"A(?:KIA|SIA|ROA|IDA|BIA|CCA)|gh[pousr]_|github_pat_|gl[a-z]{2,4}-|xox|[sr]k[-_]|whsec_|AIza"
    r"|ya29|GOCSPX|hf_|npm_|pypi-|hv[sbr]\.|SG\.|dop_v1_|dapi|eyJ|glsa_|AGE-SECRET|\$[0-9a-z]{1,8}\$"
    r"|SCRAM-SHA|-----|[A-Z]{2}[0-9]{2}|bc1|[a-z]+://[^\s/]*:"
)


def _may_begin(word: str) -> bool:
    return _PREFIX.search(word) is not None or may_hold(word)
