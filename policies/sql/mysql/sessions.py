"""SET, USE and transactions of MySQL, by small grammars of what is understood."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from policies.sql.facts import SqlEffect
from policies.sql.mysql import names
from policies.sql.mysql.absorbed import Absorbed, is_absorbed
from policies.sql.mysql.cursor import Cursor
from policies.sql.mysql.findings import MySqlFindings
from policies.sql.mysql.lexer import Kind, Token
from policies.sql.mysql.steps import unclear
from policies.sql.mysql.variables import HARMLESS_MODES, READABLE, SETTABLE
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
_OF_READING: Final = frozenset({"sql_mode", "character_set_results"})
_INTRODUCERS: Final = frozenset({"_UTF8MB4", "_UTF8"})
_TIME_LIMIT: Final = "max_statement_time"
_CONSTANTS: Final = frozenset({"DEFAULT", "ON", "OFF", "TRUE", "FALSE", "NULL"})
_ISOLATIONS: Final = (
    ("READ", "COMMITTED"),
    ("READ", "UNCOMMITTED"),
    ("REPEATABLE", "READ"),
    ("SERIALIZABLE",),
)


class SessionWalker:
    """Walks statements that set up the session, or the transaction."""

    def __init__(self, findings: MySqlFindings) -> None:
        self._findings = findings
        self._absorbed: set[str] = set()

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
        location, effects = cursor.location, [self._assignment(cursor)]
        while cursor.skip_sign(","):
            effects.append(self._assignment(cursor))
        cursor.expect_end()
        if self._absorbed and len(self._absorbed) < len(effects):
            raise unclear("this setting with others; alone it", location)
        if self._absorbed:
            raise Absorbed(frozenset(self._absorbed), location)
        if len(set(effects)) > 1:
            raise unclear("autocommit with other settings")
        return effects[0]

    def set_for_one(self, cursor: Cursor) -> None:
        """SET STATEMENT name = constant, … FOR: settings of the one statement that follows.

        It may give itself another time limit than the server's, but not none. Policy's own is
        watched by the gateway, whatever the server's.
        """
        self._findings.kinds.add("set")
        while True:
            token = cursor.name()
            name = token.value.lower()
            cursor.expect_sign("=")
            value = cursor.token
            _constant(cursor)
            if name not in SETTABLE and not (name == _TIME_LIMIT and _is_positive(value)):
                raise _not_settable(token)
            if not cursor.skip_sign(","):
                cursor.expect("FOR")
                return

    def use(self, cursor: Cursor) -> None:
        """USE: from then on names without a database mean that one's relations."""
        self._findings.kinds.add("use")
        token = cursor.name()
        names.check_database(token.value, token.start)
        cursor.expect_end()

    def transaction(self, cursor: Cursor) -> None:
        self._findings.kinds.add(_transaction(cursor))
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
            if _is_global(cursor, token):
                raise _not_settable(token)
        else:
            cursor.skip_any(frozenset({"SESSION", "LOCAL"}))
            token = cursor.name()
        name = token.value.lower()
        cursor.expect_sign("=")
        if is_absorbed(name, cursor.token):
            cursor.index += 1
            if name in self._absorbed:
                raise unclear("a setting that is set twice", token.start)
            self._absorbed.add(name)
            return SqlEffect.SESSION
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


def _is_global(cursor: Cursor, variable: Token) -> bool:
    """Of the server, and not of the session, for which the gateway has set what it reads by."""
    return cursor.text.text[variable.start : variable.end].lower().startswith("@@global")


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


def _is_positive(token: Token | None) -> bool:
    digits = "" if token is None or token.kind is not Kind.NUMBER else token.value
    return digits.replace(".", "", 1).isdecimal() and float(digits) > 0


def _is_among(cursor: Cursor, name: str) -> bool:
    """Passes a value: a list of those that `name` may have, or one put behind what it has."""
    if cursor.skip("CONCAT"):
        cursor.expect_sign("(")
        before = cursor.take(Kind.VARIABLE)
        cursor.expect_sign(",")
        cursor.skip_any(_INTRODUCERS)
        listed = cursor.take(Kind.STRING).value
        cursor.expect_sign(")")
        same = before.value == name and listed.startswith(",")
        same = same and not (name in _OF_READING and _is_global(cursor, before))
        return same and _are_among(listed[1:], name)
    token = cursor.token
    cursor.index += 1
    plain = token is not None and token.kind in (Kind.STRING, Kind.NUMBER, Kind.WORD)
    return plain and token is not None and _are_among(token.value, name)


def _are_among(listed: str, name: str) -> bool:
    return all(item.strip().lower() in _VALUES[name] for item in listed.split(","))


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
