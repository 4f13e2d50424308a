"""Reading JSON and base64url in the one way that two readers can't disagree about."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import NoReturn

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def read_json(text: bytes) -> Json:
    """Parse UTF-8 JSON; refuses repeated keys, NaN, byte order marks and endless nesting.

    Raises `ValueError` for anything else than one well-formed document (RFC 8259, RFC 7493).
    """
    try:
        parsed: Json = json.loads(
            text.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=_no_constant
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return parsed


def read_object(text: bytes) -> dict[str, Json]:
    """Parse a JSON object; raises `ValueError` for any other document."""
    parsed = read_json(text)
    if not isinstance(parsed, dict):
        raise ValueError("not a JSON object")
    return parsed


def read_base64url(text: str) -> bytes:
    """Decode unpadded base64url in its only canonical form (RFC 7515 section 2)."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("not base64url") from error
    if write_base64url(raw) != text:
        raise ValueError("not canonical base64url")
    return raw


def write_base64url(raw: bytes) -> str:
    """Encode as unpadded base64url."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _distinct(pairs: Sequence[tuple[str, Json]]) -> dict[str, Json]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key appears twice")
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
