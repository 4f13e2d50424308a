"""The demo as a person starts it: the whole tour, and what is said when it can't start."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

from policies.errors import ConfigError
from server.demo.command_line import program
from server.demo.gateway import HOST, PORTS, check_ports
from server.demo.stage import Stage
from server.demo.support_notes import secrets_in

REPOSITORY = Path(__file__).parents[2]
DEADLINE = 180


@pytest.fixture
def state() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="ostiary-test-", dir="/tmp"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def free_ports() -> int:
    for port in range(18_400, 18_500, PORTS):
        try:
            check_ports(port)
        except ConfigError:
            continue
        return port
    raise AssertionError("not enough free ports")


def demo(state: Path, port: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "server.cli", "demo", "--tour-only"]
    return subprocess.run(
        [*command, "--port", str(port), "--state", str(state)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )


def test_every_step_of_the_tour_does_what_it_says_twice_in_the_same_state(state: Path) -> None:
    for _ in range(2):
        played = demo(state, free_ports())
        assert "All 9 steps did what they say." in played.stdout, played.stdout + played.stderr
        assert played.returncode == 0
        assert "NOT SO" not in played.stdout
    password = (state / "ostiary_writer.password").read_text()
    assert password not in played.stdout + played.stderr
    assert password not in (state / "gateway.log").read_text()


@pytest.mark.parametrize("offset", range(PORTS))
def test_a_busy_port_is_named_with_how_to_choose_another(state: Path, offset: int) -> None:
    port = free_ports()
    with socket.create_server((HOST, port + offset)):
        refused = demo(state, port)
    assert refused.returncode == 1
    assert f"port {port + offset} on 127.0.0.1 is in use" in refused.stderr
    assert "make demo PORT=" in refused.stderr


def test_a_sentence_that_does_not_hold_is_a_failure_of_its_step() -> None:
    out = StringIO()
    stage = Stage(out, coloured=False)
    stage.step("A step", "explained")
    stage.check("this holds", holds=True)
    stage.check("this does not", holds=False)
    assert stage.failures == ["step 1: this does not"]
    assert "NOT SO: this does not" in out.getvalue()


@pytest.mark.parametrize(
    ("body", "secrets"),
    [
        ("SSN 219-09-9999, card 4111 1111 1111 1111", ["219-09-9999", "4111 1111 1111 1111"]),
        ("card 3782 8224 6310 005 read out", ["3782 8224 6310 005"]),
        ("to a.b1@mail.example.com as before", ["a.b1@mail.example.com"]),
        ("Temporary password: Sunny1234!", ["Sunny1234!"]),
        ("Call (212) 555-0142.", ["555-0142"]),
        ("Asked when the parcel arrives.", []),
    ],
)
def test_the_tour_knows_what_a_note_should_not_let_out(body: str, secrets: list[str]) -> None:
    assert secrets_in(body) == secrets


def test_commands_take_no_module_from_the_directory_that_they_run_in(tmp_path: Path) -> None:
    for name in ("server", "recordings", "yaml", "argparse"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken')")
    done = subprocess.run(
        program("--version"), cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE
    )
    assert (done.returncode, done.stderr) == (0, "")
