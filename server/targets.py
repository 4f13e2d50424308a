"""A target of the configuration becomes a backend: its kind's connector, and how it is masked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from policies.model import Target as DescribedTarget
from policies.sql.facts import TableName
from server.backends import Backend, ColumnRule
from server.config import MysqlTarget, PostgresTarget, Target
from server.connections import Connector
from server.credentials import Credentials, Login, Role
from server.names import names_of
from server.parsing.analyst import Analyst
from server.protocols.mysql import target as mysql
from server.protocols.mysql.connector import MysqlConnector
from server.protocols.postgres import target as postgres
from server.protocols.postgres.connector import PostgresConnector

Labels = Mapping[tuple[str, str, str], str]


def backend_of(name: str, target: Target, analyst: Analyst) -> Backend:
    """The backend of a configured target; nothing is connected to yet. Raises `ConfigError`."""
    rules = {
        (TableName(r.column.schema, r.column.table), r.column.column): ColumnRule(r.label, r.mask)
        for r in target.columns
    }
    description = DescribedTarget(name, target.kind, target.environment, frozenset(target.groups))
    connector = _connector(name, target, analyst)
    best_effort = target.recording == "best_effort"
    names = names_of(target)
    return Backend(description, connector, rules, analyst, names=names, best_effort=best_effort)


def _connector(name: str, target: Target, analyst: Analyst) -> Connector:
    labels = {(r.column.schema, r.column.table, r.column.column): r.label for r in target.columns}
    credentials = Credentials(name, _logins(target))
    match target:
        case PostgresTarget():
            return PostgresConnector(_postgres(name, target, labels), credentials)
        case MysqlTarget():
            return MysqlConnector(_mysql(name, target, labels), credentials, analyst)
        case _:
            assert_never(target)


def _logins(target: Target) -> dict[Role, Login]:
    logins: dict[Role, Login] = {"reader": Login(target.reader.user, target.reader.password)}
    if target.writer is not None:
        logins["writer"] = Login(target.writer.user, target.writer.password)
    return logins


def _postgres(name: str, target: PostgresTarget, labels: Labels) -> postgres.PostgresTarget:
    return postgres.PostgresTarget(
        name=name,
        address=str(target.address),
        database=target.database,
        tls=target.tls,
        ca=target.ca,
        search_path=target.search_path,
        functions=frozenset(target.functions),
        labels=labels,
        statement_timeout=target.sessions.statement,
        native_idle_in_transaction=target.sessions.idle_in_transaction,
        native_idle=target.sessions.idle,
        native_session=target.sessions.session,
    )


def _mysql(name: str, target: MysqlTarget, labels: Labels) -> mysql.MysqlTarget:
    return mysql.MysqlTarget(
        name=name,
        kind=target.kind,
        address=str(target.address),
        database=target.database,
        tls=target.tls,
        ca=target.ca,
        functions=frozenset(target.functions),
        labels=labels,
        statement_timeout=target.sessions.statement,
        lock_timeout=target.lock_timeout,
        native_idle_in_transaction=target.sessions.idle_in_transaction,
        native_idle=target.sessions.idle,
        native_session=target.sessions.session,
    )
