"""What a session's own definitions do to names before they are committed. No input or output.

The catalog that statements are judged by shows what is committed: in the transaction that drops or
renames a relation, its name may mean the next one on the search path, or nothing that is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from policies.sql.facts import Opaque, SqlEffect, SqlFacts, TableName

DEFINED_BEFORE: Final = Opaque(
    "DEFINED_BEFORE",
    "A relation of this name was made, changed or dropped in this transaction, and what it is"
    " now is known when that is committed.",
    "COMMIT, then repeat the statement.",
)

# They leave every name what it was; rows and plans are not what statements are judged by.
_HARMLESS: Final = frozenset({"create_index", "truncate", "create_schema"})
_MADE: Final = frozenset({"create_table", "create_view"})
# Its old content is gone, or its columns are others.
_CHANGED: Final = frozenset({"create_view", "alter_table", "rename"})


@dataclass(slots=True)
class OwnChanges:
    """`stale`: something was defined, and no catalog was read since that transaction ended."""

    stale: bool = False
    _made: set[TableName] = field(default_factory=set)
    _changed: set[str] = field(default_factory=set)
    _gone: set[str] = field(default_factory=set)
    _anything: bool = False
    _defined: bool = False

    def note(self, facts: SqlFacts, text: str) -> None:
        """A statement will be sent."""
        if facts.effect is not SqlEffect.DDL:
            return
        self._defined = True
        if facts.kinds <= _HARMLESS:
            return
        named = {use.table for use in facts.tables if use.verb == "ddl"}
        # Keywords can't be written with escapes, so it is found wherever it stands.
        self._anything |= "cascade" in text.lower()
        if facts.kinds & _MADE:
            self._made |= named
        if facts.kinds & _CHANGED:
            self._changed |= _bare(named)
        # A relation that is renamed stands there by both names, one with a renamed column by one.
        written = {use.table for use in facts.tables if not use.through}
        renamed = "rename" in facts.kinds and len(written) > 1
        if renamed or any(kind.startswith("drop") for kind in facts.kinds):
            self._gone |= _bare(named)

    def judged(self, facts: SqlFacts) -> SqlFacts:
        """The facts, or opaque where the names in the statement may mean others by now."""
        if self._defined and any(self._in_doubt(use.table, use.verb) for use in facts.tables):
            return replace(facts, effect=SqlEffect.OPAQUE, opaque=DEFINED_BEFORE)
        return facts

    def ready(self, status: str) -> None:
        """The server has answered everything, and is in this transaction status."""
        if status == "I" and self._defined:
            self._made, self._changed, self._gone = set(), set(), set()
            self._anything = self._defined = False
            self.stale = True

    def _in_doubt(self, table: TableName, verb: str) -> bool:
        return (
            self._anything
            or table.name in self._gone
            or (verb != "ddl" and table.name in self._changed)
            or any(made.name == table.name and made != table for made in self._made)
        )


def _bare(names: Iterable[TableName]) -> set[str]:
    return {name.name for name in names if name.name}
