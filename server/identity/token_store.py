"""Where `ostiary login` keeps tokens: one private file a gateway, in the user's own directory."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from policies.errors import ConfigError
from server.identity.strict import read_object


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token for one gateway; `expires_at` in seconds since 1970, `None` where nobody said."""

    gateway: str
    token: str
    expires_at: float | None


@dataclass(frozen=True, slots=True)
class TokenStore:
    """Files that only their owner can read."""

    directory: Path

    @classmethod
    def of_user(cls, environment: Mapping[str, str]) -> TokenStore:
        """The store under `$XDG_CONFIG_HOME`, or `~/.config` without one."""
        configured = environment.get("XDG_CONFIG_HOME", "")
        # The XDG Base Directory Specification has relative paths ignored.
        base = Path(configured) if configured.startswith("/") else Path.home() / ".config"
        return cls(base / "ostiary" / "tokens")

    def save(self, stored: StoredToken) -> None:
        """Write a token; whoever reads meanwhile sees the old one or the new one."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._path(stored.gateway)
        fresh = path.with_name(f".{secrets.token_hex(8)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(stored), file)
        fresh.replace(path)

    def load(self, gateway: str) -> StoredToken | None:
        """The token kept for a gateway. Raises `ConfigError` for a file that others can read."""
        path = self._path(gateway)
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read(64 * 1024)
        except FileNotFoundError:
            return None
        if stat.S_IMODE(mode) & 0o077:
            raise ConfigError(f"{path} can be read by others: run `chmod 600` on it, sign in again")
        return _read(path, content, gateway)

    def _path(self, gateway: str) -> Path:
        return self.directory / (hashlib.sha256(gateway.encode()).hexdigest()[:32] + ".json")


def _read(path: Path, content: bytes, gateway: str) -> StoredToken:
    try:
        document = read_object(content)
    except ValueError as error:
        raise ConfigError(f"{path} is not readable: delete it, then `ostiary login`") from error
    match document:
        case {"gateway": str(kept_for), "token": str(token), "expires_at": expires_at} if (
            kept_for == gateway
        ):
            until = float(expires_at) if isinstance(expires_at, int | float) else None
            return StoredToken(gateway, token, until)
        case _:
            raise ConfigError(f"{path} is not a token file: delete it, then `ostiary login`")
