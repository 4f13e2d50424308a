"""Whatever the chunks, wraps and colours: nothing planted comes out, and the rest does."""

from __future__ import annotations

import random

import pytest

from masking.scanning import StreamFinder
from masking.streams.stream import text_stream
from tests.masking.streams.feeding import PLANTED, chunked, fed, plainly

pytestmark = pytest.mark.anyio

WORDS = (
    "deploy",
    "finished",
    "in the",
    "west region",
    "for",
    "nobody",
    "with some more of",
    "this",
)


def text_of(seed: random.Random, lines: int) -> str:
    """Lines of words, every third one with a planted value between blanks."""
    made = []
    for _ in range(lines):
        words = seed.choices(WORDS, k=seed.randrange(1, 18))
        if seed.random() < 0.4:
            words.insert(seed.randrange(len(words) + 1), seed.choice(PLANTED))
        made.append(" ".join(words))
    return "\n".join(made) + "\n"


def wrapped(text: str, width: int, end: str) -> str:
    """What a terminal or `fold` of this width makes of it."""
    rows = []
    for line in text.splitlines():
        rows += [line[i : i + width] for i in range(0, len(line), width)] or [""]
    return end.join(rows) + end


def coloured(text: str, seed: random.Random) -> str:
    """Colours anywhere, inside values too."""
    return "".join(
        c + (f"\x1b[{seed.randrange(30, 38)}m" if seed.random() < 0.1 else "") for c in text
    )


@pytest.mark.parametrize(
    "number", [*range(12), *(pytest.param(n, marks=pytest.mark.full) for n in range(12, 200))]
)
async def test_output_does_not_depend_on_the_chunks(finder: StreamFinder, number: int) -> None:
    seed = random.Random(number)
    text = text_of(seed, 30)
    if number % 3 == 1:
        text = wrapped(text, seed.randrange(20, 120), "\r\n")
    if number % 3 == 2:
        text = coloured(text, seed)
    raw = text.encode()
    whole = await fed(text_stream(finder), [raw])
    in_pieces = await fed(text_stream(finder), chunked(raw, seed))
    assert in_pieces.output == whole.output
    assert sorted(in_pieces.findings, key=repr) == sorted(whole.findings, key=repr)


@pytest.mark.parametrize(
    "number", [*range(12), *(pytest.param(n, marks=pytest.mark.full) for n in range(12, 200))]
)
async def test_nothing_planted_comes_out(finder: StreamFinder, number: int) -> None:
    seed = random.Random(1000 + number)
    width = seed.randrange(1, 100)
    plain = text_of(seed, 30)
    text = wrapped(plain, width, seed.choice(("\n", "\r\n")))
    if number % 2:
        text = coloured(text, seed)
    masked = await fed(text_stream(finder), chunked(text.encode(), seed))
    shown = plainly(masked.output)
    assert [value for value in PLANTED if value in shown] == [], width


@pytest.mark.parametrize(
    "number", [*range(6), *(pytest.param(n, marks=pytest.mark.full) for n in range(6, 100))]
)
async def test_nothing_planted_comes_out_of_a_terminal_of_known_width(
    finder: StreamFinder, number: int
) -> None:
    seed = random.Random(2000 + number)
    width = seed.randrange(20, 160)
    text = coloured(wrapped(text_of(seed, 30), width, "\r\n"), seed)
    stream = text_stream(finder, columns=width)
    masked = await fed(stream, chunked(text.encode(), seed))
    shown = plainly(masked.output)
    assert [value for value in PLANTED if value in shown] == []


@pytest.mark.parametrize("number", range(4))
async def test_words_come_out_as_they_were(finder: StreamFinder, number: int) -> None:
    seed = random.Random(3000 + number)
    words = "\n".join(" ".join(seed.choices(WORDS, k=seed.randrange(18))) for _ in range(60))
    raw = coloured(words, seed).encode()
    assert (await fed(text_stream(finder), chunked(raw, seed))).output == raw
