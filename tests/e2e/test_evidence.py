"""Evidence of a real gateway: anchors outside the store, verification without it, retention."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_main_job import run_sql
from tests.e2e.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.gateways]

OFTEN = {"every": "1s"}


def anchors(world: World) -> Path:
    return world.directory / "state" / "anchors.jsonl"


def lines(world: World) -> list[dict[str, Any]]:
    file = anchors(world)
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def ostiary(world: World, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command of the operator's, with the variables that the configuration names."""
    return subprocess.run(
        [sys.executable, "-m", "server.cli", *arguments],
        env=world.environment | variables,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
async def recorded(module_worlds: Callable[..., World]) -> World:
    """One call, some anchors, and a clean stop. Tests that change anything change it back."""
    world = module_worlds(recordings=OFTEN)
    world.start()
    async with world.mcp("rita") as client:
        await run_sql(client, "SELECT 1")
    async with asyncio.timeout(20):
        while not any(line["sequence"] > 1 for line in lines(world)):
            await asyncio.sleep(0.05)
    world.stop()
    return world


async def test_heads_are_anchored_at_the_start_while_it_runs_and_at_the_end(
    recorded: World,
) -> None:
    found = lines(recorded)
    assert [line["sequence"] for line in found[:2]] == [0, 0]
    assert {line["stream"] for line in found if line["closed"]} == {1, 2}
    assert [line["line"] for line in found] == list(range(1, len(found) + 1))
    async with recorded.journal() as journal:
        ends = await journal.fetch("SELECT number, last_sequence, last_hash FROM streams")
    last = {n["stream"]: (n["sequence"], n["hash"]) for n in found}
    assert last == {r["number"]: (r["last_sequence"], r["last_hash"].hex()) for r in ends}


async def test_a_gateway_that_starts_again_goes_on_in_the_same_file(recorded: World) -> None:
    before = len(lines(recorded))
    recorded.start()
    assert recorded.cli("victor", "sessions", "verify").returncode == 0
    recorded.stop()
    assert len(lines(recorded)) > before
    assert len({line["log"] for line in lines(recorded)}) == 1
    checked = ostiary(recorded, "verify", "--config", str(recorded.file))
    assert (checked.returncode, "good" in checked.stdout) == (0, True), checked.stdout


async def test_an_auditor_checks_with_public_keys_a_copy_and_a_role_that_reads(
    recorded: World,
) -> None:
    copy = recorded.directory / "copy.jsonl"
    copy.write_bytes(anchors(recorded).read_bytes())
    key = ostiary(recorded, "anchor-key", "--config", str(recorded.file)).stdout.strip()
    arguments = ["verify", "--store", "env:AUDITED", "--anchors", str(copy), "--public-key", key]
    good = ostiary(recorded, *arguments, AUDITED=recorded.store_dsn)
    assert good.returncode == 0, good.stdout + good.stderr
    assert "bodies, whose digests need the gateway's own keys" in good.stdout
    third = "WHERE (stream, sequence) = (1, 3)"
    async with recorded.journal() as journal:
        await journal.execute(f"UPDATE records SET document = document || ' ' {third}")
        bad = ostiary(recorded, *arguments, AUDITED=recorded.store_dsn)
        await journal.execute(f"UPDATE records SET document = rtrim(document) {third}")
    assert (bad.returncode, "NOT GOOD: stream 1, record 3:" in bad.stdout) == (1, True)


async def test_a_wrong_public_key_and_a_missing_copy_are_no_verification(recorded: World) -> None:
    key = ostiary(recorded, "anchor-key", "--config", str(recorded.file)).stdout.strip()
    wrong = key[:-2] + ("00" if key[-2:] != "00" else "01")
    arguments = ["verify", "--store", "env:AUDITED", "--public-key"]
    own = ["--anchors", str(anchors(recorded))]
    empty = recorded.directory / "empty.jsonl"
    empty.touch()
    for more in (
        [key, "--anchors", str(empty)],
        [wrong, *own],
        ["nothing", *own],
        [key],
        [key, "--anchors", "/nowhere"],
    ):
        checked = ostiary(recorded, *arguments, *more, AUDITED=recorded.store_dsn)
        assert checked.returncode == 1, checked.stdout
        assert "Traceback" not in checked.stderr


async def test_the_chain_tells_that_the_gateway_s_own_file_was_cut(
    recorded: World,
) -> None:
    file = anchors(recorded)
    whole = file.read_bytes()
    file.write_bytes(whole.splitlines(keepends=True)[0])
    alone = ostiary(recorded, "verify", "--config", str(recorded.file))
    file.write_bytes(whole)
    assert "NOT GOOD: anchors" in alone.stdout
    assert f"{file}, line 2:" in alone.stdout


def test_a_gateway_that_can_t_anchor_does_not_start(worlds: Callable[..., World]) -> None:
    world = worlds()
    (world.directory / "state" / "anchors.jsonl").mkdir(parents=True)
    world.configure()
    started = ostiary(world, "serve", "--config", str(world.file))
    assert started.returncode == 1
    assert "recordings.anchors" in started.stderr
    assert "Traceback" not in started.stderr


async def test_old_bodies_go_by_themselves_and_everything_says_so(
    worlds: Callable[..., World],
) -> None:
    world = worlds(recordings={"retention": "1s"})
    world.start()
    async with world.mcp("rita") as client:
        result = await run_sql(client, "SELECT id FROM orders WHERE id = 7")
    assert result.structured_content is not None
    session = result.structured_content["session"]
    left = "SELECT count(*) FROM bodies JOIN records USING (stream, sequence)"
    async with world.journal() as journal, asyncio.timeout(30):
        while await journal.fetchval(f"{left} WHERE session = $1 AND body IS NOT NULL", session):
            await asyncio.sleep(0.05)
    replayed = world.cli("victor", "sessions", "replay", session)
    assert "deleted by retention" in replayed.stdout
    assert "orders" not in replayed.stdout
    exported = world.cli("victor", "sessions", "export", session)
    encodings = {json.loads(line)["body_encoding"] for line in exported.stdout.splitlines()}
    assert encodings == {"deleted", "none"}
    verified = world.cli("victor", "sessions", "verify")
    assert verified.returncode == 0, verified.stdout
    async with world.journal() as journal:
        await journal.execute("UPDATE bodies SET deleted_at = now(), body = NULL")
        await journal.execute(
            "DELETE FROM bodies WHERE (stream, sequence) IN (SELECT stream,"
            " sequence FROM bodies LIMIT 1)"
        )
    assert "the body is missing" in world.cli("victor", "sessions", "verify").stdout
