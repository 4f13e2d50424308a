"""`ostiary scrub` as a person uses it: a real process with real pipes, and no network."""

from __future__ import annotations

import csv
import io
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.cli import main

EMAIL = "ada.lovelace@example.com"
DEADLINE = 120.0


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "server.cli", "scrub", *arguments]


def scrubbed(text: str | bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    given = text.encode() if isinstance(text, str) else text
    return subprocess.run(
        command(*arguments), input=given, capture_output=True, timeout=DEADLINE, check=False
    )


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command(*arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def seen(process: subprocess.Popen[bytes], wanted: bytes) -> bytes:
    """What the process writes until `wanted` is in it."""
    assert process.stdout is not None
    got, end = b"", time.monotonic() + DEADLINE
    while wanted not in got:
        ready, _, _ = select.select([process.stdout], [], [], end - time.monotonic())
        assert ready, got
        piece = os.read(process.stdout.fileno(), 4096)
        assert piece, got
        got += piece
    return got


def test_text_comes_out_masked() -> None:
    done = scrubbed(f"to {EMAIL}\nplain line\n")
    assert (done.returncode, done.stdout) == (0, b"to <EMAIL_ADDRESS>\nplain line\n")
    assert done.stderr == b""


def test_explain_says_what_was_found_and_never_a_value() -> None:
    done = scrubbed(f"one\nto {EMAIL} (x)\n", "--explain")
    (line,) = done.stdout.splitlines()
    assert json.loads(line) == {
        "start": 7,
        "end": 7 + len(EMAIL),
        "line": 2,
        "entity": "EMAIL_ADDRESS",
        "score": 1.0,
        "recognizer": "EmailAddressRecognizer",
    }


@pytest.mark.full
def test_json_and_csv_keep_their_shape() -> None:
    text = json.dumps({"password": "xyzzy", "n": [1.5, EMAIL]})
    assert json.loads(scrubbed(text, "--format", "json").stdout) == {
        "password": "<PASSWORD>",
        "n": [1.5, "<EMAIL_ADDRESS>"],
    }
    table = f'name,mail\n"Ada, Countess",{EMAIL}\n'
    rows = list(csv.reader(io.StringIO(scrubbed(table, "--format", "csv").stdout.decode())))
    assert rows == [["name", "mail"], ["Ada, Countess", "<EMAIL_ADDRESS>"]]


@pytest.mark.full
def test_only_named_entities_and_those_that_are_off_too() -> None:
    done = scrubbed(f"{EMAIL} from 10.20.30.40\n", "--entities", "ip_address")
    assert done.stdout == f"{EMAIL} from <IP_ADDRESS>\n".encode()


def test_an_unknown_entity_is_answered_with_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["scrub", "--entities", "EMAIL,IBAN_CODE"]) == 2
    said = capsys.readouterr().err
    assert "unknown entities: EMAIL\n" in said
    assert "EMAIL_ADDRESS" in said


def test_help_teaches_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["scrub", "--help"])
    said = capsys.readouterr().out
    assert "kubectl logs web-1 -f | ostiary scrub" in said
    assert "exit codes" in said
    assert "instead of the text" in said


def test_lines_of_a_pipe_come_out_while_it_stays_open() -> None:
    with running() as process:
        assert process.stdin is not None
        for number in range(3):
            process.stdin.write(f"line {number} of {EMAIL}\n".encode())
            process.stdin.flush()
            assert seen(process, b"\n") == f"line {number} of <EMAIL_ADDRESS>\n".encode()
        process.stdin.write(b"password? ")
        process.stdin.flush()
        assert seen(process, b"? ") == b"password? "


@pytest.mark.full
def test_a_reader_that_has_had_enough_ends_it_without_a_trace() -> None:
    shell = f"yes '{EMAIL} (1)' | {' '.join(command())} | head -n 2"
    done = subprocess.run(["sh", "-c", shell], capture_output=True, timeout=DEADLINE, check=False)
    assert done.stdout == b"<EMAIL_ADDRESS> (1)\n" * 2
    assert done.stderr == b""


def workers_of(process: subprocess.Popen[bytes]) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    found = []
    for child in map(int, children):
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
            found.append(child)
    tasks = Path(f"/proc/{process.pid}/task").iterdir()
    for task in tasks:
        for child in map(int, (task / "children").read_text().split()):
            line = Path(f"/proc/{child}/cmdline").read_bytes()
            if child not in found and b"spawn_main" in line:
                found.append(child)
    return found


@pytest.mark.full
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the worker in /proc")
def test_a_worker_that_dies_costs_its_piece_and_the_command_goes_on() -> None:
    with running() as process:
        assert process.stdin is not None
        process.stdin.write(f"first {EMAIL} (1)\n".encode())
        process.stdin.flush()
        seen(process, b"\n")
        for worker in workers_of(process):
            os.kill(worker, signal.SIGSTOP)
        process.stdin.write(f"second {EMAIL} (2)\n".encode())
        process.stdin.flush()
        assert seen(process, b"\n") == b"<NOT_SCANNED>\n"
        process.stdin.write(f"third {EMAIL} (3)\n".encode())
        process.stdin.close()
        process.stdin = None
        out, err = process.communicate(timeout=DEADLINE)
        assert out == b"third <EMAIL_ADDRESS> (3)\n"
        assert process.returncode == 3
        assert b"1 pieces could not be searched" in err


def test_it_needs_no_network() -> None:
    probe = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise AssertionError('network')\n"
        "socket.socket.connect = refuse\n"
        "socket.getaddrinfo = refuse\n"
        "from server.cli import main\n"
        "sys.exit(main(['scrub']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe],
        input=f"{EMAIL}\n".encode(),
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"<EMAIL_ADDRESS>\n")
