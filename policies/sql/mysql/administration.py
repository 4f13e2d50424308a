"""What only administrators do, and how the programs that send it do without."""

from __future__ import annotations

from typing import Final

from policies.sql.mysql.cursor import Cursor
from policies.sql.not_understood import NotUnderstood

CODE: Final = "SQL_ADMINISTRATION"
_LOCKS: Final = (
    "Leave it out: mariadb-dump and mysqldump do without it with --single-transaction,"
    " or with --skip-lock-tables."
)
_FLUSHES: Final = (
    "Leave it out: mariadb-dump and mysqldump send it for --lock-all-tables, --flush-logs,"
    " --flush-privileges, --master-data and --dump-slave; --single-transaction alone does without."
)
_REPLICATION: Final = (
    "Leave it out: mariadb-dump and mysqldump send it for --dump-slave and --master-data."
)
_SHOWN: Final = frozenset({"SLAVE", "SLAVES", "REPLICA", "REPLICAS", "MASTER", "BINLOG", "BINARY"})


class Administration(NotUnderstood):
    """The statement is for administrators; `advice` says what programs do without it."""

    def __init__(self, what: str, advice: str, location: int | None) -> None:
        super().__init__(CODE, f"{what} is for administrators", location)
        self.advice = advice


def refuse_administration(cursor: Cursor) -> None:
    """Refuses locks on tables, FLUSH and what shows replication, at the cursor."""
    word, following = cursor.word(), cursor.word(1)
    if word == "LOCK":
        raise Administration("locking tables", _LOCKS, cursor.location)
    if word == "FLUSH":
        raise Administration("FLUSH", _FLUSHES, cursor.location)
    shown = cursor.word(2) if following == "ALL" else following
    if word == "SHOW" and shown in _SHOWN:
        raise Administration("the state of replication", _REPLICATION, cursor.location)
