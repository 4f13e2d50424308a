"""Changes tried out on a real server: what is told of them, what is refused, and what stays."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest

from policies.model import Parameter, SqlPreview
from policies.sql.changed_rows import writes_few_rows
from policies.sql.facts import SqlEffect, SqlFacts, TableName, TableUse
from server import gate
from server.gate import Grant
from server.previewing import NotTried, Tried
from server.protocols.postgres.connector import PostgresConnector
from server.protocols.postgres.preview import change_of
from tests.fixtures.postgres import SampleDatabase, execute
from tests.server.protocols.grants import credentials, granted, shop

pytestmark = pytest.mark.anyio

MARKS = """
CREATE TABLE IF NOT EXISTS marks (at timestamptz DEFAULT now());
CREATE OR REPLACE FUNCTION mark() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
  $$BEGIN INSERT INTO marks DEFAULT VALUES; RETURN coalesce(NEW, OLD); END$$;
CREATE OR REPLACE FUNCTION marks_all() RETURNS integer LANGUAGE plpgsql SECURITY DEFINER STABLE AS
  $$BEGIN RETURN 1; END$$;
"""


class Bench:
    """A table of a test's own, and the connector that tries changes of it out."""

    def __init__(self, connector: PostgresConnector, sample: SampleDatabase) -> None:
        self.connector = connector
        self.sample = sample
        self.name = f"t_{secrets.token_hex(4)}"

    async def prepare(self, script: str) -> None:
        """Run a script as the superuser, with `{t}` for the table."""
        filled = script.replace("{t}", self.name)
        writer = self.sample.writer.user
        rights = f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {writer}"
        await execute(self.sample.dsn, MARKS + filled + ";" + rights)

    async def ask(self, query: str) -> object:
        connection = await asyncpg.connect(self.sample.dsn)
        try:
            return await connection.fetchval(query.replace("{t}", self.name))
        finally:
            await connection.close()

    async def grant(self, text: str, *parameters: str, **facts: object) -> Grant:
        written = TableName("public", self.name)
        oid = await self.ask("SELECT '{t}'::regclass::oid::int8")
        verb = text.split()[0].lower()
        known: dict[str, object] = {
            "kinds": frozenset({verb}),
            "tables": (
                TableUse(written, verb, frozenset({"id", "n"})),
                TableUse(written, "select"),
            ),
            "objects": ((written, oid),),
            **facts,
        }
        found = SqlFacts(SqlEffect.WRITE, **known)  # type: ignore[arg-type] # by name
        bound = tuple(Parameter(p.encode()) for p in parameters)
        action = SqlPreview("ap_1", text.replace("{t}", self.name), bound)
        made = granted(action)
        request = replace(made.request, facts=found)
        return Grant(request, made.decision, gate._ONLY_THE_GATE)

    async def tried(self, text: str, *parameters: str, **facts: object) -> Tried:
        grant = await self.grant(text, *parameters, **facts)
        async with asyncio.timeout(60):
            return await self.connector.preview(grant, ("id", "n"))

    async def why_not(self, text: str, *parameters: str, **facts: object) -> str:
        with pytest.raises(NotTried) as refused:
            await self.tried(text, *parameters, **facts)
        return str(refused.value)


@pytest.fixture
async def bench(shop_database: SampleDatabase) -> AsyncIterator[Bench]:
    connector = PostgresConnector(shop(shop_database, connections=1), credentials(shop_database))
    yield Bench(connector, shop_database)
    await connector.close()


PLAIN = "CREATE TABLE {t} (id integer PRIMARY KEY, n integer); INSERT INTO {t} VALUES (1,1),(2,2)"


async def test_rows_come_back_before_and_after_and_nothing_stays(bench: Bench) -> None:
    await bench.prepare(PLAIN)
    found = await bench.tried("UPDATE {t} SET n = n + $1 WHERE id > $2", "10", "0")
    assert found.changed == 2
    assert sorted(found.before) == [[b"1", b"1"], [b"2", b"2"]]
    assert sorted(found.after) == [[b"1", b"11"], [b"2", b"12"]]
    assert await bench.ask("SELECT sum(n) FROM {t}") == 3


async def test_rows_that_get_another_key_are_shown_before_alone(bench: Bench) -> None:
    await bench.prepare(PLAIN)
    found = await bench.tried("UPDATE {t} SET id = id + 10 WHERE id = 1")
    assert (found.changed, found.before, found.after) == (1, ([b"1", b"1"],), ())


async def test_parameters_keep_their_numbers_where_the_where_names_only_some(bench: Bench) -> None:
    await bench.prepare(PLAIN)
    found = await bench.tried("UPDATE {t} SET n = $1 WHERE id = $3 AND n > $2", "7", "0", "2")
    assert (found.changed, found.before, found.after) == (1, ([b"2", b"2"],), ([b"2", b"7"],))


async def test_a_change_without_a_where_is_counted(bench: Bench) -> None:
    await bench.prepare(PLAIN)
    assert await bench.tried("DELETE FROM {t}") == Tried(2)


async def test_what_is_broken_only_at_commit_is_tried_and_never_committed(bench: Bench) -> None:
    await bench.prepare(
        "CREATE TABLE {t} (id integer PRIMARY KEY, n integer UNIQUE DEFERRABLE INITIALLY DEFERRED);"
        " INSERT INTO {t} VALUES (1, 1), (2, 2)"
    )
    assert (await bench.tried("UPDATE {t} SET n = 1 WHERE id = 2")).changed == 1
    assert await bench.ask("SELECT sum(n) FROM {t}") == 3


TRIGGER = "CREATE TRIGGER m {when} ON {t} FOR EACH {what} EXECUTE FUNCTION mark()"


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (TRIGGER.replace("{when}", "BEFORE UPDATE").replace("{what}", "ROW"), "has triggers"),
        (TRIGGER.replace("{when}", "AFTER DELETE").replace("{what}", "STATEMENT"), "has triggers"),
        (
            "CREATE CONSTRAINT TRIGGER m AFTER UPDATE ON {t} DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION mark()",
            "has triggers",
        ),
        (
            TRIGGER.replace("{when}", "BEFORE UPDATE").replace("{what}", "ROW")
            + "; ALTER TABLE {t} DISABLE TRIGGER m",
            "has triggers",
        ),
        ("CREATE RULE r AS ON UPDATE TO {t} DO ALSO NOTIFY them", "has rules"),
        (
            "CREATE TABLE {t}_c (id integer, n integer, p integer) INHERITS ({t});"
            + TRIGGER.replace("{when}", "BEFORE UPDATE")
            .replace("{what}", "ROW")
            .replace("ON {t}", "ON {t}_c"),
            "has triggers",
        ),
        (
            "CREATE FOREIGN DATA WRAPPER {t}_w; CREATE SERVER {t}_s FOREIGN DATA WRAPPER {t}_w;"
            " CREATE FOREIGN TABLE {t}_f () INHERITS ({t}) SERVER {t}_s",
            "is no plain table",
        ),
        ("CREATE TABLE {t}_k (p integer REFERENCES {t} ON UPDATE SET NULL)", "change along"),
        ("ALTER TABLE {t} ADD CHECK (marks_all() = n)", "marks_all would be called"),
        (
            "ALTER TABLE {t} ENABLE ROW LEVEL SECURITY;"
            " CREATE POLICY p ON {t} USING (marks_all() = 1)",
            "marks_all would be called",
        ),
        ("CREATE DOMAIN {t}_d AS integer; ALTER TABLE {t} ADD d {t}_d", "type that users made"),
    ],
)
async def test_what_would_do_more_than_change_rows_is_not_run(
    bench: Bench, script: str, why: str
) -> None:
    if "ALTER TABLE {t} ADD CHECK" in script:
        await bench.prepare(PLAIN.replace("(2,2)", "(2,1)") + ";" + script)
    else:
        await bench.prepare(PLAIN + ";" + script)
    assert why in await bench.why_not("UPDATE {t} SET id = 3, n = 1 WHERE id = 1")
    assert await bench.ask("SELECT count(*) FROM marks") == 0


@pytest.mark.parametrize(
    ("function", "made"),
    [
        ("public.marks_all", ""),
        (
            "a.b.f",
            'CREATE SCHEMA IF NOT EXISTS "a.b"; CREATE OR REPLACE FUNCTION "a.b".f()'
            " RETURNS integer LANGUAGE sql STABLE AS 'SELECT 1'",
        ),
        ("pg_catalog.nextval", ""),
        ("pg_catalog.pg_notify", ""),
        ("pg_catalog.pg_advisory_lock", ""),
        ("pg_catalog.set_config", ""),
        ("pg_catalog.lo_create", ""),
    ],
)
async def test_a_function_that_an_administrator_allowed_is_not_called(
    bench: Bench, function: str, made: str
) -> None:
    """It may be SECURITY DEFINER, and open a connection to anywhere."""
    await bench.prepare(PLAIN + ";" + made)
    why = await bench.why_not("UPDATE {t} SET n = 1 WHERE id = 1", functions=frozenset({function}))
    assert "would be called" in why


async def test_an_enum_and_harmless_functions_are_fine(bench: Bench) -> None:
    await bench.prepare(
        PLAIN + "; CREATE TYPE {t}_e AS ENUM ('a'); ALTER TABLE {t} ADD e {t}_e, ADD es {t}_e[]"
    )
    functions = frozenset({"pg_catalog.gen_random_uuid", "pg_catalog.lower"})
    assert (await bench.tried("DELETE FROM {t} WHERE id = 1", functions=functions)).changed == 1


async def test_a_table_that_was_replaced_is_not_the_one_that_was_judged(bench: Bench) -> None:
    await bench.prepare(PLAIN)
    grant = await bench.grant("DELETE FROM {t} WHERE id = 1")
    await bench.prepare("DROP TABLE {t}; " + PLAIN)
    with pytest.raises(NotTried, match="is not the table that was judged"):
        await bench.connector.preview(grant, ("id",))


async def test_a_change_that_takes_long_is_given_up(bench: Bench) -> None:
    await bench.prepare(PLAIN)
    long = "UPDATE {t} SET n = 1 WHERE id IN (SELECT count(*) FROM generate_series(1, 1000000000))"
    assert "took too long" in await bench.why_not(long)
    assert (await bench.tried("DELETE FROM {t} WHERE id = 1")).changed == 1


@pytest.mark.parametrize(
    ("text", "few"),
    [
        ("INSERT INTO t VALUES (1), (2)", True),
        ("INSERT INTO t DEFAULT VALUES", True),
        ("INSERT INTO t VALUES ((SELECT 1))", True),
        ("INSERT INTO t SELECT generate_series(1, 1000000000)", False),
        ("INSERT INTO t TABLE u", False),
        ("INSERT INTO t (VALUES (1) UNION ALL SELECT n FROM u)", False),
        ("INSERT INTO t WITH w AS (VALUES (1)) SELECT * FROM w", False),
        ("UPDATE t SET n = 1", True),
        ("not SQL", False),
    ],
)
def test_rows_that_a_query_makes_are_not_written_even_to_be_rolled_back(
    text: str, few: bool
) -> None:
    """They would fill the target's disk, and nobody has approved them."""
    assert writes_few_rows(text) is few


async def test_the_targets_words_stay_behind(bench: Bench) -> None:
    await bench.prepare(PLAIN + "; ALTER TABLE {t} ADD s text DEFAULT 'canary-219-09-9991'")
    why = await bench.why_not("UPDATE {t} SET n = s::integer WHERE id = 1")
    assert why == "the target refused it (SQLSTATE 22P02)"


WRITTEN = TableName("public", "t")


@pytest.mark.parametrize(
    "facts",
    [
        SqlFacts(SqlEffect.READ, frozenset({"select"})),
        SqlFacts(SqlEffect.DDL, frozenset({"create_table"}), (TableUse(WRITTEN, "ddl"),)),
        SqlFacts(SqlEffect.WRITE, frozenset({"copy", "insert"}), (TableUse(WRITTEN, "insert"),)),
        SqlFacts(
            SqlEffect.WRITE,
            frozenset({"update", "delete"}),
            (TableUse(WRITTEN, "update"), TableUse(WRITTEN, "delete")),
        ),
        SqlFacts(
            SqlEffect.WRITE,
            frozenset({"delete"}),
            (TableUse(WRITTEN, "delete"), TableUse(TableName("public", "u"), "delete")),
        ),
        SqlFacts(
            SqlEffect.WRITE, frozenset({"update"}), (TableUse(WRITTEN, "update", kind="view"),)
        ),
        SqlFacts(
            SqlEffect.WRITE,
            frozenset({"update"}),
            (
                TableUse(WRITTEN, "update"),
                TableUse(TableName("public", "f"), "select", kind="foreign_table"),
            ),
        ),
        None,
    ],
)
def test_other_statements_are_not_tried_out_at_all(facts: SqlFacts | None) -> None:
    with pytest.raises(NotTried):
        change_of(facts, "DELETE FROM t WHERE id = 1")
