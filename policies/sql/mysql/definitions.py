"""DDL and TRUNCATE of MySQL, as far as policy needs: which objects are made, changed, dropped.

Options that name files, other servers or other tables, partitions, temporary tables (they hide
others) and code (procedures, triggers, events) are not understood.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from policies.sql.catalog import Column, Relation
from policies.sql.facts import TableName
from policies.sql.lineage import single, union
from policies.sql.mysql import names
from policies.sql.mysql.changes import ChangeWalker
from policies.sql.mysql.cursor import Cursor, Named, find, split
from policies.sql.mysql.findings import fold, relation_shape
from policies.sql.mysql.lexer import Kind, Token
from policies.sql.mysql.scopes import Level
from policies.sql.mysql.steps import unclear
from policies.sql.mysql.tree import children

_ENGINES: Final = frozenset({"innodb", "myisam", "aria", "memory"})
_OPTIONS: Final = frozenset({"CHARSET", "COLLATE", "COMMENT", "AUTO_INCREMENT", "ROW_FORMAT"})
_INDEXES: Final = frozenset(
    {"INDEX", "KEY", "UNIQUE", "PRIMARY", "FULLTEXT", "SPATIAL", "CONSTRAINT", "FOREIGN", "CHECK"}
)
# Inside a column's or an index's definition: they reach past it.
_REFUSED: Final = frozenset(
    {"SELECT", "PARTITION", "TABLESPACE", "DIRECTORY", "CONNECTION", "UNION", "EXCHANGE", "SYSTEM"}
)
_WITH_VALUE: Final = frozenset({"CHECK", "AS", "DEFAULT"})


class DefinitionWalker:
    """Walks definitions, with a ChangeWalker for the expressions and queries inside."""

    def __init__(self, walker: ChangeWalker) -> None:
        self._walker = walker
        self._findings = walker.findings
        self._catalog = walker.catalog
        self._walks: Mapping[str, Callable[[Cursor], None]] = {
            "CREATE": self._create,
            "DROP": self._drop,
            "ALTER": self._alter,
            "TRUNCATE": self._truncate,
            "RENAME": self._rename,
        }

    def define(self, cursor: Cursor) -> bool:
        """Walks the definition at the cursor; False when there is none."""
        walk = self._walks.get(cursor.word())
        if walk is None:
            return False
        cursor.index += 1
        walk(cursor)
        cursor.expect_end()
        return True

    def _create(self, cursor: Cursor) -> None:
        if cursor.skip("TABLE"):
            self._create_table(cursor)
        elif cursor.skip("VIEW") or cursor.skip("OR", "REPLACE", "VIEW"):
            self._create_view(cursor)
        elif cursor.skip("DATABASE") or cursor.skip("SCHEMA"):
            cursor.skip("IF", "NOT", "EXISTS")
            self._findings.kinds.add("create_schema")
            self._use_database(cursor)
            self._options(cursor)
        else:
            cursor.skip_any(frozenset({"UNIQUE", "FULLTEXT", "SPATIAL"}))
            cursor.expect("INDEX")
            self._create_index(cursor)

    def _create_table(self, cursor: Cursor) -> None:
        self._findings.kinds.add("create_table")
        cursor.skip("IF", "NOT", "EXISTS")
        named = cursor.relation()
        if cursor.skip("LIKE"):
            self._new(named, "r", ())
            self._existing(cursor.relation())
            return
        elements: list[tuple[int, int]] = []
        if cursor.sign() == "(":
            elements = list(split(cursor.text, *cursor.bracketed()))
        relation = self._new(named, "r", tuple(_column_names(cursor, elements)))
        for start, stop in elements:
            self._element(Cursor(cursor.text, start, stop), relation)
        self._options(cursor)
        cursor.skip("AS")
        if not cursor.at_end:
            self._filled(cursor)

    def _filled(self, cursor: Cursor) -> None:
        """The query of CREATE TABLE … AS and CREATE VIEW … AS."""
        tree = self._walker.parse((cursor.index, cursor.stop))
        self._findings.copy_out(self._walker.query(tree, Level()).lineage)
        cursor.index = cursor.stop

    def _create_view(self, cursor: Cursor) -> None:
        self._findings.kinds.add("create_view")
        named = cursor.relation()
        known = names.find_relation(self._catalog, named.database, named.name)
        self._new(named, "v", ())
        if known is not None:
            self._existing(named)
        if cursor.sign() == "(":
            cursor.bracketed()
        cursor.expect("AS")
        checked = find(cursor.text, cursor.index, cursor.stop, "CHECK", "OPTION")
        if checked is not None:
            raise unclear("WITH CHECK OPTION", cursor.text.tokens[checked].start)
        self._filled(cursor)

    def _create_index(self, cursor: Cursor) -> None:
        self._findings.kinds.add("create_index")
        cursor.name()
        cursor.expect("ON")
        relation = self._redefined(cursor.relation())
        self._values_in(Cursor(cursor.text, *cursor.bracketed()), relation)

    def _drop(self, cursor: Cursor) -> None:
        kind = cursor.word()
        cursor.index += 1
        if kind in ("DATABASE", "SCHEMA"):
            cursor.skip("IF", "EXISTS")
            self._findings.kinds.add("drop_schema")
            self._drop_database(cursor)
        elif kind == "INDEX":
            self._findings.kinds.add("drop_index")
            cursor.name()
            cursor.expect("ON")
            self._existing(cursor.relation())
        elif kind in ("TABLE", "VIEW"):
            cursor.skip("IF", "EXISTS")
            self._findings.kinds.add(f"drop_{kind.lower()}")
            for named in cursor.relations():
                self._existing(named)
            cursor.skip_any(frozenset({"RESTRICT", "CASCADE"}))
        else:
            raise unclear(f"DROP {kind}".strip(), cursor.location)

    def _drop_database(self, cursor: Cursor) -> None:
        database = self._use_database(cursor)
        for relation in self._catalog.relations.values():
            if self._walker.columns.key(relation.name.schema) == self._walker.columns.key(database):
                self._findings.use(relation, "ddl")

    def _use_database(self, cursor: Cursor) -> str:
        """A database stands as a relation without a name, which no relation can have."""
        token = cursor.name()
        database = names.check_database(token.value, token.start)
        self._findings.use(Relation(TableName(database, ""), 0, "n"), "ddl", token.start)
        return database

    def _truncate(self, cursor: Cursor) -> None:
        self._findings.kinds.add("truncate")
        cursor.skip("TABLE")
        named = cursor.relation()
        relation = names.resolve_relation(self._catalog, named)
        names.writable(relation, location=named.location)
        self._findings.write(relation, "truncate", named.location)

    def _rename(self, cursor: Cursor) -> None:
        self._findings.kinds.add("rename")
        cursor.expect("TABLE")
        while True:
            self._move(self._redefined(cursor.relation()))
            cursor.expect("TO")
            self._new(cursor.relation(), "r", ())
            if not cursor.skip_sign(","):
                return

    def _alter(self, cursor: Cursor) -> None:
        self._findings.kinds.add("alter_table")
        cursor.expect("TABLE")
        relation = self._redefined(cursor.relation())
        for start, stop in split(cursor.text, cursor.index, cursor.stop):
            self._alteration(Cursor(cursor.text, start, stop), relation)
        cursor.index = cursor.stop

    def _alteration(self, cursor: Cursor, relation: Relation) -> None:
        verb = cursor.word()
        cursor.index += 1
        match verb:
            case "ADD" | "MODIFY" | "CHANGE":
                if verb == "CHANGE" or cursor.word() not in _INDEXES:
                    cursor.skip("COLUMN")
                    cursor.skip("IF", "NOT", "EXISTS")
                if verb == "CHANGE":
                    self._move(relation, cursor.name())
                self._element(cursor, relation)
            case "DROP" | "ALTER":
                self._values_in(cursor, relation)
            case "RENAME" if cursor.skip("COLUMN"):
                self._move(relation, cursor.name())
                self._values_in(cursor, relation)
            case "RENAME" if cursor.word() in ("INDEX", "KEY"):
                self._values_in(cursor, relation)
            case "RENAME":
                self._move(relation)
                cursor.skip_any(frozenset({"TO", "AS"}))
                self._new(cursor.relation(), "r", ())
                cursor.expect_end()
            case _:
                raise unclear(f"ALTER TABLE … {verb}".strip(), cursor.location)

    def _element(self, cursor: Cursor, relation: Relation) -> None:
        """A column or an index: what it names besides, and the expressions in it."""
        referred = find(cursor.text, cursor.index, cursor.stop, "REFERENCES")
        if referred is not None:
            self._redefined(Cursor(cursor.text, referred + 1, cursor.stop).relation())
        self._values_in(cursor, relation)

    def _values_in(self, cursor: Cursor, relation: Relation) -> None:
        """Walks what CHECK (…), AS (…) and DEFAULT (…) hold; other brackets hold names only."""
        while not cursor.at_end:
            if cursor.word() in _REFUSED:
                raise unclear(cursor.word(), cursor.location)
            if cursor.sign() != "(":
                cursor.index += 1
                continue
            before = cursor.text.tokens[cursor.index - 1].word
            start, stop = cursor.bracketed()
            if before in _WITH_VALUE or cursor.text.tokens[start].value == "(":
                self._value(start, stop, relation)
            else:
                _check_names(Cursor(cursor.text, start, stop))

    def _value(self, start: int, stop: int, relation: Relation) -> None:
        tree = self._walker.parse("SELECT", (start, stop))
        items = single(self._walker.source_of(relation, None, verb="select"))
        scope = Level().over(items)
        lineage = self._walker.every(children(tree, "expressions"), scope)
        self._findings.copy_out(lineage)

    def _options(self, cursor: Cursor) -> None:
        """Table options that stay in the table: engine, character set, comment and the like."""
        while not cursor.at_end:
            cursor.skip_sign(",")
            cursor.skip("DEFAULT")
            if cursor.skip("ENGINE"):
                cursor.skip_sign("=")
                token = cursor.name()
                if token.value.lower() not in _ENGINES:
                    raise unclear("this ENGINE", token.start)
            elif cursor.skip("CHARACTER", "SET") or cursor.word() in _OPTIONS:
                cursor.index += cursor.word() in _OPTIONS
                cursor.skip_sign("=")
                cursor.index += 1
            else:
                return

    def _existing(self, named: Named) -> Relation:
        relation = names.resolve_relation(self._catalog, named)
        names.check_database(relation.name.schema, named.location)
        self._findings.use(relation, "ddl", named.location)
        return relation

    def _redefined(self, named: Named) -> Relation:
        relation = self._existing(named)
        self._findings.redefine(relation)
        return relation

    def _move(self, relation: Relation, column: Token | None = None) -> None:
        """Labels were given by a name that is no more: what they are of lies elsewhere after that.

        `column`: the one that is renamed; without it the relation is.
        """
        moved = None if column is None else fold(column.value)
        outputs = relation_shape(relation).outputs
        kept = (output.lineage for output in outputs if moved in (None, output.name))
        self._findings.copy_out(union(kept))

    def _new(self, named: Named, kind: str, columns: tuple[str, ...]) -> Relation:
        database = names.database_in_use(self._catalog, named)
        numbered = tuple(Column(name, i, "") for i, name in enumerate(columns, start=1))
        relation = Relation(TableName(database, named.name), 0, kind, numbered)
        self._findings.use(relation, "ddl", named.location)
        return relation


def _column_names(cursor: Cursor, elements: list[tuple[int, int]]) -> Iterator[str]:
    for start, stop in elements:
        element = Cursor(cursor.text, start, stop)
        if element.word() not in _INDEXES:
            yield fold(element.name().value)


def _check_names(cursor: Cursor) -> None:
    """The inside of a bracket with types' sizes, columns, enumerated values."""
    while not cursor.at_end:
        token = cursor.token
        listed = cursor.sign() in (",", "(", ")")
        if token is None or (token.kind in (Kind.SIGN, Kind.VARIABLE) and not listed):
            raise cursor.surprise()
        cursor.index += 1
