from __future__ import annotations

import re

import pytest

from masking.fast.lines import reads_by_line


@pytest.mark.parametrize(
    ("pattern", "flags"),
    [
        (r"\b[0-9]{3}-[0-9]{2}\b", 0),
        (r"(?<![A-Z0-9])[A-Z]{2}(?![A-Z0-9])", 0),
        (r"^a.b$", re.M),
        (r"[^\W_]+@(?:[^\s]+|x)", 0),
        (r"(?:ab|c)++(?>d)", 0),
    ],
)
def test_patterns_that_stay_on_a_line(pattern: str, flags: int) -> None:
    assert reads_by_line(pattern, flags)


@pytest.mark.parametrize(
    ("pattern", "flags"),
    [
        (r"a\s+b", 0),
        (r"a.b", re.S),
        (r"a(?s:.)b", 0),
        (r"[^a]b", 0),
        (r"a\Z", 0),
        (r"\Aa", 0),
        (r"^a", 0),
        (r"a(?!\n)", 0),
        (r"(?<!\D)1", 0),
        (r"a\Wb", 0),
        (r"\p{L}", 0),
    ],
)
def test_patterns_that_may_see_a_line_break(pattern: str, flags: int) -> None:
    assert not reads_by_line(pattern, flags)
