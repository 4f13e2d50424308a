"""The encodings in which a labelled value would still be a leak (M40), looked for in anything."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable
from functools import cache
from typing import Final
from urllib.parse import quote

# What is in the labelled columns of the sample database; most of each is hidden by its mask.
LABELLED: Final = (
    "ada.canary@example.com",
    "chinua.canary@example.org",
    "li.canary@example.net",
    "vip.canary@example.com",
    "219-09-9991",
    "457-55-5462",
    "612-34-7789",
    "123-45-6780",
    "+1 202 555 0101",
    "+44 20 7946 0102",
    "+86 10 5555 0104",
)
_SEPARATORS: Final = (
    *(" ", ",", ", ", "\n", "\t", "|", ";", "-", ".", "/", "\u200b", "\u200f", "\u0301"),
    *('", "', '","', "', '", "}, {", '"], ["', "\\u200b", "{", "}"),
)


def found(text: str, values: Iterable[str] = LABELLED) -> set[str]:
    """Which forms of which labelled values stand in a text."""
    folded = text.casefold()
    return {form for value in values for form in _forms(value) if form in folded}


def found_in_bytes(content: bytes) -> set[str]:
    """The same in what came over the wire, where numbers may be binary."""
    numbers = {value for value in LABELLED for form in _binary(value) if form in content}
    return numbers | found(content.decode("utf-8", "replace"))


@cache
def _forms(value: str) -> frozenset[str]:
    digits = "".join(c for c in value if c.isalnum())
    plain = {value, digits} if len(digits) > 8 else {value}
    turned = {each[::-1] for each in plain}
    spaced = {separator.join(each) for separator in _SEPARATORS for each in plain}
    # Encodings are folded as the text is; what differs only in case is close enough to a leak.
    coded = {form for each in plain | turned for form in _encodings(each)}
    return frozenset(form.casefold() for form in plain | turned | spaced | coded)


def _encodings(value: str) -> set[str]:
    return {
        value.encode().hex(),
        value.encode("utf-16-le").hex(),
        value.encode("utf-16-be").hex(),
        " ".join(f"{byte:02x}" for byte in value.encode()),
        base64.b32encode(value.encode()).decode().rstrip("=")[:-2],
        quote(value, safe=""),
        quote(value, safe="").replace("-", "%2D").replace(".", "%2E"),
        "".join(f"%{byte:02x}" for byte in value.encode()),
        "".join(f"\\u{ord(c):04x}" for c in value),
        "".join(f"\\x{ord(c):02x}" for c in value),
        "".join(f"\\{ord(c):03o}" for c in value),
        "".join(f"&#{ord(c)};" for c in value),
        "".join(f"&#x{ord(c):x};" for c in value),
        html.escape(value, quote=True),
        ", ".join(str(ord(c)) for c in value),
        ",".join(str(ord(c)) for c in value),
        "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in value),
        *_base64(value.encode()),
    }


def _base64(value: bytes) -> set[str]:
    """Whatever stands before the value, one of these three is in the encoded text."""
    return {base64.b64encode(b"x" * n + value).decode()[4 if n else 0 : -4] for n in range(3)}


@cache
def _binary(value: str) -> frozenset[bytes]:
    """Digits as a bigint, and as PostgreSQL's numeric: groups of four, 16 bits each."""
    digits = "".join(c for c in value if c.isdigit())
    if len(digits) < 9:
        return frozenset()
    padded = digits.zfill(-(-len(digits) // 4) * 4)
    groups = [int(padded[i : i + 4]).to_bytes(2, "big") for i in range(0, len(padded), 4)]
    return frozenset({int(digits).to_bytes(8, "big"), b"".join(groups)})
