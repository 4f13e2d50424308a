"""The MCP door over TLS, and that there is none beyond loopback without it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from tests.e2e.certificates import Certificates
from tests.e2e.test_main_job import run_sql
from tests.e2e.world import World

pytestmark = pytest.mark.anyio


def check(world: World) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "server.cli", "check", str(world.configure())]
    return subprocess.run(
        command, env=world.environment, capture_output=True, text=True, timeout=60
    )


async def test_a_call_over_tls_runs_for_a_client_that_trusts_the_certificate(
    worlds: Callable[..., World], tmp_path: Path
) -> None:
    world = worlds(tls=Certificates.make(tmp_path))
    world.start()
    async with world.mcp("rita") as client:
        result = await run_sql(client, "SELECT count(*) FROM orders")
    assert result.structured_content is not None
    assert result.structured_content["rows"] == [[300]]
    who = world.cli("rita", "whoami")
    assert who.returncode == 0, who.stderr
    with pytest.raises(httpx2.ConnectError, match=r"(?i)certificate"):
        httpx2.get(f"{world.url}/healthz")
    with pytest.raises(httpx2.TransportError):
        httpx2.get(f"http://127.0.0.1:{world.port}/healthz")


@pytest.mark.parametrize("address", ["192.0.2.7:8443", "[::]:8443"])
def test_a_door_beyond_loopback_without_tls_is_refused_with_file_and_line(
    worlds: Callable[..., World], address: str
) -> None:
    world = worlds()
    gateway = {"listen": address, "public_url": "https://ostiary.example.com"}
    world.settings = {"gateway": gateway}
    checked = check(world)
    assert checked.returncode == 1
    lines = world.file.read_text().splitlines()
    beginning = next(n for n, line in enumerate(lines, 1) if line.startswith("gateway:"))
    end = beginning + len(gateway)
    named = {f"{world.file}:{number}:" for number in range(beginning, end + 1)}
    assert any(place in checked.stderr for place in named), checked.stderr
    assert "needs TLS" in checked.stderr
    assert "Traceback" not in checked.stderr


def test_a_listener_beyond_loopback_without_tls_is_refused_too(
    worlds: Callable[..., World],
) -> None:
    world = worlds(listeners=[{"protocol": "postgres", "listen": "0.0.0.0:6432"}])
    checked = check(world)
    assert checked.returncode == 1
    assert f"{world.file}:" in checked.stderr
    assert "needs TLS" in checked.stderr
