"""SHOW, SET, USE and transactions of MySQL, by small grammars of what is understood."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from policies.sql.catalog import Catalog
from policies.sql.facts import SqlEffect
from policies.sql.mysql import names
from policies.sql.mysql.conditions import only_named, plain_condition
from policies.sql.mysql.cursor import Cursor, Named
from policies.sql.mysql.findings import MySqlFindings
from policies.sql.mysql.lexer import Kind, Token
from policies.sql.mysql.steps import unclear
from policies.sql.mysql.variables import HARMLESS_MODES, READABLE, SETTABLE, WITHHELD
from policies.sql.not_understood import NotUnderstood

_CHARSETS: Final = frozenset({"utf8mb4", "utf8"})
# The settings of which some values alone may be set: no mode among these changes how text is read,
# and no set of characters but the gateway's comes back.
_VALUES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "sql_mode": HARMLESS_MODES,
        "sql_quote_show_create": frozenset({"1", "on"}),
        "character_set_results": _CHARSETS,
        "session_track_system_variables": READABLE,
    }
)
_CONSTANTS: Final = frozenset({"DEFAULT", "ON", "OFF", "TRUE", "FALSE", "NULL"})
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
_ISOLATIONS: Final = (
    ("READ", "COMMITTED"),
    ("READ", "UNCOMMITTED"),
    ("REPEATABLE", "READ"),
    ("SERIALIZABLE",),
)


class SessionWalker:
    """Walks statements about the session; what it reads of tables is their definition."""

    def __init__(self, findings: MySqlFindings) -> None:
        self._findings = findings

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
            case "TABLE" if cursor.word(1) == "STATUS":
                cursor.index += 2
                self._from_database(cursor)
            case "COLUMNS" | "FIELDS" | "INDEX" | "INDEXES" | "KEYS":
                cursor.index += 1
                self._from_relation(cursor)
            case "CREATE":
                cursor.index += 1
                self._show_create(cursor)
            case "VARIABLES":
                cursor.index += 1
                self._variables(cursor)
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

    def set(self, cursor: Cursor) -> SqlEffect:
        self._findings.kinds.add("set")
        if cursor.skip("NAMES"):
            _names(cursor)
            return SqlEffect.SESSION
        scoped = cursor.skip("SESSION") or cursor.skip("LOCAL")
        if cursor.skip("TRANSACTION"):
            _characteristics(cursor)
            return SqlEffect.SESSION
        cursor.index -= scoped
        effects = [self._assignment(cursor)]
        while cursor.skip_sign(","):
            effects.append(self._assignment(cursor))
        cursor.expect_end()
        if len(set(effects)) > 1:
            raise unclear("autocommit with other settings")
        return effects[0]

    def use(self, cursor: Cursor) -> None:
        """USE: from then on names without a database mean that one's relations."""
        self._findings.kinds.add("use")
        token = cursor.name()
        names.check_database(token.value, token.start)
        cursor.expect_end()

    def transaction(self, cursor: Cursor) -> None:
        self._findings.kinds.add(_transaction(cursor))
        cursor.expect_end()

    def _from_database(self, cursor: Cursor) -> None:
        """Names of relations are in information_schema too, for every database."""
        if cursor.skip("FROM") or cursor.skip("IN"):
            cursor.name()

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
            self._shown(cursor.relation())
        else:
            raise unclear(f"SHOW CREATE {cursor.word()}".strip(), cursor.location)

    def _shown(self, named: Named) -> None:
        relation = names.resolve_relation(self._catalog, named)
        self._findings.use(relation, "select", named.location)

    def _variables(self, cursor: Cursor) -> None:
        if cursor.word() == "WHERE":
            only_named(cursor)
        elif cursor.word() != "LIKE" or cursor.stop - cursor.index != 2:
            raise NotUnderstood(
                "SETTING_NOT_ALLOWED", "SHOW VARIABLES without LIKE shows all", cursor.location
            )
        for token in cursor.text.tokens[cursor.index : cursor.stop]:
            if token.kind is Kind.STRING and _takes_in_withheld(token.value):
                raise NotUnderstood(
                    "SETTING_NOT_ALLOWED", "the pattern takes in a withheld setting", token.start
                )

    def help(self, cursor: Cursor) -> None:
        """HELP 'topic': from the server's own help tables."""
        self._findings.kinds.add("show")
        token = cursor.token
        if token is None or token.kind not in (Kind.STRING, Kind.WORD, Kind.NAME):
            raise cursor.surprise()
        cursor.index += 1
        cursor.expect_end()

    def unlock(self, cursor: Cursor) -> None:
        """UNLOCK TABLES: there is none to unlock, as LOCK TABLES is not understood."""
        self._findings.kinds.add("unlock")
        cursor.skip_any(frozenset({"TABLE", "TABLES"}))
        cursor.expect_end()

    def _assignment(self, cursor: Cursor) -> SqlEffect:
        if cursor.skip("NAMES"):
            _charset(cursor)
            return SqlEffect.SESSION
        token = cursor.token
        if token is not None and token.kind is Kind.VARIABLE:
            cursor.index += 1
            if cursor.text.text[token.start : token.end].lower().startswith("@@global"):
                raise _not_settable(token)
        else:
            cursor.skip_any(frozenset({"SESSION", "LOCAL"}))
            token = cursor.name()
        name = token.value.lower()
        cursor.expect_sign("=")
        if name in _VALUES:
            if not _is_among(cursor, name):
                raise _not_settable(token)
            return SqlEffect.SESSION
        _constant(cursor)
        if name == "autocommit":
            return SqlEffect.TRANSACTION
        if name not in SETTABLE:
            raise _not_settable(token)
        return SqlEffect.SESSION


def _not_settable(token: Token) -> NotUnderstood:
    return NotUnderstood(
        "SETTING_NOT_ALLOWED", f"the setting {token.value} may not be set", token.start
    )


def _constant(cursor: Cursor) -> None:
    cursor.skip_sign("-")
    token = cursor.token
    plain = token is not None and token.kind in (Kind.STRING, Kind.NUMBER)
    if not plain and cursor.word() not in _CONSTANTS:
        raise unclear("a value that is no constant", cursor.location)
    cursor.index += 1


def _is_among(cursor: Cursor, name: str) -> bool:
    """Passes a value: a list of those that `name` may have, or one put behind what it has."""
    if cursor.skip("CONCAT"):
        cursor.expect_sign("(")
        before = cursor.take(Kind.VARIABLE)
        cursor.expect_sign(",")
        listed = cursor.take(Kind.STRING).value
        cursor.expect_sign(")")
        same = before.value == name and listed.startswith(",")
        return same and _are_among(listed[1:], name)
    token = cursor.token
    cursor.index += 1
    plain = token is not None and token.kind in (Kind.STRING, Kind.NUMBER, Kind.WORD)
    return plain and token is not None and _are_among(token.value, name)


def _are_among(listed: str, name: str) -> bool:
    return all(item.strip().lower() in _VALUES[name] for item in listed.split(","))


def _takes_in_withheld(pattern: str) -> bool:
    return any(_like(pattern).fullmatch(name) for name in WITHHELD)


def _names(cursor: Cursor) -> None:
    _charset(cursor)
    cursor.expect_end()


def _charset(cursor: Cursor) -> None:
    _one_of(cursor, _CHARSETS)
    if cursor.skip("COLLATE"):
        token = cursor.token
        prefix = "" if token is None else token.value.lower().split("_")[0]
        if prefix not in _CHARSETS:
            raise NotUnderstood("SQL_CHARSET", "only collations of utf8mb4", cursor.location)
        cursor.index += 1


def _one_of(cursor: Cursor, allowed: frozenset[str]) -> None:
    token = cursor.token
    if token is None or token.value.lower() not in allowed or token.kind is Kind.NAME:
        raise NotUnderstood("SQL_CHARSET", "only utf8mb4 is taken", cursor.location)
    cursor.index += 1


def _characteristics(cursor: Cursor) -> None:
    """Of SET TRANSACTION: isolation levels and READ ONLY, never READ WRITE."""
    while True:
        isolated = cursor.skip("ISOLATION", "LEVEL")
        known = (
            any(cursor.skip(*words) for words in _ISOLATIONS)
            if isolated
            else cursor.skip("READ", "ONLY")
        )
        if not known:
            raise NotUnderstood(
                "SETTING_NOT_ALLOWED",
                "only READ ONLY and isolation levels are understood here",
                cursor.location,
            )
        if not cursor.skip_sign(","):
            cursor.expect_end()
            return


def _transaction(cursor: Cursor) -> str:
    if cursor.skip("BEGIN"):
        cursor.skip("WORK")
        return "begin"
    if cursor.skip("START", "TRANSACTION"):
        cursor.skip("READ", "ONLY")
        cursor.skip("WITH", "CONSISTENT", "SNAPSHOT")
        return "begin"
    if cursor.skip("SAVEPOINT"):
        cursor.name()
        return "savepoint"
    if cursor.skip("RELEASE", "SAVEPOINT"):
        cursor.name()
        return "release"
    ending = cursor.word().lower()
    cursor.index += 1
    cursor.skip("WORK")
    if ending == "rollback" and cursor.skip("TO"):
        cursor.skip("SAVEPOINT")
        cursor.name()
        return "rollback_to"
    cursor.skip("AND", "NO", "CHAIN")
    cursor.skip("NO", "RELEASE")
    return ending


def _pattern(cursor: Cursor) -> None:
    if cursor.skip("LIKE"):
        cursor.take(Kind.STRING)
    elif cursor.skip("WHERE"):
        if cursor.at_end:
            raise cursor.surprise()
        plain_condition(cursor)


def _like(pattern: str) -> re.Pattern[str]:
    parts = re.findall(r"\\.|%|_|[^\\%_]+|\\", pattern, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    escaped = (wild.get(part) or re.escape(part.removeprefix("\\")) for part in parts)
    return re.compile("".join(escaped), re.IGNORECASE | re.DOTALL)
