"""The catalog of a real MariaDB, as the gateway reads it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from policies.errors import ConfigError
from policies.sql.catalog import Catalog, Reach, Relation
from policies.sql.facts import TableName
from policies.sql.mysql import analyse
from policies.sql.server_secrets import SERVER_SECRET
from server.parsing.in_process import InProcess
from server.protocols.mysql.catalog import Parts
from server.protocols.mysql.catalog_queries import WHOLE, Row
from server.protocols.mysql.catalog_reader import CatalogReader, is_unchanged
from server.protocols.mysql.target import MysqlTarget
from tests.fixtures.mariadb import MariaDbServer
from tests.policies.mysql.catalogs import FIXTURE, LABELS, catalog
from tests.policies.mysql.live import asking, read_catalog, target

pytestmark = [pytest.mark.programs, pytest.mark.anyio]

MORE = """
    CREATE VIEW app.v_two AS SELECT contact, UPPER(contact) AS loud, id FROM app.v_users;
    CREATE VIEW app.v_next AS SELECT NEXT VALUE FOR app.s1 AS n;
    CREATE VIEW app.v_count AS SELECT COUNT(*) AS n FROM app.departments;
    CREATE TABLE app.computed(
        a INT, ssn VARCHAR(20), b INT AS (a + 1),
        tail VARCHAR(4) AS (RIGHT(ssn, 4)), twice VARCHAR(9) AS (CONCAT(tail, tail))
    );
    CREATE TABLE app.parents(id INT PRIMARY KEY, code INT UNIQUE) ENGINE=InnoDB;
    CREATE TABLE app.children(
        id INT PRIMARY KEY, parent INT, code INT,
        FOREIGN KEY (parent) REFERENCES app.parents(id) ON DELETE CASCADE,
        FOREIGN KEY (code) REFERENCES app.parents(code) ON DELETE SET NULL ON UPDATE CASCADE
    ) ENGINE=InnoDB;
    CREATE TABLE app.grandchildren(
        id INT PRIMARY KEY, child INT,
        FOREIGN KEY (child) REFERENCES app.children(id) ON DELETE CASCADE
    ) ENGINE=InnoDB;
    CREATE USER IF NOT EXISTS looker;
    GRANT SELECT, SHOW VIEW ON *.* TO looker;
    GRANT TRIGGER ON hr.* TO looker;
"""
RULES = {
    ("app", "users", "ssn"): "pii",
    ("app", "users", "email"): "pii",
    ("app", "users", "password_hash"): "secret",
    ("app", "computed", "ssn"): "pii",
}


@pytest.fixture(scope="module")
def server(mariadb: MariaDbServer) -> Iterator[MariaDbServer]:
    mariadb.run(FIXTURE)
    mariadb.run(MORE)
    yield mariadb
    mariadb.run("DROP DATABASE app; DROP DATABASE hr; DROP USER looker")


def relation(found: Catalog, name: str, schema: str = "app") -> Relation:
    return found.relations[TableName(schema, name)]


def labels(found: Relation) -> dict[str, set[str]]:
    return {c.name: set(c.labels) for c in found.columns if c.labels}


async def test_it_is_the_catalog_of_the_pure_tests(server: MariaDbServer) -> None:
    rules = {place: label for place, (label,) in LABELS.items()}
    found = await read_catalog(server, rules, functions=frozenset({"app.f_pure"}))
    for name, known in catalog().relations.items():
        if name.schema in ("app", "hr"):
            read = replace(found.relations[name], oid=known.oid, behind=())
            if known.kind != "v" or not known.user_code:
                assert read == known
            else:
                assert (read.kind, read.user_code) == (known.kind, True)
    assert found.functions["app"] == frozenset({"f_pure"})
    assert not found.ignores_case


async def test_labels_go_through_views_as_far_as_values_do(server: MariaDbServer) -> None:
    found = await read_catalog(server, RULES)
    assert labels(relation(found, "v_users")) == {"contact": {"pii"}}
    assert labels(relation(found, "v_two")) == {"contact": {"pii"}, "loud": {"pii"}}
    assert labels(relation(found, "v_count")) == {}
    assert labels(relation(found, "v_star")) == {
        "email": {"pii"},
        "ssn": {"pii"},
        "password_hash": {"secret"},
    }


async def test_labels_go_into_generated_columns(server: MariaDbServer) -> None:
    found = await read_catalog(server, RULES)
    computed = relation(found, "computed")
    assert labels(computed) == {"ssn": {"pii"}, "tail": {"pii"}, "twice": {"pii"}}
    assert [c.name for c in computed.columns if c.generated] == ["b", "tail", "twice"]


async def test_a_view_reaches_what_is_behind_it_at_any_depth(server: MariaDbServer) -> None:
    found = await read_catalog(server)
    behind = {(str(b.name), b.kind): b.columns for b in relation(found, "v_two").behind}
    assert behind == {
        ("app.v_users", Reach.VIEW): frozenset({"contact", "id"}),
        ("app.users", Reach.VIEW): frozenset({"id", "name", "email"}),
    }


@pytest.mark.parametrize("view", ["v_evil", "v_next"])
async def test_a_view_that_runs_code_may_not_be_read(server: MariaDbServer, view: str) -> None:
    found = await read_catalog(server, RULES)
    refused = analyse(f"SELECT * FROM {view}", found)
    assert refused.opaque is not None
    assert refused.opaque.code == "FUNCTION_NOT_ALLOWED"


async def test_rows_that_go_or_change_with_others_are_behind_them(server: MariaDbServer) -> None:
    parents = relation(await read_catalog(server), "parents")
    assert {(str(b.name), b.kind, b.columns, b.keys) for b in parents.behind} == {
        ("app.children", Reach.DELETED, frozenset({"*"}), frozenset()),
        ("app.grandchildren", Reach.DELETED, frozenset({"*"}), frozenset()),
        ("app.children", Reach.CHANGED, frozenset({"code"}), frozenset()),
        ("app.children", Reach.FOLLOWS, frozenset({"code"}), frozenset({"code"})),
    }


async def test_triggers_that_the_account_may_not_see_count_as_there(server: MariaDbServer) -> None:
    found = await read_catalog(server, user="looker")
    assert relation(found, "orders").user_code
    assert not relation(found, "salaries", "hr").user_code
    assert not relation(await read_catalog(server), "orders").user_code


async def test_a_password_of_the_server_has_its_label(server: MariaDbServer) -> None:
    user = relation(await read_catalog(server), "user", "mysql")
    password = user.column("authentication_string")
    assert password is not None
    assert SERVER_SECRET in password.labels


async def test_a_column_that_is_not_there_is_an_error(server: MariaDbServer) -> None:
    with pytest.raises(ConfigError, match=r"there is no column app\.users\.shoe_size"):
        await read_catalog(server, {("app", "users", "shoe_size"): "pii"})


async def test_the_configured_kind_must_be_the_servers(server: MariaDbServer) -> None:
    reader = CatalogReader(replace(target(server), kind="mysql"), InProcess())
    said = "is a server of the kind mariadb"
    with closing(server.connect()) as connection, pytest.raises(ConfigError, match=said):
        await reader.read(asking(connection))


async def test_an_unchanged_catalog_is_the_same_object(server: MariaDbServer) -> None:
    reader = CatalogReader(target(server), InProcess())
    with closing(server.connect()) as connection:
        first = await reader.read(asking(connection))
        assert await reader.read(asking(connection)) is first
        server.run("CREATE TABLE app.another(id INT)")
        second = await reader.read(asking(connection))
        server.run("DROP TABLE app.another")
    assert second.version != first.version
    name = TableName("app", "users")
    assert second.relations[name].oid == first.relations[name].oid
    assert reader.fingerprints(first.version) is not None


@pytest.mark.parametrize(
    ("change", "back"),
    [
        (
            "ALTER TABLE app.users MODIFY name TEXT",
            "ALTER TABLE app.users MODIFY name VARCHAR(100)",
        ),
        (
            "RENAME TABLE app.users TO app.gone, app.`Users` TO app.users",
            "RENAME TABLE app.users TO app.`Users`, app.gone TO app.users",
        ),
        (
            "ALTER VIEW app.v_users AS SELECT id, name, ssn AS contact FROM app.users",
            "ALTER VIEW app.v_users AS SELECT id, name, email AS contact FROM app.users",
        ),
    ],
)
async def test_what_facts_hang_on_is_found_changed(
    server: MariaDbServer, change: str, back: str
) -> None:
    reader = CatalogReader(target(server), InProcess())
    with closing(server.connect()) as connection:
        found = await reader.read(asking(connection))
        facts = analyse("SELECT contact FROM v_users", found)
        known = reader.fingerprints(facts.catalog)
        assert known is not None
        expected, before = known.expected(facts), known.definitions(facts)
        assert await is_unchanged(asking(connection), expected)
        server.run(change)
        try:
            assert not await is_unchanged(asking(connection), expected)
            again = await reader.read(asking(connection))
            newer = reader.fingerprints(again.version)
            assert newer is not None
            assert newer.definitions(facts) != before
        finally:
            server.run(back)
        assert await is_unchanged(asking(connection), expected)


def test_tables_that_show_what_is_elsewhere_are_foreign() -> None:
    engines = ["InnoDB", "FEDERATED", "CONNECT", "SPIDER", "S3", "MRG_MyISAM", None]
    rows: dict[str, list[Row]] = {name: [] for name in WHOLE}
    rows["server"] = [("8.4.2", "1", "ostiary@%")]
    rows["relations"] = [
        ("app", f"t{number}", "BASE TABLE", engine) for number, engine in enumerate(engines)
    ]
    parts = Parts.of(MysqlTarget("shop", "mysql", "db.internal", "app"), rows)
    assert parts.ignores_case
    assert [r.kind for r in parts.relations.values()] == ["r", "f", "f", "f", "f", "f", "f"]
