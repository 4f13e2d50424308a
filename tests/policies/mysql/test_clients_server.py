"""What clients may send, on a real MariaDB: dumps go through whole, no secret is called clean."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from itertools import product
from typing import Any

import pymysql
import pytest

from policies.sql.facts import SqlEffect
from policies.sql.mysql import analyse
from policies.sql.mysql.absorbed import answered
from policies.sql.mysql.variables import HARMLESS_FAMILIES, READABLE
from policies.sql.server_secrets import SERVER_SECRET
from tests.fixtures.mariadb import MariaDbServer
from tests.policies.mysql.catalogs import FIXTURE, rows_of_catalog
from tests.policies.mysql.samples import client_statements, sample, script, system_rows
from tests.policies.mysql.test_samples import is_permitted
from tests.policies.mysql.watch import Watched, fetch

pytestmark = pytest.mark.programs

DEADLINE = 120  # seconds, on a busy machine
HASH = "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"
DUMPS = [
    ["--single-transaction"],
    ["--single-transaction", "--routines", "--events", "--triggers"],
    ["--single-transaction", "--routines", "--compact", "--hex-blob", "--skip-opt"],
    ["--single-transaction", "--complete-insert", "--no-tablespaces", "--skip-triggers"],
    ["--single-transaction", "--no-data", "--xml"],
    ["--skip-lock-tables", "--no-create-info", "--where=1 = 1"],
]
# Beside what clients are known to send: whatever was let through for them.
SHOWN = [
    "SHOW VARIABLES",
    "SHOW GLOBAL VARIABLES LIKE 'char%'",
    "SHOW CREATE TRIGGER ins_film",
    "SHOW CREATE PROCEDURE film_in_stock",
    "SHOW CREATE EVENT nightly",
    "SHOW TRIGGERS LIKE 'film%'",
    "DESCRIBE nope",
    "SHOW CREATE TABLE nope",
    "SET STATEMENT max_statement_time = 5 FOR SELECT title FROM film",
    "SET STATEMENT sql_select_limit = 1, time_zone = '+00:00' FOR TABLE film",
    "SELECT * FROM mysql.user",
    "SELECT * FROM mysql.procs_priv",
    "SELECT * FROM information_schema.system_variables",
    "SELECT routine_definition FROM information_schema.routines WHERE routine_schema = 'sakila'",
    "SELECT @@GLOBAL.gtid_slave_pos",
]
OTHER_HASH = "*A4B6157319038724E3560894F7F932C8886EBFCF"
# Where the first one's changes, they sort and group differently.
ACCOUNTS = {"kept": HASH, "twin": OTHER_HASH, "middle": HASH.replace("*2", "*5")}
_OUTPUTS = (
    *("*", "u.*", "u.user", "Password", "u.user, Password", "Password AS p, u.user", "COUNT(*)"),
    *("LENGTH(Password)", "Password IS NULL", "MAX(Password)", "CONCAT(u.user, Password)"),
    *("(SELECT Password)", f"IF(Password = '{HASH}', 1, 2)", "CAST(Password AS SIGNED)"),
    *("COUNT(Password)", "DISTINCT Password", "ROW_NUMBER() OVER (ORDER BY Password)"),
)
_SOURCES = (
    "mysql.user u",
    "(SELECT * FROM mysql.user) u",
    "(SELECT Password, host, user FROM mysql.user) u",
    "mysql.user v JOIN mysql.user u USING (user, host)",
    "mysql.db v RIGHT JOIN (SELECT user, authentication_string Password FROM mysql.user) u"
    " ON u.user = v.user",
    "mysql.user v JOIN (SELECT user, Password FROM mysql.user) u ON v.Password > u.Password",
)
_ENDS = (
    *("", "ORDER BY u.user", "ORDER BY 1", "ORDER BY Password", "WHERE u.user = 'kept'"),
    *(f"WHERE Password = '{HASH}'", "WHERE Password > '*5'", "HAVING Password > '*5'"),
    *("GROUP BY Password", "GROUP BY u.user", "HAVING p > '*5'", "LIMIT 2", "ORDER BY p"),
    *("UNION ALL SELECT 1", "WHERE EXISTS (SELECT 1 FROM mysql.user WHERE Password > '*5')"),
)
OVER_ACCOUNTS = [
    f"SELECT {listed} FROM {sources} {end}".strip()
    for listed, sources, end in product(_OUTPUTS, _SOURCES, _ENDS)
]


@pytest.fixture(scope="module")
def server(mariadb: MariaDbServer) -> Iterator[MariaDbServer]:
    mariadb.run(FIXTURE)
    mariadb.run(script("sakila"))
    mariadb.run("USE sakila; CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO SELECT 1")
    for name, hashed in ACCOUNTS.items():
        mariadb.run(f"CREATE USER {name} IDENTIFIED BY PASSWORD '{hashed}'")
    yield mariadb
    mariadb.run(f"DROP USER {', '.join(ACCOUNTS)}")
    mariadb.run("DROP DATABASE sakila; DROP DATABASE app; DROP DATABASE hr")


def dumped(server: MariaDbServer, options: list[str]) -> str:
    """What mariadb-dump of Sakila prints."""
    program = ["mariadb-dump", "--no-defaults", f"--socket={server.socket}"]
    command = [*program, f"--user={server.superuser}", *options, "sakila"]
    done = subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE, text=True)
    return done.stdout


def sent_by_dump(server: MariaDbServer, options: list[str]) -> list[str]:
    """The statements of one run, as the server logs them."""
    with closing(server.connect()) as connection:
        fetch(connection, "SET GLOBAL log_output = 'TABLE', GLOBAL general_log = ON")
        assert "actor" in dumped(server, options)
        fetch(connection, "SET GLOBAL log_output = 'FILE', GLOBAL general_log = OFF")
        rows = fetch(
            connection,
            "SELECT argument FROM mysql.general_log"
            " WHERE command_type = 'Query' AND thread_id <> CONNECTION_ID()",
        )
        fetch(connection, "TRUNCATE mysql.general_log")
    return [sql.decode() if isinstance(sql, bytes) else sql for (sql,) in rows]


@pytest.mark.parametrize("options", DUMPS, ids=" ".join)
def test_a_dump_without_locks_goes_through_whole(server: MariaDbServer, options: list[str]) -> None:
    sent = sent_by_dump(server, options)
    assert any("actor" in sql for sql in sent)
    refused = {}
    for sql in sent:
        facts = answered(analyse(sql, sample("sakila")))
        if facts.opaque is not None or not is_permitted(sql, facts):
            refused[sql] = facts.opaque or facts.effect
    assert refused == {}


def test_a_dump_with_its_defaults_is_told_how_to_do_without_locks(server: MariaDbServer) -> None:
    sent = sent_by_dump(server, [])
    refused = [facts.opaque for facts in (answered(analyse(sql, sample("sakila"))) for sql in sent)]
    said = {opaque.next_step for opaque in refused if opaque is not None}
    assert len(said) == 1
    assert "--single-transaction" in said.pop()


def test_no_read_that_clients_send_changes_anything(server: MariaDbServer) -> None:
    texts = [*(row["sql"] for row in client_statements()), *SHOWN]
    reads = [sql for sql in texts if analyse(sql, sample("sakila")).effect is SqlEffect.READ]
    assert set(SHOWN) <= set(reads)
    with closing(Watched(server, "sakila")) as watched:
        for sql in reads:
            watched.run(sql)
        assert watched.changes() == ""
        assert watched.ran > len(reads) / 2


def test_no_password_stands_in_a_column_that_is_called_clean(server: MariaDbServer) -> None:
    sql = "SELECT * FROM mysql.user ORDER BY user"
    clean = analyse(sql, sample("sakila")).clean_outputs
    with closing(server.connect()) as connection:
        rows = fetch(connection, sql)
    assert any(HASH in row for row in rows)
    assert not any(HASH in str(row[index]) for row in rows for index in clean)


def set_password(server: MariaDbServer, hashed: str) -> None:
    server.run(f"ALTER USER kept IDENTIFIED BY PASSWORD '{hashed}'")


def seen(connection: Any, sql: str, clean: frozenset[int]) -> Any:
    """What a statement shows but for what is masked: rows in their order, and the warnings."""
    try:
        rows = fetch(connection, sql)
    except pymysql.MySQLError as error:
        return error.args[0]
    shown = [[value for i, value in enumerate(row) if i in clean] for row in rows]
    return shown, fetch(connection, "SHOW WARNINGS")


def test_nothing_that_is_shown_hangs_on_a_password(server: MariaDbServer) -> None:
    """The same statements before and after a change of it: nothing but what is masked differs."""
    found = {sql: analyse(sql, sample("sakila")) for sql in OVER_ACCOUNTS}
    reads = {sql: facts.clean_outputs for sql, facts in found.items() if facts.read_only}
    secretly = [sql for sql in reads if SERVER_SECRET in found[sql].labels_read]
    told = []
    with closing(server.connect("sakila")) as connection:
        before = {sql: seen(connection, sql, clean) for sql, clean in reads.items()}
        set_password(server, OTHER_HASH)
        told = [sql for sql in reads if seen(connection, sql, reads[sql]) != before[sql]]
        everything = frozenset(range(99))
        shows = seen(connection, secretly[0], everything)
        set_password(server, HASH)
        assert shows != seen(connection, secretly[0], everything)
    assert told == []
    assert len(secretly) > len(OVER_ACCOUNTS) / 20
    assert sum(not isinstance(answer, int) for answer in before.values()) > len(reads) / 2


@pytest.mark.parametrize("pattern", [f"{family}%" for family in HARMLESS_FAMILIES] + ["sql_mode"])
def test_settings_that_are_shown_by_a_pattern_are_the_harmless_ones(
    server: MariaDbServer, pattern: str
) -> None:
    sql = f"SHOW VARIABLES LIKE '{pattern}'"
    assert analyse(sql, sample("sakila")).labels_read == frozenset()
    with closing(server.connect()) as connection:
        shown = [name for name, _ in fetch(connection, sql)]
    assert shown
    assert all(name in READABLE or name.startswith(HARMLESS_FAMILIES) for name in shown)


def test_the_catalog_of_system_tables_is_this_servers(server: MariaDbServer) -> None:
    with closing(server.connect()) as connection:
        found = rows_of_catalog(connection, ("mysql",))
    known = {row[1] for row in system_rows()}
    assert [row for row in found if row[1] in known] == system_rows()
