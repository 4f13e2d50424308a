"""A MariaDB that is watched: statements run as its superuser, and what changed is looked at."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pymysql

from tests.fixtures.mariadb import MariaDbServer

_STATE = (
    "SELECT table_schema, table_name, table_type, table_comment FROM information_schema.tables"
    " WHERE table_schema NOT IN ('information_schema') ORDER BY 1, 2",
    "SELECT routine_schema, routine_name, routine_definition FROM information_schema.routines"
    " WHERE routine_schema IN ('app', 'hr') ORDER BY 1, 2",
    "SELECT trigger_schema, trigger_name FROM information_schema.triggers ORDER BY 1, 2",
    "SELECT * FROM mysql.global_priv ORDER BY user, host",
    "SELECT * FROM mysql.event",
    "SELECT * FROM mysql.plugin",
    "SELECT * FROM mysql.func",
    "SELECT * FROM app.users",
    "SELECT * FROM app.Users",
    "SELECT * FROM app.orders",
    "SELECT * FROM app.departments",
    "SELECT * FROM app.docs",
    "SELECT * FROM app.audited",
    "SELECT id, ssn, name FROM app.veiled",
    "SELECT * FROM app.s1",
    "SELECT * FROM hr.salaries",
    "SELECT IS_USED_LOCK('x'), IS_USED_LOCK('y')",
    "SELECT trx_id, trx_rows_locked FROM information_schema.innodb_trx",
)
# One line for all settings of a session, but for those that running anything changes.
_SESSION = """
    SELECT MD5(GROUP_CONCAT(variable_name, '=', variable_value ORDER BY variable_name))
    FROM information_schema.session_variables
    WHERE variable_name NOT IN (
        'error_count', 'identity', 'in_transaction', 'insert_id', 'last_gtid', 'last_insert_id',
        'pseudo_thread_id', 'rand_seed1', 'rand_seed2', 'timestamp', 'warning_count'
    )
"""


# What a session keeps past a statement, besides its settings.
_KEPT = """
    SELECT CONCAT('variable ', variable_name) FROM information_schema.user_variables
    UNION SELECT CONCAT('database ', DATABASE()) UNION SELECT @@in_transaction
"""
# No generated statement may hold up the test for longer, in seconds.
_LONGEST = 2


def fetch(connection: Any, sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


class Watched:
    """Runs statements, and says what is not as it was at the beginning."""

    def __init__(self, server: MariaDbServer, database: str = "app") -> None:
        self.ran = 0
        self._server = server
        self._runner, self._watcher = server.connect(database), server.connect()
        fetch(self._runner, f"SET max_statement_time = {_LONGEST}")
        self._before = self._state()

    def run(self, sql: str) -> None:
        """Runs one statement; one that the server refuses is none that ran."""
        try:
            fetch(self._runner, sql)
        except pymysql.MySQLError:
            return
        self.ran += 1

    def changes(self) -> str:
        """What is not as it was, or ""."""
        now = self._state()
        return "\n".join(
            f"{before}\nis now\n{after}"
            for before, after in zip(self._before, now, strict=True)
            if before != after
        )

    def close(self) -> None:
        self._runner.close()
        self._watcher.close()

    def _state(self) -> list[Any]:
        files = sorted(path.name for path in self._server.home.iterdir() if path.suffix != ".tmp")
        seen = [sorted(map(repr, fetch(self._watcher, sql))) for sql in _STATE]
        kept = [sorted(map(repr, fetch(self._runner, sql))) for sql in (_SESSION, _KEPT)]
        settings = fetch(self._watcher, "SHOW GLOBAL VARIABLES")
        return [files, *seen, *kept, [s for s in settings if not s[0].startswith("gtid")]]


def changed_by(server: MariaDbServer, statements: list[str]) -> list[str]:
    """The statements of these that change anything, each run on its own."""
    return [sql for sql in statements if _changes(server, sql)]


def _changes(server: MariaDbServer, sql: str) -> bool:
    with closing(Watched(server)) as watched:
        watched.run(sql)
        return watched.changes() != ""
