"""LOCK TABLE in the one mode that reads take themselves: it holds up nobody but who redefines."""

from __future__ import annotations

from typing import Final

from policies.sql import names
from policies.sql.from_clause import FromWalker
from policies.sql.grammar import checked, unwrap_as
from policies.sql.not_understood import NotUnderstood
from policies.sql.parser import Tree

_ACCESS_SHARE: Final = 1  # lockdefs.h
_LOCKABLE: Final = frozenset({"r", "p", "v"})


def lock_tables(walker: FromWalker, body: Tree) -> None:
    """Notes a lock as a read of each table that is named, and of what is behind it: no columns."""
    checked("LockStmt", body)
    if body.get("mode") != _ACCESS_SHARE:
        raise NotUnderstood(
            "SQL_NOT_UNDERSTOOD",
            "LOCK TABLE passes only IN ACCESS SHARE MODE, which is the lock that SELECT takes",
        )
    for node in body["relations"]:
        named = unwrap_as("RangeVar", node)
        location = named.get("location")
        relation = names.readable(walker.relation(named), location=location)
        if relation.kind not in _LOCKABLE:
            raise NotUnderstood(
                "SQL_NOT_UNDERSTOOD", f"{relation.name} is no table or view to lock", location
            )
        walker.findings.use(relation, "select", location)
    walker.findings.kinds.add("lock")
    walker.findings.locks.add("access_share")
