"""A bounded sample of one table's columns as text, in a read-only transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from policies.errors import ProtocolError
from policies.model import ScanTarget
from policies.sql.facts import TableName
from recordings.events import Failed, Rows
from recordings.rows import Row, decode_postgres
from server.protocols.postgres import frontend as f
from server.protocols.postgres.link import Link, unavailable
from server.protocols.postgres.pool import Pool, command
from server.sampling import NotSampled

if TYPE_CHECKING:
    from server.gate import Grant

STATEMENT_TIME: Final = 5.0  # seconds for a table's sample
LOCK_TIME: Final = 1.0  # seconds
PATIENCE: Final = 15.0  # seconds in all, for a server that says nothing
LONGEST: Final = 500  # characters of one value
# A table of this many times the sample is sampled all over, and not from its beginning.
_LARGE: Final = 20
_SEED: Final = 7

_SAID: Final = {
    "42501": "the gateway's reader may not read it",
    "42P01": "it is not there any more",
    "42703": "one of its columns is not there any more",
    "57014": "it took too long",
    "55P03": "somebody else has locked it",
}


async def sampled(
    pool: Pool, grant: Grant, table: TableName, columns: Sequence[str]
) -> Sequence[Row]:
    """Rows of the table, each value as text cut to `LONGEST` characters.

    The same rows as long as the table stays as it is. Raises `NotSampled`, `BackendUnavailable`.
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
    await command(
        link,
        "BEGIN READ ONLY;"
        f" SET LOCAL statement_timeout = {round(STATEMENT_TIME * 1000)};"
        f" SET LOCAL lock_timeout = {round(LOCK_TIME * 1000)}",
    )
    name = f"{_quoted(table.schema)}.{_quoted(table.name)}"
    estimated = await _fetch(link, _ESTIMATE.format(name=_literal(name)))
    if not estimated:
        raise NotSampled(_SAID["42P01"])
    kind, about = (estimated[0][0] or b"").decode(), float(estimated[0][1] or b"0")
    if kind in ("r", "m") and about > most * _LARGE:
        percent = min(100.0, 300.0 * most / about)
        rows = await _fetch(
            link,
            _select(name, columns, most, f" TABLESAMPLE SYSTEM ({percent}) REPEATABLE ({_SEED})"),
        )
        if len(rows) >= most // 4:
            return rows
    return await _fetch(link, _select(name, columns, most, ""))


_ESTIMATE: Final = (
    "SELECT c.relkind, c.reltuples FROM pg_catalog.pg_class c"
    " WHERE c.oid = pg_catalog.to_regclass({name})"
)


def _select(name: str, columns: Sequence[str], most: int, how: str) -> str:
    cut = (f"pg_catalog.left({_quoted(c)}::pg_catalog.text, {LONGEST})" for c in columns)
    return f"SELECT {', '.join(cut)} FROM {name}{how} LIMIT {most}"  # noqa: S608 -- quoted


async def _fetch(link: Link, query: str) -> list[Row]:
    link.conversation.begin(None)
    link.write(link.conversation.send(f.Query(query)))
    await link.drain()
    found: list[Row] = []
    failed = ""
    for event in await link.finish_turn():
        match event:
            case Rows(frames):
                found += decode_postgres(frames)
            case Failed(code):
                failed = code
            case _:
                pass
    if failed:
        raise NotSampled(_SAID.get(failed, f"the target refused it (SQLSTATE {failed})"))
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
