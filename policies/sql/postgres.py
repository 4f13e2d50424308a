"""PostgreSQL statements -> facts. What is not understood is opaque, and no input raises."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from policies.sql import names, settings
from policies.sql.catalog import Catalog
from policies.sql.changes import ChangeWalker
from policies.sql.copying import CopyWalker
from policies.sql.definitions import DefinitionWalker
from policies.sql.facts import Named, Opaque, SqlEffect, SqlFacts
from policies.sql.findings import Findings
from policies.sql.grammar import unwrap, unwrap_as
from policies.sql.lineage import CLEAN, Output, Scope, Shape, exact_shape
from policies.sql.locks import lock_tables
from policies.sql.named import NO_SESSION, by_name, followed_name
from policies.sql.not_understood import NotUnderstood
from policies.sql.parser import Tree, parse_one
from policies.sql.partly_shown import SETTINGS, asks_settings_by_name, check_secrets
from policies.sql.plans import only_read
from policies.sql.prescan import encode
from policies.sql.queries import CHANGES, constant_limit
from policies.sql.secret_positions import quoting
from policies.sql.sessions import SessionChange, check_transaction_option, session_change

_ONE_CLEAN_COLUMN: Final = exact_shape([Output("", CLEAN)])
_LONGEST_REASON: Final = 300
_EXPLAIN_OPTIONS: Final = frozenset(
    {
        "analyze",
        "buffers",
        "costs",
        "format",
        "generic_plan",
        "memory",
        "serialize",
        "settings",
        "summary",
        "timing",
        "verbose",
        "wal",
    }
)
_TRANSACTIONS: Final = {
    "TRANS_STMT_BEGIN": "begin",
    "TRANS_STMT_START": "begin",
    "TRANS_STMT_COMMIT": "commit",
    "TRANS_STMT_ROLLBACK": "rollback",
    "TRANS_STMT_SAVEPOINT": "savepoint",
    "TRANS_STMT_RELEASE": "release",
    "TRANS_STMT_ROLLBACK_TO": "rollback_to",
}


def analyse(text: str, catalog: Catalog) -> SqlFacts:
    """The facts about one statement as the server behind `catalog` would run it."""
    encoded = b""
    findings = Findings(catalog, encoded)
    try:
        encoded = encode(text)
        findings = Findings(catalog, encoded)
        tree = parse_one(encoded)
        # Spelt otherwise it is only masked.
        findings.settings_named = SETTINGS.name in text and asks_settings_by_name(tree)
        facts = _Analysis(findings).statement(tree)
        check_secrets(facts)
        return facts
    except NotUnderstood as unknown:
        return _opaque(findings, unknown)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        # A tree of another shape than grammar.py lists: refused, like whatever is not listed there.
        return _opaque(findings, NotUnderstood("SQL_NOT_UNDERSTOOD", "this form is not understood"))
    except RecursionError:
        return _opaque(
            findings, NotUnderstood("SQL_TOO_COMPLEX", "expressions are nested too deep")
        )


def _opaque(findings: Findings, unknown: NotUnderstood) -> SqlFacts:
    # Reasons quote names out of the statement, which may be long.
    said = quoting(unknown.reason, findings.encoded.decode())
    reason = said[:1].upper() + said[1:_LONGEST_REASON] + "."
    span = findings.span(unknown.location)
    return SqlFacts(
        effect=SqlEffect.OPAQUE,
        kinds=frozenset(findings.kinds),
        has_where=False,
        opaque=Opaque(unknown.code, reason, unknown.next_step, span),
        statement_count=unknown.statements,
    )


class _Analysis:
    """One statement, dispatched by its kind."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._walker = ChangeWalker(findings)

    def statement(self, node: Tree) -> SqlFacts:
        if not node:
            # What drivers send to see whether the server is there.
            return SqlFacts(SqlEffect.READ, frozenset({"empty"}), statement_count=0)
        kind, body = unwrap(node)
        change = session_change(kind, body, self._findings.catalog)
        if change is not None:
            return self._session(kind, change)
        if kind == "SelectStmt" or kind in CHANGES:
            shape = self._rows(kind, body)
            effect = SqlEffect.WRITE if self._findings.writes else SqlEffect.READ
            return self._facts(effect, shape)
        match kind:
            case "ExplainStmt":
                return self._explain(body)
            case "CopyStmt":
                return self._copy(body)
            case "VariableShowStmt":
                return self._show(body)
            case "LockStmt":
                lock_tables(self._walker, body)
                return self._facts(SqlEffect.READ, Shape((), 0))
            case "TransactionStmt":
                return self._transaction(body)
            case "NotifyStmt":
                return self._notify(body)
        named = by_name(kind, body, self._walker)
        if named is not None:
            return self._by_name(named)
        if not DefinitionWalker(self._walker).define(kind, body):
            raise NotUnderstood("SQL_NOT_UNDERSTOOD", f"{kind} is not understood")
        return self._facts(SqlEffect.DDL, Shape((), 0))

    def _rows(self, kind: str, body: Tree) -> Shape:
        if kind in CHANGES:
            return self._walker.change(kind, body, Scope())
        self._findings.kinds.add("select")
        self._findings.limit = constant_limit(body)
        return self._walker.outermost(body, Scope())

    def _explain(self, body: Tree) -> SqlFacts:
        analyze = _explains_by_running(body.get("options", []))
        kind, query = unwrap(body["query"])
        if kind != "SelectStmt" and (analyze or kind not in CHANGES):
            raise NotUnderstood("SQL_NOT_UNDERSTOOD", f"EXPLAIN of {kind} is not understood here")
        self._findings.kinds.add("explain")
        self._rows(kind, query)
        for relation in self._findings.relations:
            names.readable(relation, location=None)  # what is written is planned like a read
        if analyze and self._findings.writes:
            raise NotUnderstood("SQL_NOT_UNDERSTOOD", "EXPLAIN ANALYZE would run the changes")
        # A plan holds no values, but counts of rows that ran tell about them.
        shape = Shape((), 0) if analyze else _ONE_CLEAN_COLUMN
        facts = self._facts(SqlEffect.READ, shape)
        return only_read(facts)

    def _copy(self, body: Tree) -> SqlFacts:
        walker = CopyWalker(self._walker)
        shape = walker.copy(body)
        effect = SqlEffect.WRITE if body.get("is_from") or self._findings.writes else SqlEffect.READ
        copied = walker.copied(body, self._findings.encoded.decode())
        return replace(self._facts(effect, shape), copied=copied)

    def _show(self, body: Tree) -> SqlFacts:
        settings.check_shown(body["name"])
        self._findings.kinds.add("show")
        return self._facts(SqlEffect.SESSION, _ONE_CLEAN_COLUMN)

    def _session(self, kind: str, change: SessionChange) -> SqlFacts:
        self._findings.kinds.add(change.kind)
        if kind == "SelectStmt":
            self._findings.functions.add("pg_catalog.set_config")
        if change.reads is not None:
            self._findings.touch(change.reads, "select", "name")
        shape = _ONE_CLEAN_COLUMN if kind == "SelectStmt" else Shape((), 0)
        facts = self._facts(SqlEffect.SESSION, shape)
        channels = frozenset({change.channel} - {""})
        return replace(facts, path_change=change.path, named=change.named, channels=channels)

    def _by_name(self, named: Named) -> SqlFacts:
        """What it does is known only to a session, which knows what the name stands for."""
        self._findings.kinds.add(named.kind)
        kinds = frozenset(self._findings.kinds)
        return SqlFacts(SqlEffect.OPAQUE, kinds, has_where=False, opaque=NO_SESSION, named=named)

    def _transaction(self, body: Tree) -> SqlFacts:
        kind = _TRANSACTIONS.get(body["kind"])
        if kind is None:
            raise NotUnderstood("SQL_NOT_UNDERSTOOD", "two-phase commit is not understood")
        for node in body.get("options", []):
            check_transaction_option(unwrap_as("DefElem", node))
        self._findings.kinds.add(kind)
        facts = self._facts(SqlEffect.TRANSACTION, Shape((), 0))
        return replace(facts, savepoint=body.get("savepoint_name", ""))

    def _notify(self, body: Tree) -> SqlFacts:
        channel = followed_name(body["conditionname"])
        self._findings.kinds.add("notify")
        return replace(self._facts(SqlEffect.WRITE, Shape((), 0)), channels=frozenset({channel}))

    def _facts(self, effect: SqlEffect, shape: Shape) -> SqlFacts:
        return self._findings.facts(effect, shape)


def _explains_by_running(options: list[Tree]) -> bool:
    running = False
    for node in options:
        option = unwrap_as("DefElem", node)
        name = option["defname"].lower()
        if name not in _EXPLAIN_OPTIONS:
            raise NotUnderstood("SQL_NOT_UNDERSTOOD", f"EXPLAIN ({name}) is not understood")
        # Only a plain "off" is off: of two options that disagree the server takes the last.
        running |= name == "analyze" and not _is_off(option.get("arg"))
    return running


def _is_off(argument: Tree | None) -> bool:
    match argument:
        case {"String": {"sval": str(word)}}:
            return word.lower() in ("off", "false")
        case {"Integer": {**number}}:
            # Zero is left out of the tree.
            return not number.get("ival")
        case _:
            return False
