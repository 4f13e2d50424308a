"""Streams fed in pieces, as a connection would."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Final

from masking.streams.stream import Masked, Stream

CARD: Final = "4111111111111111"
EMAIL: Final = "ada.lovelace@example.com"
SSN: Final = "219-09-9991"
KEY_ID: Final = "AKIAQYLPMN5HXXV3J7KD"
TOKEN: Final = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
PLANTED: Final = (CARD, EMAIL, SSN, KEY_ID, TOKEN)


async def fed(stream: Stream, pieces: Iterable[bytes]) -> Masked:
    """All that comes out of a stream for these pieces."""
    masked = Masked()
    for piece in pieces:
        masked += await stream.feed(piece)
    return masked + await stream.end()


def chunked(text: bytes, seed: random.Random) -> Iterator[bytes]:
    """The text in pieces of random lengths, often of single bytes."""
    position = 0
    while position < len(text):
        length = seed.choice((1, 1, 2, 3, 7, 20, 100, 1000))
        yield text[position : position + length]
        position += length


def plainly(output: bytes) -> str:
    """What a person would make of an output: without controls, breaks and blanks."""
    text = output.decode("utf-8", "replace")
    shown, position = [], 0
    while position < len(text):
        if text.startswith("\x1b[", position):
            position += 2
            while position < len(text) and text[position] in "0123456789;":
                position += 1
        elif text[position] not in "\r\n\b":
            shown.append(text[position])
        position += 1
    return "".join(shown)
