"""MySQL and MariaDB statements -> facts. What is not understood is opaque, and no input raises."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from policies.sql.catalog import Catalog
from policies.sql.facts import Opaque, SqlEffect, SqlFacts
from policies.sql.lineage import Shape, exact_shape
from policies.sql.mysql import names
from policies.sql.mysql.absorbed import Absorbed
from policies.sql.mysql.administration import Administration, refuse_administration
from policies.sql.mysql.changes import ChangeWalker
from policies.sql.mysql.cursor import Cursor, constant_limit, described
from policies.sql.mysql.definitions import DefinitionWalker
from policies.sql.mysql.findings import MySqlFindings
from policies.sql.mysql.gate import Text, read
from policies.sql.mysql.lexer import Comments, Kind
from policies.sql.mysql.readings import may_hold_versions, read_each_way
from policies.sql.mysql.scopes import Level
from policies.sql.mysql.sessions import SessionWalker
from policies.sql.mysql.shows import ALL_CLEAN, ShowWalker
from policies.sql.mysql.steps import next_step, unclear
from policies.sql.mysql.variables import READABLE
from policies.sql.not_understood import NotUnderstood
from policies.sql.plans import only_read

_LONGEST_REASON: Final = 300
_LEVEL_AND_CODE: Final = frozenset({0, 1})
_NOTHING: Final = exact_shape(())
_CHANGES: Final = frozenset({"INSERT", "REPLACE", "UPDATE", "DELETE"})
_QUERIES: Final = frozenset({"SELECT", "TABLE", "VALUES"})
_TRANSACTIONS: Final = frozenset({"BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"})
_EXPLAINS: Final = frozenset({"EXPLAIN", "DESCRIBE", "DESC"})


def analyse(text: str, catalog: Catalog) -> SqlFacts:
    """The facts about one statement as the server behind `catalog` would run it."""
    if not may_hold_versions(text):
        return _analyse(text, catalog, None)
    try:
        return read_each_way(text, lambda comments: _analyse(text, catalog, comments))
    except NotUnderstood as unknown:
        return _opaque(_unread(text, catalog), unknown)


def _analyse(text: str, catalog: Catalog, comments: Comments | None) -> SqlFacts:
    findings = None
    try:
        found = read(text, comments)
        findings = MySqlFindings(catalog, found)
        facts = _Analysis(findings, found).statement()
        findings.refuse_alike_names()
        return facts
    except NotUnderstood as unknown:
        return _opaque(findings or _unread(text, catalog), unknown)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        # A tree of another shape than tree.py lists: refused, like whatever is not listed there.
        return _opaque(findings or _unread(text, catalog), unclear("this form"))
    except RecursionError:
        deep = NotUnderstood("SQL_TOO_DEEP", "expressions are nested too deep")
        return _opaque(findings or _unread(text, catalog), deep)


def _unread(text: str, catalog: Catalog) -> MySqlFindings:
    """Findings for a text that did not pass the gate; some texts can't even be encoded."""
    shown = "" if any("\ud800" <= character <= "\udfff" for character in text) else text
    return MySqlFindings(catalog, Text(shown, (), {}))


def _opaque(findings: MySqlFindings, unknown: NotUnderstood) -> SqlFacts:
    # Reasons quote names out of the statement, which may be long.
    reason = unknown.reason[:1].upper() + unknown.reason[1:_LONGEST_REASON] + "."
    span = findings.span(unknown.location)
    return SqlFacts(
        effect=SqlEffect.OPAQUE,
        kinds=frozenset(findings.kinds),
        has_where=False,
        opaque=Opaque(unknown.code, reason, _next_step(unknown), span),
        statement_count=unknown.statements,
        absorbed=unknown.settings if isinstance(unknown, Absorbed) else frozenset(),
    )


def _next_step(unknown: NotUnderstood) -> str:
    return unknown.advice if isinstance(unknown, Administration) else next_step(unknown.code)


class _Analysis:
    """One statement, dispatched by its first words."""

    def __init__(self, findings: MySqlFindings, found: Text) -> None:
        self._findings = findings
        self._text = found
        self._walker = ChangeWalker(findings, found)
        self._sessions = SessionWalker(findings)
        self._shows = ShowWalker(findings)

    def statement(self) -> SqlFacts:
        cursor = Cursor(self._text, 0, len(self._text.tokens))
        if cursor.at_end:
            # The server answers it with an error, and runs nothing.
            self._findings.kinds.add("empty")
            return replace(self._facts(SqlEffect.READ, _NOTHING), statement_count=0)
        if cursor.skip("SET", "STATEMENT"):
            return self._with_settings(cursor)
        if cursor.skip("SET"):
            return self._facts(self._sessions.set(cursor), _NOTHING)
        self._check_variables()
        return self._understood(cursor)

    def _understood(self, cursor: Cursor) -> SqlFacts:
        word = cursor.word()
        if _is_query(cursor):
            return self._rows(cursor)
        if word in _EXPLAINS or (word == "ANALYZE" and cursor.word(1) != "TABLE"):
            return self._explain(cursor)
        if word in _TRANSACTIONS:
            self._sessions.transaction(cursor)
            return self._facts(SqlEffect.TRANSACTION, _NOTHING)
        if self._shows.warnings(cursor):
            facts = self._facts(SqlEffect.READ, _NOTHING)
            return replace(facts, clean_outputs=_LEVEL_AND_CODE)
        refuse_administration(cursor)
        if cursor.skip("SHOW"):
            self._shows.show(cursor)
            return self._shown()
        if cursor.skip("HELP"):
            self._shows.help(cursor)
            return self._shown()
        if cursor.skip("UNLOCK"):
            self._sessions.unlock(cursor)
            return self._facts(SqlEffect.SESSION, _NOTHING)
        if cursor.skip("USE"):
            self._sessions.use(cursor)
            return self._facts(SqlEffect.SESSION, _NOTHING)
        if DefinitionWalker(self._walker).define(cursor):
            return self._facts(SqlEffect.DDL, _NOTHING)
        token = cursor.token
        said = "this statement" if token is None else described(token)
        raise unclear(said, cursor.location)

    def _rows(self, cursor: Cursor) -> SqlFacts:
        shape = self._walked(cursor)
        self._findings.kinds.update([] if self._findings.writes else ["select"])
        effect = SqlEffect.WRITE if self._findings.writes else SqlEffect.READ
        return self._facts(effect, shape)

    def _with_settings(self, cursor: Cursor) -> SqlFacts:
        """SET STATEMENT … FOR a query."""
        self._check_variables()
        self._sessions.set_for_one(cursor)
        if not _is_query(cursor):
            raise cursor.surprise()
        facts = self._rows(cursor)
        if self._findings.writes:
            raise unclear("SET STATEMENT for a change")
        return facts

    def _walked(self, cursor: Cursor) -> Shape:
        """Walks a query or a change, with the WITH clause before it."""
        start = cursor.index
        if cursor.word() == "WITH":
            cursor.index = _past_with(cursor)
        if cursor.word() in _CHANGES:
            shape = self._walker.change(cursor, (start, cursor.index))
        else:
            shape = self._walker.outermost(self._walker.parse((start, cursor.stop)), Level())
        self._lock_rows()
        self._findings.limit = constant_limit(self._text, start)
        return shape

    def _lock_rows(self) -> None:
        """FOR UPDATE and its like lock rows: they count as an update of each table that is read."""
        self._findings.locks.update(self._walker.locks.values())
        for location in list(self._walker.locks)[:1]:
            for use in self._findings.tables:
                relation = names.find_relation(
                    self._findings.catalog, use.table.schema, use.table.name
                )
                if relation is None:
                    raise unclear("locking these rows", location)
                names.writable(relation, location=location)
                self._findings.write(relation, "update", None)

    def _explain(self, cursor: Cursor) -> SqlFacts:
        running = cursor.skip("ANALYZE")
        cursor.index += not running
        running |= cursor.skip("ANALYZE")
        cursor.skip_any(frozenset({"EXTENDED", "PARTITIONS"}))
        if cursor.word() == "FORMAT" and cursor.sign(1) == "=":
            cursor.index += 2
            cursor.name()
        running |= cursor.skip("ANALYZE")
        if not _is_query(cursor):
            if running:
                raise unclear("this form of EXPLAIN", cursor.location)
            self._shows.describe(cursor)
            return self._shown()
        self._findings.kinds.add("explain")
        secrets = self._findings.secrets
        self._walked(cursor)
        # SHOW WARNINGS then shows the statement with values of rows that were read for the plan.
        self._findings.refuse_secrets_since(secrets)
        if running and self._findings.writes:
            raise unclear("EXPLAIN ANALYZE of a change, which it would make,")
        return self._plan(running)

    def _plan(self, running: bool) -> SqlFacts:
        """A plan tells of values: the server reads rows to make it, and counts those that ran."""
        facts = only_read(self._facts(SqlEffect.READ, _NOTHING))
        silent = not running and not facts.labels_read
        return replace(facts, clean_outputs=ALL_CLEAN if silent else frozenset(), stored_outputs=())

    def _shown(self) -> SqlFacts:
        """Definitions hold no values."""
        return replace(self._facts(SqlEffect.READ, _NOTHING), clean_outputs=self._shows.clean)

    def _check_variables(self) -> None:
        for token in self._text.tokens:
            if token.kind is Kind.VARIABLE and token.value not in READABLE:
                raise NotUnderstood(
                    "SETTING_NOT_ALLOWED", f"the setting {token.value} is not shown", token.start
                )

    def _facts(self, effect: SqlEffect, shape: Shape) -> SqlFacts:
        return self._findings.facts(effect, shape)


def _is_query(cursor: Cursor) -> bool:
    """Whether a query or a change begins here."""
    first = cursor.word()
    return first in _QUERIES or first in _CHANGES or first == "WITH" or cursor.sign() == "("


def _past_with(cursor: Cursor) -> int:
    """Where the statement after a WITH clause begins: the first such word outside of brackets."""
    index = cursor.index
    while index < cursor.stop:
        token = cursor.text.tokens[index]
        if token.word in _QUERIES or token.word in _CHANGES:
            return index
        bracket = token.kind is Kind.SIGN and token.value == "("
        index = (cursor.text.counterpart[index] if bracket else index) + 1
    return cursor.index
