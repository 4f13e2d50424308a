"""The search path of a native session, followed through its transactions. No input or output.

Statements are judged by the path that they will find if everything before them succeeds, since
otherwise they do not run. What truly succeeded is known from the answers; from version 18 on the
server reports the path itself, and `check` compares.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

from policies.errors import ProtocolError
from policies.sql.facts import PathChange, SqlFacts
from policies.sql.not_understood import NotUnderstood
from policies.sql.search_path import OWN_SCHEMA, listed

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Savepoint:
    """What a rollback to it brings back."""

    name: str
    session: Path
    local: Path | None


@dataclass(frozen=True, slots=True)
class SessionPath:
    """`outside` comes back when the transaction is rolled back, `session` stays when it commits.

    `local` holds for the rest of the transaction. `aborted`: an error has been in it.
    """

    beginning: Path
    outside: Path
    session: Path
    local: Path | None = None
    savepoints: tuple[Savepoint, ...] = ()
    aborted: bool = False

    @classmethod
    def of(cls, beginning: Path) -> SessionPath:
        return cls(beginning, beginning, beginning)

    @property
    def path(self) -> Path:
        """The one that names are looked up in now."""
        return self.session if self.local is None else self.local

    def after(self, facts: SqlFacts) -> SessionPath:
        """Once a statement with these facts has succeeded."""
        kinds = facts.kinds
        if "discard" in kinds and facts.path_change is not None:
            return SessionPath.of(self.beginning)  # it commits at once
        if facts.path_change is not None:
            return self._changed(facts.path_change)
        if "commit" in kinds:
            return self.committed()
        if "rollback" in kinds:
            return self.rolled_back()
        if "savepoint" in kinds:
            mark = Savepoint(facts.savepoint, self.session, self.local)
            return replace(self, savepoints=(*self.savepoints, mark))
        if "release" in kinds:
            return replace(self, savepoints=self.savepoints[: self._newest(facts.savepoint)])
        if "rollback_to" in kinds:
            return self._back_to(self._newest(facts.savepoint))
        return self

    def committed(self) -> SessionPath:
        """After COMMIT, which rolls back what was aborted."""
        if self.aborted:
            return self.rolled_back()
        return SessionPath(self.beginning, self.session, self.session)

    def rolled_back(self) -> SessionPath:
        """After the end of a transaction that does not."""
        return SessionPath(self.beginning, self.outside, self.outside)

    def stopped(self) -> SessionPath:
        """After an error in a transaction that still has to be ended."""
        if self.aborted:
            return self
        mark = self.savepoints[-1] if self.savepoints else Savepoint("", self.outside, None)
        return replace(self, session=mark.session, local=mark.local, aborted=True)

    def _changed(self, change: PathChange) -> SessionPath:
        path = self.beginning if change.path is None else change.path
        if change.local:
            return replace(self, local=path)
        return replace(self, session=path, local=None)

    def _newest(self, name: str) -> int:
        named = [i for i, mark in enumerate(self.savepoints) if mark.name == name]
        return named[-1] if named else len(self.savepoints)

    def _back_to(self, index: int) -> SessionPath:
        if index == len(self.savepoints):
            return self
        mark = self.savepoints[index]
        kept = self.savepoints[: index + 1]
        return SessionPath(self.beginning, self.outside, mark.session, mark.local, kept)


@dataclass(slots=True)
class PathFollower:
    """`role` is what `$user` stands for.

    `expected`: where the statements that were admitted lead if all of them succeed; `sent`: those
    of them that were sent; `reached`: those that the server has run. `changed`: the path was
    another one earlier in this transaction, so that portals may have been bound by that.
    """

    role: str
    reached: SessionPath
    expected: SessionPath = field(init=False)
    sent: SessionPath = field(init=False)
    changed: bool = False
    _failed: bool = False

    def __post_init__(self) -> None:
        self.expected = self.sent = self.reached

    @property
    def path(self) -> Path:
        """By which the next statement is judged."""
        return tuple(self.role if name == OWN_SCHEMA else name for name in self.expected.path)

    def admitted(self, facts: SqlFacts) -> None:
        """A statement will be sent."""
        before, self.expected = self.expected.path, self.expected.after(facts)
        self.changed |= before != self.expected.path or facts.path_change is not None

    def sending(self, facts: SqlFacts) -> None:
        """A statement that was admitted is sent now."""
        self.sent = self.sent.after(facts)

    def succeeded(self, facts: SqlFacts) -> None:
        """The server has said that it ran."""
        self.reached = self.reached.after(facts)

    def failed(self) -> None:
        """The server has said that something did not; it skips the rest."""
        self._failed = True

    def ready(self, status: str) -> None:
        """The server has answered everything, and is in this transaction status."""
        if status == "I":
            ended = self.reached.rolled_back() if self._failed else self.reached.committed()
            self.reached, self.changed = ended, False
        elif status == "E":
            self.reached = self.reached.stopped()
        self.expected = self.sent = self.reached
        self._failed = False

    def check(self, reported: str) -> None:
        """Compare with the server's own word. Raises `ProtocolError`."""
        if _names(reported) != self.reached.path:
            raise ProtocolError("the search path is not the one that statements are judged by")


@lru_cache(maxsize=1024)
def _names(reported: str) -> Path | None:
    try:
        return tuple(name for name in listed(reported) if name)
    except NotUnderstood:
        return None
