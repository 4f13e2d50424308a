"""The file of anchors: chained, signed, appended to, and read back to its first bad line."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from recordings.anchor_file import AnchorFile, AnchorsUnusable, public_keys, read_files
from recordings.anchors import AnchorKey, Head, Log

KEY = AnchorKey.of("anchor-1", b"an anchor key of thirty-two byte")
KEYS = public_keys([KEY])


def head(sequence: int, stream: int = 1) -> Head:
    return Head(stream, "5b1c", sequence, hashlib.sha256(b"%d" % sequence).digest())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "anchors.jsonl"


def opened(path: Path, key: AnchorKey = KEY) -> AnchorFile:
    return AnchorFile.open(path, key, KEYS)


def written(path: Path, lines: int = 5) -> list[bytes]:
    file = opened(path)
    for sequence in range(1, lines + 1):
        file.append([head(sequence)])
    file.close()
    return path.read_bytes().splitlines(keepends=True)


def read(path: Path) -> Log:
    return read_files(path, KEYS)[0]


def test_what_was_anchored_is_read_back(path: Path) -> None:
    file = opened(path)
    file.append([head(1), head(7, stream=2)])
    tip = file.append([head(3)])
    log = read(path)
    assert log.flaw is None
    assert [(a.line, a.head) for a in log.anchors] == [(1, head(1)), (2, head(7, 2)), (3, head(3))]
    assert (log.id, log.hash_of(3)) == (tip.log, tip.hash)


def test_a_line_is_checked_with_the_public_key_and_nothing_of_ours(path: Path) -> None:
    first, second = written(path, 2)
    document = json.loads(second)
    signature = base64.b64decode(document.pop("signature"))
    signed = (
        b"ostiary.anchor\0" + json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    )
    public = Ed25519PublicKey.from_public_bytes(KEY.public.public_bytes_raw())
    public.verify(signature, signed)
    assert document["previous"] == hashlib.sha256(first.rstrip(b"\n")).hexdigest()


def test_the_file_is_its_owner_s_alone(path: Path) -> None:
    written(path, 1)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_file_that_others_may_write_is_refused(path: Path) -> None:
    written(path, 1)
    path.chmod(0o622)
    with pytest.raises(AnchorsUnusable, match="chmod 600"):
        opened(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("changed", "bad"),
    [
        (lambda lines: [*lines[:2], lines[2].replace(b'"sequence":3', b'"sequence":9')], 3),
        (lambda lines: [*lines[:2], lines[2].replace(b'"closed":false', b'"closed":true')], 3),
        (lambda lines: [*lines[:2], lines[2].replace(b",", b", ", 1), *lines[3:]], 3),
        (lambda lines: [*lines[:2], *lines[3:]], 3),
        (lambda lines: lines[1:], 1),
        (lambda lines: [lines[1], lines[0], *lines[2:]], 1),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], 3),
        (lambda lines: [*lines[:2], b"{}\n", *lines[2:]], 3),
        (lambda lines: [*lines[:2], b"cut off\n", *lines[3:]], 3),
        (lambda lines: [*lines[:2], b"\n", *lines[2:]], 3),
    ],
)
def test_the_first_line_that_is_not_as_written_is_named(
    path: Path, changed: object, bad: int
) -> None:
    lines = written(path)
    assert callable(changed)
    path.write_bytes(b"".join(changed(lines)))
    flaw = read(path).flaw
    assert flaw is not None
    assert (flaw.file, flaw.line) == (str(path), bad)


def test_a_line_of_another_key_is_named(path: Path) -> None:
    written(path, 2)
    other = AnchorKey.of("anchor-1", b"another key of thirty-two bytes!")
    file = AnchorFile.open(path, other, KEYS)
    file.append([head(3)])
    flaw = read(path).flaw
    assert flaw is not None
    assert (flaw.line, "signature" in flaw.why) == (3, True)


def test_a_line_whose_key_is_not_at_hand_is_named(path: Path) -> None:
    written(path, 1)
    flaw = read_files(path, public_keys([]))[0].flaw
    assert flaw is not None
    assert "key" in flaw.why


@pytest.mark.parametrize("left", [1, 40, -2, -1])
def test_what_a_crash_left_of_a_line_is_covered_by_the_next(path: Path, left: int) -> None:
    *whole, last = written(path, 3)
    path.write_bytes(b"".join(whole) + last[:left])
    file = opened(path)
    file.append([head(8)])
    file.append([head(9)])
    log = read(path)
    assert log.flaw is None
    kept = [1, 2, 3] if left == -1 else [1, 2]
    assert [a.head.sequence for a in log.anchors] == [*kept, 8, 9]


def test_nothing_can_be_passed_off_as_left_by_a_crash(path: Path) -> None:
    one, two, three = written(path, 3)
    path.write_bytes(one + two + three[:40])
    opened(path).append([head(8)])
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], lines[1][:40], *lines[2:]]))
    flaw = read(path).flaw
    assert flaw is not None
    assert flaw.line == 2


def test_a_reopened_file_goes_on_where_it_ended(path: Path) -> None:
    written(path, 2)
    written(path, 2)
    log = read(path)
    assert (log.flaw, len(log.anchors), len({a.log for a in log.anchors})) == (None, 4, 1)


def test_a_file_with_a_last_line_of_somebody_else_s_is_refused(path: Path) -> None:
    written(path, 2)
    with path.open("ab") as file:
        file.write(b'{"sequence":1}\n')
    with pytest.raises(AnchorsUnusable, match="none of this gateway's"):
        opened(path)


def test_two_processes_share_a_file_line_by_line(path: Path) -> None:
    one, other = opened(path), opened(path)
    for sequence in range(1, 6):
        one.append([head(sequence)])
        other.append([head(sequence, stream=2)])
    log = read(path)
    assert (log.flaw, len(log.anchors)) == (None, 10)


def test_who_waits_for_the_file_too_long_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = opened(path)
    hold = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, 2); print(1); input()"
    command = [sys.executable, "-uc", hold, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"1\n"
        monkeypatch.setattr("recordings.anchor_file.LOCK_WITHIN", 0.0)
        with pytest.raises(AnchorsUnusable, match="another process"):
            file.append([head(1)])
        holder.communicate(b"\n")
    file.append([head(1)])


def test_a_file_that_was_moved_away_is_missed_at_the_next_line(path: Path) -> None:
    file = opened(path)
    file.append([head(1)])
    path.rename(path.with_suffix(".old"))
    with pytest.raises(AnchorsUnusable, match="moved or removed"):
        file.append([head(2)])
    path.with_suffix(".old").rename(path)
    file.append([head(2)])
    assert len(read(path).anchors) == 2


def test_a_file_that_was_cut_is_missed_at_the_next_line(path: Path) -> None:
    lines = written(path, 1)
    file = opened(path)
    file.append([head(2)])
    os.truncate(path, len(lines[0]))
    with pytest.raises(AnchorsUnusable, match="was cut"):
        file.append([head(3)])


def test_files_that_were_moved_aside_are_read_too(path: Path) -> None:
    written(path, 2)
    path.rename(path.with_name("anchors.jsonl.1"))
    written(path, 3)
    assert [len(log.anchors) for log in read_files(path, KEYS)] == [3, 2]


def test_a_file_that_is_not_there_has_no_lines(path: Path) -> None:
    assert [(log.file, log.hashes, log.flaw) for log in read_files(path, KEYS)] == [
        (str(path), [], None)
    ]
