"""Attempts on `ostiary scan`: code that a sample would run, names, width, leaving, and values."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
import yaml

from server.identity.demo import RITA, VICTOR
from server.scanning.desk import MOST_COLUMNS
from tests.e2e.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.gateways]

DEADLINE = 60.0
HOSTILE = ("x\n  - {column: a.b.c, label: none, mask: none}", "esc\x1b[2J\x9b31m", "bidi\u202etxt")
COLUMNS = ", ".join(f"c{n} text DEFAULT 'four'" for n in range(1000))
SCHEMA = f"""
CREATE SCHEMA mallory;
CREATE FUNCTION mallory.poke(text) RETURNS text LANGUAGE plpgsql IMMUTABLE
    AS $$ BEGIN PERFORM pg_advisory_lock(4711); RETURN $1; END $$;
CREATE TABLE mallory.plain (id integer, email text);
INSERT INTO mallory.plain SELECT n, 'p' || n || '.canary@example.com' FROM generate_series(1, 9) n;
CREATE VIEW mallory.calling AS SELECT mallory.poke(email) AS email FROM mallory.plain;
CREATE VIEW mallory.calling_too AS SELECT email FROM mallory.calling;
CREATE TABLE mallory.indexed AS SELECT * FROM mallory.plain;
CREATE INDEX ON mallory.indexed (mallory.poke(email));
SELECT pg_advisory_unlock_all();
CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
CREATE TABLE mallory.parent (id integer, email text);
CREATE FOREIGN TABLE mallory.child () INHERITS (mallory.parent) SERVER nowhere;
CREATE TABLE mallory.wide ({COLUMNS});
INSERT INTO mallory.wide DEFAULT VALUES;
INSERT INTO mallory.wide SELECT w.* FROM mallory.wide w, generate_series(1, 400);
DO $$ BEGIN FOR n IN 1..30 LOOP EXECUTE 'CREATE TABLE mallory.held_' || n || ' (email text)';
    END LOOP; END $$;
CREATE TABLE mallory.huge AS SELECT repeat('p.canary@example.com ', 500000) AS body
    FROM generate_series(1, 3);
"""


@pytest.fixture(scope="module")
def world(module_worlds: Callable[..., World]) -> World:
    made = module_worlds()
    made.direct_execute(SCHEMA)
    for name in HOSTILE:
        made.direct_execute(
            f'CREATE TABLE mallory."{name}" (email text, "{name}" text);'
            f"INSERT INTO mallory.\"{name}\" VALUES ('p.canary@example.com', 'q@example.com')"
        )
    made.provider.provider.accounts = {a.name: a for a in (RITA, VICTOR)}
    made.start()
    return made


def scanned(world: World, *names: str, sample: int = 200) -> dict[str, Any]:
    tables = [part for name in names for part in ("--table", f"mallory.{name}")]
    done = world.cli("victor", "scan", "shop", "--json", "--sample", str(sample), *tables)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == len(names), done.stderr
    return {line["table"]: line for line in lines}


CODE = {
    "calling": "calls a function",
    "calling_too": "calls a function",
    "parent": "no table or view of this database",
}


async def test_a_sample_runs_no_code_that_a_user_has_put_in_its_way(world: World) -> None:
    found = scanned(world, *CODE, "indexed")
    assert found["indexed"]["rows"] == 9  # the server calls nothing of an index to read the table
    for name, why in CODE.items():
        assert (name, found[name]["rows"]) == (name, 0)
        assert why in found[name]["trouble"].replace("that reads may not call", "")
    async with world.direct() as direct:
        held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711"
        assert await direct.fetchval(held) == 0


def test_names_neither_steer_the_terminal_nor_forge_rules(world: World) -> None:
    done = world.cli("victor", "scan", "shop")
    said = done.stdout + done.stderr
    assert [c for c in said if c != "\n" and not c.isprintable()] == []
    rules = {rule["column"]: rule["label"] for rule in yaml.safe_load(done.stdout)["columns"]}
    assert "a.b.c" not in rules
    for name in HOSTILE:
        assert rules[f'mallory."{name}".email'] == "pii"
        assert rules[f'mallory."{name}"."{name}"'] == "pii"
    assert "canary" not in said


def test_a_wide_table_is_read_in_parts_and_what_is_left_out_is_said(world: World) -> None:
    wide = scanned(world, "wide", sample=400)["wide"]
    assert (wide["rows"], len(wide["columns"])) == (400, MOST_COLUMNS)
    assert wide["left_out"] == 1000 - MOST_COLUMNS
    done = world.cli("victor", "scan", "shop", "--table", "mallory.wide")
    assert f"mallory.wide has {1000 - MOST_COLUMNS} more columns" in done.stdout


def test_huge_cells_are_cut_by_the_target(world: World) -> None:
    [column] = scanned(world, "huge")["huge"]["columns"]
    assert column["evidence"][0]["entity"] == "EMAIL_ADDRESS"
    assert "canary" not in json.dumps(column)


async def test_several_scans_at_once_do_not_disturb_each_other(world: World) -> None:
    headers = {"Authorization": f"Bearer {world.token('victor', agent='ostiary-cli')}"}
    body = {"target": "shop", "tables": ["mallory.plain", "mallory.wide"], "sample": 50}
    async with httpx2.AsyncClient(timeout=DEADLINE) as http:
        posts = (http.post(f"{world.url}/api/scan", json=body, headers=headers) for _ in range(4))
        answers = await asyncio.gather(*posts)
    assert {answer.text.splitlines()[1] for answer in answers} == {answers[0].text.splitlines()[1]}
    assert all('"done":true' in answer.text for answer in answers)


async def test_who_is_blocked_scans_no_further(world: World) -> None:
    """Thirty tables are locked: each holds the scan up for a second, and then it goes on."""
    headers = {"Authorization": f"Bearer {world.token('victor', agent='scanner')}"}
    held = [f"mallory.held_{n}" for n in range(1, 31)]
    lines: list[str] = []
    body = {"target": "shop", "tables": held}

    async def scan_to_the_end() -> None:
        """Its caller is blocked when it has begun."""
        async with (
            httpx2.AsyncClient(timeout=DEADLINE) as http,
            http.stream("POST", f"{world.url}/api/scan", json=body, headers=headers) as answer,
        ):
            async for line in answer.aiter_lines():
                lines.append(line)
                if len(lines) == 1:
                    command = ("agents", "block", "scanner")
                    done = await asyncio.to_thread(world.cli, "victor", *command)
                    assert done.returncode == 0, done.stderr

    async with world.direct() as direct, direct.transaction():
        await direct.execute(f"LOCK TABLE {', '.join(held)} IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(httpx2.HTTPError):
            await scan_to_the_end()
    assert 1 <= len(lines) < 1 + len(held)
    again = world.cli("victor", "agents", "unblock", "scanner")
    assert again.returncode == 0, again.stderr
