"""What a statement reaches through what it names: behind views, in partitions, by inheritance."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from policies.cedar import load
from policies.model import Effect, SqlStatement
from policies.sql.catalog import Catalog
from policies.sql.facts import SqlFacts
from policies.sql.postgres import analyse
from tests.fixtures.postgres import PostgresDatabase, PostgresServer, execute
from tests.policies.live_catalog import read_catalog
from tests.policies.requests import Asker, person

SCHEMA = """
CREATE TABLE people (id int PRIMARY KEY, name text, ssn text);
CREATE TABLE sick_days (person int, days int);
CREATE VIEW names AS SELECT id, name FROM people;
CREATE VIEW names_again AS SELECT name FROM names;
CREATE VIEW rested AS SELECT p.name FROM people p JOIN sick_days s ON s.person = p.id;
CREATE VIEW whole AS SELECT p FROM people p;
CREATE MATERIALIZED VIEW copied AS SELECT name FROM people;
CREATE TABLE payments (id int, at date, amount numeric) PARTITION BY RANGE (at);
CREATE TABLE payments_2026 PARTITION OF payments FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')
  PARTITION BY LIST (id);
CREATE TABLE payments_2026_1 PARTITION OF payments_2026 FOR VALUES IN (1);
CREATE TABLE cities (name text);
CREATE TABLE capitals (country text) INHERITS (cities);
CREATE VIEW towns AS SELECT name FROM cities;
CREATE SEQUENCE counter;
CREATE TABLE owners (id int PRIMARY KEY, code text UNIQUE);
CREATE TABLE pets (id int PRIMARY KEY, owner int REFERENCES owners ON DELETE CASCADE);
CREATE TABLE visits (pet int REFERENCES pets ON DELETE CASCADE,
  paid_by text REFERENCES owners (code) ON UPDATE CASCADE ON DELETE SET NULL);
CREATE TABLE bills (owner int REFERENCES owners);
"""
LABELS = {("public", "people", "ssn"): "pii", ("public", "people", "name"): "contact"}


@pytest.fixture(scope="module")
def reach_database(postgres: PostgresServer) -> Iterator[PostgresDatabase]:
    name = f"test_{secrets.token_hex(6)}"
    asyncio.run(execute(postgres.dsn("postgres"), f"CREATE DATABASE {name}"))
    try:
        asyncio.run(execute(postgres.dsn(name), SCHEMA))
        yield postgres.database(name)
    finally:
        asyncio.run(execute(postgres.dsn("postgres"), f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="module")
def catalog(reach_database: PostgresDatabase) -> Catalog:
    return asyncio.run(read_catalog(reach_database, LABELS))


def uses(facts: SqlFacts) -> set[tuple[str, str, str]]:
    """Verb, table and the relation that it is reached through."""
    assert facts.opaque is None, facts.opaque
    return {(use.verb, use.table.name, use.through) for use in facts.tables}


def reached(text: str, catalog: Catalog) -> set[str]:
    return {table for _, table, _ in uses(analyse(text, catalog))}


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("SELECT name FROM names", {"names", "people"}),
        ("SELECT name FROM names_again", {"names_again", "names", "people"}),
        ("SELECT name FROM rested", {"rested", "people", "sick_days"}),
        ("SELECT p FROM whole", {"whole", "people"}),
        ("SELECT name FROM copied", {"copied", "people"}),
        ("SELECT name FROM towns", {"towns", "cities", "capitals"}),
        ("SELECT name FROM cities", {"cities", "capitals"}),
        ("SELECT country FROM capitals", {"capitals"}),
        ("SELECT amount FROM payments", {"payments"}),
        ("SELECT amount FROM payments_2026_1", {"payments_2026_1", "payments_2026", "payments"}),
        ("WITH people AS (SELECT 1) SELECT * FROM people", set()),
        ("WITH people AS (SELECT name FROM names) SELECT * FROM people", {"names", "people"}),
    ],
)
def test_policy_is_asked_about_every_table_behind_what_is_read(
    text: str, tables: set[str], catalog: Catalog
) -> None:
    assert reached(text, catalog) == tables


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "DELETE FROM payments_2026 WHERE id = 1",
            {
                ("delete", "payments_2026", ""),
                ("delete", "payments", "public.payments_2026"),
                ("select", "payments_2026", ""),
                ("select", "payments", "public.payments_2026"),
            },
        ),
        (
            "UPDATE cities SET name = 'x' WHERE name = 'y'",
            {
                ("update", "cities", ""),
                ("update", "capitals", "public.cities"),
                ("select", "cities", ""),
                ("select", "capitals", "public.cities"),
            },
        ),
        ("INSERT INTO cities VALUES ('x')", {("insert", "cities", "")}),
        (
            "INSERT INTO payments_2026_1 VALUES (1)",
            {
                ("insert", "payments_2026_1", ""),
                ("insert", "payments_2026", "public.payments_2026_1"),
                ("insert", "payments", "public.payments_2026_1"),
            },
        ),
        (
            "TRUNCATE cities",
            {("truncate", "cities", ""), ("truncate", "capitals", "public.cities")},
        ),
        ("DROP VIEW names", {("ddl", "names", "")}),
        (
            "DELETE FROM owners WHERE id = 1",
            {
                ("delete", "owners", ""),
                ("select", "owners", ""),
                ("delete", "pets", "public.owners"),
                ("delete", "visits", "public.owners"),
                ("update", "visits", "public.owners"),
            },
        ),
        (
            "UPDATE owners SET code = 'x' WHERE id = 1",
            {
                ("update", "owners", ""),
                ("select", "owners", ""),
                ("update", "visits", "public.owners"),
            },
        ),
        (
            "UPDATE owners SET id = 2 WHERE id = 1",
            {("update", "owners", ""), ("select", "owners", "")},
        ),
    ],
)
def test_a_change_is_asked_about_as_far_as_it_goes(
    text: str, expected: set[tuple[str, str, str]], catalog: Catalog
) -> None:
    assert uses(analyse(text, catalog)) == expected


def test_a_table_behind_a_view_comes_with_the_columns_that_the_view_reads(catalog: Catalog) -> None:
    facts = analyse("SELECT name FROM rested", catalog)
    [people] = [use for use in facts.tables if use.table.name == "people"]
    [sick_days] = [use for use in facts.tables if use.table.name == "sick_days"]
    assert (people.columns, people.through) == ({"id", "name"}, "public.rested")
    assert people.labels == {"contact"}
    assert (sick_days.columns, sick_days.labels) == ({"person"}, frozenset())
    [whole] = [
        u for u in analyse("SELECT p FROM whole", catalog).tables if u.table.name == "people"
    ]
    assert whole.columns == {"*"}


def test_what_lies_behind_is_bound_into_an_approval(catalog: Catalog) -> None:
    facts = analyse("SELECT name FROM rested", catalog)
    assert {str(name) for name, _ in facts.objects} == {
        "public.rested",
        "public.people",
        "public.sick_days",
    }


def test_relations_say_what_they_are(catalog: Catalog) -> None:
    kinds = {
        relation.name.name: relation.kind_name
        for relation in catalog.relations.values()
        if relation.name.schema == "public"
    }
    assert kinds == {
        "people": "table",
        "sick_days": "table",
        "names": "view",
        "names_again": "view",
        "rested": "view",
        "whole": "view",
        "copied": "materialized_view",
        "payments": "partitioned_table",
        "payments_2026": "partition",
        "payments_2026_1": "partition",
        "cities": "table",
        "capitals": "table",
        "towns": "view",
        "counter": "sequence",
        "owners": "table",
        "pets": "table",
        "visits": "table",
        "bills": "table",
    }


POLICIES = """
@id("all") permit (principal, action in [Action::"read", Action::"change"], resource);
@id("not-people") forbid (principal, action == Action::"sql.select", resource)
when { resource.name == "people" }
unless { context.sql has through && context.sql.through == "public.names" };
@id("no-copies") forbid (principal, action == Action::"sql.select", resource)
when { resource.kind == "materialized_view" };
@id("not-payments") forbid (principal, action in Action::"change", resource)
when { resource.name == "payments" };
"""


@pytest.mark.parametrize(
    ("text", "refused_by"),
    [
        ("SELECT name FROM people", "not-people"),
        ("SELECT name FROM rested", "not-people"),
        ("SELECT name FROM names_again", "not-people"),
        ("SELECT 1 FROM whole", "not-people"),
        ("SELECT name FROM copied", "no-copies"),
        ("DELETE FROM payments_2026_1", "not-payments"),
        ("SELECT name FROM names", ""),
        ("SELECT amount FROM payments_2026_1", ""),
    ],
)
def test_what_is_forbidden_is_forbidden_behind_a_view_unless_policy_names_the_view(
    text: str, refused_by: str, catalog: Catalog, tmp_path: Path
) -> None:
    (tmp_path / "policies.cedar").write_text(POLICIES)
    decision = Asker(load(tmp_path), person()).ask(SqlStatement(text), analyse(text, catalog))
    assert (decision.refusal.policy if decision.refusal else "") == refused_by
    assert (decision.effect is Effect.PERMIT) == (refused_by == "")


def test_the_version_changes_with_what_a_view_reads(
    reach_database: PostgresDatabase, catalog: Catalog
) -> None:
    view = "CREATE OR REPLACE VIEW changing AS SELECT"
    asyncio.run(execute(reach_database.dsn, f"{view} name FROM people"))
    before = asyncio.run(read_catalog(reach_database, LABELS))
    asyncio.run(execute(reach_database.dsn, f"{view} 'x'::text AS name FROM sick_days"))
    after = asyncio.run(read_catalog(reach_database, LABELS))
    assert len({catalog.version, before.version, after.version}) == 3
    assert reached("SELECT name FROM changing", before) == {"changing", "people"}
    assert reached("SELECT name FROM changing", after) == {"changing", "sick_days"}
