"""The key ring, on real files."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest

from policies.errors import ConfigError
from server.keys import Key, KeyRing, Purpose
from server.references import Secret

PURPOSES = ["body-digest", "request-state", "cursor", "pseudonym", "token-hash", "anchor"]


def write(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    path.chmod(0o600)
    return path


def entry(purpose: str, key: str, fill: bytes) -> dict[str, str]:
    return {"purpose": purpose, "id": key, "secret": base64.b64encode(fill * 32).decode()}


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_new_ring_has_a_key_of_32_bytes_for_each_purpose(tmp_path: Path, purpose: str) -> None:
    ring = KeyRing.create(tmp_path / "keys.json")
    assert len(ring.current(purpose).secret) == 32


def test_no_two_keys_are_the_same(tmp_path: Path) -> None:
    ring = KeyRing.create(tmp_path / "keys.json")
    assert len({ring.current(purpose).secret for purpose in PURPOSES}) == len(PURPOSES)


def test_a_ring_is_written_for_its_owner_only(tmp_path: Path) -> None:
    KeyRing.create(tmp_path / "deep" / "keys.json")
    assert stat.S_IMODE((tmp_path / "deep" / "keys.json").stat().st_mode) == 0o600


def test_a_ring_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    KeyRing.create(tmp_path / "keys.json")
    before = (tmp_path / "keys.json").read_bytes()
    with pytest.raises(ConfigError, match="exists"):
        KeyRing.create(tmp_path / "keys.json")
    assert (tmp_path / "keys.json").read_bytes() == before


def test_what_was_created_is_what_is_loaded(tmp_path: Path) -> None:
    created = KeyRing.create(tmp_path / "keys.json")
    assert KeyRing.load(tmp_path / "keys.json") == created
    assert KeyRing.load(Secret("file", "keys.json", tmp_path)) == created


def test_a_ring_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = KeyRing.create(tmp_path / "keys.json")
    monkeypatch.setenv("OSTIARY_KEYS", (tmp_path / "keys.json").read_text())
    assert KeyRing.load(Secret("env", "OSTIARY_KEYS")) == created


def test_the_first_key_of_a_purpose_is_current_and_older_ones_are_found(tmp_path: Path) -> None:
    others = [entry(purpose, "only", b"o") for purpose in PURPOSES if purpose != "cursor"]
    keys = [entry("cursor", "new", b"n"), entry("cursor", "old", b"o"), *others]
    ring = KeyRing.load(write(tmp_path / "keys.json", {"version": 1, "keys": keys}))
    assert ring.current(Purpose.CURSOR) == Key("new", b"n" * 32)
    assert ring.get(Purpose.CURSOR, "old") == Key("old", b"o" * 32)


def test_a_key_is_not_found_under_another_purpose(tmp_path: Path) -> None:
    ring = KeyRing.create(tmp_path / "keys.json")
    assert ring.get(Purpose.ANCHOR, ring.current(Purpose.CURSOR).id) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_ring_that_others_can_open_is_refused(tmp_path: Path, mode: int) -> None:
    KeyRing.create(tmp_path / "keys.json")
    (tmp_path / "keys.json").chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        KeyRing.load(tmp_path / "keys.json")


def test_a_missing_ring_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ostiary init"):
        KeyRing.load(tmp_path / "keys.json")


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"keys": "text"},
        {"keys": [{"purpose": "unheard-of", "id": "a", "secret": "AAAA"}]},
        {"keys": [{"purpose": "cursor", "id": "a", "secret": "AAAA"}]},
        {"keys": [{"purpose": "cursor", "id": "a", "secret": "not base64"}]},
        {"keys": [{"purpose": "cursor", "id": 1, "secret": base64.b64encode(bytes(32)).decode()}]},
    ],
)
def test_a_file_that_is_no_ring_is_refused(tmp_path: Path, document: object) -> None:
    with pytest.raises(ConfigError, match="not a key ring"):
        KeyRing.load(write(tmp_path / "keys.json", document))


def test_a_ring_that_lacks_a_purpose_names_it(tmp_path: Path) -> None:
    keys = [entry(purpose, "a", b"a") for purpose in PURPOSES if purpose != "anchor"]
    with pytest.raises(ConfigError, match="no key for anchor"):
        KeyRing.load(write(tmp_path / "keys.json", {"keys": keys}))


def test_two_keys_of_one_purpose_and_id_are_refused(tmp_path: Path) -> None:
    keys = [entry(purpose, "a", b"a") for purpose in [*PURPOSES, "anchor"]]
    with pytest.raises(ConfigError, match="same id"):
        KeyRing.load(write(tmp_path / "keys.json", {"keys": keys}))


def test_a_key_is_not_printed(tmp_path: Path) -> None:
    ring = KeyRing.create(tmp_path / "keys.json")
    assert repr(ring.current("cursor").secret) not in repr(ring)
