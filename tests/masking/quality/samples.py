"""Labelled texts: what a sample is, and the pieces that generators make samples of.

Values are drawn from a seeded generator and belong to nobody. Nothing in here knows how anything
is recognised.
"""

from __future__ import annotations

import base64
import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

LETTERS_AND_DIGITS = string.ascii_letters + string.digits
BASE64URL = LETTERS_AND_DIGITS + "-_"
HEX = "0123456789abcdef"
_MARK = re.compile("⟦(.*?)⟧", re.DOTALL)


@dataclass(frozen=True)
class Label:
    """Characters `start` to `end` are a value of this entity."""

    start: int
    end: int
    entity: str


@dataclass(frozen=True)
class Sample:
    kind: str
    text: str
    labels: tuple[Label, ...]


@dataclass(frozen=True)
class Kind:
    """One way to write a value. `write` marks each value ⟦so⟧; `source` says who defines it."""

    name: str
    entity: str
    source: str
    write: Callable[[Random], str]

    def sample(self, random: Random) -> Sample:
        marked = self.write(random)
        labels: list[Label] = []
        text = ""
        position = 0
        for match in _MARK.finditer(marked):
            text += marked[position : match.start()]
            labels.append(Label(len(text), len(text) + len(match[1]), self.entity))
            text += match[1]
            position = match.end()
        return Sample(self.name, text + marked[position:], tuple(labels))


def draw(random: Random, characters: str, length: int) -> str:
    return "".join(random.choices(characters, k=length))


def digits(random: Random, length: int) -> str:
    return draw(random, string.digits, length)


def hexadecimal(random: Random, length: int) -> str:
    return draw(random, HEX, length)


def base64_of(random: Random, length: int) -> str:
    """So many random bytes in base64."""
    return base64.b64encode(random.randbytes(length)).decode()


def base64url_of(random: Random, length: int) -> str:
    return base64.urlsafe_b64encode(random.randbytes(length)).decode().rstrip("=")


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


_WEAK = ("hunter2", "Winter2024!", "s3cr3t", "letmein1", "P@ssw0rd", "qwertz99", "tiger-lily")


def password(random: Random) -> str:
    """As people choose them and as programs make them; no quotes and no blanks."""
    if random.random() < 0.4:
        return random.choice(_WEAK)
    return draw(random, LETTERS_AND_DIGITS + "_-.~!*+", random.randint(10, 24))


def plain_password(random: Random) -> str:
    """Without signs that mean something in a URL or on a command line."""
    return draw(random, LETTERS_AND_DIGITS, random.randint(8, 20))


def word(random: Random) -> str:
    return random.choice(
        "shop billing orders users catalog search mail metrics ingest gateway reports auth".split()
    )


def host(random: Random) -> str:
    return f"{word(random)}-{random.randint(1, 9)}.{random.choice(('db', 'prod', 'eu'))}.internal"


def pem_body(random: Random, size: int) -> str:
    body = base64_of(random, size)
    return "\n".join(body[n : n + 64] for n in range(0, len(body), 64))
