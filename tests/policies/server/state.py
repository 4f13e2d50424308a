"""Everything that a statement could change on a server, as digests to compare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import asyncpg

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

# Rows of users' tables with the traces that a lock or an update would leave in them, what
# sequences stand at, and the rows of every system catalog.
_RELATIONS: Final = """
SELECT c.oid::regclass::text AS name, c.relkind::text, c.oid >= 16384 AS own
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'S') AND n.nspname !~ '^pg_toast'
  AND c.relname NOT IN ('pg_statistic', 'pg_statistic_ext_data')
ORDER BY 1"""
# Maintenance in the background moves them.
_MOVING: Final = (
    "ARRAY['relpages', 'reltuples', 'relallvisible', 'relallfrozen', 'relfrozenxid', 'relminmxid',"
    " 'datfrozenxid', 'datminmxid', 'relhasindex']"
)
_TRACES: Final = (
    "jsonb_build_object('at', t.ctid::text, 'by', t.xmin::text, 'locked', t.xmax::text)"
)
_COUNTER: Final = "jsonb_build_array(t.last_value, t.log_cnt, t.is_called)"
_SESSION: Final = """
SELECT md5(concat(
  (SELECT string_agg(name || '=' || setting, ',' ORDER BY name) FROM pg_settings
   -- A library that is loaded brings settings of its own.
   WHERE name !~ '[.]' OR source <> 'default'),
  (SELECT string_agg(name, ',') FROM pg_prepared_statements),
  (SELECT string_agg(name, ',') FROM pg_cursors),
  (SELECT string_agg(c, ',') FROM pg_listening_channels() c),
  (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'),
  pg_my_temp_schema(), current_user, session_user))"""


async def server_state(connection: Connection) -> Mapping[str, str]:
    """A digest of the rows of each relation, tables that came and went included."""
    relations = await connection.fetch(_RELATIONS)
    rows = await connection.fetch(" UNION ALL ".join(_digest(*row) for row in relations))
    return {str(name): str(digest) for name, digest in rows}


def _digest(name: str, kind: str, own: bool) -> str:
    row = f"to_jsonb(t) - {_MOVING}" + (f" || {_TRACES}" if own else "")
    row = _COUNTER if kind == "S" else row
    quoted = name.replace("'", "''")
    lines = f"string_agg(md5(({row})::text), '' ORDER BY md5(({row})::text))"
    return f"SELECT '{quoted}', md5(coalesce({lines}, '')) FROM {name} t"


async def session_state(connection: Connection) -> str:
    """A digest of what one session carries from one transaction to the next."""
    return str(await connection.fetchval(_SESSION))
