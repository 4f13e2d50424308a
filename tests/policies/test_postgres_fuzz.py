"""Whatever text comes in, the analysis answers with facts and never raises."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.sql.facts import SqlEffect
from policies.sql.postgres import analyse
from tests.policies.catalogs import catalog, statements

STATEMENTS = [row["sql"] for row in statements()]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(alphabet=st.characters(codec=None)))
def test_any_text_is_answered(text: str) -> None:
    found = analyse(text, catalog())
    assert (found.opaque is None) == (found.effect is not SqlEffect.OPAQUE)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from(STATEMENTS), st.sampled_from(STATEMENTS), st.integers(0, 200))
def test_statements_spliced_into_each_other_are_answered(one: str, other: str, at: int) -> None:
    found = analyse(one[:at] + other + one[at:], catalog())
    assert (found.opaque is None) == (found.effect is not SqlEffect.OPAQUE)
