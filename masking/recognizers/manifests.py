"""Where the values of Kubernetes Secrets stand in a manifest, in YAML or JSON, also in a fragment.

A Secret's keys may have any name and its values any form, so that only `kind: Secret` tells them.
https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/secret-v1/
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Final

import regex

NECESSARY: Final = (
    r"\bkind\\*[\"']?\s{0,9}:\s{0,9}(?:[!&]\S{0,40}\s{1,9})?\\*[\"']?Secret(?:List)?\b"
)

_KIND: Final = regex.compile(NECESSARY)
_DATA: Final = regex.compile(
    r"^([ \-]*+)[\"']?(?:data|stringData)[\"']?:[ ]*+(?:[!&]\S*+[ ]*+)*+(?:#[^\r\n]*+)?\r?\n"
    r"|^([ \-]*+)[\"']?(?:data|stringData)[\"']?:[ ]++\*([^\s#]+)",
    regex.MULTILINE,
)
"""Where a block of data begins, or what it is an alias of."""

_ANCHOR: Final = regex.compile(
    r"^([ \-]*+)[^\n&]*+&([^\s,\[\]{}]++)[ ]*+([^\r\n]*+)\r?\n?", regex.MULTILINE
)
_LINE: Final = regex.compile(r"([ \-]*+)([^\r\n]*+)\r?(?:\n|\Z)")
_KEY: Final = regex.compile(
    r"(?:\"(?:[^\"\\]|\\.)*+\"|'[^']*+'|[^\s:\"'#]++)[ ]*+:(?:[ ]++|\Z)(?:[!&]\S*+(?:[ ]++|\Z))*+"
)
_BLOCK: Final = regex.compile(r"[|>][+\-0-9]*[ ]*(?:#.*)?")

_QUOTED: Final = r"\"(?:[^\"\\]|\\.)*+\"|'(?:[^']|'')*+'"
_FLOW: Final = regex.compile(
    rf"(?<![\w\\])[\"']?(?:data|stringData)[\"']?\s*:\s*\{{((?:{_QUOTED}|[^{{}}\"'])*+)"
)
_FLOW_VALUE: Final = regex.compile(
    rf"(?:{_QUOTED}|[^\s:,\"']+)\s*:\s*(?:\"((?:[^\"\\]|\\.)++)|'((?:[^']|'')++)"
    r"|([^\s\"',][^\r\n,]*))"
)
_ESCAPED: Final = regex.compile(
    r"(?<!\\)(\\++)\"(?:data|stringData)\1\"\s*:\s*\{"
    r"((?:(?<!\\)\1\"(?:(?!(?<!\\)\1\").)*+\1\"|[^{}\"])*+)",
    regex.DOTALL,
)
_ESCAPED_VALUE: Final = regex.compile(r":\s*\\+\"([^\"\\]+)")


def secret_values(text: str) -> Iterator[tuple[int, int]]:
    """Begin and end of each value. A text in which one manifest is a Secret is read as a whole."""
    if _KIND.search(text):
        yield from data_values(text)


def names_a_secret(text: str) -> bool:
    """Whether one of the manifests is a Secret."""
    return _KIND.search(text) is not None


def has_data(text: str) -> bool:
    """Whether `data` or `stringData` begin somewhere."""
    return _DATA.search(text) is not None or _FLOW.search(text) is not None


def data_values(text: str) -> Iterator[tuple[int, int]]:
    """Begin and end of each value of `data` and `stringData`."""
    aliases: set[str] = set()
    end = 0
    for block in _DATA.finditer(text):
        if block[3]:
            aliases.add(block[3])
        elif block.start() >= end:
            end = yield from _of_block(text, block.end(), len(block[1]), aliases)
    end = 0
    for anchor in _ANCHOR.finditer(text) if aliases else ():
        if anchor[2] in aliases and anchor.start() >= end:
            if anchor[3]:
                yield anchor.span(3)
            else:
                end = yield from _of_block(text, anchor.end(), len(anchor[1]), set())
    for flow in _FLOW.finditer(text):
        for match in _FLOW_VALUE.finditer(text, *flow.span(1)):
            yield match.span(match.lastindex or 0)
    for escaped in _ESCAPED.finditer(text):
        for match in _ESCAPED_VALUE.finditer(text, *escaped.span(2)):
            yield match.span(1)


def rest_values(text: str) -> Iterator[tuple[int, int]]:
    """Every value of indented lines: what follows a Secret's beginning."""
    return _of_block(text, 0, -1, set())


def _of_block(
    text: str, position: int, above: int, aliases: set[str]
) -> Generator[tuple[int, int], None, int]:
    """The values of the lines that are indented deeper than `above`; without a key, all of them.

    Returns where the block ends. Names of what stands elsewhere are added to `aliases`.
    """
    scalar: int | None = None
    while position < len(text) and (line := _LINE.match(text, position)):
        if line[2] and len(line[1]) <= above:
            break
        position = line.end()
        start = line.start(2)
        end = start + len(line[2].rstrip(" \t"))
        if scalar is not None and len(line[1]) <= scalar:
            scalar = None
        key = _KEY.match(text, start, end) if scalar is None else None
        value = key.end() if key else start
        if _BLOCK.fullmatch(text, value, end) and scalar is None:
            scalar = len(line[1])
        elif text[value : value + 1] == "*" and scalar is None:
            aliases.add(text[value + 1 : end].partition(" ")[0])
        elif value < end and (scalar is not None or text[value] != "#"):
            yield value, end
    return position
