"""A catalog as JSON and back, so that statements can be judged where their target is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from policies.sql.catalog import Catalog, Relation

FORMAT: Final = "ostiary.catalog"
VERSION: Final = 1

_RELATIONS: Final = TypeAdapter(tuple[Relation, ...])
_CATALOG: Final = TypeAdapter(Catalog)


class NoSnapshot(ValueError):
    """This is not a catalog that `ostiary facts --snapshot` wrote."""


def snapshot_of(catalog: Catalog, *, kind: str) -> dict[str, Any]:
    """Everything that a statement is judged by; `kind` is the target's, such as postgres."""
    named = (f for f in fields(catalog) if f.name not in ("relations", "by_oid", "enums"))
    plain = {field.name: _plain(getattr(catalog, field.name)) for field in named}
    relations = [_plain(relation) for relation in catalog.relations.values()]
    return {"format": FORMAT, "format_version": VERSION, "kind": kind, **plain} | {
        "relations": relations
    }


def catalog_of(document: Mapping[str, Any]) -> Catalog:
    """The catalog of a snapshot. Raises NoSnapshot."""
    if document.get("format") != FORMAT or document.get("format_version") != VERSION:
        raise NoSnapshot("this is no catalog of this version; write one with facts --snapshot")
    parts = {f.name: document[f.name] for f in fields(Catalog) if f.name in document}
    try:
        relations = _RELATIONS.validate_python(document.get("relations"))
        parts["relations"] = {relation.name: relation for relation in relations}
        parts["by_oid"] = {relation.oid: relation for relation in relations}
        return _CATALOG.validate_python(parts)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise NoSnapshot(f"the catalog is damaged at {where}: {first['msg']}") from error


def _plain(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    match value:
        case frozenset() | set():
            return sorted((_plain(item) for item in value), key=repr)
        case tuple() | list():
            return [_plain(item) for item in value]
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case _:
            return value
