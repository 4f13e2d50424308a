"""What a MySQL or MariaDB connector needs to know of its target: values from the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from policies.errors import ConfigError

DEFAULT_PORT: Final = 3306
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")

SQL_MODE: Final = "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
"""Nothing in it changes how a text is read: no ANSI_QUOTES, no NO_BACKSLASH_ESCAPES, no ORACLE."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server listens: a host and its port, or the file of its Unix socket."""

    host: str
    port: int = DEFAULT_PORT

    @property
    def is_socket(self) -> bool:
        return self.host.startswith("/")

    @property
    def is_local(self) -> bool:
        return self.is_socket or self.host in _LOOPBACK


@dataclass(frozen=True, slots=True)
class MysqlTarget:
    """One configured target.

    `address` is `host:port`, `[v6]:port` or `unix:/path/of/the/socket`. `labels` maps database,
    table and column to a label. Times are in seconds. `functions` are users' functions that reads
    may call, as `database.name`.
    """

    name: str
    kind: Literal["mysql", "mariadb"]
    address: str
    database: str
    tls: Literal["verify-full", "disable"] = "verify-full"
    ca: Path | None = None
    functions: frozenset[str] = frozenset()
    labels: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    connections: int = 8
    connect_timeout: float = 10.0
    statement_timeout: float = 60.0
    lock_timeout: float = 10.0
    native_idle_in_transaction: float = 600.0
    native_idle: float | None = None
    native_session: float | None = None

    def place(self) -> Place:
        """The parsed address. Raises `ConfigError`."""
        place = parse_address(self.address)
        if self.tls == "disable" and not place.is_local:
            raise ConfigError(
                f"target {self.name}: tls: disable is for unix sockets and loopback addresses only"
            )
        return place

    @property
    def functions_by_database(self) -> dict[str, frozenset[str]]:
        """Names in small letters: the server compares those of functions in any case."""
        found: dict[str, set[str]] = {}
        for name in self.functions:
            database, _, function = name.partition(".")
            found.setdefault(database, set()).add(function.lower())
        return {database: frozenset(names) for database, names in found.items()}

    def settings(self) -> dict[str, str]:
        """What every session begins with, as SET takes it; a reset is followed by it again.

        A statement's own time limit is the server's where it has one for all statements (MariaDB),
        else for SELECT alone (MySQL); behind both stands the gateway's clock.
        """
        limit = (
            {"max_statement_time": f"{self.statement_timeout:g}"}
            if self.kind == "mariadb"
            else {"max_execution_time": str(max(1, round(self.statement_timeout * 1000)))}
        )
        locks = str(max(1, round(self.lock_timeout)))
        return {
            "sql_mode": f"'{SQL_MODE}'",
            "time_zone": "'+00:00'",
            "lc_messages": "'en_US'",
            "lc_time_names": "'en_US'",
            "autocommit": "1",
            "sql_safe_updates": "0",
            "sql_auto_is_null": "0",
            "sql_select_limit": "DEFAULT",
            "sql_quote_show_create": "1",
            "foreign_key_checks": "1",
            "unique_checks": "1",
            "lock_wait_timeout": locks,
            "innodb_lock_wait_timeout": locks,
            **limit,
        }


def parse_address(address: str) -> Place:
    """Read `host:port`, `[v6]:port` or `unix:/path`. Raises `ConfigError`."""
    if address.startswith("unix:"):
        path, _, port = address.removeprefix("unix:").partition(":")
        if not path.startswith("/") or port:
            raise ConfigError(f"{address!r} is not unix:/path/of/the/socket")
        return Place(path)
    host, separator, port = address.rpartition(":")
    if not separator or (address.startswith("[") and address.endswith("]")):
        host, port = address, ""
    if not host:
        raise ConfigError(f"{address!r} is not host:port")
    return Place(host.strip("[]"), _port(port, address))


def _port(text: str, address: str) -> int:
    if not text:
        return DEFAULT_PORT
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 65536):
        raise ConfigError(f"{address!r} has no port between 1 and 65535")
    return int(text)
