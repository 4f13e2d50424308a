"""Names whose values are secrets whatever they look like: keys of documents, HTTP headers."""

from __future__ import annotations

import re
from typing import Final

_SECRET_NAMES: Final = re.compile(
    r"(?:password|passwd|passphrase|passcode|pwd|secret|secretkey|secretaccesskey|apikey|token"
    r"|privatekey|privatekeydata|clientkeydata|encryptionkey|signingkey|accountkey|credentials?"
    r"|authorization|cookie|sessionid|connectsid)\Z|\A(?:auth|pass|dockerconfigjson)\Z"
)
_PAGES: Final = re.compile(r"(?:page|next|continue|continuation|cursor)token\Z")
"""Tokens that are places in a list."""

_SEPARATORS: Final = re.compile(r"[-_.\s]")
_HOLLOW: Final = re.compile(
    r"(?:null|none|true|false|nil|undefined|\*+|x+|<[^>]*>|\$\{[^}]*\}|\$\w+|\{\{.*\}\})?\Z", re.I
)
"""What stands where a secret would, and is none."""


def says_secret(name: str) -> bool:
    """Whether the value of a key with this name is a secret: `db_password`, `clientSecret`."""
    plain = _SEPARATORS.sub("", name).lower()
    return _SECRET_NAMES.search(plain) is not None and not _PAGES.search(plain)


def is_hollow(value: str) -> bool:
    """Whether a value is nothing, a placeholder or a reference."""
    return _HOLLOW.match(value.strip()) is not None


_PARTS_OF_NAMES: Final = (
    "pass", "pwd", "secret", "key", "token", "credential", "auth", "cookie", "session",
    "connect", "dockerconfig",
)  # fmt: skip


def may_say_secret(text: str) -> bool:
    """False only where no name in the text says secret."""
    lower = text.lower()
    return any(part in lower for part in _PARTS_OF_NAMES)
