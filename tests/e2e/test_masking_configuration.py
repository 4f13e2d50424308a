"""A real gateway does what `masking` and `ner` say in its configuration, and fails closed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from mcp import Client

from tests.attacks_sql.doors import driver
from tests.e2e.world import World

pytestmark = pytest.mark.anyio

WITHIN: Final = 300.0  # seconds, for a machine that is busy
MASKING: Final = {
    "entities": {"EMAIL_ADDRESS": False, "IP_ADDRESS": True, "SHELF": 0.9, "LOT": 0.15},
    "packs": ["uk"],
    "recheck": 1.0,
    "recognizers": [
        {
            "name": "employee-badge",
            "entity": "EMPLOYEE_BADGE",
            "patterns": [{"regex": "[0-9]{6}", "score": 0.2}],
            "context": ["badge"],
        },
        {
            "name": "shelf",
            "entity": "SHELF",
            "patterns": [{"regex": "SH-[0-9]{4}", "score": 0.6}],
        },
        {"name": "lot", "entity": "LOT", "patterns": [{"regex": "LT-[0-9]{4}", "score": 0.2}]},
    ],
}
CELLS: Final = {
    "off": ("write to ada@example.com", "write to ada@example.com"),
    "switched": ("from 10.20.30.40", "from <IP_ADDRESS>"),
    "pack": ("is AB 12 34 56 C", "is <UK_NINO>"),
    "word": ("his badge 481516", "his badge <EMPLOYEE_BADGE>"),
    "wordless": ("his order 481516", "his order 481516"),
    "badge_no": ("481516", "<EMPLOYEE_BADGE>"),
    "high": ("on SH-1234", "on SH-1234"),
    "low": ("of LT-1234", "of <LOT>"),
    "usual": ("card 4111111111111111", "card <CREDIT_CARD>"),
    "story": ("Maria Garcia from Berlin wrote.", "<PERSON> from Berlin wrote."),
    "told": ("Maria Garcia from Berlin wrote.", "Maria Garcia from Berlin wrote."),
}
"""Column -> what is in it, and what of that is delivered."""

ROWS: Final = 1000  # as many as policy lets through
EACH: Final = 30
"""Addresses in a cell: so many cells take a worker a while."""


@pytest.fixture(scope="module")
def shop(module_worlds: Callable[..., World]) -> World:
    world = module_worlds()
    target: dict[str, Any] = world.configuration()["targets"]["shop"]
    names = [{"column": "public.cells.story", "entities": ["PERSON"]}]
    world.settings = {"masking": MASKING, "targets": {"shop": {**target, "ner": names}}}
    columns = ", ".join(f"{name} text" for name in CELLS)
    values = ", ".join(f"'{value}'" for value, _ in CELLS.values())
    world.direct_execute(
        f"CREATE TABLE cells ({columns}); INSERT INTO cells VALUES ({values});"
        "CREATE TABLE many AS SELECT n, string_agg("
        "'from 10.' || k || '.' || n / 250 || '.' || n % 250, ', ' ORDER BY k) AS line"
        f" FROM generate_series(1, {ROWS}) AS n, generate_series(1, {EACH}) AS k GROUP BY n"
    )
    world.start()
    return world


async def run(client: Client, sql: str) -> list[list[Any]]:
    result = await client.call_tool("run_sql", {"target": "shop", "sql": sql})
    assert not result.is_error, result.content
    assert result.structured_content is not None
    rows: list[list[Any]] = result.structured_content["rows"]
    return rows


async def outcome(world: World, *, masked: str) -> dict[str, Any]:
    """The last outcome that counts this entity: it is recorded behind the answer."""
    query = "SELECT document FROM records WHERE kind = 'outcome' ORDER BY at DESC"
    async with asyncio.timeout(WITHIN), world.journal() as journal:
        while True:
            for row in await journal.fetch(query):
                document: dict[str, Any] = json.loads(row["document"])
                if masked in document["masked"]:
                    return document
            await asyncio.sleep(0.05)


async def test_what_is_configured_is_masked_on_both_doors_and_nothing_else(shop: World) -> None:
    sql = f"SELECT {', '.join(CELLS)} FROM cells"
    expected = [masked for _, masked in CELLS.values()]
    async with shop.mcp("rita") as client:
        assert await run(client, sql) == [expected]
    async with driver(shop) as connection:
        assert [list(row) for row in await connection.fetch(sql)] == [expected]
        assert [list(row.values()) for row in await connection.fetch(sql + " WHERE true")] == [
            expected
        ]


async def test_what_went_is_recorded_by_column_and_never_by_value(shop: World) -> None:
    async with shop.mcp("rita") as client:
        await run(client, "SELECT low, usual, off, story FROM cells")
    recorded = await outcome(shop, masked="LOT")
    assert recorded["masked"]["LOT"] == 1
    assert recorded["masked_columns"]["usual"] == {"CREDIT_CARD": 1}
    assert recorded["masked_columns"]["story"] == {"PERSON": 1}
    assert "off" not in recorded["masked_columns"]
    assert not any(value in json.dumps(recorded) for value in ("LT-1234", "4111", "Maria"))


def test_every_text_was_searched_again_by_plain_presidio_and_none_differed(shop: World) -> None:
    assert "plain Presidio finds something else" not in shop.log.read_text()


def workers_of(world: World) -> list[int]:
    """The gateway's scan workers."""
    assert world.process is not None
    tasks = Path(f"/proc/{world.process.pid}/task").iterdir()
    children = [int(c) for task in tasks for c in (task / "children").read_text().split()]
    return [c for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]


def works(worker: int) -> bool:
    """Whether the process has the processor, or wants it."""
    return Path(f"/proc/{worker}/stat").read_text().rsplit(")", 1)[1].split()[0] == "R"


async def test_a_worker_that_is_killed_in_a_result_costs_the_cells_it_had_and_no_more(
    shop: World,
) -> None:
    sql = "SELECT n, line FROM many"
    async with driver(shop) as connection:
        await connection.fetch("SELECT switched FROM cells")  # the workers are there
        task = asyncio.create_task(connection.fetch(sql, timeout=WITHIN))
        async with asyncio.timeout(WITHIN):
            while not (busy := [w for w in workers_of(shop) if works(w)]):
                assert not task.done()
                await asyncio.sleep(0)
        os.kill(busy[0], signal.SIGSTOP)  # it has cells, or will, that it never gives back
        await asyncio.sleep(0.5)
        os.kill(busy[0], signal.SIGKILL)
        lines = Counter(row["line"] for row in await task)
        found = ", ".join(["from <IP_ADDRESS>"] * EACH)
        assert lines.keys() <= {found, "<NOT_SCANNED>"}
        assert lines.total() == ROWS
        assert lines["<NOT_SCANNED>"] > 0
        assert (await connection.fetchval("SELECT switched FROM cells")) == "from <IP_ADDRESS>"
    recorded = await outcome(shop, masked="NOT_SCANNED")
    counts = {"IP_ADDRESS": EACH * lines[found], "NOT_SCANNED": lines["<NOT_SCANNED>"]}
    assert recorded["masked_columns"] == {"line": {k: n for k, n in counts.items() if n}}


@pytest.mark.gateways
async def test_without_any_worker_suspicious_cells_go_whole_and_others_as_they_are(
    worlds: Callable[..., World], tmp_path: Path
) -> None:
    broken = tmp_path / "presidio_analyzer"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('not here')\n")
    world = worlds()
    world.variables = {**world.variables, "PYTHONPATH": str(tmp_path)}
    world.start()
    sql = "SELECT name, notes FROM customers WHERE id = 1"
    async with world.mcp("rita") as client:
        assert await run(client, sql) == [["Ada Lovelace", "<NOT_SCANNED>"]]
    async with driver(world) as connection:
        assert list(await connection.fetchrow(sql) or ()) == ["Ada Lovelace", "<NOT_SCANNED>"]
    recorded = await outcome(world, masked="NOT_SCANNED")
    assert recorded["status"] == "completed"
    assert recorded["masked_columns"] == {"notes": {"NOT_SCANNED": 1}}
    assert "does not start" in world.log.read_text()


MISTAKES: Final = {
    "masking:\n  entities:\n    CREDIT_CRAD: off\n": "write CREDIT_CARD?",
    "masking:\n  packs: [ukk]\n": "write uk?",
    "masking:\n  recognizers:\n    - name: slow\n      entity: SLOW\n"
    "      patterns: [{regex: '(a+)+b', score: 0.6}]\n": "takes too long",
    "masking:\n  recheck: 2\n": "recheck",
}


@pytest.mark.gateways
def test_a_mistake_in_the_section_is_named_with_file_and_line(
    worlds: Callable[..., World],
) -> None:
    """One after the other with one world: nothing starts."""
    world = worlds()
    for section, advice in MISTAKES.items():
        before = world.configure().read_text()
        world.file.write_text(before + section)
        command = [sys.executable, "-m", "server.cli", "serve", "--config", str(world.file)]
        done = subprocess.run(
            command, env=world.environment, capture_output=True, text=True, timeout=WITHIN
        )
        assert done.returncode != 0
        assert advice in done.stderr
        lines = range(before.count("\n") + 1, before.count("\n") + section.count("\n") + 1)
        assert any(f"{world.file}:{line}" in done.stderr for line in lines), done.stderr
