"""The official conformance suite against our server factory: gate, calls and tasks on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import httpx2
import pytest

from tests.e2e.conftest import module_worlds
from tests.e2e.programs import folder_of_programs
from tests.e2e.world import READY_WITHIN, World, free_port

__all__ = ["module_worlds"]
pytestmark = pytest.mark.programs

SUITE: Final = "node_modules/@modelcontextprotocol/conformance/dist/index.js"
NOT_OURS: Final = "server-sse-polling"
"""Resumable streams: they would keep results of calls beside the recording. Not required."""


@pytest.fixture(scope="module")
def url(module_worlds: Callable[..., World]) -> Iterator[str]:
    """Where the gateway of a whole world serves the suite's things too."""
    folder_of_programs()
    world = module_worlds()
    port = free_port()
    environment = {**world.environment, "OSTIARY_TOKEN": world.token("rita", seconds=1800)}
    program = [sys.executable, "-m", "tests.conformance.fixtures.serve"]
    with world.log.open("ab") as log:
        process = subprocess.Popen(
            [*program, str(world.configure()), str(port)], env=environment, stdout=log, stderr=log
        )
    try:
        _await(port, process, world)
        yield f"http://localhost:{port}/mcp"
    finally:
        process.terminate()
        process.wait(timeout=20)


def _await(port: int, process: subprocess.Popen[bytes], world: World) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        assert process.poll() is None, world.log.read_text()
        try:
            httpx2.get(f"http://localhost:{port}/mcp")
            return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise AssertionError(world.log.read_text())


def suite(url: str, results: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = ["node", str(folder_of_programs() / SUITE), "server", "--url", url]
    return subprocess.run(
        [*program, "-o", str(results), *arguments],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=300,
    )


def failures(results: Path) -> list[str]:
    """Every check that failed, over all scenarios that ran, those that are not scored too."""
    files = [file for file in results.rglob("checks.json") if NOT_OURS not in file.parent.name]
    assert files, "the suite has written no results"
    return [
        f"{file.parent.name}: {check['id']}: {check.get('errorMessage', '')}"
        for file in files
        for check in json.loads(file.read_text())
        if check["status"] in ("FAILURE", "WARNING")
    ]


@pytest.mark.parametrize(
    ("revision", "among"), [("2025-11-25", "server-session-lifecycle"), ("2026-07-28", "tasks")]
)
def test_a_revision_passes_with_the_extensions_that_come_with_it(
    url: str, tmp_path: Path, revision: str, among: str
) -> None:
    ran = suite(url, tmp_path, "--requirements", revision)
    assert failures(tmp_path) == [], ran.stdout[-4000:]
    assert ran.returncode == 0, ran.stdout[-4000:]
    assert any(among in file.parent.name for file in tmp_path.rglob("checks.json"))
