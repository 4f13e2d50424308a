"""Columns of the server's own that a catalog labels, and what the server leaves out by itself."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import asyncpg
import pytest

from policies.sql.catalog import Catalog
from policies.sql.facts import TableName
from policies.sql.partly_shown import SETTINGS
from policies.sql.server_secrets import SERVER_SECRET
from policies.sql.settings import SECRET_SETTINGS
from server.credentials import Credentials, Login
from server.protocols.postgres.connector import PostgresConnector
from tests.fixtures.postgres import SampleDatabase
from tests.server.protocols.grants import Secret, catalog, credentials, shop

pytestmark = pytest.mark.anyio

OF_SETTINGS = {"setting", "boot_val", "reset_val"}
SHOWN_TO_ALL = ("archive_cleanup_command", "archive_command", "recovery_end_command")


@pytest.fixture
async def admin(
    sample_database: SampleDatabase,
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(sample_database.dsn)
    yield connection
    await connection.close()


async def read(sample: SampleDatabase, held: Credentials | None = None) -> Catalog:
    connector = PostgresConnector(shop(sample), held or credentials(sample))
    try:
        return await connector.catalog(catalog())
    finally:
        await connector.close()


def secret(read: Catalog, name: TableName) -> set[str]:
    columns = read.relations[name].columns
    assert columns
    return {column.name for column in columns if SERVER_SECRET in column.labels}


@pytest.mark.parametrize(
    ("relation", "column"),
    [
        ("pg_attribute", "attmissingval"),
        ("pg_db_role_setting", "setconfig"),
        ("pg_foreign_data_wrapper", "fdwoptions"),
        ("pg_foreign_server", "srvoptions"),
        ("pg_prepared_statements", "statement"),
        ("pg_roles", "rolconfig"),
        ("pg_seclabel", "label"),
        ("pg_seclabels", "label"),
        ("pg_subscription", "subconninfo"),
        ("pg_user", "useconfig"),
        ("pg_user_mappings", "umoptions"),
    ],
)
async def test_a_column_that_may_hold_a_secret_carries_the_label(
    sample_database: SampleDatabase, relation: str, column: str
) -> None:
    assert secret(await read(sample_database), TableName("pg_catalog", relation)) == {column}


async def test_a_view_of_a_user_carries_it_on(
    sample_database: SampleDatabase, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    await admin.execute(
        """CREATE VIEW roles AS SELECT rolname, rolconfig AS c, rolconfig::text AS t FROM pg_roles;
        CREATE VIEW columns_added AS SELECT attname, attmissingval::text AS kept FROM pg_attribute;
        CREATE VIEW plain AS SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"""
    )
    found = await read(sample_database)
    assert secret(found, TableName("public", "roles")) == {"c", "t"}
    assert secret(found, TableName("public", "columns_added")) == {"kept"}
    assert secret(found, TableName("public", "plain")) == set()


async def test_an_ordinary_role_is_shown_no_setting_with_a_secret_in_it(
    sample_database: SampleDatabase, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    """The ground for showing it pg_settings: what a database or a role keeps for itself too."""
    await admin.execute(f"ALTER DATABASE {sample_database.database.name} SET app.password = 'x'")
    reader = await asyncpg.connect(sample_database.reader_dsn)
    try:
        assert await reader.fetchval("SELECT current_setting('app.password')") == "x"
        names = {row["name"] for row in await reader.fetch("SELECT name FROM pg_settings")}
        assert not {name for name in names if name.startswith("app.")}
        assert names & SECRET_SETTINGS <= {*SHOWN_TO_ALL, "restore_command"}
        assert {"primary_conninfo", "ssl_passphrase_command"} & names == set()
    finally:
        await reader.close()
    assert secret(await read(sample_database), SETTINGS) == set()


@pytest.mark.parametrize("which", ["reader", "writer"])
@pytest.mark.parametrize("privilege", ["SUPERUSER", "pg_read_all_settings", "pg_monitor"])
async def test_settings_are_labelled_where_one_of_the_roles_is_shown_all_of_them(
    sample_database: SampleDatabase,
    admin: asyncpg.Connection[asyncpg.Record],
    which: str,
    privilege: str,
) -> None:
    user = getattr(sample_database, which).user
    grants = privilege.startswith("pg_")
    await admin.execute(
        f"GRANT {privilege} TO {user}" if grants else f"ALTER ROLE {user} SUPERUSER"
    )
    assert secret(await read(sample_database), SETTINGS) == OF_SETTINGS


async def test_settings_are_labelled_where_a_role_is_not_known_by_its_name(
    sample_database: SampleDatabase,
) -> None:
    """The server may know it by another, and what that one is shown is not known here."""
    reader = sample_database.reader
    held = Credentials(
        "shop",
        {
            "reader": Login(reader.user, Secret(reader.password)),
            "writer": Login("o'brien", Secret("x")),
        },
    )
    assert secret(await read(sample_database, held), SETTINGS) == OF_SETTINGS


async def test_a_command_that_everybody_is_shown_labels_settings_once_there_is_one(
    sample_database: SampleDatabase, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    connector = PostgresConnector(shop(sample_database), credentials(sample_database))
    try:
        assert secret(await connector.catalog(catalog()), SETTINGS) == set()
        await admin.execute("ALTER SYSTEM SET archive_cleanup_command = 'clean --key=secret %r'")
        await admin.execute("SELECT pg_reload_conf()")
        found = secret(await connector.catalog(catalog()), SETTINGS)
        for _ in range(1000):  # servers take a configuration in when they are next asked
            if found == OF_SETTINGS:
                break
            found = secret(await connector.catalog(catalog()), SETTINGS)
        assert found == OF_SETTINGS
    finally:
        await admin.execute("ALTER SYSTEM RESET archive_cleanup_command")
        await admin.execute("SELECT pg_reload_conf()")
        await connector.close()


@pytest.fixture
async def rows_of(
    sample_database: SampleDatabase, admin: asyncpg.Connection[asyncpg.Record]
) -> AsyncIterator[str]:
    """A role that owns two tables with row security, one of them forced on itself."""
    owner = f"owner_{secrets.token_hex(6)}"
    reader = sample_database.reader.user
    await admin.execute(
        f"""CREATE ROLE {owner} LOGIN PASSWORD 'of-this-test';
        CREATE TABLE guarded AS SELECT n AS id FROM generate_series(1, 10) n;
        CREATE TABLE forced AS SELECT n AS id FROM generate_series(1, 10) n;
        ALTER TABLE guarded OWNER TO {owner}; ALTER TABLE forced OWNER TO {owner};
        ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; ALTER TABLE forced ENABLE ROW LEVEL SECURITY;
        ALTER TABLE forced FORCE ROW LEVEL SECURITY;
        CREATE POLICY few ON guarded USING (id < 3); CREATE POLICY few ON forced USING (id < 3);
        GRANT SELECT ON guarded, forced TO {reader}; GRANT USAGE ON SCHEMA public TO {owner}"""
    )
    yield owner
    await admin.execute(f"DROP OWNED BY {owner}; DROP ROLE {owner}")


async def counted(dsn: str, table: str, setting: str) -> int | str:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"SET row_security = {setting}")
        return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))
    except asyncpg.InsufficientPrivilegeError:
        return "refused"
    finally:
        await connection.close()


async def test_row_security_switched_off_never_gives_more_rows(
    sample_database: SampleDatabase, rows_of: str
) -> None:
    """Why a session may set it: it makes an error of what would be left out."""
    reader = sample_database.reader_dsn
    owner = sample_database.database.dsn_of(rows_of, "of-this-test")
    expected: dict[tuple[str, str], tuple[int, int | str]] = {
        (reader, "guarded"): (2, "refused"),
        (reader, "forced"): (2, "refused"),
        (owner, "guarded"): (10, 10),
        (owner, "forced"): (2, "refused"),
    }
    for (dsn, table), (on, off) in expected.items():
        assert await counted(dsn, table, "on") == on
        assert await counted(dsn, table, "off") == off
