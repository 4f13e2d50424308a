"""The key ring, on real files."""

from __future__ import annotations

import base64
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from policies.errors import ConfigError
from server.cli import main
from server.key_file import KeyFile
from server.keys import Key, KeyRing, Purpose
from server.references import Secret
from tests.server.test_config import SMALLEST

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


# --- `ostiary keys` ------------------------------------------------------------------------------


@dataclass
class Keys:
    """`ostiary keys` on a ring of its own, and what it printed."""

    directory: Path
    capsys: pytest.CaptureFixture[str]
    reference: str = "file:keys.json"

    @property
    def file(self) -> Path:
        return self.directory / "keys.json"

    @property
    def ring(self) -> KeyRing:
        return KeyRing.load(self.file)

    def __call__(self, *arguments: str) -> tuple[int, str]:
        config = self.directory / "ostiary.yaml"
        config.write_text(f"keys: {self.reference}\n{SMALLEST}")
        code = main(["keys", *arguments, "--config", str(config)])
        printed = self.capsys.readouterr()
        return code, printed.out + printed.err

    def secrets(self) -> list[str]:
        return [entry["secret"] for entry in json.loads(self.file.read_text())["keys"]]


@pytest.fixture
def keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Keys:
    KeyRing.create(tmp_path / "keys.json")
    return Keys(tmp_path, capsys)


def test_list_shows_each_key_and_no_secret(keys: Keys) -> None:
    code, printed = keys("list")
    assert code == 0
    for purpose in PURPOSES:
        assert f"{purpose}" in printed
        assert keys.ring.current(purpose).id in printed
    assert not any(secret in printed for secret in keys.secrets())


def test_rotate_puts_a_new_key_before_the_old_one_which_stays(keys: Keys) -> None:
    old = keys.ring.current("cursor")
    code, printed = keys("rotate", "cursor")
    assert code == 0
    new = keys.ring.current("cursor")
    assert new != old
    assert keys.ring.get("cursor", old.id) == old
    assert new.id in printed
    assert "Restart every gateway" in printed
    assert not any(secret in printed for secret in keys.secrets())


def test_rotate_changes_no_other_purpose(keys: Keys) -> None:
    before = {purpose: keys.ring.current(purpose) for purpose in PURPOSES}
    keys("rotate", "cursor")
    others = [purpose for purpose in PURPOSES if purpose != "cursor"]
    assert [keys.ring.current(p) for p in others] == [before[p] for p in others]


def test_the_list_says_which_key_is_current(keys: Keys) -> None:
    old = keys.ring.current("cursor").id
    keys("rotate", "cursor")
    new = keys.ring.current("cursor").id
    lines = {line.split()[2]: line for line in keys("list")[1].splitlines() if "cursor" in line}
    assert "current" in lines[new]
    assert "reading" in lines[old]


def test_a_new_pseudonym_key_is_said_to_be_a_new_domain(keys: Keys) -> None:
    assert "new domain" in keys("rotate", "pseudonym")[1]
    assert "new domain" not in keys("rotate", "cursor")[1]


def test_a_changed_ring_is_still_for_its_owner_only(keys: Keys) -> None:
    keys("rotate", "cursor")
    assert stat.S_IMODE(keys.file.stat().st_mode) == 0o600
    assert [path.name for path in keys.directory.glob(".keys*")] == []


def test_the_ring_behind_a_link_is_changed_and_the_link_stays(keys: Keys) -> None:
    kept = keys.directory / "kept" / "ring.json"
    kept.parent.mkdir()
    keys.file.rename(kept)
    keys.file.symlink_to(kept)
    assert keys("rotate", "cursor")[0] == 0
    assert keys.file.is_symlink()
    assert len(KeyRing.load(kept).keys[Purpose.CURSOR]) == 2


def test_many_rotations_at_once_lose_no_key(keys: Keys) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: KeyFile(keys.file).rotate(Purpose.CURSOR), range(16)))
    assert len(keys.ring.keys[Purpose.CURSOR]) == 17


def test_a_ring_that_can_t_be_replaced_stays_as_it_is(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys.file.read_bytes()

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    code, printed = keys("rotate", "cursor")
    assert code == 1
    assert "No space left" in printed
    assert keys.file.read_bytes() == before
    assert [path.name for path in keys.directory.glob(".keys*")] == []


def test_a_ring_in_a_variable_is_listed_and_not_changed(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSTIARY_KEYS", keys.file.read_text())
    keys.reference = "env:OSTIARY_KEYS"
    assert keys("list")[0] == 0
    for change in (("rotate", "cursor"), ("add-missing",), ("drop", "cursor", "a", "--yes")):
        code, printed = keys(*change)
        assert code == 1
        assert "env:OSTIARY_KEYS" in printed


def test_drop_says_what_becomes_unreadable_and_waits_for_a_yes(keys: Keys) -> None:
    old = keys.ring.current("body-digest").id
    keys("rotate", "body-digest")
    code, printed = keys("drop", "body-digest", old)
    assert code == 1
    assert "can no longer be verified" in printed
    assert keys.ring.get("body-digest", old) is not None


@pytest.mark.parametrize("purpose", PURPOSES)
def test_an_old_key_of_any_purpose_can_be_dropped(keys: Keys, purpose: str) -> None:
    old = keys.ring.current(purpose).id
    keys("rotate", purpose)
    assert keys("drop", purpose, old, "--yes")[0] == 0
    assert keys.ring.get(purpose, old) is None


def test_the_current_key_is_not_dropped(keys: Keys) -> None:
    current = keys.ring.current("cursor").id
    code, printed = keys("drop", "cursor", current, "--yes")
    assert code == 1
    assert "ostiary keys rotate cursor" in printed
    assert keys.ring.current("cursor").id == current


def test_a_key_that_is_not_there_is_not_dropped(keys: Keys) -> None:
    code, printed = keys("drop", "cursor", "nothere", "--yes")
    assert code == 1
    assert "no key 'nothere'" in printed


def test_a_purpose_that_is_not_there_is_refused_with_those_that_are(keys: Keys) -> None:
    code, printed = keys("rotate", "cursors")
    assert code == 1
    assert "body-digest, request-state, cursor" in printed


def test_an_older_ring_gets_what_this_version_needs(keys: Keys) -> None:
    held = json.loads(keys.file.read_text())
    held["keys"] = [entry for entry in held["keys"] if entry["purpose"] != "anchor"]
    write(keys.file, held)
    with pytest.raises(ConfigError, match="ostiary keys add-missing"):
        KeyRing.load(keys.file)
    code, printed = keys("list")
    assert code == 1
    assert "missing: anchor" in printed
    assert keys("add-missing")[0] == 0
    assert len(keys.ring.keys[Purpose.ANCHOR]) == 1


def test_where_nothing_is_missing_nothing_is_changed(keys: Keys) -> None:
    before = keys.file.read_bytes()
    assert keys("add-missing") == (0, "nothing is missing\n")
    assert keys.file.read_bytes() == before


def test_keys_of_a_newer_version_are_kept_and_not_used(keys: Keys) -> None:
    held = json.loads(keys.file.read_text())
    held["keys"].append({**entry("unheard-of", "newer", b"n"), "for": ["another", "version"]})
    write(keys.file, held)
    assert "another version's" in keys("list")[1]
    keys("rotate", "cursor")
    assert held["keys"][-1] in json.loads(keys.file.read_text())["keys"]
    assert keys.ring.current("cursor")


def test_a_ring_that_others_can_open_is_not_changed(keys: Keys) -> None:
    keys.file.chmod(0o644)
    code, printed = keys("rotate", "cursor")
    assert code == 1
    assert "chmod 600" in printed
