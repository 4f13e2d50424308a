"""The scalars of JSON and YAML documents, with their paths and places; the rest is left alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import yaml

Path = tuple[str | int, ...]

_DEEPEST: Final = 200
"""Levels of a document that is walked; a deeper one is searched as text."""


_MOST_COPIES: Final = 10_000
"""Scalars that aliases name again; a document with more is searched as text."""


class NotWalked(Exception):
    """The text is no document that can be walked; it says nothing of the text."""


class Literal(NamedTuple):
    """A scalar: characters `start` to `end`, its value, and the keys and places above it.

    `key`: it names a member; its path is that member's. `string`: it is no number and no constant.
    `alias`: it stands elsewhere too, and here by an alias of YAML.
    """

    start: int
    end: int
    value: str
    path: Path
    key: bool
    string: bool
    alias: bool = False

    @property
    def name(self) -> str:
        """The nearest key above."""
        return next((part for part in reversed(self.path) if isinstance(part, str)), "")


_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)


def json_literals(text: str) -> list[Literal]:
    """The scalars of a JSON document (RFC 8259). Raises `NotWalked`."""
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotWalked from error
    return list(_of_json(text))


def _of_json(text: str) -> Iterator[Literal]:
    path: list[str | int] = []
    objects: list[bool] = []
    expects_key = False
    for match in _TOKEN.finditer(text):
        word = match[0]
        if word == "{" or word == "[":
            _open(path, objects, word)
            expects_key = word == "{"
        elif word in "}]":
            objects.pop()
            path.pop()
            expects_key = False
        elif word == ",":
            last = path[-1]
            path[-1] = "" if objects[-1] or isinstance(last, str) else last + 1
            expects_key = objects[-1]
        elif word == ":":
            expects_key = False
        elif word[0] == '"':
            value = json.loads(word) if "\\" in word else word[1:-1]
            if expects_key:
                path[-1] = value
            yield Literal(*match.span(), value, tuple(path), expects_key, True)
        else:
            yield Literal(*match.span(), word, tuple(path), False, False)


def _open(path: list[str | int], objects: list[bool], word: str) -> None:
    if len(path) >= _DEEPEST:
        raise NotWalked
    path.append("" if word == "{" else 0)
    objects.append(word == "{")


def yaml_literals(text: str) -> list[Literal]:
    """The scalars of YAML documents. Raises `NotWalked`."""
    try:
        return list(_of_yaml(text))
    except (yaml.YAMLError, ValueError) as error:
        raise NotWalked from error


class _Level:
    """A mapping or a sequence while its events come."""

    def __init__(self, *, mapping: bool) -> None:
        self.mapping = mapping
        self.at: str | int = "" if mapping else -1
        self.on_key = False

    def step(self) -> bool:
        """To the next node; whether it is a key."""
        if not self.mapping:
            self.at = int(self.at) + 1
            return False
        self.on_key = not self.on_key
        return self.on_key


def _of_yaml(text: str) -> Iterator[Literal]:
    levels: list[_Level] = []
    document = 0
    aliases = _Aliases()
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.DocumentStartEvent):
            document += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            levels.pop()
            aliases.close()
        elif isinstance(event, yaml.NodeEvent):
            is_key = levels[-1].step() if levels else False
            path = (document, *(level.at for level in levels))
            if isinstance(event, yaml.ScalarEvent):
                if is_key:
                    levels[-1].at = event.value
                    path = (*path[:-1], event.value)
                yield aliases.seen(_scalar(text, event, path, is_key), event.anchor)
            elif isinstance(event, yaml.AliasEvent):
                again = list(aliases.again(event.anchor, path))
                if is_key:
                    levels[-1].at = again[0].value if again else ""
                yield from again
            elif isinstance(event, yaml.CollectionStartEvent):
                if len(levels) >= _DEEPEST:
                    raise NotWalked
                aliases.open(event.anchor, path)
                levels.append(_Level(mapping=isinstance(event, yaml.MappingStartEvent)))


class _Aliases:
    """What anchors name, so that aliases can be followed: one level, as tools write them."""

    def __init__(self) -> None:
        self._named: dict[str, tuple[int, list[Literal]]] = {}
        self._open: list[str] = []
        self._copied = 0

    def open(self, anchor: str | None, path: Path) -> None:
        self._open.append(anchor or "")
        if anchor:
            self._named[anchor] = (len(path), [])

    def close(self) -> None:
        self._open.pop()

    def seen(self, literal: Literal, anchor: str | None) -> Literal:
        if anchor:
            self._named[anchor] = (len(literal.path), [literal])
        for name in set(self._open) if self._named else ():
            if name and len(self._named[name][1]) <= _MOST_COPIES:
                self._named[name][1].append(literal)
        return literal

    def again(self, anchor: str | None, path: Path) -> Iterator[Literal]:
        """Raises `NotWalked` for more copies than a document of a person or a tool has."""
        depth, literals = self._named.get(anchor or "", (0, []))
        above = path[:-1] if path[-1:] == ("<<",) else path
        self._copied += len(literals)
        if self._copied > _MOST_COPIES:
            raise NotWalked
        for literal in literals:
            yield literal._replace(path=(*above, *literal.path[depth:]), alias=True)


_PROPERTIES: Final = re.compile(r"(?:[&!]\S*\s+)*")


def _scalar(text: str, event: yaml.ScalarEvent, path: Path, key: bool) -> Literal:
    if event.start_mark is None or event.end_mark is None:
        raise NotWalked
    start, end = event.start_mark.index, event.end_mark.index
    if (event.anchor or event.tag) and (properties := _PROPERTIES.match(text, start, end)):
        start = properties.end()
    string = bool(event.style) or _NUMBER.fullmatch(event.value) is None
    return Literal(start, end, event.value, path, key, string)


_NUMBER: Final = re.compile(r"[-+]?[0-9][0-9_.eE+-]*|true|false|null|~|")


def secret_paths(literals: Sequence[Literal]) -> set[Path]:
    """Objects of which all values are secrets: `data` of Secrets, users of kubeconfigs."""
    found: set[Path] = set()
    for literal in literals:
        if literal.key or literal.path[-1:] != ("kind",):
            continue
        above = literal.path[:-1]
        if literal.value == "Secret":
            found |= {(*above, "data"), (*above, "stringData")}
    return found
