"""A bounded sample of one table's columns as text, in a read-only transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from policies.errors import ProtocolError
from policies.model import ScanTarget
from policies.sql.facts import TableName
from recordings.events import Failed, Rows
from recordings.rows import Row, row_codec
from server.protocols.mysql import commands as m
from server.protocols.mysql.catalog_queries import identifier
from server.protocols.mysql.catalog_queries import table as quoted_table
from server.protocols.mysql.link import Link, unavailable
from server.protocols.mysql.pool import Pool
from server.sampling import NotSampled

if TYPE_CHECKING:
    from server.gate import Grant

STATEMENT_TIME: Final = 5  # seconds for a table's sample
LOCK_TIME: Final = 1  # seconds
PATIENCE: Final = 15.0  # seconds in all, for a server that says nothing
LONGEST: Final = 500  # characters of one value

_SAID: Final = {
    1044: "the gateway's reader may not read it",
    1142: "the gateway's reader may not read it",
    1143: "the gateway's reader may not read it",
    1146: "it is not there any more",
    1054: "one of its columns is not there any more",
    1205: "somebody else has locked it",
    1969: "it took too long",
    3024: "it took too long",
}


async def sampled(
    pool: Pool, grant: Grant, table: TableName, columns: Sequence[str]
) -> Sequence[Row]:
    """Rows of the table, each value as text cut to `LONGEST` characters.

    Raises `NotSampled`, `BackendUnavailable`.
    """
    action = grant.request.action
    if not isinstance(action, ScanTarget) or table not in action.tables:
        raise TypeError("a scan of this table was not granted")
    if not columns:
        return ()
    async with pool.lease(grant) as link:
        try:
            with link.patient(PATIENCE):
                return await _sample(link, table, columns, action.rows)
        except (OSError, TimeoutError, ProtocolError):
            link.close()
            raise unavailable(link.target.name) from None


async def _sample(link: Link, table: TableName, columns: Sequence[str], most: int) -> Sequence[Row]:
    limit = (
        f"max_statement_time = {STATEMENT_TIME}"
        if link.target.kind == "mariadb"
        else f"max_execution_time = {STATEMENT_TIME * 1000}"
    )
    await link.command(
        f"SET SESSION {limit}, lock_wait_timeout = {LOCK_TIME}",
        "START TRANSACTION READ ONLY",
    )
    cut = (f"LEFT(CONVERT({identifier(c)} USING utf8mb4), {LONGEST})" for c in columns)
    text = f"SELECT {', '.join(cut)} FROM {quoted_table(table)} LIMIT {most}"  # noqa: S608
    await link.send(m.Query(text), None)
    found: list[Row] = []
    failed = 0
    for event in await link.finish_turn():
        match event:
            case Rows(frames, _, codec):
                known = row_codec(codec)
                found += known.decode(frames) if known is not None else ()
            case Failed():
                failed = event.code
            case _:
                pass
    if failed:
        raise NotSampled(_SAID.get(failed, f"the target refused it (error {failed})"))
    return found
