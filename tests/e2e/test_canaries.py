"""Secrets stay where they belong: in no answer, list, explanation, export, log or process list."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx2
import pytest

from tests.e2e.evidence import ask
from tests.e2e.test_endings import call_body
from tests.e2e.test_main_job import run_sql
from tests.e2e.world import BACKEND_PASSWORD, World

pytestmark = pytest.mark.anyio

VALUES: Final = (
    *("ada.canary", "chinua.canary", "li.canary", "ada.second@example.com"),
    *("219-09-9991", "457-55-5462", "612-34-7789", "+1 202 555 0101", "+44 20 7946 0102"),
)
TOKEN: Final = "eyJhbGciOi"  # how every JSON Web Token begins
STATEMENTS: Final = (
    "SELECT * FROM customers",
    "SELECT mail, upper(mail) FROM contacts",
    "SELECT ssn::int FROM customers",
    "SELECT ssn FROM customers ORDER BY ssn::int",
    "SELECT notes FROM customers",
    "SELECT current_setting('password')",
    "INSERT INTO customers (id, name, email) SELECT id, name, email FROM customers",
    "UPDATE customers SET name = email WHERE id = 1 RETURNING ssn",
    "DROP TABLE customers",
    "SELEC email",
)
QUESTIONS: Final = (
    "SELECT email, ssn FROM customers",
    "UPDATE customers SET email = ssn WHERE id = 1",
    "SELECT nothing FROM customers",
)


@pytest.fixture(scope="module")
def world(module_worlds: Callable[..., World]) -> World:
    """Its secrets are in files, so that no environment needs to hold one; and it has been busy."""
    made = module_worlds()
    for name, value in made.variables.items():
        file = made.directory / name
        file.write_text(value)
        file.chmod(0o600)
    text = json.dumps(made.configuration()).replace("env:", f"file:{made.directory}/")
    made.settings, made.variables = json.loads(text), {}
    made.start()
    return made


@pytest.fixture(scope="module")
def secrets(world: World) -> tuple[str, ...]:
    ring = json.loads((world.directory / "keys.json").read_text())
    keys = [key["secret"] for key in ring["keys"]]
    assert all(keys)
    return (*VALUES, TOKEN, BACKEND_PASSWORD, world.postgres.password, *keys)


def check_none(shown: str, secrets: tuple[str, ...]) -> None:
    assert shown
    assert [secret for secret in secrets if secret in shown] == []


async def test_no_result_list_or_export_of_what_agents_did_holds_a_secret(
    world: World, secrets: tuple[str, ...]
) -> None:
    async with world.mcp("rita") as client, world.mcp("victor") as reviewer:
        for sql in STATEMENTS:
            check_none((await run_sql(client, sql)).model_dump_json(), secrets)
        for each, tool in ((client, "list_targets"), (reviewer, "review_approvals")):
            check_none((await each.call_tool(tool, {})).model_dump_json(), secrets)
    shown = await read_back(world)
    assert len(shown) > len(STATEMENTS)
    check_none("".join(shown), secrets)


async def read_back(world: World) -> list[str]:
    """What `ostiary sessions list`, and `export` of each, print: without a process for each."""
    headers = {"Authorization": f"Bearer {world.token('victor')}"}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        listed = await http.get(f"{world.url}/api/sessions")
        sessions = [session["id"] for session in listed.json()["sessions"]]
        exports = [await http.get(f"{world.url}/api/sessions/{s}/records") for s in sessions]
    assert all(export.status_code == 200 and export.text for export in exports)
    return [listed.text, *(export.text for export in exports)]


@pytest.mark.parametrize("command", ["show", "replay", "export"])
async def test_no_command_that_reads_back_shows_a_secret(
    world: World, secrets: tuple[str, ...], command: str
) -> None:
    async with world.mcp("rita") as client:
        result = await run_sql(client, "SELECT * FROM customers")
    assert result.structured_content is not None
    ended = world.cli("victor", "sessions", command, result.structured_content["session"])
    assert ended.returncode == 0, ended.stderr
    check_none(ended.stdout + ended.stderr, secrets)


@pytest.mark.parametrize("sql", QUESTIONS)
async def test_no_explanation_holds_a_secret(
    world: World, secrets: tuple[str, ...], sql: str
) -> None:
    question = {"target": "shop", "sql": sql}
    explained = await ask(world, "policy/explain", question, account="victor")
    check_none(json.dumps(explained), secrets)


async def test_what_is_answered_without_a_token_or_with_a_bad_one_holds_no_secret(
    world: World, secrets: tuple[str, ...]
) -> None:
    """Neither one of ours nor the token that was presented."""
    body, headers = call_body("modern")
    expired = world.token("rita", seconds=-120)
    shown = []
    async with httpx2.AsyncClient() as http:
        for token in ("", expired, expired[:-8] + "AAAAAAAA", "a-canary-that-is-no-token"):
            sent = {**headers, **({"Authorization": f"Bearer {token}"} if token else {})}
            called = await http.post(f"{world.url}/mcp", json=body, headers=sent)
            listed = await http.get(f"{world.url}/api/sessions", headers=sent)
            assert called.status_code == listed.status_code == 401
            shown += [f"{answer.headers}{answer.text}" for answer in (called, listed)]
        for path in ("healthz", "api/login", ".well-known/oauth-protected-resource/mcp", "nowhere"):
            answer = await http.get(f"{world.url}/{path}")
            shown.append(f"{answer.headers}{answer.text}")
    check_none("".join(shown), (*secrets, "a-canary-that-is-no-token", expired[-40:]))


def processes(world: World) -> list[int]:
    """The gateway's process and all below it."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
    pairs = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    assert world.process is not None
    family = [world.process.pid]
    for member in family:
        family += [pid for pid, parent in pairs if parent == member]
    return family


def test_no_process_of_the_gateway_shows_a_secret_on_its_command_line(
    world: World, secrets: tuple[str, ...]
) -> None:
    family = ",".join(map(str, processes(world)))
    shown = subprocess.run(["ps", "-o", "args=", "-p", family], capture_output=True, text=True)
    assert "serve" in shown.stdout
    check_none(shown.stdout, secrets)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="environments are read in /proc")
def test_no_process_of_the_gateway_is_given_a_secret_in_its_environment(
    world: World, secrets: tuple[str, ...]
) -> None:
    """What the operator puts there by `env:` is there; the gateway itself passes none on."""
    family = processes(world)
    assert len(family) > 1  # the mask worker, at least
    for pid in family:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        if environment:  # parsers are given none at all
            check_none(os.fsdecode(environment), secrets)


def test_the_log_holds_no_secret(world: World, secrets: tuple[str, ...]) -> None:
    """Read last, when the gateway has been busy and has ended."""
    world.stop()
    assert [secret for secret in secrets if secret in world.log.read_text()] == []
