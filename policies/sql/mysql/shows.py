"""SHOW, DESCRIBE and HELP of MySQL: definitions, settings and counts, by small grammars."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from policies.sql.catalog import Catalog, Relation
from policies.sql.facts import TableName
from policies.sql.mysql import names
from policies.sql.mysql.conditions import plain_condition
from policies.sql.mysql.cursor import Cursor, Named
from policies.sql.mysql.findings import MySqlFindings
from policies.sql.mysql.lexer import Kind
from policies.sql.mysql.shown_variables import are_harmless
from policies.sql.mysql.steps import unclear
from policies.sql.mysql.system import INFORMATION_SCHEMA

# Where information_schema has the code that SHOW CREATE shows.
_CODE: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "FUNCTION": ("ROUTINES", "ROUTINE_DEFINITION"),
        "PROCEDURE": ("ROUTINES", "ROUTINE_DEFINITION"),
        "TRIGGER": ("TRIGGERS", "ACTION_STATEMENT"),
        "EVENT": ("EVENTS", "EVENT_DEFINITION"),
    }
)
# Plans and lists of definitions have fewer columns than this.
ALL_CLEAN: Final = frozenset(range(32))
_NAMES_ALONE: Final = frozenset({0})
_DEFINES: Final = frozenset({16, 17})  # Create_options and Comment of SHOW TABLE STATUS
# Code may quote values of tables. It is shown, as PostgreSQL's is, past the recognizers.
_PROVEN_NOTHING: Final = frozenset[int]()
_LISTS: Final = (
    ("CHARACTER", "SET"),
    ("CHARSET",),
    ("COLLATION",),
    ("FUNCTION", "STATUS"),
    ("PROCEDURE", "STATUS"),
    ("PACKAGE", "STATUS"),
    ("PACKAGE", "BODY", "STATUS"),
    ("STATUS",),
    ("DATABASES",),
    ("SCHEMAS",),
)
_PLAIN: Final = (("ENGINES",), ("STORAGE", "ENGINES"), ("PLUGINS",), ("PRIVILEGES",))


class ShowWalker:
    """Walks what shows; of tables that is their definition.

    `clean`: the columns of it that hold no value of a table's, nor any secret.
    """

    def __init__(self, findings: MySqlFindings) -> None:
        self._findings = findings
        self.clean = ALL_CLEAN

    @property
    def _catalog(self) -> Catalog:
        return self._findings.catalog

    def show(self, cursor: Cursor) -> None:
        """SHOW; a WHERE of it would run functions and subqueries, so it is a plain one or none."""
        self._findings.kinds.add("show")
        if any(cursor.skip(*words) for words in _PLAIN):
            cursor.expect_end()
            return
        cursor.skip_any(frozenset({"EXTENDED", "FULL", "GLOBAL", "SESSION", "LOCAL"}))
        match cursor.word():
            case "TABLES" | "EVENTS":
                cursor.index += 1
                self._from_database(cursor)
            case "TRIGGERS":
                self._show_code("TRIGGER")
                cursor.index += 1
                self._from_database(cursor)
            case "TABLE" if cursor.word(1) == "STATUS":
                cursor.index += 2
                self._table_status(cursor)
            case "COLUMNS" | "FIELDS" | "INDEX" | "INDEXES" | "KEYS":
                cursor.index += 1
                self._from_relation(cursor)
            case "CREATE":
                cursor.index += 1
                self._show_create(cursor)
            case "VARIABLES":
                cursor.index += 1
                self._variables(cursor)
                cursor.expect_end()
                return
            case _ if any(cursor.skip(*words) for words in _LISTS):
                pass
            case word:
                raise unclear(f"SHOW {word}".strip(), cursor.location)
        _pattern(cursor)
        cursor.expect_end()

    def warnings(self, cursor: Cursor) -> bool:
        """SHOW WARNINGS and SHOW ERRORS; their messages quote values of whatever ran before."""
        if not (cursor.skip("SHOW", "WARNINGS") or cursor.skip("SHOW", "ERRORS")):
            return False
        cursor.expect_end()
        self._findings.kinds.add("show")
        self._findings.call_unknown_code()
        return True

    def describe(self, cursor: Cursor) -> None:
        """DESCRIBE table [column | pattern]."""
        self._findings.kinds.add("show")
        self._shown(cursor.relation())
        if not cursor.at_end:
            cursor.index += 1
        cursor.expect_end()

    def _from_database(self, cursor: Cursor) -> None:
        """Names of relations are in information_schema too, for every database."""
        if cursor.skip("FROM") or cursor.skip("IN"):
            cursor.name()

    def _table_status(self, cursor: Cursor) -> None:
        """With tables of other servers their logins are masked, and nothing is found by them."""
        self._from_database(cursor)
        if names.has_foreign_tables(self._catalog):
            if cursor.word() == "WHERE":
                raise cursor.surprise()
            self._findings.show_secrets()
            self.clean = ALL_CLEAN - _DEFINES

    def _from_relation(self, cursor: Cursor) -> None:
        if not (cursor.skip("FROM") or cursor.skip("IN")):
            raise cursor.surprise()
        named = cursor.relation()
        if cursor.skip("FROM") or cursor.skip("IN"):
            if named.database is not None:
                raise unclear("a database named twice", named.location)
            named = Named(cursor.name().value, named.name, named.location)
        self._shown(named)

    def _show_create(self, cursor: Cursor) -> None:
        if cursor.skip("DATABASE") or cursor.skip("SCHEMA"):
            cursor.skip("IF", "NOT", "EXISTS")
            token = cursor.name()
            names.check_database(token.value, token.start)
        elif cursor.skip("TABLE") or cursor.skip("VIEW"):
            relation = self._shown(cursor.relation())
            if relation.kind == "f" or not relation.columns:
                # The definition of a foreign table tells how to log in to another server; one
                # that is not known may have become one since.
                self._withhold_values()
        elif cursor.word() in _CODE:
            self._show_code(cursor.word())
            cursor.index += 1
            named = cursor.relation()
            names.database_in_use(self._catalog, named)
        else:
            raise unclear(f"SHOW CREATE {cursor.word()}".strip(), cursor.location)

    def _show_code(self, of: str) -> None:
        """Policy is asked as if it were read from information_schema."""
        name, column = _CODE[of]
        known = names.find_relation(self._catalog, INFORMATION_SCHEMA, name)
        unread = Relation(TableName(INFORMATION_SCHEMA, name), 0, "v")
        self._findings.touch(known or unread, "select", column)
        self.clean = _PROVEN_NOTHING

    def _shown(self, named: Named) -> Relation:
        relation = names.describable(self._catalog, named)
        self._findings.use(relation, "select", named.location)
        return relation

    def _withhold_values(self) -> None:
        self._findings.show_secrets()
        self.clean = _NAMES_ALONE

    def _variables(self, cursor: Cursor) -> None:
        if not are_harmless(cursor):
            self._withhold_values()

    def help(self, cursor: Cursor) -> None:
        """HELP 'topic': from the server's own help tables."""
        self._findings.kinds.add("show")
        token = cursor.token
        if token is None or token.kind not in (Kind.STRING, Kind.WORD, Kind.NAME):
            raise cursor.surprise()
        cursor.index += 1
        cursor.expect_end()


def _pattern(cursor: Cursor) -> None:
    if cursor.skip("LIKE"):
        cursor.take(Kind.STRING)
    elif cursor.skip("WHERE"):
        if cursor.at_end:
            raise cursor.surprise()
        plain_condition(cursor)
