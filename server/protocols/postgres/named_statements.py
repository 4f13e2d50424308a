"""What names in SQL stand for in a native session: prepared statements and cursors. No I/O.

A name is known once the server has confirmed the statement that made it, and not any more when
something is admitted that might give it to another: unknown names are refused. Names that protocol
messages give are the caller's driver's, and SQL does not get at them, nor they at SQL's.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Final

from policies.model import SqlStatement, Stage
from policies.sql.facts import Named, Opaque, SqlEffect, SqlFacts, TableUse
from policies.sql.secret_positions import cleaned
from recordings.events import Done
from server.gate import Grant
from server.meant import Meant, Path
from server.protocols.postgres import frontend as f
from server.protocols.postgres.awaited import Portal, Statement
from server.protocols.postgres.names import Names

MOST_NAMES: Final = 1000
"""Of statements, and of cursors, in one session; further ones are not known."""

_TAGS: Final = {"prepare": "PREPARE", "declare": "DECLARE CURSOR"}
_ENDS_CURSORS: Final = frozenset({"commit", "rollback", "rollback_to"})
_PREPARED: Final = (SqlEffect.READ, SqlEffect.WRITE)


@dataclass(frozen=True, slots=True)
class Made:
    """What a name stands for: the statement, and what it was found to do, and by which path."""

    text: str
    facts: SqlFacts
    path: Path
    meant: Meant = field(default_factory=Meant)

    def __post_init__(self) -> None:
        self.meant.note(self.path, self.facts)


@dataclass(slots=True)
class _Names:
    """`pending`: the grants that will have made these names, if they succeed."""

    known: dict[str, Made] = field(default_factory=dict)
    pending: dict[str, tuple[Grant, Made]] = field(default_factory=dict)

    def forget(self, name: str) -> None:
        self.known.pop(name, None)
        self.pending.pop(name, None)

    def clear(self) -> None:
        self.known.clear()
        self.pending.clear()

    def confirm(self, grant: Grant, name: str) -> None:
        """The server has made the name, unless something came in between."""
        found = self.pending.get(name)
        if found is None or found[0] is not grant:
            return
        del self.pending[name]
        if len(self.known) < MOST_NAMES:
            self.known[name] = found[1]


@dataclass(slots=True)
class NamedStatements:
    """One session's names. `taken`: those of statements and portals that the driver has given.

    `fetched`: rows delivered of each cursor, in the order of the answers. `deferred`: triggers of
    users' may still run, at the end of the transaction.
    """

    taken: tuple[Names[Statement], Names[Portal]]
    _statements: _Names = field(default_factory=_Names)
    _cursors: _Names = field(default_factory=_Names)
    _announced: tuple[Collection[str], Collection[str]] = ((), ())
    _fetched: dict[str, int] = field(default_factory=dict)
    _deferred: bool = False

    # -- judging

    def stands_for(self, named: Named, text: str, path: Path) -> str | Opaque:
        """The statement that one about a name makes it stand for, or runs by it."""
        of_cursor = named.kind not in ("prepare", "execute")
        if named.makes:
            driver_has = self.taken[of_cursor].get(named.name) is not None
            used = driver_has or named.name in self._announced[of_cursor]
            return TAKEN if used else text.encode()[named.begins :].decode()
        made = (self._cursors if of_cursor else self._statements).known.get(named.name)
        if made is None:
            return UNKNOWN_CURSOR if of_cursor else UNKNOWN_STATEMENT
        return MOVED if of_cursor and made.path != path else made.text

    def meant(self, named: Named) -> Meant | None:
        """What is known of the prepared statement that one about a name runs."""
        made = self._statements.known.get(named.name) if named.kind == "execute" else None
        return made.meant if made else None

    def facts(self, named: Named, text: str, inner: SqlFacts) -> SqlFacts:
        """What a statement about a name does, by what the one that it stands for does."""
        named = replace(named, text=text)
        kinds = inner.kinds | {named.kind}
        why = inner.opaque or self._unfit(named, inner)
        if why is not None:
            why = replace(why, span=_moved(why.span, named))
            return SqlFacts(SqlEffect.OPAQUE, kinds, has_where=False, opaque=why, named=named)
        tables = tuple(replace(use, span=_moved(use.span, named)) for use in inner.tables)
        limits = [most for most in (inner.limit, named.rows) if most is not None]
        limit = min(limits) if named.runs and limits else inner.limit
        return replace(inner, kinds=kinds, tables=tables, limit=limit, named=named)

    def _unfit(self, named: Named, inner: SqlFacts) -> Opaque | None:
        """Why a statement that is understood has no name here."""
        reads = (SqlEffect.READ,) if named.kind == "declare" else _PREPARED
        if inner.effect not in reads or inner.path_change is not None:
            return NOT_NAMED
        bound_later = named.kind == "prepare" and cleaned(named.text).parameters
        if inner.settings_asked or bound_later:
            return SECRET_PARAMETER
        if named.kind in ("fetch", "move"):
            made = self._cursors.known.get(named.name)
            if made is None or _meaning(made.facts) != _meaning(inner):
                return CHANGED
        return None

    def has(self, message: f.Command) -> bool:
        """Whether a message would run what a name in SQL stands for."""
        match message:
            case f.Bind(_, name):
                return name in self._statements.known or name in self._statements.pending
            case f.Execute(name):
                return name in self._cursors.known or name in self._cursors.pending
            case _:
                return False

    # -- following

    def announced(self, statements: Collection[str], portals: Collection[str]) -> None:
        """The driver's own names in the messages that are judged next."""
        self._announced = statements, portals
        for names, given in zip((self._statements, self._cursors), self._announced, strict=True):
            for name in given:
                names.forget(name)

    def admitted(self, grant: Grant, path: Path) -> None:
        """A grant was given that is sent next."""
        action, facts = grant.request.action, grant.request.facts
        if not isinstance(action, SqlStatement) or facts is None:
            return
        self._drop(facts)
        named = facts.named
        if named is not None and named.makes and action.stage is Stage.WHOLE and not facts.opaque:
            names = self._statements if named.kind == "prepare" else self._cursors
            names.forget(named.name)
            names.pending[named.name] = grant, Made(named.text, facts, path)

    def users_code_runs(self) -> None:
        """Something is sent that may run code of users', which can change every name."""
        self._deferred = True
        self._statements.clear()
        self._cursors.clear()

    def _drop(self, facts: SqlFacts) -> None:
        """Forget what a statement may drop, or give another meaning."""
        named = facts.named
        if facts.opaque is not None or "discard" in facts.kinds:
            self.users_code_runs()
        if self._deferred and "commit" in facts.kinds:
            self._statements.clear()
        if facts.effect is SqlEffect.DDL or not facts.kinds.isdisjoint(_ENDS_CURSORS):
            self._cursors.clear()
        if named is None or named.kind not in ("deallocate", "close"):
            return
        names = self._statements if named.kind == "deallocate" else self._cursors
        if named.name:
            names.forget(named.name)
        else:
            names.clear()

    def succeeded(self, grant: Grant, done: Done) -> None:
        """The server has said that it ran."""
        facts = grant.request.facts
        named = facts.named if facts else None
        if named is None:
            return
        if _TAGS.get(named.kind) == done.tag:
            names = self._statements if named.kind == "prepare" else self._cursors
            names.confirm(grant, named.name)
        if named.kind == "declare":
            self._fetched[named.name] = 0
        elif named.kind == "fetch":
            self._fetched[named.name] = self.fetched(named) + done.rows

    def fetched(self, named: Named) -> int:
        """Rows that were delivered of a cursor so far."""
        return self._fetched.get(named.name, 0) if named.kind == "fetch" else 0

    def ready(self, status: str) -> None:
        """The server has answered everything, and is in this transaction status."""
        self._statements.pending.clear()
        self._cursors.pending.clear()
        if status == "I":
            if self._deferred:
                self._statements.clear()
            self._deferred = False
            self._cursors.clear()
            self._fetched.clear()


def _moved(span: tuple[int, int] | None, named: Named) -> tuple[int, int] | None:
    """Where the statement inside stands; nowhere, if only its name does."""
    if span is None or not named.makes:
        return None
    return span[0] + named.begins, span[1] + named.begins


def _meaning(facts: SqlFacts) -> SqlFacts:
    """What a cursor's statement does, wherever it is written."""
    tables: tuple[TableUse, ...] = tuple(replace(use, span=None) for use in facts.tables)
    kinds = facts.kinds - {"declare"}
    return replace(facts, kinds=kinds, tables=tables, catalog="", named=None)


UNKNOWN_STATEMENT: Final = Opaque(
    "NAME_UNKNOWN",
    "The session has no prepared statement of this name that was made with PREPARE.",
    "PREPARE it again in this session, in a message of its own, and then EXECUTE it.",
)
UNKNOWN_CURSOR: Final = Opaque(
    "NAME_UNKNOWN",
    "The transaction has no cursor of this name that was made with DECLARE.",
    "DECLARE it again in this transaction, in a message of its own, and then FETCH from it.",
)
TAKEN: Final = Opaque(
    "NAME_TAKEN",
    "The name is one that the driver has given with a message of the protocol.",
    "Take another name.",
)
MOVED: Final = Opaque(
    "SEARCH_PATH",
    "The cursor was declared with another search path.",
    "DECLARE it again, or set the search path that it was declared with.",
)
CHANGED: Final = Opaque(
    "CURSOR_CHANGED",
    "What the cursor reads is not as it was when it was declared.",
    "CLOSE the cursor, and DECLARE it again.",
)
NOT_NAMED: Final = Opaque(
    "NAME_OF_SESSION",
    "Only what reads or changes rows is prepared, and only what reads has a cursor.",
    "Run the statement itself.",
)
SECRET_PARAMETER: Final = Opaque(
    "NAME_OF_SESSION",
    "A parameter of the statement is a secret, or the name of a setting, and would stand alone.",
    "Run the statement itself, with its values.",
)
BOUND: Final = Opaque(
    "NAME_OF_SESSION",
    "What makes, uses or drops a name runs at once with its Bind, or not at all.",
    "Send Bind and Execute together, or a simple query.",
)
