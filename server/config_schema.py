"""The configuration's models as JSON Schema of the file: defaults and examples as they are written.

Not in here: what is merely checked when a file is loaded, such as two targets on one name.
"""

from __future__ import annotations

import json
from typing import Final

import yaml
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

_UNITS: Final = (("d", 86400.0), ("h", 3600.0), ("m", 60.0), ("s", 1.0))
_LEFT_OUT: Final = "…"


def schema_text(model: type[BaseModel], title: str) -> str:
    """The JSON Schema of a file that holds this model, as text without the last line's end."""
    schema = model.model_json_schema(schema_generator=_AsWritten)
    for each in (schema, *schema["$defs"].values()):
        for key in each.get("properties", {}).values():
            _read_examples(key)
    named = {"$schema": GenerateJsonSchema.schema_dialect, **schema, "title": title}
    return json.dumps(named, indent=2, ensure_ascii=False)


class _AsWritten(GenerateJsonSchema):
    """Pydantic's generator speaks of values; a file holds what they are read from."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        if made.get("default") == "":  # stands for what follows from other settings
            del made["default"]
        elif "default" in made and made.get("type") == "string":
            made["default"] = _written(self.get_default_value(schema))
        return made


def _written(value: object) -> str:
    """A default as a person would write it: seconds with their unit, addresses as text."""
    if not isinstance(value, float):
        return str(value)
    fitting = ((unit, value / length) for unit, length in _UNITS if value % length == 0)
    unit, count = next(fitting, ("ms", value * 1000))
    return f"{count:g}{unit}"


def _read_examples(schema: JsonSchemaValue) -> None:
    """Examples are YAML for people; one with something left out is no instance."""
    written = [each for each in schema.pop("examples", []) if _LEFT_OUT not in str(each)]
    if written:
        schema["examples"] = [yaml.safe_load(each) for each in written]
