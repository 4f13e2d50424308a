"""JSON that every reader reads alike: what it may hold, and nothing of JSON-RPC.

The SDK reads a body twice, with two parsers, and both take repeated keys: what one reader judges
must be what the next one runs (RFC 8259, RFC 7493).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Final, NoReturn

MOST_DEPTH: Final = 64
MOST_DIGITS: Final = 19
"""Of an integer: what is larger, readers round. Arguments take it as a string."""


class NotStrict(ValueError):
    """The body is no JSON, or is JSON that two readers may read differently."""


def read_strictly(body: bytes) -> object:
    """The one document in the body. Raises `NotStrict`, with words that repeat nothing of it."""
    try:
        document: object = _DECODER.decode(body.decode())
    except RecursionError:
        raise NotStrict("the body is nested too deeply") from None
    except ValueError as error:
        raise NotStrict(f"the body is no JSON that can be taken: {_reason(error)}") from None
    if body.count(b"[") + body.count(b"{") > MOST_DEPTH and _deeper(document, MOST_DEPTH):
        raise NotStrict("the body is nested too deeply")
    return document


def _reason(error: ValueError) -> str:
    """What is wrong, and nothing of the body: the words of our own refusals, else the parser's."""
    match error:
        case _Refused():
            return str(error)
        case json.JSONDecodeError():
            return f"it breaks off or errs at character {error.pos}"
        case _:
            return "it is not UTF-8"


class _Refused(ValueError):
    pass


def _distinct(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise _Refused("a key appears twice")
    return document


def _integer(text: str) -> int:
    if len(text) > MOST_DIGITS + 1 or len(text.lstrip("-")) > MOST_DIGITS:
        raise _Refused("a number is too large; write it as a string")
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _Refused("a number is too large; write it as a string")
    return number


def _constant(_name: str) -> NoReturn:
    raise _Refused("NaN and Infinity are not JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_distinct,
    parse_int=_integer,
    parse_float=_float,
    parse_constant=_constant,
)


def _deeper(document: object, most: int) -> bool:
    """Whether anything is nested more than `most` deep; without recursion."""
    level: list[object] = [document]
    for _ in range(most):
        level = [inner for node in level for inner in _children(node)]
        if not level:
            return False
    return True


def _children(node: object) -> Sequence[object]:
    match node:
        case dict():
            return [v for v in node.values() if isinstance(v, dict | list)]
        case list():
            return [v for v in node if isinstance(v, dict | list)]
        case _:
            return ()
