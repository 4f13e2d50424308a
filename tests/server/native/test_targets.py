"""Which target a client means, by its user name and its database."""

from __future__ import annotations

import pytest

from policies.errors import Denied
from server.native.targets import target_named


@pytest.mark.parametrize(
    ("user", "database", "target"),
    [
        ("ada", "shop", "shop"),
        ("ada", "ada", "ada"),
        ("ada+shop", "", "shop"),
        ("ada+shop", "ada+shop", "shop"),  # as libpq fills it in
        ("ada+shop", "ada", "shop"),
        ("ada+shop", "shop", "shop"),
        ("ada+of+sales+shop", "", "shop"),
    ],
)
def test_the_target_is_the_database_or_stands_behind_the_user(
    user: str, database: str, target: str
) -> None:
    assert target_named(user, database) == target


@pytest.mark.parametrize(
    ("user", "database", "code"),
    [
        ("ada", "", "TARGET_NOT_NAMED"),
        ("ada+", "shop", "TARGET_NOT_NAMED"),
        ("ada+shop", "other", "TARGET_NAMED_TWICE"),
    ],
)
def test_no_target_and_two_targets_are_refused(user: str, database: str, code: str) -> None:
    with pytest.raises(Denied) as refused:
        target_named(user, database)
    assert refused.value.refusal.code == code
