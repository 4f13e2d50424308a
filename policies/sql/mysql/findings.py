"""What an analysis has found so far in a MySQL statement: names fold, and places are characters."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from dataclasses import replace
from operator import attrgetter
from typing import Final

from policies.sql.catalog import Catalog, Column, Relation
from policies.sql.facts import SqlEffect, SqlFacts
from policies.sql.findings import ALL_COLUMNS, Findings
from policies.sql.lineage import Lineage, Output, Shape, Source, exact_shape, stored
from policies.sql.mysql.gate import Text
from policies.sql.mysql.lexer import Kind
from policies.sql.not_understood import NotUnderstood
from policies.sql.server_secrets import SERVER_SECRET

UNNAMED: Final = ""
"""The name of an output that the server names after its text: by it nothing is found here."""

SELECT_LIST: Final = Source("", exact_shape(()))
"""Where an alias is referred to: an output's value, wherever that comes from."""

_START: Final = attrgetter("start")


def fold(name: str) -> str:
    """A column's name as it is compared: in any case."""
    return name.lower() if name.isascii() else name.casefold()


def relation_shape(relation: Relation) -> Shape:
    """The columns of a relation in the order that `*` gives them, under their folded names."""
    ordered = sorted(relation.columns, key=lambda column: column.number)
    return exact_shape(Output(fold(c.name), _stored(relation, c)) for c in ordered)


def _stored(relation: Relation, column: Column) -> Lineage:
    lineage = stored(relation, column.labels)
    return replace(lineage, origin=(relation.name, column.name)) if column.labels else lineage


def hidden_columns(relation: Relation | None) -> frozenset[str]:
    """The folded names of the columns that `*` leaves out."""
    columns = () if relation is None else relation.columns
    return frozenset(fold(column.name) for column in columns if column.hidden)


class MySqlFindings(Findings):
    """Findings of one statement; `read` has passed the gate.

    `secrets` counts how often a value with the label of the server's secrets was referred to.
    """

    def __init__(self, catalog: Catalog, read: Text) -> None:
        super().__init__(catalog, read.text.encode())
        self._read = read
        self._folded: set[str] = set()
        self.secrets = 0

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

    def refer_to_alias(self, lineage: Lineage) -> Lineage:
        """An output of the same query is referred to by its name: in HAVING, or a sorting key."""
        return self._note(SELECT_LIST, lineage)

    def show_secrets(self) -> None:
        """Values are shown among which may be passwords, in no column of a relation."""
        self._more_labels.add(SERVER_SECRET)

    def refuse_secrets_since(self, count: int) -> None:
        """Refuses what makes another value of a secret: the server's warnings would quote it."""
        if self.secrets > count:
            raise _withheld("a column with secrets of the server is only shown as it is: masked")

    def facts(self, effect: SqlEffect, shape: Shape) -> SqlFacts:
        """All of it, unless a secret of the server decides about anything, or goes anywhere."""
        found = super().facts(effect, shape)
        decides = (found.labels_compared, found.labels_filtered, found.labels_matched)
        used = found.labels_copied.union(*decides)
        if effect is not SqlEffect.READ:
            used |= found.labels_read
        if SERVER_SECRET in used:
            raise _withheld("a column with secrets of the server decides about rows, or is copied")
        known = enumerate(output.lineage.copied for output in shape.outputs[: shape.certain])
        stored_in = tuple((index, *origin) for index, origin in known if origin is not None)
        return replace(found, stored_outputs=stored_in)

    def _note(self, source: Source, lineage: Lineage) -> Lineage:
        self.secrets += any(label == SERVER_SECRET for _, label in lineage.carried)
        return super()._note(source, lineage)

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


def _withheld(reason: str) -> NotUnderstood:
    return NotUnderstood("RELATION_SENSITIVE", reason)


def _skeleton(name: str) -> str:
    split = unicodedata.normalize("NFKD", name)
    return "".join(c for c in split if not unicodedata.combining(c)).casefold()
