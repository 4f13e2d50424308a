"""Kept tokens are private files, one a gateway."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from policies.errors import ConfigError
from server.identity.token_store import StoredToken, TokenStore

GATEWAY = "https://ostiary.example.com"


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore.of_user({"XDG_CONFIG_HOME": str(tmp_path)})


def test_a_token_comes_back_for_its_gateway_only(store: TokenStore) -> None:
    kept = StoredToken(GATEWAY, "abc", 12.5)
    store.save(kept)
    assert store.load(GATEWAY) == kept
    assert store.load("https://other.example.com") is None


def test_a_new_token_replaces_the_old_one(store: TokenStore) -> None:
    store.save(StoredToken(GATEWAY, "abc", None))
    store.save(StoredToken(GATEWAY, "def", None))
    assert store.load(GATEWAY) == StoredToken(GATEWAY, "def", None)
    assert len(list(store.directory.iterdir())) == 1


def test_file_and_directory_are_private(store: TokenStore) -> None:
    store.save(StoredToken(GATEWAY, "abc", None))
    (file,) = store.directory.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700


def test_a_file_that_others_can_read_is_refused(store: TokenStore) -> None:
    store.save(StoredToken(GATEWAY, "abc", None))
    (file,) = store.directory.iterdir()
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        store.load(GATEWAY)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"gateway":"x","token":"t","expires_at":null}'])
def test_a_file_that_is_no_token_file_is_refused_without_quoting_it(
    store: TokenStore, text: str
) -> None:
    store.save(StoredToken(GATEWAY, "abc", None))
    (file,) = store.directory.iterdir()
    file.write_text(text)
    with pytest.raises(ConfigError, match="ostiary login"):
        store.load(GATEWAY)


def test_a_relative_configuration_directory_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    store = TokenStore.of_user({"XDG_CONFIG_HOME": "relative"})
    assert store.directory == tmp_path / ".config" / "ostiary" / "tokens"
