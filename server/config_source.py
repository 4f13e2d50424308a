"""YAML as a tree that knows its lines, and the wording of what is wrong with it.

Not in here: what a configuration means (`server.config`).
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from policies.errors import ConfigError

# Lists are tuples, because models are frozen.
Tree: TypeAlias = "bool | int | float | str | tuple[Tree, ...] | dict[str, Tree] | None"
KeyPath: TypeAlias = tuple[int | str, ...]

_KINDS: Final = ("kind", "protocol")
"""The keys by which a model is chosen."""
_WRONG_KIND: Final = ("union_tag_not_found", "union_tag_invalid")
_LONGEST_FILE: Final = 1_000_000
"""Characters; a configuration is written by people."""


@dataclass(frozen=True, slots=True)
class Source:
    """A parsed file. `lines` has the line of each key and item, `()` that of the beginning."""

    path: Path
    tree: Tree
    lines: Mapping[KeyPath, int]

    def place(self, path: KeyPath) -> str:
        """`file:line` of a key, or of the nearest thing around it that the file has."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.path}:{self.lines.get(path, 1)}"


def read(path: Path) -> Source:
    """Parse a file. Raises `ConfigError` for what is not YAML or says the same key twice."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{path} can't be read: {why}") from None
    if len(text) > _LONGEST_FILE:
        raise ConfigError(f"{path} is longer than {_LONGEST_FILE} characters")
    return _Parser(path).parse(text)


class _Parser:
    """Walks YAML's nodes, which know their lines, where its values do not."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[KeyPath, int] = {(): 1}
        self._open: set[int] = set()

    def parse(self, text: str) -> Source:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            tree = self._value(loader, node, ()) if node is not None else {}
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ConfigError(f"{self._path}:{line}: not YAML: {error.problem}") from None
        except (yaml.YAMLError, ValueError) as error:
            raise ConfigError(f"{self._path}:1: not YAML: {type(error).__name__}") from None
        finally:
            loader.dispose()
        return Source(self._path, tree, self._lines)

    def _value(self, loader: yaml.SafeLoader, node: yaml.Node, path: KeyPath) -> Tree:
        if id(node) in self._open:
            raise self._error(node, "an alias stands inside what it names")
        self._open.add(id(node))
        try:
            match node:
                case yaml.MappingNode():
                    return self._mapping(loader, node, path)
                case yaml.SequenceNode():
                    return tuple(self._items(loader, node, path))
                case _:
                    return self._scalar(loader, node)
        finally:
            self._open.discard(id(node))

    def _mapping(
        self, loader: yaml.SafeLoader, node: yaml.MappingNode, path: KeyPath
    ) -> dict[str, Tree]:
        mapping: dict[str, Tree] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key in mapping:
                first = self._lines[(*path, key)]
                raise self._error(key_node, f"the key {key!r} stands on line {first} already")
            self._lines[(*path, key)] = key_node.start_mark.line + 1
            mapping[key] = self._value(loader, value_node, (*path, key))
        return mapping

    def _key(self, node: yaml.Node) -> str:
        """Keys are taken as they are written: `on` and `1` are names as well."""
        if not isinstance(node, yaml.ScalarNode):
            raise self._error(node, "a key must be a name")
        return str(node.value)

    def _items(self, loader: yaml.SafeLoader, node: yaml.SequenceNode, path: KeyPath) -> list[Tree]:
        items = []
        for index, item in enumerate(node.value):
            self._lines[(*path, index)] = item.start_mark.line + 1
            items.append(self._value(loader, item, (*path, index)))
        return items

    def _scalar(self, loader: yaml.SafeLoader, node: yaml.Node) -> Tree:
        value = loader.construct_object(node, deep=True)
        if value is None or isinstance(value, bool | int | float | str):
            return value
        return str(node.value)  # dates and the like: whoever reads them says what they should be

    def _error(self, node: yaml.Node, sentence: str) -> ConfigError:
        return ConfigError(f"{self._path}:{node.start_mark.line + 1}: {sentence}")


# --- wording -------------------------------------------------------------------------------------


def worded(source: Source, error: ValidationError, model: type[BaseModel]) -> ConfigError:
    """Every error on a line of its own: place, key, what is wrong, what to write instead.

    No value is repeated: it may be a secret in the wrong place.
    """
    found = error.errors(include_url=False, include_input=False)
    lines = [
        f"{source.place(_path(details, source.tree))}: {_sentence(details, source.tree, model)}"
        for details in found
        if not _follows_from_others(details, found)
    ]
    return ConfigError("\n".join(lines))


def _follows_from_others(details: ErrorDetails, found: list[ErrorDetails]) -> bool:
    """A list whose items are all wrong counts as too short as well."""
    path = details["loc"]
    inside = (other["loc"] for other in found if len(other["loc"]) > len(path))
    return details["type"] == "too_short" and any(loc[: len(path)] == path for loc in inside)


def _path(details: ErrorDetails, tree: Tree) -> KeyPath:
    """Where the file has it: pydantic names the kind, too, that it chose a model by."""
    path: list[int | str] = []
    for part in details["loc"]:
        if not (isinstance(tree, dict) and part not in tree and part in map(tree.get, _KINDS)):
            path.append(part)
            tree = _item(tree, part)
    if details["type"] in _WRONG_KIND:
        path.append(details["ctx"]["discriminator"].strip("'"))
    return tuple(path)


def _item(tree: Tree, part: int | str) -> Tree:
    match tree:
        case dict():
            return tree.get(str(part))
        case tuple() if isinstance(part, int) and part < len(tree):
            return tree[part]
        case _:
            return None


def _sentence(details: ErrorDetails, tree: Tree, model: type[BaseModel]) -> str:
    path = details["loc"]
    key = _dotted(_path(details, tree))
    match details["type"]:
        case "extra_forbidden":
            return f"{key}: {_unknown_key(path, model)}"
        case "union_tag_not_found":
            return f"{key} is missing; write one of {', '.join(_kinds(path, model))}"
        case "union_tag_invalid":
            return f"{key}: write one of {', '.join(_kinds(path, model))}"
        case "missing":
            return f"{key} is missing{_for_example(path, model)}"
        case "value_error":
            said = details["ctx"]["error"] if "ctx" in details else details["msg"]
            return f"{key}: {said}" if key else str(said)
        case "literal_error":
            return f"{key}: write one of {details['ctx']['expected']}"
        case "model_type" | "dict_type" | "mapping_type":
            return f"{key or 'the file'} must hold keys{_for_example(path, model)}"
        case "tuple_type":
            return f"{key} must be a list: [one, two]"
        case "string_pattern_mismatch" | "too_short":
            return f"{key} is not what it should be{_for_example(path, model)}"
        case _:
            what = details["msg"].removeprefix("Input ")
            return f"{key or 'the configuration'}: {what}{_for_example(path, model)}"


def _dotted(path: KeyPath) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


def _unknown_key(path: KeyPath, model: type[BaseModel]) -> str:
    parent = _model_at(path[:-1], model)
    known = sorted(parent.model_fields) if parent else []
    near = difflib.get_close_matches(str(path[-1]), known, n=1, cutoff=0.5)
    advice = f"write {near[0]!r}?" if near else f"known here: {', '.join(known)}"
    return f"unknown key; {advice}"


def _kinds(path: KeyPath, model: type[BaseModel]) -> list[str]:
    """What a key that says the kind may say."""
    return sorted(kind for found in _models_at(path, model) for kind in _kinds_of(found))


def _for_example(path: KeyPath, model: type[BaseModel]) -> str:
    parent = _model_at(path[:-1], model) if path else None
    field = parent.model_fields.get(str(path[-1])) if parent else None
    if field is None or not field.examples:
        return ""
    return f"; write for example `{path[-1]}: {field.examples[0]}`"


def _model_at(path: KeyPath, model: type[BaseModel]) -> type[BaseModel] | None:
    """The model whose fields are the keys at a path of the file."""
    found = _models_at(path, model)
    return found[0] if found else None


def _models_at(path: KeyPath, model: type[BaseModel]) -> list[type[BaseModel]]:
    """All that may stand at a path, of which a part may be the kind that is chosen by."""
    found = [model]
    for part in path:
        chosen = [m for m in found if len(found) > 1 and part in _kinds_of(m)]
        if chosen:
            found = chosen
        elif isinstance(part, str) and found and part in found[0].model_fields:
            found = _models_in(found[0].model_fields[part].annotation)
    return found


def _kinds_of(model: type[BaseModel]) -> tuple[str, ...]:
    fields = (model.model_fields.get(key) for key in _KINDS)
    return tuple(kind for field in fields if field for kind in get_args(field.annotation))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Models inside optional values, lists and mappings."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType, Annotated, tuple, dict, Mapping):
        return [m for argument in get_args(annotation) for m in _models_in(argument)]
    return []
