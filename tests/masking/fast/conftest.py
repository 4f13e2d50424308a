from __future__ import annotations

import pytest

from masking.fast.scanner import FastScanner


@pytest.fixture(scope="session")
def fast() -> FastScanner:
    return FastScanner()
