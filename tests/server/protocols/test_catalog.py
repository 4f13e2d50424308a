"""The catalog snapshot of a real server: names, labels that travel, code that users wrote."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from policies.errors import ConfigError
from policies.sql.catalog import Catalog
from policies.sql.facts import TableName
from server.protocols.postgres.connector import PostgresConnector
from tests.fixtures.postgres import SampleDatabase
from tests.server.protocols.grants import catalog, credentials, shop

pytestmark = pytest.mark.anyio

LABELS = {
    ("public", "customers", "ssn"): "pii",
    ("public", "customers", "email"): "contact",
    ("public", "visits", "address"): "network",
}


@pytest.fixture
async def admin(
    sample_database: SampleDatabase,
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(sample_database.dsn)
    yield connection
    await connection.close()


async def snapshot(sample: SampleDatabase, **changes: object) -> Catalog:
    target = shop(sample, **{"labels": LABELS, **changes})
    connector = PostgresConnector(target, credentials(sample))
    try:
        return await connector.catalog(catalog())
    finally:
        await connector.close()


def labelled(read: Catalog, name: str) -> dict[str, set[str]]:
    """The labelled columns of a relation."""
    relation = read.relations[TableName("public", name)]
    return {c.name: set(c.labels) for c in relation.columns if c.labels}


def user_code(read: Catalog, name: str) -> bool:
    return read.relations[TableName("public", name)].user_code


async def test_labels_travel_through_views_partitions_and_inheritance(
    sample_database: SampleDatabase,
) -> None:
    read = await snapshot(sample_database)
    assert labelled(read, "customers") == {"ssn": {"pii"}, "email": {"contact"}}
    assert labelled(read, "customer_contacts") == {"email": {"contact"}}
    assert labelled(read, "contact_mail") == {"mail": {"contact"}}
    assert labelled(read, "customer_totals")["ssn"] == {"pii"}
    assert labelled(read, "visits_2024") == {"address": {"network"}}
    assert labelled(read, "business_customers") == {"ssn": {"pii"}, "email": {"contact"}}
    assert labelled(read, "orders") == {}


async def test_a_label_on_a_partition_reaches_its_parent(sample_database: SampleDatabase) -> None:
    read = await snapshot(sample_database, labels={("public", "visits_2024", "email"): "pii"})
    assert labelled(read, "visits") == {"email": {"pii"}}


VIEWS = {
    "SELECT id, reverse(ssn) AS x FROM customers": {"x": {"pii"}},
    "SELECT id, c AS x FROM customers c": {"x": {"pii", "contact"}},
    "SELECT c.id, (c).ssn AS x FROM customers c": {"x": {"pii"}},
    "SELECT id, to_json(c) AS x FROM customers c": {"x": {"pii", "contact"}},
    "SELECT id, ssn AS x FROM customers UNION ALL SELECT id, name FROM customers": {
        "id": {"pii"},
        "x": {"pii"},
    },
    "SELECT o.id, s.x FROM orders o, LATERAL (SELECT ssn AS x FROM customers LIMIT 1) s": {
        "x": {"pii"}
    },
    "WITH w AS (SELECT id, ssn AS x FROM customers) SELECT id, x FROM w": {"x": {"pii"}},
    "SELECT id, name AS x FROM customers": {},
    "SELECT id, total * 2 AS x FROM orders": {},
}


@pytest.mark.parametrize("query", VIEWS, ids=range(len(VIEWS)))
async def test_a_views_columns_carry_what_they_may_show(
    sample_database: SampleDatabase, admin: asyncpg.Connection[asyncpg.Record], query: str
) -> None:
    await admin.execute(f"CREATE VIEW shown AS {query}; CREATE VIEW again AS SELECT x FROM shown")
    read = await snapshot(sample_database)
    assert labelled(read, "shown") == VIEWS[query]
    assert labelled(read, "again") == {k: v for k, v in VIEWS[query].items() if k == "x"}


async def test_where_the_origin_is_not_told_every_column_takes_the_label(
    sample_database: SampleDatabase, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    await admin.execute(
        "CREATE SCHEMA closed; CREATE TABLE closed.people (id int, ssn text);"
        "CREATE VIEW people AS SELECT id, ssn FROM closed.people"
    )
    read = await snapshot(sample_database, labels={("closed", "people", "ssn"): "pii"})
    assert labelled(read, "people") == {"id": {"pii"}, "ssn": {"pii"}}


async def test_a_generated_column_takes_the_label_of_what_it_is_made_of(
    sample_database: SampleDatabase, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    await admin.execute(
        "CREATE TABLE made (ssn text, tail text GENERATED ALWAYS AS (right(ssn, 4)) STORED)"
    )
    read = await snapshot(sample_database, labels={("public", "made", "ssn"): "pii"})
    assert labelled(read, "made") == {"ssn": {"pii"}, "tail": {"pii"}}


@pytest.mark.parametrize(
    "column", [("public", "customers", "nope"), ("public", "nope", "ssn"), ("nope", "x", "y")]
)
async def test_a_configured_column_that_is_not_there_is_named(
    sample_database: SampleDatabase, column: tuple[str, str, str]
) -> None:
    with pytest.raises(ConfigError, match=".".join(column)):
        await snapshot(sample_database, labels={column: "pii"})


async def test_a_view_over_code_of_users_is_marked_at_any_depth(
    sample_database: SampleDatabase, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    await admin.execute(
        "CREATE FUNCTION mine(int) RETURNS int LANGUAGE sql AS 'SELECT $1';"
        "CREATE VIEW calls AS SELECT mine(id) AS id FROM orders;"
        "CREATE VIEW above AS SELECT id FROM calls;"
        "CREATE VIEW sleeps AS SELECT pg_sleep(1) IS NULL AS slept;"
        "CREATE VIEW plain AS SELECT id, count(*) AS n FROM orders GROUP BY id"
    )
    read = await snapshot(sample_database)
    found = {name: user_code(read, name) for name in ("calls", "above", "sleeps", "plain")}
    assert found == {"calls": True, "above": True, "sleeps": True, "plain": False}
    named = await snapshot(sample_database, functions=frozenset({"public.mine"}))
    assert not user_code(named, "above")


async def test_triggers_and_rules_are_marked_and_foreign_keys_are_not(
    sample_database: SampleDatabase, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    await admin.execute(
        "CREATE TABLE ruled (id int);"
        "CREATE RULE also AS ON INSERT TO ruled DO ALSO DELETE FROM orders"
    )
    read = await snapshot(sample_database)
    assert (user_code(read, "ruled"), user_code(read, "orders")) == (True, False)


ROW_POLICIES = """
CREATE FUNCTION mine(text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION likes(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR <+> (LEFTARG = text, RIGHTARG = text, FUNCTION = likes);
CREATE TABLE called (t text); CREATE POLICY p ON called USING (mine(t));
CREATE TABLE compared (t text); CREATE POLICY p ON compared USING (t <+> 'x');
CREATE TABLE plain (t text);
CREATE POLICY p ON plain USING (t = current_user OR t = current_setting('app.tenant', true));
CREATE TABLE looking (t text);
CREATE POLICY p ON looking USING (EXISTS (SELECT FROM called c WHERE c.t = looking.t));
CREATE VIEW over AS SELECT t FROM looking;
"""
SECURED = "; ".join(
    f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"
    for name in ("called", "compared", "plain", "looking")
)


async def test_row_policies_that_call_users_functions_are_marked_where_they_are_in_force(
    sample_database: SampleDatabase, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    tables = ("called", "compared", "looking", "plain")

    async def marked(*functions: str) -> tuple[set[str], bool]:
        read = await snapshot(sample_database, functions=frozenset(functions))
        found = {n for n in tables if read.relations[TableName("public", n)].planned_code}
        return found, user_code(read, "over")

    await admin.execute(ROW_POLICIES)
    assert await marked() == (set(), False)
    await admin.execute(SECURED)
    assert await marked() == ({"called", "compared", "looking"}, True)
    assert await marked("public.mine") == ({"compared"}, False)
    assert await marked("public.mine", "public.likes") == (set(), False)
    read = await snapshot(sample_database)
    assert {name for name in tables if user_code(read, name)} == {"called", "compared"}


async def test_only_safe_functions_are_listed_and_none_that_users_shadow(
    sample_database: SampleDatabase, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    builtin = (await snapshot(sample_database)).functions["pg_catalog"]
    assert {"lower", "count", "now"} <= builtin
    assert not {"pg_sleep", "pg_read_file", "set_config", "query_to_xml", "nextval"} & builtin
    await admin.execute("CREATE FUNCTION lower(int) RETURNS int LANGUAGE sql AS 'SELECT $1'")
    assert "lower" not in (await snapshot(sample_database)).functions["pg_catalog"]


async def test_an_operator_that_users_shadow_is_not_listed(
    sample_database: SampleDatabase, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    assert {"=", "+", "||"} <= (await snapshot(sample_database)).operators
    await admin.execute(
        "CREATE FUNCTION same(bool, int) RETURNS bool LANGUAGE sql AS 'SELECT true';"
        "CREATE OPERATOR = (FUNCTION = same, LEFTARG = bool, RIGHTARG = int)"
    )
    assert "=" not in (await snapshot(sample_database)).operators


async def test_system_relations_that_tell_of_others_are_withheld(
    sample_database: SampleDatabase,
) -> None:
    names = {str(name) for name in (await snapshot(sample_database)).relations}
    assert {"pg_catalog.pg_class", "information_schema.columns"} <= names
    assert (
        not {"pg_catalog.pg_stats", "pg_catalog.pg_authid", "pg_catalog.pg_stat_activity"} & names
    )


async def test_the_version_changes_with_the_catalog_and_only_then(
    sample_database: SampleDatabase, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    before = (await snapshot(sample_database)).version
    assert (await snapshot(sample_database)).version == before
    assert (await snapshot(sample_database, labels={})).version != before
    await admin.execute("ALTER TABLE orders ADD COLUMN note text")
    assert (await snapshot(sample_database)).version != before


async def test_a_catalog_is_made_anew_only_where_something_has_changed(
    sample_database: SampleDatabase, admin: asyncpg.Connection[asyncpg.Record]
) -> None:
    connector = PostgresConnector(
        shop(sample_database, labels=LABELS), credentials(sample_database)
    )
    try:
        first = await connector.catalog(catalog())
        assert await connector.catalog(catalog()) is first
        await admin.execute("CREATE TABLE fresh (id int)")
        second = await connector.catalog(catalog())
        assert TableName("public", "fresh") in second.relations
        assert second.version != first.version
        await admin.execute("DROP TABLE fresh")
        third = await connector.catalog(catalog())
        assert third.version == first.version
    finally:
        await connector.close()
