"""What an expression may make of the server's secrets: what succeeds whatever their value is.

The result is masked, but whether the statement failed is not: division by zero where a password
begins with some letter would tell that letter. So they are put together and listed, never tested,
computed with or converted.
"""

from __future__ import annotations

from typing import Final

from policies.sql.grammar import strings, unwrap
from policies.sql.lineage import Lineage
from policies.sql.not_understood import NotUnderstood
from policies.sql.parser import Tree
from policies.sql.server_secrets import SERVER_SECRET

_PASSED_ON: Final = frozenset(
    {
        *("ColumnRef", "NullTest", "CaseExpr", "CaseWhen", "CoalesceExpr", "MinMaxExpr"),
        *("NamedArgExpr", "SubLink", "A_ArrayExpr", "RowExpr", "List", "A_Indirection"),
        *("CollateClause", "BoolExpr", "SortBy", "JsonObjectConstructor", "JsonArrayConstructor"),
        *("JsonArrayQueryConstructor", "JsonObjectAgg", "JsonArrayAgg"),
    }
)
_TYPES: Final = frozenset({"text", "varchar", "name"})
_FUNCTIONS: Final = frozenset(
    """
    array_agg array_length array_to_json array_to_string btrim cardinality concat concat_ws count
    current_setting json_agg json_build_object jsonb_agg jsonb_build_object length lower ltrim max
    min pg_options_to_table quote_ident quote_literal quote_nullable replace reverse row_to_json
    rtrim string_agg to_json to_jsonb unnest upper
    """.split()  # noqa: SIM905 -- a list of words to read
)


def check_use(kind: str, body: Tree, lineage: Lineage) -> None:
    """Refuses an expression that may fail by what a secret in it is. Raises NotUnderstood."""
    if _is_secret(lineage) and not _always_succeeds(kind, body):
        raise _tested()


def check_condition(node: Tree, lineage: Lineage) -> None:
    """Refuses a secret that decides what is computed, but for whether there is one."""
    if _is_secret(lineage) and unwrap(node)[0] != "NullTest":
        raise _tested()


def _always_succeeds(kind: str, body: Tree) -> bool:
    match kind:
        case "A_Expr":
            return body["kind"] == "AEXPR_OP" and strings(body["name"])[-1] == "||"
        case "FuncCall":
            return strings(body["funcname"])[-1] in _FUNCTIONS
        case "TypeCast":
            return strings(body["typeName"]["names"])[-1] in _TYPES
        case _:
            return kind in _PASSED_ON


def _is_secret(lineage: Lineage) -> bool:
    return any(label == SERVER_SECRET for _, label in lineage.carried)


def _tested() -> NotUnderstood:
    return NotUnderstood(
        "RELATION_SENSITIVE",
        "what the server keeps secret is shown masked only: nothing is tested, computed or"
        " converted by it",
    )
