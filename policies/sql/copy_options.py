"""COPY's options for what it sends -> the layout of its lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from policies.sql.copied import CopyLayout
from policies.sql.grammar import unwrap_as
from policies.sql.parser import Tree

_PRINTABLE: Final = frozenset(map(chr, range(0x20, 0x7F)))
# PostgreSQL's own rule for text: with one of these an escape would have two meanings.
_NO_TEXT_DELIMITER: Final = frozenset("\\.abcdefghijklmnopqrstuvwxyz0123456789")
_LONGEST_NULL: Final = 100
_ON: Final = frozenset({"true", "on"})
_OFF: Final = frozenset({"false", "off"})


class UnreadableLayout(Exception):
    """Rows in this layout can't be read back, so that nothing in them could be masked."""


def layout_of(options: list[Tree]) -> tuple[CopyLayout, bool]:
    """The layout, and whether names come first. Raises `UnreadableLayout`."""
    given: dict[str, Tree] = {}
    for node in options:
        option = unwrap_as("DefElem", node)
        if option["defname"] in given:
            raise UnreadableLayout(f"{option['defname']} is there twice")
        given[option["defname"]] = option.get("arg", {})
    header = _flag(given.pop("header")) if "header" in given else False
    quoted = _every_column(given.pop("force_quote")) if "force_quote" in given else False
    texts = {name: _text(name, given[name]) for name in given}
    match texts.pop("format", "text"):
        case "text":
            return _plain(texts, quoted=quoted), header
        case "csv":
            return _csv(texts, quoted=quoted), header
        case other:
            raise UnreadableLayout(f"the format {other[:20]} is not read here")


def _plain(texts: Mapping[str, str], *, quoted: bool) -> CopyLayout:
    if quoted or not texts.keys() <= {"delimiter", "null"}:
        raise UnreadableLayout("these options are not those of text")
    delimiter = texts.get("delimiter", "\t")
    if delimiter != "\t" and delimiter not in _PRINTABLE - _NO_TEXT_DELIMITER:
        raise UnreadableLayout("this delimiter is not read here")
    if texts.get("null", "\\N") != "\\N":
        raise UnreadableLayout("a value may look like NULL")
    return CopyLayout("text", delimiter)


def _csv(texts: Mapping[str, str], *, quoted: bool) -> CopyLayout:
    if not texts.keys() <= {"delimiter", "null", "quote", "escape"}:
        raise UnreadableLayout("these options are not those of CSV that is sent")
    delimiter, quote = texts.get("delimiter", ","), texts.get("quote", '"')
    escape, null = texts.get("escape", quote), texts.get("null", "")
    if not {delimiter, quote, escape} <= _PRINTABLE | {"\t"} or delimiter == quote:
        raise UnreadableLayout("these signs are not read here")
    readable = len(null) <= _LONGEST_NULL and _PRINTABLE.issuperset(null)
    if not readable or delimiter in null or quote in null:
        raise UnreadableLayout("this form of NULL is not read here")
    return CopyLayout("csv", delimiter, null, quote, escape, quoted)


def _flag(argument: Tree) -> bool:
    """As the server reads it: without a value it is on."""
    match argument:
        case {"String": {**text}} if str(text.get("sval", "")).lower() in _ON | _OFF:
            return str(text["sval"]).lower() in _ON
        case {"Boolean": {**value}}:
            return bool(value.get("boolval"))
        case {"Integer": {**number}} if number.get("ival", 0) in (0, 1):
            return number.get("ival") == 1
        case _ if not argument:
            return True
        case _:
            raise UnreadableLayout("this HEADER is not read here")


def _every_column(argument: Tree) -> bool:
    if argument != {"A_Star": {}}:
        raise UnreadableLayout("FORCE_QUOTE of single columns is not read here")
    return True


def _text(name: str, argument: Tree) -> str:
    match argument:
        case {"String": {**text}}:
            return str(text.get("sval", ""))
        case _:
            raise UnreadableLayout(f"this {name} is not read here")
