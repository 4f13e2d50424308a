"""Which target a client of a native door means: one rule for all of them. Pure."""

from __future__ import annotations

from typing import Final

from policies.errors import Denied, Refusal

SEPARATOR: Final = "+"


def target_named(user: str, database: str) -> str:
    """`user+target` in the user name, or else the database. Raises `Denied`.

    A client that is given no database names its user, whole or without the target, in its place.
    """
    person, plus, target = user.rpartition(SEPARATOR)
    if not plus:
        if not database:
            raise Denied(NO_TARGET)
        return database
    if not target:
        raise Denied(NO_TARGET)
    if database not in ("", user, person, target):
        raise Denied(_two(target, database))
    return target


NO_TARGET: Final = Refusal(
    code="TARGET_NOT_NAMED",
    reason="The connection names no target.",
    next_step="Give the target as the database, or behind the user: ada+shop.",
)


def _two(target: str, database: str) -> Refusal:
    return Refusal(
        code="TARGET_NAMED_TWICE",
        reason=f"The user name says target {target[:64]!r}, the database {database[:64]!r}.",
        next_step="Name the target once: as the database, or behind the user and without one.",
    )
