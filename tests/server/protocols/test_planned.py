"""Which relations can't be read without the planner's calling a user's function."""

from __future__ import annotations

import pytest

from server.protocols.postgres.planned import calling_when_planned, readers_of, with_parents

OF_A_COLUMN = "({FUNCEXPR :funcid 17000 :funcresulttype 16 :args ({VAR :varno 1}) :location 7})"
OF_A_CONSTANT = (
    "({FUNCEXPR :funcid 17000 :funcresulttype 16 :args ({CONST :constvalue 4}) :location 7})"
)
BOTH = f"({{BOOLEXPR :boolop and :args ({OF_A_COLUMN} {OF_A_CONSTANT})}})"
INSIDE = (
    "{FUNCEXPR :funcid 18000 :args ({FUNCEXPR :funcid 17000 :args <>} {VAR :varno 1}) :location 1}"
)


@pytest.mark.parametrize(
    ("tree", "found"),
    [(OF_A_COLUMN, set()), (OF_A_CONSTANT, {5}), (BOTH, {5}), (INSIDE, {5}), ("", {5})],
    ids=["of a column", "of a constant", "both", "a constant inside", "not to be found"],
)
def test_a_call_of_constants_is_computed_by_the_planner(tree: str, found: set[int]) -> None:
    assert calling_when_planned([("5", "17000", "f", tree)], frozenset()) == found


def test_a_function_in_sql_may_be_opened_up_whatever_it_is_called_with() -> None:
    assert calling_when_planned([("5", "17000", "t", OF_A_COLUMN)], frozenset()) == {5}


def test_what_the_administrator_allows_is_allowed_here_too() -> None:
    assert calling_when_planned([("5", "17000", "t", OF_A_CONSTANT)], {"17000"}) == set()


def test_parents_and_views_are_read_through_what_they_stand_on() -> None:
    assert with_parents({3}, [("1", "2"), ("2", "3"), ("7", "8")]) == {1, 2, 3}
    views = [("10", "3", "1"), ("11", "10", "1"), ("12", "4", "1")]
    assert readers_of({3}, views) == {10, 11}
    assert readers_of({3}, views, [("20", "11"), ("21", "12")]) == {10, 11, 20}
