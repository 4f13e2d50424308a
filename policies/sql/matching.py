"""Comparisons of a whole value with constants: `ssn = $1`, `lower(email) IN ('a', 'b')`."""

from __future__ import annotations

from typing import Final

from policies.sql import names
from policies.sql.catalog import Catalog
from policies.sql.grammar import strings, unwrap
from policies.sql.parser import Tree

# Functions that leave a value what it is, but for its case or the blanks round it.
WHOLE_FUNCTIONS: Final = frozenset(
    ("pg_catalog", name) for name in ("lower", "upper", "btrim", "ltrim", "rtrim")
)
_SINGLE: Final = frozenset({"AEXPR_OP", "AEXPR_DISTINCT", "AEXPR_NOT_DISTINCT", "AEXPR_IN"})
_OF_ARRAY: Final = frozenset({"AEXPR_OP_ANY", "AEXPR_OP_ALL"})
_EQUALITY: Final = frozenset({("=",), ("<>",), ("pg_catalog", "="), ("pg_catalog", "<>")})


def is_equality(body: Tree) -> bool:
    """Whether an A_Expr is `=`, `<>` or IN; of an array only where its elements are written out."""
    if strings(body["name"]) not in _EQUALITY:
        return False
    return body["kind"] in _SINGLE or (body["kind"] in _OF_ARRAY and _is_array(body["rexpr"]))


def is_whole_call(body: Tree, catalog: Catalog) -> bool:
    """Whether a FuncCall gives its one argument back, all of it."""
    if len(body.get("args", [])) != 1:
        return False
    return names.find_function(catalog, strings(body["funcname"])) in WHOLE_FUNCTIONS


def constants_of(node: Tree, catalog: Catalog) -> frozenset[int] | None:
    """Where the constants and parameters stand that a value is made of; None if of more."""
    kind, body = unwrap(node)
    match kind:
        case "A_Const" | "ParamRef":
            return frozenset({body.get("location", 0)})
        case "TypeCast" if not _many_in_one(body):
            return constants_of(body["arg"], catalog)
        case "A_ArrayExpr":
            elements = body.get("elements", [])
            # A parameter may be an array itself, of any number of values.
            bare = any("ParamRef" in element for element in elements)
            return None if bare else _together(elements, catalog)
        case "List":
            return _together(body.get("items", []), catalog)
        case "FuncCall" if is_whole_call(body, catalog):
            return constants_of(body["args"][0], catalog)
        case _:
            return None


def constant_outputs(query: Tree, catalog: Catalog) -> frozenset[int]:
    """The positions of a query's output columns that are the same constant in every row."""
    if "larg" in query:
        sides = (constant_outputs(query[side], catalog) for side in ("larg", "rarg"))
        return frozenset.intersection(*sides)
    targets = [unwrap(node)[1]["val"] for node in query.get("targetList", [])]
    fields = (node["ColumnRef"]["fields"] for node in targets if "ColumnRef" in node)
    if any("A_Star" in field for named in fields for field in named):
        return frozenset()
    found = enumerate(constants_of(node, catalog) for node in targets)
    return frozenset(position for position, constants in found if constants is not None)


def _together(nodes: list[Tree], catalog: Catalog) -> frozenset[int] | None:
    found = frozenset[int]()
    for node in nodes:
        more = constants_of(node, catalog)
        if more is None:
            return None
        found |= more
    return found


def _many_in_one(cast: Tree) -> bool:
    """Whether one constant becomes an array, `'{a,b}'::text[]`, of any number of values."""
    return "arrayBounds" in cast["typeName"] and "A_ArrayExpr" not in cast["arg"]


def _is_array(node: Tree) -> bool:
    kind, body = unwrap(node)
    return kind == "A_ArrayExpr" or (kind == "TypeCast" and _is_array(body["arg"]))
