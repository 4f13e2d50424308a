"""One scanner for all tests: Presidio takes a second to load."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from masking.cells import Masker
from masking.engine import Scanner
from masking.operators import PseudonymKey
from masking.prefilter import may_hold
from masking.scanning import ScanText
from masking.spans import Span


class LocalFinder:
    """A `StreamFinder` without a process: the curated scanner, on the event loop."""

    def __init__(self, scanner: Scanner) -> None:
        self.scanner = scanner
        self.asked: list[ScanText] = []

    async def spans(self, texts: Sequence[ScanText]) -> list[list[Span]]:
        self.asked += texts
        return [self.scanner.spans([t.text], t.context)[0] for t in texts]

    async def column_spans(self, context: str, texts: Sequence[str]) -> dict[int, list[Span]]:
        found = await self.spans([ScanText(text, context) for text in texts])
        return {index: spans for index, spans in enumerate(found) if spans}

    async def ready(self) -> None:
        """It always is."""

    def may_hold(self, text: str) -> bool:
        return may_hold(text)

    def begins(self, text: str) -> int | None:
        return None


@pytest.fixture(scope="session")
def scanner() -> Scanner:
    return Scanner()


@pytest.fixture
def finder(scanner: Scanner) -> LocalFinder:
    return LocalFinder(scanner)


@pytest.fixture
def key() -> PseudonymKey:
    return PseudonymKey(b"k" * 32)


@pytest.fixture
def masker(key: PseudonymKey, finder: LocalFinder) -> Masker:
    return Masker(key, finder)
