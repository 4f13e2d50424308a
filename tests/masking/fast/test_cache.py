"""The compiled databases in the cache directory: used again, and never where others can write."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from masking.fast import cache, compiling
from masking.fast.scanner import FastScanner


class Maker:
    """Counts how often the bytes had to be made."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> bytes:
        self.times += 1
        return b"compiled"


def made_times(place: Path | None, *, spoil: Callable[[Path], object] | None = None) -> int:
    """Of two uses, with what befalls the directory or the file between them."""
    maker = Maker()
    assert cache.kept(place, "key", maker) == b"compiled"
    if spoil is not None and place is not None:
        spoil(place)
    assert cache.kept(place, "key", maker) == b"compiled"
    return maker.times


def test_what_was_made_once_is_used_again(tmp_path: Path) -> None:
    place = tmp_path / "cache" / "ostiary"
    assert made_times(place) == 1
    assert [path.name for path in place.iterdir()] == ["key.prefilter"]
    assert place.stat().st_mode & 0o777 == 0o700
    assert (place / "key.prefilter").stat().st_mode & 0o777 == 0o600


def test_without_a_home_there_is_no_cache() -> None:
    assert cache.directory({}) is None
    assert cache.directory({"HOME": "relative"}) is None
    assert cache.directory({"XDG_CACHE_HOME": "relative", "HOME": "/h"}) == Path(
        "/h/.cache/ostiary"
    )
    assert cache.directory({"XDG_CACHE_HOME": "/c", "HOME": "/h"}) == Path("/c/ostiary")
    assert made_times(None) == 2


def linked(place: Path) -> None:
    (place / "key.prefilter").rename(place.parent / "elsewhere")
    (place / "key.prefilter").symlink_to(place.parent / "elsewhere")


def piped(place: Path) -> None:
    (place / "key.prefilter").unlink()
    os.mkfifo(place / "key.prefilter", 0o600)


def replaced(place: Path) -> None:
    elsewhere = place.rename(place.parent / "elsewhere")
    place.symlink_to(elsewhere)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda place: (place / "key.prefilter").chmod(0o620), id="file-of-the-group"),
        pytest.param(lambda place: place.chmod(0o777), id="directory-of-everybody"),
        pytest.param(linked, id="link"),
        pytest.param(piped, id="pipe"),
        pytest.param(replaced, id="directory-is-a-link"),
        pytest.param(lambda place: (place / "key.prefilter").write_bytes(b""), id="empty"),
        pytest.param(
            lambda place: (place / "key.prefilter").write_bytes(b"\0" * 40), id="another-digest"
        ),
    ],
)
def test_what_others_could_have_written_is_made_anew(
    tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    assert made_times(tmp_path / "ostiary", spoil=spoil) == 2


def test_a_directory_that_cannot_be_made_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert made_times(tmp_path / "file" / "ostiary") == 2


def test_few_are_kept(tmp_path: Path) -> None:
    for number in range(20):
        cache.kept(tmp_path / "ostiary", f"key{number}", Maker())
    assert len(list((tmp_path / "ostiary").iterdir())) == 8


def test_a_scanner_from_the_cache_finds_what_the_first_one_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = FastScanner(None)
    made: list[object] = []
    monkeypatch.setattr(compiling, "_compiled", made.append)
    second = FastScanner(None)
    assert not made
    assert first.prefilter == second.prefilter
    text = "mail ann@example.com or call (415) 555-0134"
    assert first.spans([text], "") == second.spans([text], "")
    assert first.spans([text], "")[0]


def test_a_database_of_another_processor_is_compiled_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = FastScanner(None)
    for path in (tmp_path / "ostiary").iterdir():
        kept = bytearray(path.read_bytes()[32:])
        kept[8:16] = b"\xff" * 8  # hs_serialize_database's header has the platform there
        path.write_bytes(cache.digest_of(bytes(kept)) + kept)
    assert FastScanner(None).prefilter == first.prefilter
