"""One-shot calls against a real MariaDB: what they return, and what they leave behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import pymysql
import pytest

from policies.errors import BackendUnavailable
from policies.model import Parameter, SqlStatement
from policies.sql.catalog import Catalog
from policies.sql.mysql import analyse
from recordings.batches import each
from recordings.events import Columns, Done, Event, Failed, Rows
from recordings.rows import row_codec
from server.connections import CatalogChanged
from server.credentials import Credentials, Login
from server.gate import Grant
from server.parsing.in_process import InProcess
from server.protocols.mysql.connector import MysqlConnector
from tests.fixtures.mariadb import MariaDbServer
from tests.policies.mysql.catalogs import FIXTURE
from tests.policies.mysql.live import target
from tests.server.protocols.grants import Secret, granted
from tests.server.protocols.grants import catalog as to_read_names

pytestmark = [pytest.mark.programs, pytest.mark.anyio]

DEADLINE = 30.0  # seconds
ACCOUNTS = """
    CREATE OR REPLACE USER ostiary_reader IDENTIFIED BY 'reading';
    CREATE OR REPLACE USER ostiary_writer IDENTIFIED BY 'writing';
    GRANT SELECT, SHOW VIEW, TRIGGER, EXECUTE ON *.* TO ostiary_reader;
    GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP ON app.* TO ostiary_writer;
    CREATE TABLE app.kinds(
        i INT, u BIGINT UNSIGNED, d DECIMAL(10,2), f DOUBLE, t TEXT, b VARBINARY(8),
        day DATE, moment DATETIME(3), clock TIME, data JSON
    );
    INSERT INTO app.kinds VALUES (
        -1, 18446744073709551615, 1.50, 0.5, 'zoë', X'00FF', '2024-02-29',
        '2024-02-29 12:13:14.567', '-01:02:03', '{"a": 1}'
    );
"""


@pytest.fixture(scope="module")
def server(mariadb: MariaDbServer) -> Iterator[MariaDbServer]:
    mariadb.run(FIXTURE)
    mariadb.run(ACCOUNTS)
    yield mariadb
    mariadb.run("DROP DATABASE app; DROP DATABASE hr; DROP USER ostiary_reader, ostiary_writer")


@dataclass(slots=True)
class Caller:
    """Runs statements as the gate would have them run, judged by the connector's catalog."""

    server: MariaDbServer
    connector: MysqlConnector
    catalog: Catalog = field(init=False)

    async def read_names(self) -> None:
        self.catalog = await self.connector.catalog(to_read_names())

    def grant(
        self, text: str, *values: Parameter, time: float | None = None, **paging: int
    ) -> Grant:
        facts = analyse(text, self.catalog)
        assert facts.opaque is None, facts.opaque
        made = granted(SqlStatement(text, values, **paging), facts.effect, time_limit=time)
        return replace(made, request=replace(made.request, facts=facts))

    async def events(self, grant: Grant) -> list[Event]:
        async with (
            asyncio.timeout(DEADLINE),
            self.connector.connect(grant) as connection,
            connection.results(grant) as batches,
        ):
            return [event async for event in each(batches)]

    async def run(self, text: str, *values: Parameter, **paging: int) -> list[Event]:
        return await self.events(self.grant(text, *values, **paging))

    async def change(self, script: str) -> None:
        """Beside the event loop, in which locks are let go of."""
        async with asyncio.timeout(DEADLINE):
            await asyncio.to_thread(self.server.run, script)

    def fetch(self, text: str) -> list[tuple[Any, ...]]:
        with closing(self.server.connect("app")) as connection, connection.cursor() as cursor:
            cursor.execute(text)
            return list(cursor.fetchall())


@pytest.fixture
async def caller(server: MariaDbServer) -> AsyncIterator[Caller]:
    logins = {
        "reader": Login("ostiary_reader", Secret("reading")),
        "writer": Login("ostiary_writer", Secret("writing")),
    }
    credentials = Credentials("shop", logins)  # type: ignore[arg-type]
    alone = replace(target(server), connections=1)  # the next call gets the last one's
    caller = Caller(server, MysqlConnector(alone, credentials, InProcess()))
    await caller.read_names()
    yield caller
    await caller.connector.close()


def cells(events: Sequence[Event]) -> list[list[bytes | None]]:
    found = []
    for event in events:
        if isinstance(event, Rows):
            codec = row_codec(event.codec)
            assert codec is not None
            found += codec.decode(event.frames)
    return found


def number(value: int) -> Parameter:
    return Parameter(str(value).encode(), scalar="integer")


async def test_a_read_returns_columns_rows_and_an_end(caller: Caller) -> None:
    events = await caller.run("SELECT id, name AS who FROM users WHERE id < 3 ORDER BY id")
    assert isinstance(events[0], Columns)
    assert [(c.name, c.number) for c in events[0].columns] == [("id", 1), ("who", 2)]
    assert cells(events) == [[b"1", b"n1"], [b"2", b"n2"]]
    assert events[-1] == Done("SELECT 2", 2)


async def test_values_are_bound_and_never_text(caller: Caller) -> None:
    hostile = Parameter(b"' OR 1=1 -- \\")
    assert cells(await caller.run("SELECT id FROM users WHERE name = ?", hostile)) == []
    (row,) = cells(await caller.run("SELECT CONCAT(?, '') FROM departments LIMIT 1", hostile))
    assert row == [b"' OR 1=1 -- \\"]


async def test_values_keep_their_types(caller: Caller) -> None:
    values = (number(2), Parameter(b"1.5", scalar="float"), Parameter(b"true", scalar="boolean"))
    (row,) = cells(await caller.run("SELECT ? + 1, ? * 2, ? = 1, ?", *values, Parameter(None)))
    assert row[0] == (3).to_bytes(8, "little")
    assert row[2:] == [(1).to_bytes(8, "little"), None] or row[2] == (1).to_bytes(4, "little")
    rows = cells(await caller.run("SELECT id FROM users ORDER BY id LIMIT ?", number(2)))
    assert len(rows) == 2


async def test_a_wrong_count_of_values_is_an_error_of_the_statement(caller: Caller) -> None:
    (failed,) = await caller.run("SELECT ?", number(1), number(2))
    assert isinstance(failed, Failed)
    assert "1 parameters, and 2 values" in failed.message


async def test_rows_are_skipped_and_the_rest_left(caller: Caller) -> None:
    events = await caller.run("SELECT id FROM orders ORDER BY id", skip=2, max_rows=3)
    assert cells(events) == [[b"3"], [b"4"], [b"5"]]
    assert events[-1] == Done("SELECT 3", 3, more=True)
    events = await caller.run("SELECT id FROM orders ORDER BY id", skip=8, max_rows=3)
    assert events[-1] == Done("SELECT 2", 2)


async def test_a_write_is_committed_and_says_how_many_rows(caller: Caller) -> None:
    events = await caller.run("UPDATE orders SET note = ? WHERE id < 4", Parameter(b"new"))
    assert events == [Done("UPDATE 3", 0)]
    assert caller.fetch("SELECT COUNT(*) FROM orders WHERE note = 'new'") == [(3,)]


async def test_a_writer_that_is_shown_no_triggers_writes_all_the_same(caller: Caller) -> None:
    events = await caller.run("UPDATE audited SET note = 'y' WHERE id = 1")
    assert events == [Done("UPDATE 1", 0)]
    assert caller.fetch("SELECT note FROM audited") == [("y!",)]


async def test_a_write_does_not_run_where_a_trigger_has_come_since(caller: Caller) -> None:
    grant = caller.grant("UPDATE departments SET name = 'x' WHERE id = 1")
    trigger = "CREATE TRIGGER app.late BEFORE UPDATE ON app.departments FOR EACH ROW"
    await caller.change(f"{trigger} SET NEW.name = 'evil'")
    try:
        with pytest.raises(CatalogChanged):
            await caller.events(grant)
    finally:
        await caller.change("DROP TRIGGER app.late")
    assert caller.fetch("SELECT name FROM departments WHERE id = 1") == [("eng",)]


async def test_an_error_of_the_target_is_data(caller: Caller) -> None:
    (failed,) = await caller.run("INSERT INTO departments (id, name) VALUES (1, 'twice')")
    assert isinstance(failed, Failed)
    assert (failed.sqlstate, failed.code) == ("23000", 1062)
    events = await caller.run("SELECT 1")
    assert isinstance(events[-1], Done)


async def test_nothing_of_a_session_is_left_for_the_next(caller: Caller) -> None:
    grant = caller.grant("SELECT CONNECTION_ID(), @@sql_mode, @@time_zone, @@max_statement_time")
    first = cells(await caller.events(grant))
    await caller.run("SELECT 1", time=1.5)
    await caller.run("SELECT id FROM orders", max_rows=1)
    assert cells(await caller.events(grant)) == first


async def test_a_statement_past_its_time_is_stopped_at_the_server(caller: Caller) -> None:
    slow = "SELECT COUNT(*) FROM orders a, orders b, orders c, orders d, orders e, orders f,"
    slow += " orders g, orders h, orders i, orders j"
    (failed,) = await caller.run(slow, time=0.3)
    assert isinstance(failed, Failed)
    assert await running(caller, "orders j") == 0


async def test_leaving_stops_what_runs(caller: Caller) -> None:
    slow = "SELECT COUNT(*) FROM orders a, orders b, orders c, orders d, orders e, orders f,"
    slow += " orders g, orders h, orders i, orders k"
    grant = caller.grant(slow)
    task = asyncio.ensure_future(caller.events(grant))
    async with asyncio.timeout(DEADLINE):
        while not await running(caller, "orders k"):
            await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await running(caller, "orders k") == 0


async def running(caller: Caller, said: str) -> int:
    text = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE"
    ((count,),) = await asyncio.to_thread(
        caller.fetch, f"{text} CONCAT('%{said[:-1]}', '{said[-1]}') AND id <> CONNECTION_ID()"
    )
    return int(count)


async def test_what_has_changed_since_it_was_judged_does_not_run(caller: Caller) -> None:
    grant = caller.grant("SELECT contact FROM v_users")
    other = "ALTER VIEW app.v_users AS SELECT id, name, {} AS contact FROM app.users"
    await caller.change(other.format("ssn"))
    try:
        with pytest.raises(CatalogChanged):
            await caller.events(grant)
        before = caller.catalog
        await caller.read_names()
        assert caller.catalog is not before
        assert cells(await caller.run("SELECT contact FROM v_users WHERE id = 1")) == [
            [b"canary-1-00"]
        ]
    finally:
        await caller.change(other.format("email"))


async def test_while_a_read_runs_nobody_changes_what_it_was_judged_by(caller: Caller) -> None:
    grant = caller.grant("SELECT id, name FROM users")
    alter = "SET lock_wait_timeout = 1; ALTER TABLE app.users ADD COLUMN extra INT FIRST"
    async with (
        asyncio.timeout(DEADLINE),
        caller.connector.connect(grant) as connection,
        connection.results(grant) as batches,
    ):
        assert isinstance(await anext(each(batches)), Columns)
        with pytest.raises(pymysql.MySQLError, match="Lock wait timeout"):
            await caller.change(alter)


async def test_a_read_writes_nothing_whatever_its_facts_say(caller: Caller) -> None:
    grant = caller.grant("SELECT 1")
    action = SqlStatement("DELETE FROM orders")
    lied = replace(grant, request=replace(grant.request, action=action))
    (failed,) = await caller.events(lied)
    assert isinstance(failed, Failed)
    assert failed.code in (1142, 1792)  # no privilege, or a transaction that only reads


async def test_several_statements_in_one_text_do_not_run(caller: Caller) -> None:
    grant = caller.grant("SELECT 1")
    lied = replace(grant, request=replace(grant.request, action=SqlStatement("SELECT 1; SELECT 2")))
    (failed,) = await caller.events(lied)
    assert isinstance(failed, Failed)
    assert failed.code == 1064


async def test_a_password_that_is_wrong_tells_nothing(server: MariaDbServer) -> None:
    credentials = Credentials("shop", {"reader": Login("ostiary_reader", Secret("wrong"))})
    connector = MysqlConnector(target(server), credentials, InProcess())
    with pytest.raises(BackendUnavailable, match="target shop can't be reached now"):
        await connector.catalog(to_read_names())


@pytest.fixture(scope="module")
def encrypted(mariadb_over_tls: MariaDbServer) -> Iterator[MariaDbServer]:
    mariadb_over_tls.run(FIXTURE)
    mariadb_over_tls.run(ACCOUNTS)
    yield mariadb_over_tls
    mariadb_over_tls.run("DROP DATABASE app; DROP DATABASE hr")


def over_tls(server: MariaDbServer, **changes: Any) -> MysqlConnector:
    address = f"127.0.0.1:{server.port}"
    settings = {"address": address, "tls": "verify-full", "ca": server.authority, **changes}
    login = Login("ostiary_reader", Secret("reading"))
    credentials = Credentials("shop", {"reader": login})
    return MysqlConnector(replace(target(server), **settings), credentials, InProcess())


async def test_a_server_at_an_address_is_spoken_to_over_verified_tls(
    encrypted: MariaDbServer,
) -> None:
    caller = Caller(encrypted, over_tls(encrypted))
    await caller.read_names()
    ((name, cipher),) = cells(await caller.run("SHOW STATUS LIKE 'Ssl_cipher'"))
    await caller.connector.close()
    assert name == b"Ssl_cipher"
    assert cipher


@pytest.mark.parametrize("changes", [{"ca": None}, {"host": "localhost"}])
async def test_a_server_that_shows_another_certificate_gets_no_password(
    encrypted: MariaDbServer, changes: dict[str, Any]
) -> None:
    if "host" in changes:
        changes = {"address": f"{changes['host']}:{encrypted.port}"}
    before = refused_logins(encrypted)
    with pytest.raises(BackendUnavailable):
        await over_tls(encrypted, **changes).catalog(to_read_names())
    assert refused_logins(encrypted) == before


def refused_logins(server: MariaDbServer) -> list[tuple[Any, ...]]:
    """How many logins the server has turned down for their password."""
    with closing(server.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Access_denied_errors'")
        return list(cursor.fetchall())


async def test_the_servers_own_defaults_change_nothing(encrypted: MariaDbServer) -> None:
    settings = "SELECT @@GLOBAL.sql_mode, @@GLOBAL.character_set_client"
    other = "SET GLOBAL sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'"
    caller = Caller(encrypted, over_tls(encrypted))
    ((mode, charset),) = caller.fetch(settings)
    await caller.change(f"{other}; SET GLOBAL character_set_client = latin1")
    try:
        await caller.read_names()
        for _ in range(3):
            ((row,),) = cells(await caller.run("SELECT CONCAT(\"\\'\", 'ë')"))
            assert row == "'ë".encode()
        assert cells(await caller.run("SELECT COUNT(DISTINCT CONNECTION_ID()) FROM orders"))
    finally:
        await caller.connector.close()
        back = f"SET GLOBAL sql_mode = '{mode}'; SET GLOBAL character_set_client = {charset}"
        await caller.change(back)
