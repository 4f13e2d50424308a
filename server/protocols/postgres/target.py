"""What a PostgreSQL connector needs to know of its target: values from the configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from policies.errors import ConfigError

DEFAULT_PORT: Final = 5432
_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_]*")
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server listens: a host, or the directory of its Unix socket."""

    host: str
    port: int

    @property
    def is_socket(self) -> bool:
        return self.host.startswith("/")

    @property
    def socket_path(self) -> str:
        return f"{self.host}/.s.PGSQL.{self.port}"

    @property
    def is_local(self) -> bool:
        return self.is_socket or self.host in _LOOPBACK


@dataclass(frozen=True, slots=True)
class PostgresTarget:
    """One configured target.

    `address` is `host:port`, `[v6]:port` or `unix:/directory[:port]`. `labels` maps schema, table
    and column to a label. Times are in seconds. `functions` are users' functions that reads may
    call, as `schema.name`.
    """

    name: str
    address: str
    database: str
    tls: Literal["verify-full", "disable"] = "verify-full"
    ca: Path | None = None
    search_path: tuple[str, ...] = ("public",)
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
    def path(self) -> tuple[str, ...]:
        """The search path without the temporary schema at its end; pg_catalog comes first unnamed.

        Named, it would be the current schema, which programs take for the one to look at.
        """
        return tuple(s for s in self.search_path if s != "pg_catalog")

    def settings(self) -> dict[str, str]:
        """What every connection starts with, reads and writes alike."""
        schemas = (*self.path, "pg_temp")
        return {
            "search_path": ", ".join(_quoted(schema) for schema in schemas),
            "client_encoding": "UTF8",
            "standard_conforming_strings": "on",
            "DateStyle": "ISO, MDY",
            "IntervalStyle": "postgres",
            "TimeZone": "UTC",
            "application_name": "ostiary",
            "statement_timeout": _milliseconds(self.statement_timeout),
            "lock_timeout": _milliseconds(self.lock_timeout),
            "idle_in_transaction_session_timeout": _milliseconds(self.statement_timeout),
        }

    def native_settings(self) -> dict[str, str]:
        """The same for a connection whose caller owns the transaction, and may think within it."""
        idle = _milliseconds(self.native_idle_in_transaction)
        return {**self.settings(), "idle_in_transaction_session_timeout": idle}


def parse_address(address: str) -> Place:
    """Read `host:port`, `[v6]:port`, `unix:/directory` or `unix:/directory:port`."""
    if address.startswith("unix:"):
        directory, _, port = address.removeprefix("unix:").partition(":")
        if not directory.startswith("/"):
            raise ConfigError(f"{address!r} is not unix:/directory with an absolute path")
        return Place(directory.rstrip("/") or "/", _port(port, address))
    host, separator, port = address.rpartition(":")
    if not separator:
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


def _quoted(name: str) -> str:
    """Plain where it may be, as clients take the setting apart at its commas."""
    if _PLAIN.fullmatch(name):
        return name
    return '"' + name.replace('"', '""') + '"'


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))
