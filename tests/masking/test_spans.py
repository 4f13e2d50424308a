from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from masking.spans import Span, clipped, disjoint_cover, substitute

TEXT = "x" * 30

spans = st.builds(
    lambda start, length, entity, score: Span(start, start + length, entity, score),
    st.integers(0, 20),
    st.integers(1, 10),
    st.sampled_from(["A", "B", "C"]),
    st.sampled_from([0.4, 0.6, 1.0]),
)


@given(st.lists(spans, max_size=8))
def test_a_cover_has_the_same_characters_and_no_overlaps(found: list[Span]) -> None:
    cover = disjoint_cover(found)
    covered = {i for span in cover for i in range(span.start, span.end)}
    assert covered == {i for span in found for i in range(span.start, span.end)}
    assert sum(span.length for span in cover) == len(covered)
    assert [s.start for s in cover] == sorted(s.start for s in cover)


def test_overlapping_spans_are_named_after_the_most_certain() -> None:
    email, url = Span(0, 20, "EMAIL_ADDRESS", 1.0), Span(5, 25, "URL", 0.5)
    assert disjoint_cover([url, email]) == [Span(0, 25, "EMAIL_ADDRESS", 1.0)]


def test_equally_certain_spans_are_named_after_the_longer() -> None:
    date, phone = Span(0, 8, "DATE", 0.6), Span(6, 20, "PHONE", 0.6)
    assert [s.entity for s in disjoint_cover([date, phone])] == ["PHONE"]


def test_neighbours_stay_apart() -> None:
    cover = [Span(0, 4, "A"), Span(4, 8, "B")]
    assert disjoint_cover(cover) == cover


def test_what_is_not_covered_stays_as_it_is() -> None:
    assert substitute("to bob, cc eve.", [Span(3, 6, "A"), Span(11, 14, "B")]) == "to <A>, cc <B>."


def test_spans_are_clipped_to_a_piece_and_counted_from_it() -> None:
    found = [Span(0, 5, "A"), Span(8, 20, "B"), Span(25, 28, "C")]
    assert clipped(found, 4, 10) == [Span(0, 1, "A"), Span(4, 6, "B")]
