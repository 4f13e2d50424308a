"""Whatever the original matches the superset must; that it matches little else shows in speed."""

from __future__ import annotations

import re
from contextlib import suppress

import hyperscan
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from masking.fast.supersets import SEPARATOR, superset
from masking.fast.trees import NotUnderstood

_FLAGS = hyperscan.HS_FLAG_DOTALL | hyperscan.HS_FLAG_MULTILINE | hyperscan.HS_FLAG_PREFILTER


def _ends(pattern: str, flags: int, text: str) -> list[int]:
    """Where the superset's matches end in the text, which stands between two others."""
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    written = superset(pattern, flags)
    database.compile(expressions=[written.encode()], ids=[0], flags=[_FLAGS])
    before = b"x" + SEPARATOR
    ends: list[int] = []
    database.scan(
        before + text.encode("utf-8", "surrogatepass") + SEPARATOR + b"x",
        match_event_handler=lambda *match: ends.append(match[2] - len(before)),
    )
    return ends


CASES = [
    (r"\b[0-9]{9}\b", 0, "123456789"),
    (r"^\d{5}$", re.M, "12345"),
    (r"\A[A-Z]{3}-[0-9]+\Z", 0, "ABC-123"),
    (r"(?<![A-Z0-9])([A-Z]{2}[0-9]{2})(?![A-Z0-9])", 0, "DE12"),
    (r"pass\s*=\s*\S{4,}", re.I, "PASS\x1c=\tabcd"),
    (r"(['\"])[a-z]+\1", 0, "'abc'"),
    (r"(?:a|bc){2,300}d", 0, "abcbcad"),
    (r"x{,3}y++z", 0, "xxyyz"),
    (r"(?i:ab)c(?s:.)d", 0, "ABc\nd"),
    (r"a(?>b+)c", 0, "abbc"),
    (r"\w+@\w+", 0, "josé@bücher"),
    (r"\d{3}-\d{2}", 0, "١٢٣-٤٥"),
    (r"\bkey\b", re.I, "é \u212aEY é"),
    (r"password", re.I, "pa\u017f\u017fword"),
    (r"[^a-z]{3}x", 0, "日本語x"),
    (r"a\sb", 0, "a\u2003b"),
    (r"a[\u2010-\u2015]b", 0, "a\u2011b"),
    (r"ж+", re.I, "ЖЖ"),
    (r"a.b", 0, "a\ud800b"),
    (r"a.b", 0, "a\U0001f600b"),
]


@pytest.mark.parametrize(("pattern", "flags", "text"), CASES)
def test_a_match_of_the_original_is_one_of_the_superset(
    pattern: str, flags: int, text: str
) -> None:
    assert re.search(pattern, text, flags) or regex.search(pattern, text, flags)
    assert any(
        0 < end <= len(text.encode("utf-8", "surrogatepass")) for end in _ends(pattern, flags, text)
    )


@pytest.mark.parametrize("pattern", [r"a*", r"(?:a|b?)", r"(?=a)", r"\p{L}", r"(a)?(?(1)b|c)"])
def test_a_pattern_that_may_match_nothing_or_anything_has_none(pattern: str) -> None:
    with pytest.raises(NotUnderstood):
        superset(pattern, 0)


@pytest.mark.parametrize("pattern", [r"\b[0-9]{3}", r"\b(?:a|b)[0-9]{2}", r"\b(x)?[0-9]{3}"])
def test_a_word_may_begin_behind_anything_but_a_word(pattern: str) -> None:
    for before in ("", " ", "\n", "-", "\u00b7", "\U0001f600"):
        for text in ("123", "b12"):
            if re.search(pattern, before + text):
                assert _ends(pattern, 0, before + text)


def test_a_word_that_does_not_begin_is_left_out() -> None:
    assert not _ends(r"\b[0-9]{3}", 0, "x123")


def test_what_repeats_at_an_end_matches_once() -> None:
    assert len(_ends(r"[0-9]{3,}", 0, "123")) == 1
    assert _ends(r"@[^@]{3}", 0, "@\u65e5\u65e5\u65e5")


def test_nothing_matches_over_the_separator() -> None:
    for pattern in (r"x[^a]*x", r"x(?s:.)+x", r"x\D+x", r"(.)x\1*x"):
        assert not _ends(pattern, re.S, "")


_atoms = st.sampled_from(
    [
        "a", "k", "s", "é", "K", r"\d", r"\w", r"\s", r"\W", r"\S", ".", "[a-f]", "[^a-f]", "[ks]",
        "[^é]", r"\b", "^", "$", r"\.", "-", "(?=a)", "(?!b)", "(?<=a)", "(?<!é)", "@", "\n",
    ]
)  # fmt: skip
_patterns = st.recursive(
    _atoms,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.builds("(?:{}|{})".format, inner, inner),
        st.builds("(?:{}){}".format, inner, st.sampled_from(["?", "+", "{2}", "{1,40}", "*?"])),
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(
    pattern=_patterns,
    text=st.text("ab ksK1\n-.@é\u017f\u212a\u0661日", max_size=8),
    flags=st.sampled_from([0, re.I, re.M, re.S, re.I | re.M | re.S]),
)
def test_any_match_ends_the_superset_match_no_later(pattern: str, text: str, flags: int) -> None:
    match = re.search(pattern, text, flags)
    if match is None:
        return
    end = len(text[: match.end()].encode())
    with suppress(NotUnderstood, hyperscan.error):  # such a recognizer always runs
        assert any(0 < e <= end for e in _ends(pattern, flags, text))
