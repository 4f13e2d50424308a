"""References to secrets: where a value is, never the value itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from policies.errors import ConfigError

WHY_BY_REFERENCE: Final = (
    "a secret does not stand in the configuration, where backups and logs would carry it: "
    "write env:NAME or file:PATH"
)


@dataclass(frozen=True, slots=True)
class Secret:
    """`env:NAME` or `file:PATH`; a relative path counts from `base`."""

    scheme: Literal["env", "file"]
    name: str
    base: Path = Path()

    @classmethod
    def parse(cls, reference: str, base: Path = Path()) -> Secret:
        """Raises `ConfigError`, which never repeats what was given: it may be the secret."""
        scheme, colon, name = reference.partition(":")
        if not colon or not name:
            raise ConfigError(WHY_BY_REFERENCE)
        match scheme:
            case "env" | "file":
                return cls(scheme, name, base)
            case _:
                raise ConfigError(WHY_BY_REFERENCE)

    @property
    def path(self) -> Path | None:
        """The file that holds the secret, `None` for a variable."""
        return self.base / self.name if self.scheme == "file" else None

    def resolve(self) -> str:
        """Read the value now, without the line's end. Raises `ConfigError` naming the reference."""
        value = self._file() if self.scheme == "file" else os.environ.get(self.name, "")
        if not value:
            what = "is not set" if self.scheme == "env" else "is empty"
            raise ConfigError(f"the secret {self} {what}")
        return value

    def _file(self) -> str:
        try:
            return (self.base / self.name).read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "is not text"
            raise ConfigError(f"the secret {self} can't be read: {why}") from None

    def __str__(self) -> str:
        return f"{self.scheme}:{self.name}"
