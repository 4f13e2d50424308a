"""pydantic models as small JSON Schemas, and its errors in words that echo no value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import ErrorDetails

from tools.escaping import visible

MOST_NAMED: Final = 20
"""Wrong arguments in one answer: who sends thousands is answered, and recorded, in few bytes."""


def compact_schema(model: type[BaseModel]) -> dict[str, JsonValue]:
    """The model's schema without titles and references: what a model needs to read, no more."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    trimmed = _trim(schema, definitions)
    if not isinstance(trimmed, dict):
        raise TypeError("a model's schema is an object")
    trimmed.pop("description", None)  # the model's docstring is for readers of the code
    return trimmed


def _trim(node: JsonValue, definitions: Mapping[str, JsonValue]) -> JsonValue:
    match node:
        case {"$ref": str(reference)}:
            return _trim(_definition(reference, definitions), definitions)
        case dict():
            return {
                key: _trim_properties(value, definitions)
                if key == "properties"
                else _trim(value, definitions)
                for key, value in node.items()
                if key != "title"
            }
        case list():
            return [_trim(item, definitions) for item in node]
        case _:
            return node


def _trim_properties(node: JsonValue, definitions: Mapping[str, JsonValue]) -> JsonValue:
    """Property names are not keywords: one may well be called `title`."""
    if not isinstance(node, dict):
        return node
    return {name: _trim(schema, definitions) for name, schema in node.items()}


def _definition(reference: str, definitions: Mapping[str, JsonValue]) -> JsonValue:
    found = definitions[reference.removeprefix("#/$defs/")]
    if isinstance(found, dict):
        return {key: value for key, value in found.items() if key != "description"}
    return found


def wrong_arguments(error: ValidationError) -> str:
    """Each wrong argument once, by name: "max_rows: Input should be ...; foo: unknown argument"."""
    by_place: dict[str, list[ErrorDetails]] = {}
    for detail in error.errors(include_input=False, include_url=False, include_context=False):
        by_place.setdefault(_place(detail["loc"]), []).append(detail)
    words = [f"{place}: {_wording(details)}" for place, details in by_place.items()]
    more = [f"and {len(words) - MOST_NAMED} more"] if len(words) > MOST_NAMED else []
    return "; ".join(words[:MOST_NAMED] + more)


def _place(location: tuple[int | str, ...]) -> str:
    """Name and index; what follows is pydantic's way through a union, and says nothing."""
    if not location:
        return "arguments"
    name = visible(str(location[0]))[:64]
    if len(location) > 1 and isinstance(location[1], int):
        return f"{name}[{location[1]}]"
    return name


def _wording(details: Sequence[ErrorDetails]) -> str:
    if len(details) > 1:
        return "wrong type"
    match details[0]["type"]:
        case "extra_forbidden":
            return "unknown argument"
        case "missing":
            return "missing"
        case _:
            return details[0]["msg"]
