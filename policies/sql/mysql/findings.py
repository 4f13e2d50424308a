"""What an analysis has found so far in a MySQL statement: names fold, and places are characters."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from operator import attrgetter
from typing import Final

from policies.sql.catalog import Catalog, Relation
from policies.sql.findings import ALL_COLUMNS, Findings
from policies.sql.lineage import Output, Shape, exact_shape, stored
from policies.sql.mysql import names
from policies.sql.mysql.gate import Text
from policies.sql.mysql.lexer import Kind
from policies.sql.not_understood import NotUnderstood

UNNAMED: Final = ""
"""The name of an output that the server names after its text: by it nothing is found here."""

_START: Final = attrgetter("start")


def fold(name: str) -> str:
    """A column's name as it is compared: in any case."""
    return name.lower() if name.isascii() else name.casefold()


def relation_shape(relation: Relation) -> Shape:
    """The columns of a relation in the order that `*` gives them, under their folded names."""
    ordered = sorted(relation.columns, key=lambda column: column.number)
    return exact_shape(Output(fold(c.name), stored(relation, c.labels)) for c in ordered)


def hidden_columns(relation: Relation | None) -> frozenset[str]:
    """The folded names of the columns that `*` leaves out."""
    columns = () if relation is None else relation.columns
    return frozenset(fold(column.name) for column in columns if column.hidden)


class MySqlFindings(Findings):
    """Findings of one statement; `read` has passed the gate."""

    def __init__(self, catalog: Catalog, read: Text) -> None:
        super().__init__(catalog, read.text.encode())
        self._read = read
        self._folded: set[str] = set()

    def span(self, location: int | None) -> tuple[int, int] | None:
        """The byte range of the dotted name, or of the token, that begins at a character."""
        if location is None:
            return None
        tokens = self._read.tokens
        index = bisect_left(tokens, location, key=_START)
        begins = index < len(tokens) and tokens[index].start == location
        end = self._name_end(index) if begins else location + 1
        return self._read.place(location), self._read.place(min(end, len(self._read.text)))

    def touch(self, relation: Relation, verb: str, column: str) -> None:
        """The statement touches a column, given in any case."""
        known = self._uses.get((relation.name, verb))
        if known is not None and column in known.columns:
            return
        # Most are written as the catalog has them.
        if not any(c.name == column for c in relation.columns):
            named = (c.name for c in relation.columns if fold(c.name) == fold(column))
            column = next(named, ALL_COLUMNS)
        names.refuse_code(relation, column)
        super().touch(relation, verb, column)

    def note_names(self, *names: str) -> None:
        """Folded names that stand in the statement, or that a relation in it offers."""
        self._folded.update(names)

    def refuse_alike_names(self) -> None:
        """The server may take `é` for `e` in names; which column it takes can't be told then."""
        if all(name.isascii() for name in self._folded):
            return
        alike = {_skeleton(name) for name in self._folded}
        if len(alike) < len(self._folded):
            raise NotUnderstood("COLUMN_UNKNOWN", "names differ in accents only")

    def _name_end(self, index: int) -> int:
        tokens = self._read.tokens
        while index + 2 < len(tokens) and self._is_dot(index + 1):
            if tokens[index + 2].kind not in (Kind.WORD, Kind.NAME):
                break
            index += 2
        return tokens[index].end

    def _is_dot(self, index: int) -> bool:
        token = self._read.tokens[index]
        return token.kind is Kind.SIGN and token.value == "."


def _skeleton(name: str) -> str:
    split = unicodedata.normalize("NFKD", name)
    return "".join(c for c in split if not unicodedata.combining(c)).casefold()
