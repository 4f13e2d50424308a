"""What the gate needs of a protocol: a connector, and connections that act on grants."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from policies.model import SqlPlan, SqlPrepare, SqlStatement
from policies.sql.catalog import Catalog
from policies.sql.facts import Named, Opaque, SqlFacts, TableName
from recordings.events import Batches, Notification
from recordings.rows import Row
from server.meant import Meant

if TYPE_CHECKING:
    from server.gate import Grant, Substitute
    from server.previewing import Tried


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a statement's meaning depends on besides its text; an approval is bound to it."""

    role: str
    database: str
    search_path: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Heard:
    """What came on channels that a session listens to, each with the grant of its LISTEN.

    `flooded`: so much came that the rest was dropped.
    """

    told: Sequence[tuple[Grant, Notification]] = ()
    flooded: bool = False


NOTHING_HEARD: Final = Heard()


class CatalogChanged(Exception):
    """The target is not as the statement was judged by; nothing of it has run. Judge it again."""


class Connection(Protocol):
    """Performs granted actions on one target for one session."""

    def surroundings(self, *, write: bool) -> Surroundings:
        """Where a read, or a write, would run. Known without asking the target."""
        ...

    def results(self, grant: Grant) -> AbstractAsyncContextManager[Batches]:
        """The events of one granted action, pulled; leaving the context cancels it at the target.

        A one-shot connection sends the action here, in a transaction of its own: read-only
        unless the grant's facts need more. A native connection has sent it already and answers
        in the order of sending. Raises `CatalogChanged` in place of the first event.
        """
        ...


class NamedInSession(Protocol):
    """What the names stand for that statements of a session have given to others."""

    def stands_for(self, named: Named, text: str, path: tuple[str, ...] | None) -> str | Opaque:
        """The statement that one about a name makes it stand for, or runs by it; or why none."""
        ...

    def facts(self, named: Named, text: str, inner: SqlFacts) -> SqlFacts:
        """What a statement about a name does, by what the one that it stands for does."""
        ...

    def meant(self, named: Named) -> Meant | None:
        """What is known of the prepared statement that one about a name runs."""
        ...

    def announced(self, statements: Collection[str], portals: Collection[str]) -> None:
        """Names that messages of the protocol give, which are judged next."""
        ...

    def users_code_runs(self) -> None:
        """A statement is sent that may run code of users', which can change every name."""
        ...

    def fetched(self, named: Named) -> int:
        """How many rows of the same result were delivered before."""
        ...


class NativeConnection(Connection, Protocol):
    """A connection whose caller speaks the target's own protocol and owns the transaction."""

    @property
    def path(self) -> tuple[str, ...] | None:
        """The search path that the next statement finds; None while it is the configured one."""
        ...

    def outdated(self) -> bool:
        """Whether the session has defined something since this was asked last."""
        ...

    @property
    def named(self) -> NamedInSession:
        """What names in statements stand for."""
        ...

    def understood(self, action: SqlStatement | SqlPrepare | SqlPlan, facts: SqlFacts) -> SqlFacts:
        """The facts as they hold at this point of the session, or opaque."""
        ...

    def admitted(self, grant: Grant) -> None:
        """A grant was given that is sent next: what follows is judged as if it had run."""
        ...

    @property
    def time_limit(self) -> float:
        """Seconds that one statement may run here, whatever its caller has set on the target."""
        ...

    def heard(self) -> Heard:
        """What came on channels that the session listens to since this was asked last."""
        ...

    async def cancel(self) -> None:
        """Cancel what runs, as the caller asked; nothing is confirmed."""
        ...

    async def send_together(self, grants: Sequence[Grant], messages: Sequence[object]) -> None:
        """Write one message of several statements, each of which was judged; each is a turn."""
        ...

    async def send(self, granted: Grant | Substitute, messages: Sequence[object]) -> None:
        """Write the messages that were judged, or a marker in their place.

        They are the protocol's own; one that the grant does not carry is a `PermissionError`.
        """
        ...

    def results(self, granted: Grant | Substitute) -> AbstractAsyncContextManager[Batches]:
        """The events of the oldest message sent; for a substitute, the refusal in place."""
        ...

    async def stream(self, grant: Grant, messages: Sequence[object]) -> None:
        """Write what the caller streams in under a grant: binds, COPY data, Sync."""
        ...


class Connector(Protocol):
    """Opens connections to one target with credentials that only the gateway holds."""

    async def catalog(self, grant: Grant) -> Catalog:
        """Read the names a statement may use. Raises `BackendUnavailable`."""
        ...

    def definitions(self, facts: SqlFacts | None) -> str:
        """A digest of what the objects of a statement are; an approval is bound to it."""
        ...

    async def preview(self, grant: Grant, columns: Sequence[str]) -> Tried:
        """Try a granted change out, look at some of its table's columns, and roll it back.

        Raises `NotTried` and `BackendUnavailable`.
        """
        ...

    async def sample(self, grant: Grant, table: TableName, columns: Sequence[str]) -> Sequence[Row]:
        """Some rows of a granted scan's table, each value as text and cut short.

        Raises `NotSampled` and `BackendUnavailable`.
        """
        ...

    def connect(self, grant: Grant) -> AbstractAsyncContextManager[Connection]:
        """A one-shot connection; the pool is touched when something is performed."""
        ...

    def connect_native(self, grant: Grant) -> AbstractAsyncContextManager[NativeConnection]:
        """A connection of the caller's own, closed with the context."""
        ...

    async def close(self) -> None:
        """Close every pooled connection."""
        ...
