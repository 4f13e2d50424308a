"""`make bench`: finding entities in result sets and logs, beside plain Presidio with the same
recognizers (`AnalyzerEngine.analyze` per cell) on the same generated data in the same run.

Plain Presidio sees a sample, because all of it would take an hour. The processor's time counts, in
the best of some rounds for both sides. Ends with 1 if a bound is missed.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from masking.fast.scanner import FastScanner

ROWS: Final = 20_000
LINES: Final = 20_000
CHUNK: Final = 2_000
SAMPLE: Final = 150
"""Cells of each column that plain Presidio sees."""

ROUNDS: Final = 9

Columns = Mapping[str, Sequence[str]]

_WORDS: Final = (
    "starting", "stopped", "request", "handled", "cache", "miss", "hit", "pool", "exhausted",
    "retrying", "upstream", "timeout", "connected", "closed", "reconciled", "deployment", "scaled",
    "pod", "evicted", "node", "ready",
)  # fmt: skip
_STATES: Final = ("paid", "open", "shipped", "cancelled")
_NAMES: Final = ("Ana", "Bo", "Chidi", "Dana", "Eszter", "Fatima", "G\u00fcnter", "Hiro")


@dataclass(frozen=True, slots=True)
class Measured:
    """Microseconds a cell."""

    name: str
    cells: int
    characters: int
    fast: float
    plain: float
    sampled: int
    at_least: int

    @property
    def times(self) -> float:
        return self.plain / self.fast

    @property
    def met(self) -> bool:
        return self.times >= self.at_least

    def print(self) -> None:
        speed = self.characters / self.cells / self.fast
        print(
            f"{self.name:28} {self.fast:9.2f} {self.plain:9.0f} {self.times:7.1f}x"
            f" {speed:7.1f} MB/s   at least {self.at_least}x; plain on {self.sampled} of"
            f" {self.cells} cells{'' if self.met else ' MISSED'}"
        )


def orders(random: Random) -> Columns:
    """A result set as agents mostly see them, all columns as text; no entity in it."""
    return {
        "id": [str(1_000_000_000 + 7 * n) for n in range(ROWS)],
        "user_id": [str(random.randint(1, 50_000)) for _ in range(ROWS)],
        "status": random.choices(_STATES, k=ROWS),
        "currency": random.choices(("EUR", "USD", "GBP"), k=ROWS),
        "total": [f"{random.randint(1, 99_999)}.{random.randint(0, 99):02}" for _ in range(ROWS)],
        "created_at": [_time(random).replace("T", " ")[:19] for _ in range(ROWS)],
        "reference": [f"ORD-{random.randint(0, 10**8):08}" for _ in range(ROWS)],
        "trace_id": [str(_uuid(random)) for _ in range(ROWS)],
        "first_name": random.choices(_NAMES, k=ROWS),
        "note": [" ".join(random.choices(_WORDS, k=random.randint(2, 9))) for _ in range(ROWS)],
        "attributes": [_attributes(random) for _ in range(ROWS)],
    }


def users(random: Random) -> Columns:
    """A result set that holds an entity in most cells."""
    rows = ROWS // 10
    return {
        "id": [str(n) for n in range(rows)],
        "name": [f"{random.choice(_NAMES)} {random.choice(_WORDS)}" for _ in range(rows)],
        "email": [f"{random.choice(_NAMES)}{n}@example.com" for n in range(rows)],
        "phone": [_phone(random) for _ in range(rows)],
        "card": [_card(random) for _ in range(rows)],
        "tax_id": [_ssn(random) for _ in range(rows)],
        "settings": [f'{{"password": "{random.getrandbits(64):x}"}}' for _ in range(rows)],
    }


def log(random: Random) -> Columns:
    """Lines of a log, one cell each."""
    return {"": [_line(random) for _ in range(LINES)]}


def _time(random: Random) -> str:
    day = f"2026-{random.randint(1, 12):02}-{random.randint(1, 28):02}"
    hour, minute, second = random.randint(0, 23), random.randint(0, 59), random.randint(0, 59)
    return f"{day}T{hour:02}:{minute:02}:{second:02}.{random.randint(0, 999):03}Z"


def _uuid(random: Random) -> uuid.UUID:
    return uuid.UUID(int=random.getrandbits(128), version=4)


def _attributes(random: Random) -> str:
    sku, count = f"A-{random.randint(1, 9_999)}", random.randint(1, 50)
    return f'{{"sku": "{sku}", "count": {count}, "at": "{_time(random)}", "gift": false}}'


def _phone(random: Random) -> str:
    area, line = random.choice((415, 212, 303, 617)), random.randint(200_0000, 999_9999)
    form = random.choice(("({}) {}-{}", "{}-{}-{}", "+1 {} {} {}"))
    return form.format(area, line // 10_000, f"{line % 10_000:04}")


def _ssn(random: Random) -> str:
    return f"{random.randint(100, 665)}-{random.randint(10, 99)}-{random.randint(1000, 9999)}"


def _card(random: Random) -> str:
    body = "4" + "".join(random.choices("0123456789", k=14))
    doubled = (sum(divmod(2 * int(d), 10)) for d in body[::-2])
    check = -(sum(doubled) + sum(map(int, body[-2::-2]))) % 10
    return " ".join((body + str(check))[n : n + 4] for n in range(0, 16, 4))


def _line(random: Random) -> str:
    level, name = random.choice(("INFO", "WARN", "ERROR", "DEBUG")), random.choice(_WORDS)
    address = ".".join(str(random.randint(1, 254)) for _ in range(4))
    words = " ".join(random.choices(_WORDS, k=8))
    return (
        f"{_time(random)} {level} [{name}-{random.randint(1, 30)}] {words} ip={address}"
        f" status={random.choice((200, 404, 500))} took={random.randint(1, 9000)}ms"
        f" id={_uuid(random)}"
    )


def measured(name: str, fast: FastScanner, columns: Columns, at_least: int) -> Measured:
    """Both ways over the same columns; plain Presidio's time for a column is the sample's mean."""
    cells = sum(map(len, columns.values()))
    quickly = sum(_fast(fast, context, texts) for context, texts in columns.items())
    plainly = sum(_plain(fast, context, texts) for context, texts in columns.items())
    return Measured(
        name,
        cells,
        sum(len(text) for texts in columns.values() for text in texts),
        quickly / cells * 1e6,
        plainly / cells * 1e6,
        sum(min(SAMPLE, len(texts)) for texts in columns.values()),
        at_least,
    )


def _fast(fast: FastScanner, context: str, texts: Sequence[str]) -> float:
    return min(_round(fast, context, texts) for _ in range(ROUNDS))


def _round(fast: FastScanner, context: str, texts: Sequence[str]) -> float:
    """Seconds for all of a column; nothing is remembered from a round before."""
    fast.forget()
    begun = time.process_time()
    for start in range(0, len(texts), CHUNK):
        fast.column(context, texts[start : start + CHUNK])
    return time.process_time() - begun


def _plain(fast: FastScanner, context: str, texts: Sequence[str]) -> float:
    """Seconds for all of a column, from an even sample; it must find what the fast way does."""
    step = max(1, len(texts) // SAMPLE)
    sample = texts[::step][:SAMPLE]
    taken = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        found = [fast.plain.analyze(text, context) for text in sample]
        taken.append(time.process_time() - begun)
    assert found == fast.spans(sample, context)
    return min(taken) / len(sample) * len(texts)


def main() -> int:
    fast, random = FastScanner(), Random(5)
    warm = ["call (415) 555-0134", "bob@example.com", "2026-01-01 00:00:00", "paid"]
    for text in warm:  # what Presidio and its libraries load late
        fast.plain.analyze(text, "phone")
    fast.spans(warm, "phone")
    print(f"{'microseconds a cell':28} {'fast':>9} {'plain':>9}")
    results = (
        measured("mostly clean result set", fast, orders(random), at_least=150),
        measured("dense result set", fast, users(random), at_least=7),
        measured("log by line", fast, log(random), at_least=300),
    )
    for result in results:
        result.print()
    return 0 if all(result.met for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
