"""README.md's code blocks do what it says, against a running gateway.

Not run here: `make demo` and `make test` (continuous integration runs them from a clean checkout),
`ostiary login` (its own tests sign in), and Claude Code, of whose lines only the shape is checked.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from server.commands.arguments import build_parser
from server.config import load
from tests.e2e.programs import INSPECTOR, Inspector, folder_of_programs
from tests.e2e.test_main_job import refusal, run_sql
from tests.e2e.world import World

ROOT: Final = Path(__file__).parents[2]
README: Final = (ROOT / "README.md").read_text()
WRITTEN: Final = "http://127.0.0.1:8000"
BLOCKS: Final = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
OWN_PROGRAMS: Final = Path(sys.executable).parent


def commands() -> list[list[str]]:
    """Every command of every sh block, in order, with continued lines joined."""
    lines = [
        line
        for language, text in BLOCKS
        if language == "sh"
        for line in text.replace("\\\n", " ").splitlines()
    ]
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


def ours(*beginning: str) -> list[list[str]]:
    """The commands that begin with these words; there must be some."""
    found = [words for words in commands() if words[: len(beginning)] == list(beginning)]
    assert found, f"the README has no command {' '.join(beginning)}"
    return found


def block(language: str) -> str:
    """The first of its kind; the pieces of configuration after it are in tests/server."""
    text = next(text for name, text in BLOCKS if name == language)
    assert isinstance(text, str)
    return text


def ostiary(words: list[str]) -> list[str]:
    """The command as this environment has it."""
    assert words[0] == "ostiary"
    return [str(OWN_PROGRAMS / "ostiary"), *words[1:]]


def test_every_block_is_of_a_kind_that_is_tested_here() -> None:
    assert {language for language, _ in BLOCKS} == {"sh", "yaml", "python"}
    assert {words[0] for words in commands()} == {"make", "ostiary", "export", "claude", "npx"}


def test_every_command_of_ours_is_one_that_the_program_knows() -> None:
    spans = re.findall(r"`(ostiary [a-z][^`]*)`", README)
    written = [shlex.split(span) for span in spans] + ours("ostiary")
    for words in written:
        assert build_parser("test").parse_args(words[1:]).command, words


def test_every_make_command_has_its_target() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    spans = re.findall(r"`make ([a-z-]+)", README)
    named = {words[1] for words in ours("make")} | set(spans)
    assert named <= set(targets)


def test_the_configuration_has_at_most_fifteen_lines_and_loads(tmp_path: Path) -> None:
    text = block("yaml")
    assert len(text.splitlines()) <= 15
    file = tmp_path / "ostiary.yaml"
    file.write_text(text)
    configuration = load(file)
    assert set(configuration.targets) == {"shop"}
    (issuer,) = configuration.identity.issuers
    assert f"`{issuer.audience}`" in README


def test_the_configuration_is_good_after_init_and_check_as_written(tmp_path: Path) -> None:
    (tmp_path / "ostiary.yaml").write_text(block("yaml"))
    secrets = re.findall(r"env:(\w+)", block("yaml"))
    for words in (*ours("ostiary", "init"), *ours("ostiary", "check")):
        ended = subprocess.run(
            ostiary(words),
            cwd=tmp_path,
            env={**os.environ, **dict.fromkeys(secrets, "a password")},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "ostiary.yaml").read_text() == block("yaml")


def test_signing_in_leaves_a_token_in_the_shell(world: World) -> None:
    (text,) = (text for name, text in BLOCKS if name == "sh" and "ostiary login" in text)
    assert isinstance(text, str)
    script = text.replace(WRITTEN, world.url).replace("ostiary login\n", "")
    own = world.as_user("rita")
    del own["OSTIARY_GATEWAY"]
    ended = subprocess.run(
        ["sh", "-eu", "-c", f'{script}\nprintf %s "$TOKEN"\nostiary whoami >&2'],
        env={**own, "PATH": f"{OWN_PROGRAMS}{os.pathsep}{own['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == own["OSTIARY_TOKEN"]
    assert "rita" in ended.stderr


@pytest.mark.anyio
async def test_what_people_do_runs_as_written(world: World) -> None:
    async with world.mcp("rita") as client:
        asked = refusal(await run_sql(client, "UPDATE orders SET status = 'x' WHERE id = 1"))
    written = [w for w in ours("ostiary") if w[1] in ("approvals", "sessions", "policy")]
    endless = ["ostiary", "approvals", "watch"]
    assert endless in written
    for words in written:
        if words != endless:
            ended = world.cli("victor", *words[1:])
            assert ended.returncode == 0, (words, ended.stderr)
            assert ended.stdout
    assert appears(world, endless, asked["approval_id"])


def appears(world: World, words: list[str], text: str) -> bool:
    """Whether a command that does not end by itself says this within half a minute."""
    environment = world.as_user("victor")
    with subprocess.Popen(
        ostiary(words), env=environment, stdout=subprocess.PIPE, text=True
    ) as watching:
        deadline = threading.Timer(30, watching.kill)
        deadline.start()
        try:
            assert watching.stdout is not None
            return any(text in line for line in watching.stdout)
        finally:
            deadline.cancel()
            watching.kill()


def test_the_sdk_client_gets_masked_rows(world: World) -> None:
    text = block("python")
    assert WRITTEN in text
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", text.replace(WRITTEN, world.url)],
        env={**os.environ, "TOKEN": world.token("rita")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    assert "***@example.com" in ended.stdout
    assert "canary" not in ended.stdout


def test_the_lines_for_claude_code_have_the_shape_that_it_takes() -> None:
    adding, asking = ours("claude")
    assert adding[:7] == [
        "claude",
        "mcp",
        "add",
        "--transport",
        "http",
        "ostiary",
        f"{WRITTEN}/mcp",
    ]
    assert adding[7:] == ["--header", "Authorization: Bearer $TOKEN"]
    assert asking[:2] == ["claude", "-p"]
    assert len(asking) == 3
    assert urlsplit(adding[6]).path == "/mcp"


@pytest.mark.programs
def test_the_line_for_inspector_gets_masked_rows(world: World, tmp_path: Path) -> None:
    inspector = Inspector(folder_of_programs(), tmp_path)
    (words,) = ours("npx")
    package, version = words[1].rsplit("@", 1)
    installed = inspector.folder / "node_modules" / package / "package.json"
    assert f'"version": "{version}"' in installed.read_text()
    token = world.token("rita")
    given = [w.replace(WRITTEN, world.url).replace("$TOKEN", token) for w in words[2:]]
    ran = inspector.run(INSPECTOR, *given)
    assert ran.code == 0, ran.stderr
    rows = ran.output["structuredContent"]["rows"]
    assert [row[0] for row in rows] == [1, 2, 3]
    assert all("canary" not in row[1] for row in rows)
