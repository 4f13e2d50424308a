"""Steps of the schema are additive, say whom they still serve, and are undone where they fail."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import uuid
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import asyncpg
import pytest

import recordings
from policies.errors import BackendUnavailable, ConfigError
from recordings.schema import Migration, bring_up, check, migrations
from recordings.store import Store
from tests.fixtures.postgres import PostgresDatabase
from tests.recordings import previous_release as previous
from tests.recordings.previous_release import PreviousProgram

pytestmark = pytest.mark.anyio

FIRST_RELEASED: Final = previous.VERSION
ADDITIVE: Final = [step for step in migrations() if step.number > FIRST_RELEASED]
COLUMNS: Final = """
SELECT c.relname || '.' || a.attname AS name, c.relname AS of,
    format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS required,
    pg_get_expr(d.adbin, d.adrelid) AS fallback, a.attidentity <> '' AS counted
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
    AND NOT a.attisdropped AND c.relname <> 'schema_migrations'
"""
RULES: Final = """
SELECT c.relname AS of, n.conname AS name, pg_get_constraintdef(n.oid) AS says
FROM pg_constraint n JOIN pg_class c ON c.oid = n.conrelid
WHERE c.relnamespace = 'public'::regnamespace AND n.contype IN ('c', 'f', 'x', 'p', 'u')
UNION ALL
SELECT c.relname, i.relname, pg_get_indexdef(i.oid)
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
WHERE c.relnamespace = 'public'::regnamespace AND x.indisunique
UNION ALL
SELECT c.relname, t.tgname, pg_get_triggerdef(t.oid)
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = 'public'::regnamespace AND NOT t.tgisinternal
"""
LITERAL: Final = re.compile(r"'(\w*)'::text")


@dataclass(frozen=True, slots=True)
class Column:
    type: str
    required: bool
    filled: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """A constraint, unique index or trigger of a table that was there before."""

    of: str
    says: str

    @property
    def form(self) -> str:
        return re.sub(r"(?:VALUES)(, VALUES)*", "VALUES", LITERAL.sub("VALUES", self.says))

    def admits_all_of(self, other: Rule) -> bool:
        """The same rule, or the same with more values listed."""
        values, others = (set(LITERAL.findall(rule.says)) for rule in (self, other))
        return self.form == other.form and values >= others


@dataclass(frozen=True, slots=True)
class Shape:
    """What a program can rely on."""

    columns: dict[str, Column]
    rules: dict[str, Rule]

    @property
    def tables(self) -> set[str]:
        return {name.partition(".")[0] for name in self.columns}


async def shape(connection: asyncpg.Connection[asyncpg.Record]) -> Shape:
    columns = {
        r["name"]: Column(r["type"], r["required"], r["fallback"] is not None or r["counted"])
        for r in await connection.fetch(COLUMNS)
    }
    rules = {
        f"{r['of']}.{r['name']}": Rule(r["of"], r["says"]) for r in await connection.fetch(RULES)
    }
    return Shape(columns, rules)


def broken(before: Shape, after: Shape) -> list[str]:
    """What a program that was written for the schema before would trip over."""
    found = []
    for name, column in before.columns.items():
        now = after.columns.get(name)
        if now is None or now.type != column.type:
            found.append(f"{name} is gone, or of another type")
        elif (now.required and not column.required) or (column.filled and not now.filled):
            found.append(f"{name} must be given now")
    for name in after.columns.keys() - before.columns.keys():
        new = after.columns[name]
        if name.partition(".")[0] in before.tables and new.required and not new.filled:
            found.append(f"{name} is new and must be given")
    for name in before.rules.keys() - after.rules.keys():
        if " UNIQUE " in f" {before.rules[name].says}" or "PRIMARY KEY" in before.rules[name].says:
            found.append(f"{name} is gone, and ON CONFLICT needs it")
    for name, rule in after.rules.items():
        known = before.rules.get(name)
        if rule.of in before.tables and (known is None or not rule.admits_all_of(known)):
            found.append(f"{name} forbids what was allowed")
    return found


async def connected(database: PostgresDatabase) -> asyncpg.Connection[asyncpg.Record]:
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(database.dsn)
    return connection


@pytest.mark.parametrize("step", ADDITIVE, ids=lambda step: step.name)
async def test_each_step_leaves_the_program_before_it_all_that_it_relies_on(
    database: PostgresDatabase, step: Migration
) -> None:
    connection = await connected(database)
    await bring_up(connection, [s for s in migrations() if s.number < step.number])
    before = await shape(connection)
    assert before.columns
    await connection.execute(step.sql)
    assert broken(before, await shape(connection)) == []
    await connection.close()


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE tickets DROP COLUMN agent",
        "ALTER TABLE tickets RENAME COLUMN agent TO client",
        "ALTER TABLE tickets ALTER COLUMN agent TYPE varchar(40)",
        "ALTER TABLE tickets ALTER COLUMN used_at SET NOT NULL",
        "ALTER TABLE tickets ALTER COLUMN state DROP DEFAULT",
        "ALTER TABLE tickets ADD COLUMN tenant text NOT NULL",
        "ALTER TABLE tickets ADD CHECK (agent <> '')",
        "ALTER TABLE tickets DROP CONSTRAINT tickets_state_check;"
        " ALTER TABLE tickets ADD CONSTRAINT tickets_state_check CHECK (state IN ('pending'))",
        "CREATE UNIQUE INDEX one_each ON tickets (principal)",
        "DROP INDEX tickets_open",
        "ALTER TABLE records ADD FOREIGN KEY (stream) REFERENCES streams (number)",
        "DROP TABLE ticket_decisions",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        " CREATE TRIGGER t BEFORE INSERT ON records FOR EACH ROW EXECUTE FUNCTION f()",
    ],
)
async def test_a_step_that_takes_something_away_is_found(
    database: PostgresDatabase, sql: str
) -> None:
    """What the test above rests on."""
    connection = await connected(database)
    await bring_up(connection, migrations()[:FIRST_RELEASED])
    before = await shape(connection)
    await connection.execute(sql)
    assert broken(before, await shape(connection))
    await connection.close()


async def test_every_step_serves_the_program_before_it() -> None:
    for step in migrations()[1:]:
        assert step.compatible_with < step.number


async def test_the_previous_release_s_statements_do_their_work_on_the_newest_schema(
    store: Store,
) -> None:
    """A stream from opening to end, and a ticket from asking to use."""
    async with store.pool.acquire() as pooled:
        program = PreviousProgram(pooled)  # type: ignore[arg-type]  # a proxy of a connection
        writer = await program.value(previous.NEW_WRITER, "old:1")
        stream_id = uuid.uuid4()
        stream = await program.value(previous.NEW_STREAM, stream_id, writer, "decisions", "k1", 1)
        await program.value(previous.LOCK, previous.LOCK_CLASS, stream)
        assert len(await program.rows(previous.LATEST)) == 1
        entry = ([1], [5], ["s1"], ["intent"], ["{}"], [b"d"], [b"h"], [1], [b"body"])
        assert await program.value(previous.APPEND, stream, *entry) == 1
        (record,) = await program.rows(previous.READ, "s1", 0, 0, 0, 10)
        assert set(record.keys()) >= previous.RECORD_COLUMNS
        await program.rows(previous.CLOSE, stream)
        assert await program.rows(previous.MAYBE_DEAD, 0)
        await program.rows(previous.END_WRITER, writer)
        assert not await program.rows(previous.MAYBE_DEAD, 0)
        await use_a_ticket(program)


async def use_a_ticket(program: PreviousProgram) -> None:
    quarter = timedelta(minutes=15)
    asked = ("ap_1", "corp:rita", "rita", "agent", "shop", b"binding", "{}", "[]", quarter)
    assert await program.value(previous.ASK, *asked) == "ap_1"
    assert await program.value(previous.ASK, "ap_2", *asked[1:]) is None
    decided = ("ap_1", "corp:victor", "victor", True, "", "api", ["p"])
    await program.rows(previous.DECIDE, *decided)
    await program.rows(previous.DENY, "ap_1")
    await program.rows(previous.APPROVE, "ap_1", quarter)
    (ticket,) = await program.rows(previous.SELECT_TICKET + "WHERE t.id = $1", "ap_1")
    assert set(ticket.keys()) >= previous.TICKET_COLUMNS
    assert ticket["state"] == "approved"
    assert await program.value(previous.USE, "ap_1") == "ap_1"
    assert await program.value(previous.USE, "ap_1") is None
    assert await program.rows(previous.EXPIRE) == []


@pytest.mark.sources
async def test_the_program_one_step_back_starts_and_records_on_the_newest_schema(
    store: Store, tmp_path: Path
) -> None:
    """The packages as they are, without the newest step: another process, as while rolling."""
    root = Path(recordings.__file__).parent.parent
    for package in ("recordings", "policies"):
        shutil.copytree(root / package, tmp_path / package)
    newest = migrations()[-1]
    (tmp_path / f"recordings/migrations/{newest.number:04}_{newest.name}.sql").unlink()
    script = """
import asyncio, sys
from recordings.chain import DigestKey
from recordings.journal import Journal, Record
from recordings.schema import migrations
from recordings.store import Store
async def main():
    store = await Store.open(sys.argv[1])
    journal = await Journal.open(store, gateway="old:1", digest_key=DigestKey("k", b"k" * 32))
    await journal.commit(Record("s1", "session_opened", {}), Record("s1", "intent", {}, b"x"))
    await journal.close()
    await store.close()
    print(migrations()[-1].number)
asyncio.run(main())
"""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, store.dsn), cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        said, _ = await program.communicate()
    assert said.decode().strip() == str(newest.number - 1)
    kinds = await store.pool.fetch("SELECT kind FROM records ORDER BY sequence")
    assert [row[0] for row in kinds] == ["session_opened", "intent", "session_closed"]


@pytest.mark.parametrize("back", [0, 1])
async def test_a_program_starts_on_a_newer_schema_that_still_serves_it(
    database: PostgresDatabase, back: int
) -> None:
    known = migrations()
    version = known[-1].number
    connection = await connected(database)
    await bring_up(
        connection, [*known, Migration(version + 1, "later", "SELECT 1", version - back)]
    )
    await bring_up(connection, known)
    newest = await connection.fetchval("SELECT max(number) FROM schema_migrations")
    assert newest == version + 1
    await connection.close()


async def test_a_program_does_not_start_on_a_newer_schema_that_serves_it_no_more(
    database: PostgresDatabase,
) -> None:
    known = migrations()
    version = known[-1].number
    connection = await connected(database)
    await bring_up(connection, [*known, Migration(version + 1, "later", "SELECT 1", version + 1)])
    for start in (bring_up, check):
        with pytest.raises(ConfigError, match=f"version {version + 1}"):
            await start(connection, known)
    await connection.close()


async def test_of_several_newer_steps_the_least_compatible_counts(
    database: PostgresDatabase,
) -> None:
    known = migrations()
    version = known[-1].number
    breaking = Migration(version + 1, "breaking", "SELECT 1", version + 1)
    harmless = Migration(version + 2, "harmless", "SELECT 1", version)
    connection = await connected(database)
    await bring_up(connection, [*known, breaking, harmless])
    with pytest.raises(ConfigError, match=f"version {version + 2}"):
        await bring_up(connection, known)
    await connection.close()


async def test_a_store_of_a_program_that_did_not_say_whom_it_serves_is_taken_over(
    database: PostgresDatabase,
) -> None:
    connection = await connected(database)
    await bring_up(connection, migrations()[:FIRST_RELEASED])
    await connection.execute("ALTER TABLE schema_migrations DROP COLUMN compatible_with")
    await bring_up(connection, migrations())
    said = "SELECT number, compatible_with FROM schema_migrations ORDER BY number"
    expected = [(step.number, step.compatible_with) for step in migrations()]
    assert [tuple(row) for row in await connection.fetch(said)] == expected
    await connection.close()


async def test_a_step_that_fails_is_undone_and_named_and_can_be_tried_again(
    database: PostgresDatabase,
) -> None:
    version = migrations()[-1].number
    wrong = Migration(version + 1, "half", "CREATE TABLE half (); SELECT 1 / 0", version)
    connection = await connected(database)
    with pytest.raises(ConfigError, match=rf"step {version + 1} \(half\).*22012.*undone"):
        await bring_up(connection, [*migrations(), wrong])
    assert await connection.fetchval("SELECT to_regclass('half')") is None
    applied = "SELECT max(number) FROM schema_migrations"
    assert await connection.fetchval(applied) == version
    await bring_up(connection, [*migrations(), replace(wrong, sql="CREATE TABLE half ()")])
    assert await connection.fetchval(applied) == version + 1
    await connection.close()


async def test_two_programs_that_start_at_once_apply_each_step_once(
    database: PostgresDatabase,
) -> None:
    """The second waits for the first, and finds nothing to do."""
    slow = Migration(1, "slow", "CREATE TABLE once (); SELECT pg_sleep(0.3)", 1)
    connections = [await connected(database) for _ in range(4)]
    await asyncio.gather(*(bring_up(c, [slow]) for c in connections))
    assert await connections[0].fetchval("SELECT count(*) FROM schema_migrations") == 1
    for connection in connections:
        await connection.close()


async def test_a_store_that_goes_away_in_the_middle_of_a_step_is_unavailable(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is wrong with the step: the next start tries again."""
    ends = Migration(1, "ends", "SELECT pg_terminate_backend(pg_backend_pid())", 1)
    monkeypatch.setattr("recordings.store.migrations", lambda: [ends])
    with pytest.raises(BackendUnavailable):
        await Store.open(database.dsn)
