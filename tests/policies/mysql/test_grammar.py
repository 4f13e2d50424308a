"""Only what is listed is understood: every other class and argument of sqlglot's is refused."""

from __future__ import annotations

import inspect

import pytest
from sqlglot import exp

from policies.sql.mysql import tree
from policies.sql.mysql.functions import COMMON, RESERVED_FUNCTIONS
from policies.sql.mysql.tree import ARGUMENTS, checked
from policies.sql.mysql.words import PASSED, RESERVED, SELECT_OPTIONS
from policies.sql.not_understood import NotUnderstood
from tests.policies.mysql.catalogs import refusal

CLASSES = sorted(
    {c for _, c in inspect.getmembers(exp, inspect.isclass) if issubclass(c, exp.Expression)},
    key=lambda c: c.__name__,
)
# What plain.py writes itself, and words that only pass as parts of forms it knows.
WRITTEN = {"SELECT", "TABLE", "VALUES", "JOIN", "STRAIGHT_JOIN", "CASE", "LIMIT", "INTERVAL"}
WRITTEN |= SELECT_OPTIONS


def test_sqlglot_has_many_more_classes_than_are_understood() -> None:
    assert len(CLASSES) > 500 > len(ARGUMENTS)


def is_taken(node: exp.Expression) -> bool:
    try:
        checked(node)
    except NotUnderstood:
        return False
    return True


def test_a_class_that_is_not_listed_is_refused() -> None:
    assert {kind for kind in CLASSES if is_taken(kind())} == set(ARGUMENTS)


@pytest.mark.parametrize("kind", sorted(ARGUMENTS, key=lambda c: c.__name__))
def test_an_argument_that_is_not_listed_is_refused(kind: type[exp.Expression]) -> None:
    for name in set(kind.arg_types) - ARGUMENTS[kind]:
        node = kind()
        node.args[name] = exp.Null()
        with pytest.raises(NotUnderstood):
            checked(node)


@pytest.mark.parametrize(
    "text", ["FLUSH TABLES", "LISTEN x", "BINLOG 'x'", "CHECKPOINT", "DESCRIBE DELETE FROM t", "'"]
)
def test_what_sqlglot_makes_of_other_statements_is_no_query(text: str) -> None:
    """`Command`, `Alias`, `Column`, `Describe`: their classes are not listed as roots."""
    try:
        found = tree.parse(text)
    except NotUnderstood:
        return
    assert not isinstance(found, exp.Select | exp.Union | exp.Except | exp.Intersect)


@pytest.mark.parametrize(
    "word", sorted(RESERVED - set(PASSED) - RESERVED_FUNCTIONS - WRITTEN - {"AS"})
)
def test_a_reserved_word_that_is_not_listed_is_never_a_name(word: str) -> None:
    if word.lower() not in COMMON:
        refusal(f"SELECT {word} FROM users")
        refusal(f"SELECT 1 FROM users {word}")
