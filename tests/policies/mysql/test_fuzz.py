"""Whatever text comes in, the analysis answers with facts and never raises."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.sql.facts import SqlEffect
from tests.policies.mysql.catalogs import facts, statements

STATEMENTS = [row["sql"] for row in statements()]
WORDS = sorted({word for sql in STATEMENTS for word in sql.split()} | {"(", ")", ",", ".", "'"})


def answers(text: str) -> None:
    found = facts(text)
    assert (found.opaque is None) == (found.effect is not SqlEffect.OPAQUE)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(alphabet=st.characters(codec=None)))
def test_any_text_is_answered(text: str) -> None:
    answers(text)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.sampled_from(STATEMENTS), st.sampled_from(STATEMENTS), st.integers(0, 200))
def test_statements_spliced_into_each_other_are_answered(one: str, other: str, at: int) -> None:
    answers(one[:at] + other + one[at:])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.sampled_from(["SELECT ", "WITH ", "INSERT INTO orders ", "UPDATE users SET ", ""]),
    st.lists(st.sampled_from(WORDS), max_size=12),
)
def test_words_in_any_order_are_answered(begin: str, words: list[str]) -> None:
    answers(begin + " ".join(words))
