"""Functions in FROM: the columns they give, as PostgreSQL names them (parse_relation.c)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from policies.sql.grammar import strings, unwrap, unwrap_as
from policies.sql.lineage import CLEAN, Lineage, Output, Shape, exact_shape
from policies.sql.parser import Tree

# OUT parameters of pg_catalog's functions, from pg_proc.proargnames of PostgreSQL 18.
_OUT_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "aclexplode": ("grantor", "grantee", "privilege_type", "is_grantable"),
        "json_array_elements": ("value",),
        "json_array_elements_text": ("value",),
        "json_each": ("key", "value"),
        "json_each_text": ("key", "value"),
        "jsonb_array_elements": ("value",),
        "jsonb_array_elements_text": ("value",),
        "jsonb_each": ("key", "value"),
        "jsonb_each_text": ("key", "value"),
        "pg_get_sequence_data": ("last_value", "is_called"),
        "pg_get_keywords": ("word", "catcode", "barelabel", "catdesc", "baredesc"),
        "pg_options_to_table": ("option_name", "option_value"),
        "pg_partition_ancestors": ("relid",),
        "pg_partition_tree": ("relid", "parentrelid", "isleaf", "level"),
        "ts_token_type": ("tokid", "alias", "description"),
        "pg_timezone_names": ("name", "abbrev", "utc_offset", "is_dst"),
    }
)
OPTIONS: Final = "pg_options_to_table"
# What pgjdbc takes index columns apart with.
_EXPANDED: Final = ("information_schema", "_pg_expandarray")
# They give one column of one plain type, named by the alias.
_SCALAR: Final = frozenset(
    {
        "generate_series",
        "generate_subscripts",
        "json_object_keys",
        "jsonb_object_keys",
        "jsonb_path_query",
        "regexp_matches",
        "regexp_split_to_table",
        "string_to_table",
    }
)


def table_function_shape(body: Tree, name: str, *, alias: str, lineage: Lineage) -> Shape:
    """The columns of a RangeFunction whose one call is of pg_catalog's function `name`.

    Not exact where the types at hand decide: `unnest` of rows gives the columns of the rows.
    """
    call, definitions = _parts(body)
    defined = definitions or body.get("coldeflist", [])
    if defined:
        return exact_shape(_outputs(_defined_names(defined), lineage))
    columns = _OUT_COLUMNS.get(name) or (alias,)
    known = name in _OUT_COLUMNS or name in _SCALAR or _unnests_scalars(call, name)
    outputs = _outputs(columns, lineage)
    return Shape(outputs, len(outputs) if known else 0)


def with_plain_names(shape: Shape) -> Shape:
    """Options of the server's, of which the names tell no secret: `name=value`."""
    first, *rest = shape.outputs
    return replace(shape, outputs=(replace(first, lineage=CLEAN), *rest))


def out_columns(parts: tuple[str, ...]) -> tuple[str, ...]:
    """The fields of the rows that a built-in function gives, where they are known."""
    if parts == _EXPANDED:
        return ("x", "n")
    return _OUT_COLUMNS.get(parts[-1], ()) if parts[:-1] in ((), ("pg_catalog",)) else ()


def function_call(body: Tree) -> Tree:
    """The wrapped call node of a RangeFunction with one function."""
    return _parts(body)[0]


def column_types(body: Tree) -> list[Tree]:
    """The type names of a column definition list, to be checked."""
    defined = _parts(body)[1] or body.get("coldeflist", [])
    return [unwrap_as("ColumnDef", definition)["typeName"] for definition in defined]


def _parts(body: Tree) -> tuple[Tree, list[Tree]]:
    items = unwrap_as("List", body["functions"][0])["items"]
    definitions = unwrap_as("List", items[1])["items"] if len(items) > 1 and items[1] else []
    return items[0], definitions


def _defined_names(definitions: list[Tree]) -> tuple[str, ...]:
    return tuple(unwrap_as("ColumnDef", definition)["colname"] for definition in definitions)


def _outputs(names: tuple[str, ...], lineage: Lineage) -> tuple[Output, ...]:
    return tuple(Output(name, lineage) for name in names)


def _unnests_scalars(call: Tree, name: str) -> bool:
    """`unnest` of one array that is written out, or cast to an array of a built-in type."""
    arguments = unwrap(call)[1].get("args", [])
    return name == "unnest" and len(arguments) == 1 and _is_plain_array(arguments[0])


def _is_plain_array(node: Tree) -> bool:
    kind, body = unwrap(node)
    if kind == "TypeCast":
        return "arrayBounds" in body["typeName"] and strings(body["typeName"]["names"]) != (
            "record",
        )
    elements = body.get("elements", []) if kind == "A_ArrayExpr" else []
    return bool(elements) and all(unwrap(element)[0] == "A_Const" for element in elements)
