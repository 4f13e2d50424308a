"""The section `recordings`: its defaults, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.server.test_config import SMALLEST, load, refusal


def test_heads_are_anchored_in_the_state_directory_and_bodies_stay(tmp_path: Path) -> None:
    recordings = load(tmp_path, SMALLEST).recordings
    assert recordings.anchors == tmp_path / "state" / "anchors.jsonl"
    assert (recordings.every, recordings.retention) == (60, None)


def test_the_file_goes_with_the_state_directory(tmp_path: Path) -> None:
    loaded = load(tmp_path, SMALLEST + "state: ./elsewhere\nrecordings: {retention: 90d}\n")
    assert loaded.recordings.anchors == tmp_path / "elsewhere" / "anchors.jsonl"
    assert loaded.recordings.retention == 90 * 86_400


@pytest.mark.parametrize(
    ("section", "advice"),
    [
        ("{every: 10m}", "at most 5m"),
        ("{retention: 90}", "a time with its unit"),
        ("{anchors: ''}", "the path"),
        ("{anchor: ./x}", "anchor"),
        ("[]", "recordings"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, section: str, advice: str) -> None:
    assert advice in refusal(tmp_path, SMALLEST + f"recordings: {section}\n")
