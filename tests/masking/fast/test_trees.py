from __future__ import annotations

import re
import sys

import pytest
import regex

from masking.fast.trees import FOLDED_TO_ASCII, NotUnderstood, flags_of_regex, parsed

LETTERS = "abcdefghijklmnopqrstuvwxyz"
BEYOND = "".join(
    chr(code) for code in range(128, sys.maxunicode + 1) if not 0xD800 <= code < 0xE000
)


@pytest.mark.parametrize("letter", LETTERS)
def test_the_characters_that_fold_to_an_ascii_letter_are_all_known(letter: str) -> None:
    found = set(re.findall(letter, BEYOND, re.IGNORECASE))
    found |= set(regex.findall(letter, BEYOND, regex.IGNORECASE))
    assert found <= set(FOLDED_TO_ASCII.get(letter, ""))


def test_only_the_kelvin_sign_lower_cases_to_an_ascii_letter() -> None:
    assert [c for c in BEYOND if c.lower().isascii()] == ["\u212a"]


@pytest.mark.parametrize(
    "pattern",
    [
        r"\p{L}+",
        r"(?:abc){e<=1}",
        r"[[:alpha:]]+",
        r"[a[:digit:]]",
        r"(?|(a)|(b))",
        r"\m\w+\M",
        r"a(?V1)b",
        r"[a--b]",
        r"(unclosed",
        r"\L<words>",
    ],
)
def test_what_means_something_else_to_regex_is_not_understood(pattern: str) -> None:
    with pytest.raises(NotUnderstood):
        parsed(pattern, 0)


def test_flags_of_regex_that_re_lacks_are_not_understood() -> None:
    assert flags_of_regex(int(regex.I | regex.M | regex.ASCII)) == re.I | re.M | re.ASCII
    with pytest.raises(NotUnderstood):
        flags_of_regex(int(regex.FULLCASE))
