"""TPC-H and Sakila on a real MariaDB: the catalog is the server's, and every query runs there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.fixtures.mariadb import MariaDbServer
from tests.policies.mysql.catalogs import rows_of_catalog
from tests.policies.mysql.samples import DATABASES, queries, sample_rows, script
from tests.policies.mysql.watch import fetch

pytestmark = pytest.mark.programs


@pytest.fixture(scope="module")
def server(mariadb: MariaDbServer) -> Iterator[MariaDbServer]:
    for database in DATABASES:
        mariadb.run(script(database))
    yield mariadb
    for database in DATABASES:
        mariadb.run(f"DROP DATABASE {database}")


def test_the_catalog_of_the_samples_is_this_servers(server: MariaDbServer) -> None:
    with closing(server.connect()) as connection:
        assert rows_of_catalog(connection, DATABASES) == sample_rows()


@pytest.mark.parametrize("database", DATABASES)
def test_every_query_runs_in_a_read_only_transaction(server: MariaDbServer, database: str) -> None:
    with closing(server.connect(database)) as connection:
        fetch(connection, "START TRANSACTION READ ONLY")
        rows = {name: fetch(connection, text) for name, text in queries(database).items()}
    assert sum(bool(found) for found in rows.values()) >= len(rows) / 2
