"""What the gate needs of a protocol: a connector, and connections that act on grants."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from policies.sql.catalog import Catalog
from recordings.events import Results

if TYPE_CHECKING:
    from server.gate import Grant, Substitute


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a statement's meaning depends on besides its text; an approval is bound to it."""

    role: str
    database: str
    search_path: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)


class Connection(Protocol):
    """Performs granted actions on one target for one session."""

    def surroundings(self, *, write: bool) -> Surroundings:
        """Where a read, or a write, would run. Known without asking the target."""
        ...

    def results(self, grant: Grant) -> AbstractAsyncContextManager[Results]:
        """The events of one granted action, pulled; leaving the context cancels it at the target.

        A one-shot connection sends the action here, in a transaction of its own: read-only
        unless the grant's facts need more. A native connection has sent it already and answers
        in the order of sending.
        """
        ...


class NativeConnection(Connection, Protocol):
    """A connection whose caller speaks the target's own protocol and owns the transaction."""

    async def send(self, granted: Grant | Substitute, frames: bytes) -> None:
        """Write the exact bytes that were judged, or a marker in their place."""
        ...

    def results(self, granted: Grant | Substitute) -> AbstractAsyncContextManager[Results]:
        """The events of the oldest message sent; for a substitute, the refusal in place."""
        ...

    async def stream(self, grant: Grant, frames: bytes) -> None:
        """Write what the caller streams in under a grant: binds, COPY data, Sync."""
        ...


class Connector(Protocol):
    """Opens connections to one target with credentials that only the gateway holds."""

    async def catalog(self, grant: Grant) -> Catalog:
        """Read the names a statement may use. Raises `BackendUnavailable`."""
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
