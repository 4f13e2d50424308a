"""One scanner for all tests: Presidio takes a second to load."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from masking.cells import Masker
from masking.engine import Scanner
from masking.operators import PseudonymKey
from masking.scanning import ScanText
from masking.spans import Span


class LocalFinder:
    """A `SpanFinder` without a process: the same scanner, on the event loop."""

    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner
        self.asked: list[ScanText] = []

    async def spans(self, texts: Sequence[ScanText]) -> list[list[Span]]:
        self.asked += texts
        return [self._scanner.spans([t.text], t.context)[0] for t in texts]


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
