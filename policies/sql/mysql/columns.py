"""Column references: which column of which FROM item a name is, by MySQL's rules of scope."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sqlglot import exp

from policies.sql.lineage import UNCERTAIN, Lineage, Source, Visible, union
from policies.sql.mysql.cursor import Named
from policies.sql.mysql.findings import UNNAMED, MySqlFindings, fold
from policies.sql.mysql.lexer import Token
from policies.sql.mysql.scopes import Level
from policies.sql.mysql.steps import unclear
from policies.sql.mysql.tree import Node, checked, child, number, required
from policies.sql.not_understood import NotUnderstood

DOUBTFUL: Final = "\0"
"""Before the name of an output such as `(ssn)`, which a server may name ssn or not."""

_WORD: Final = re.compile(r"[A-Za-z0-9_$]+")


class ColumnResolver:
    """Resolves references in a level and notes what they touch."""

    def __init__(self, findings: MySqlFindings, tokens: tuple[Token, ...]) -> None:
        self._findings = findings
        self._tokens = tokens
        self.key: Callable[[str], str] = str.lower if findings.catalog.ignores_case else str

    def token(self, identifier: Node) -> Token:
        """The token that an Identifier stands for."""
        checked(identifier)
        if not isinstance(identifier, exp.Identifier):
            raise unclear("a name")
        quoted = bool(identifier.args.get("quoted"))
        return self._tokens[number(identifier, "" if quoted else "n")]

    def named(self, node: Node, parts: tuple[str, str] = ("db", "this")) -> Named:
        """The name in a Table, or the table in a Column, and the database before it."""
        database, name = child(node, parts[0]), self.token(required(node, parts[1]))
        if database is None:
            return Named(None, name.value, name.start)
        first = self.token(database)
        return Named(first.value, name.value, first.start)

    def reference(self, node: Node, level: Level) -> Lineage:
        """The lineage of a Column that stands for one value."""
        checked(node)
        last = required(node, "this")
        if isinstance(last, exp.Star):
            raise unclear("a star in an expression")
        token = self.token(last)
        self._findings.note_names(fold(token.value))
        if child(node, "table") is None:
            return self._unqualified(fold(token.value), level, token)
        return self.column(self.qualified(node, level), token)

    def qualified(self, node: Node, level: Level) -> Source:
        """The FROM item that a Column's qualifier means: `alias`, or `database.table`."""
        return self.source(self.named(node, ("db", "table")), level)

    def source(self, named: Named, level: Level) -> Source:
        for here in level.outward():
            found = [s for s in here.items.sources if self._is(s, named)]
            if len(found) > 1:
                raise NotUnderstood(
                    "COLUMN_UNKNOWN", f"{named.name} may mean two tables", named.location
                )
            if found:
                return found[0]
        raise NotUnderstood("COLUMN_UNKNOWN", f"there is no table {named.name}", named.location)

    def column(self, source: Source, token: Token) -> Lineage:
        """A column of one FROM item, by name."""
        name = fold(token.value)
        positions = source.positions(name)
        if not positions or source.positions(DOUBTFUL + name):
            raise _unknown(token)
        found = union(self._findings.refer(source, position) for position in positions)
        return found if len(positions) == 1 else found | UNCERTAIN

    def _is(self, source: Source, named: Named) -> bool:
        if named.database is None:
            return source.alias == self.key(named.name)
        table = source.qualified
        if table is None:
            return False
        wanted = (self.key(named.database), self.key(named.name))
        return (self.key(table.schema), self.key(table.name)) == wanted

    def _unqualified(self, name: str, level: Level, token: Token) -> Lineage:
        for here in level.outward():
            if self._may_be_text(name, here) or here.items.named(DOUBTFUL + name):
                raise NotUnderstood(
                    "COLUMN_UNKNOWN", f"{token.value} may mean an expression", token.start
                )
            found = here.items.named(name)
            if name in here.aliases:
                return self._visible(found) | self._findings.refer_to_alias(here.aliases[name])
            if found:
                return self._visible(found)
            if name in here.hidden:
                raise NotUnderstood(
                    "COLUMN_UNKNOWN", f"{token.value} is an alias of the same query", token.start
                )
        raise _unknown(token)

    def _may_be_text(self, name: str, level: Level) -> bool:
        """Whether the server may have named an expression's output like this, after its text.

        A single word is the text of a constant only; but the rows of VALUES, and the sides of a
        UNION, are named after the first of them.
        """
        # Columns of relations all have names.
        derived = [source for source in level.items.sources if source.relation is None]
        if not derived and not level.unnamed:
            return False
        word = _WORD.fullmatch(name) is not None
        outputs = (o for source in derived for o in source.shape.outputs)
        named_so = any(o.name == UNNAMED and not (word and o.lineage.clean) for o in outputs)
        return named_so or (level.unnamed and not word)

    def _visible(self, found: tuple[Visible, ...]) -> Lineage:
        columns = [column for visible in found for column in visible.columns]
        if len(columns) == 1:
            return self._findings.refer(*columns[0])
        merged = union(self._findings.refer(source, position) for source, position in columns)
        return merged if len(found) < 2 else merged | UNCERTAIN


def _unknown(token: Token) -> NotUnderstood:
    return NotUnderstood("COLUMN_UNKNOWN", f"there is no column {token.value}", token.start)
