"""The allow-list of syntax: every node kind, and every field of it, that the analysis understands.

What is not listed here makes a statement opaque, so a newer grammar can't slip something past.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from policies.sql.not_understood import NotUnderstood
from policies.sql.parser import Tree

_FIELDS: Final = {
    # queries
    "SelectStmt": "distinctClause targetList fromClause whereClause groupClause groupDistinct"
    " havingClause windowClause valuesLists sortClause limitOffset limitCount limitOption"
    " lockingClause withClause op all larg rarg",
    "WithClause": "ctes recursive location",
    "CommonTableExpr": "ctename aliascolnames ctematerialized ctequery location",
    "ResTarget": "name indirection val location",
    "SortBy": "node sortby_dir sortby_nulls location",
    "WindowDef": "name refname partitionClause orderClause frameOptions startOffset endOffset"
    " location",
    "GroupingSet": "kind content location",
    "LockingClause": "lockedRels strength waitPolicy",
    # what stands in FROM
    "RangeVar": "catalogname schemaname relname inh relpersistence alias location",
    "RangeSubselect": "lateral subquery alias",
    "RangeFunction": "lateral ordinality is_rowsfrom functions alias coldeflist",
    "JoinExpr": "jointype isNatural larg rarg usingClause quals alias rtindex",
    "Alias": "aliasname colnames",
    "RangeTableSample": "relation method args repeatable location",
    "RangeTableFunc": "lateral docexpr rowexpr namespaces columns alias location",
    "RangeTableFuncCol": "colname typeName for_ordinality is_not_null colexpr coldefexpr location",
    "JsonTable": "context_item pathspec passing columns on_error alias lateral location",
    "JsonTableColumn": "coltype name typeName pathspec format wrapper quotes columns on_empty"
    " on_error location",
    "JsonTablePathSpec": "string name name_location location",
    # changes
    "InsertStmt": "relation cols selectStmt onConflictClause returningClause withClause override",
    "OnConflictClause": "action infer targetList whereClause location",
    "InferClause": "indexElems whereClause conname location",
    "UpdateStmt": "relation targetList whereClause fromClause returningClause withClause",
    "DeleteStmt": "relation usingClause whereClause returningClause withClause",
    "ReturningClause": "exprs",
    "CopyStmt": "relation query attlist is_from options",
    "MultiAssignRef": "source colno ncolumns",
    "SetToDefault": "location",
    # expressions
    "A_Const": "ival fval boolval sval bsval isnull location",
    "A_Star": "",
    "ParamRef": "number location",
    "ColumnRef": "fields location",
    "A_Expr": "kind name lexpr rexpr rexpr_list_start rexpr_list_end location",
    "BoolExpr": "boolop args location",
    "NullTest": "arg nulltesttype argisrow location",
    "BooleanTest": "arg booltesttype location",
    "CaseExpr": "arg args defresult location",
    "CaseWhen": "expr result location",
    "CoalesceExpr": "args location",
    "MinMaxExpr": "op args location",
    "FuncCall": "funcname args agg_order agg_filter over agg_within_group agg_star agg_distinct"
    " func_variadic funcformat location",
    "NamedArgExpr": "arg name argnumber location",
    "SQLValueFunction": "op typmod location",
    "GroupingFunc": "args location",
    "SubLink": "subLinkType testexpr operName subselect location",
    "A_ArrayExpr": "elements list_start list_end location",
    "RowExpr": "args row_format location",
    "TypeCast": "arg typeName location",
    "TypeName": "names typmods typemod arrayBounds location",
    "A_Indirection": "arg indirection",
    "A_Indices": "is_slice lidx uidx",
    "CollateClause": "arg collname location",
    # SQL/JSON and SQL/XML
    "JsonFuncExpr": "op column_name context_item pathspec passing output on_empty on_error wrapper"
    " quotes location",
    "JsonIsPredicate": "expr format item_type unique_keys location",
    "JsonParseExpr": "expr output unique_keys location",
    "JsonScalarExpr": "expr output location",
    "JsonSerializeExpr": "expr output location",
    "JsonObjectConstructor": "exprs output absent_on_null unique location",
    "JsonArrayConstructor": "exprs output absent_on_null location",
    "JsonArrayQueryConstructor": "query output format absent_on_null location",
    "JsonObjectAgg": "constructor arg absent_on_null unique",
    "JsonArrayAgg": "constructor arg absent_on_null",
    "JsonAggConstructor": "output agg_filter agg_order over location",
    "JsonKeyValue": "key value",
    "JsonValueExpr": "raw_expr format",
    "JsonArgument": "val name",
    "JsonOutput": "typeName returning",
    "JsonReturning": "format",
    "JsonFormat": "format_type encoding location",
    "JsonBehavior": "btype expr location",
    "XmlExpr": "op name named_args args xmloption indent location",
    "XmlSerialize": "xmloption expr typeName indent location",
    "List": "items",
    "String": "sval",
    "Integer": "ival",
    # around statements
    "ExplainStmt": "query options",
    "DefElem": "defname arg defaction location",
    "VariableShowStmt": "name",
    "LockStmt": "relations mode nowait",
    "VariableSetStmt": "kind name args is_local jumble_args location",
    "DiscardStmt": "target",
    "ClosePortalStmt": "portalname",
    "ListenStmt": "conditionname",
    "UnlistenStmt": "conditionname",
    "NotifyStmt": "conditionname payload",
    "DeallocateStmt": "name isall location",
    "TransactionStmt": "kind options savepoint_name location",
    "PrepareStmt": "name argtypes query",
    "ExecuteStmt": "name params",
    "DeclareCursorStmt": "portalname options query",
    "FetchStmt": "direction howMany portalname ismove",
    # definitions, understood well enough to name what they touch
    "DropStmt": "objects removeType behavior missing_ok concurrent",
    "TruncateStmt": "relations restart_seqs behavior",
    "CreateSchemaStmt": "schemaname if_not_exists",
    "CreateStmt": "relation tableElts constraints oncommit if_not_exists",
    "ColumnDef": "colname typeName is_local is_not_null constraints raw_default location",
    "Constraint": "contype conname deferrable initdeferred is_enforced skip_validation"
    " initially_valid is_no_inherit raw_expr keys nulls_not_distinct pktable fk_attrs pk_attrs"
    " fk_matchtype fk_upd_action fk_del_action generated_when location",
    "IndexStmt": "idxname relation accessMethod indexParams indexIncludingParams whereClause"
    " unique nulls_not_distinct concurrent if_not_exists",
    "IndexElem": "name expr ordering nulls_ordering",
    "ViewStmt": "view aliases query replace withCheckOption",
    "AlterTableStmt": "relation cmds objtype missing_ok",
    "AlterTableCmd": "subtype name def behavior missing_ok",
    "RenameStmt": "renameType relationType relation subname newname behavior missing_ok",
}

FIELDS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {kind: frozenset(names.split()) for kind, names in _FIELDS.items()}
)


def checked(kind: str, body: Tree) -> Tree:
    """The body of a node, once its kind and all its fields are known."""
    known = FIELDS.get(kind)
    if known is None:
        raise NotUnderstood("SQL_NOT_UNDERSTOOD", f"{kind} is not understood", location_of(body))
    if body.keys() <= known:
        return body
    unknown = min(body.keys() - known)
    raise NotUnderstood(
        "SQL_NOT_UNDERSTOOD", f"{kind} with {unknown} is not understood", location_of(body)
    )


def unwrap(node: Tree) -> tuple[str, Tree]:
    """Kind and checked body of a wrapped node, as the JSON tree has it where any kind may stand."""
    if len(node) != 1:
        raise NotUnderstood("SQL_NOT_UNDERSTOOD", "an empty place in the syntax tree")
    [(kind, body)] = node.items()
    return kind, checked(kind, body)


def unwrap_as(kind: str, node: Tree) -> Tree:
    """The checked body of a node that must be of one kind."""
    found, body = unwrap(node)
    if found != kind:
        raise NotUnderstood(
            "SQL_NOT_UNDERSTOOD", f"{found} in place of {kind} is not understood", location_of(body)
        )
    return body


def strings(nodes: list[Tree]) -> tuple[str, ...]:
    """The texts of a list of String nodes: the parts of a qualified name."""
    return tuple(map(_string, nodes))


def _string(node: Tree) -> str:
    # What nearly all of them are, and names are most of a tree.
    body = node.get("String")
    if body is None or len(node) > 1 or body.keys() != _NAMED:
        body = unwrap_as("String", node)
    return str(body.get("sval", ""))


def location_of(body: object) -> int | None:
    """The first byte offset that is recorded in a node or below it."""
    if isinstance(body, dict):
        own = body.get("location")
        if isinstance(own, int) and own >= 0:
            return own
        body = list(body.values())
    if isinstance(body, list):
        found = (location_of(item) for item in body)
        return next((location for location in found if location is not None), None)
    return None


def without_locations(node: object) -> object:
    """A node stripped of byte offsets, to ask whether two expressions are the same text."""
    if isinstance(node, dict):
        return {key: without_locations(value) for key, value in node.items() if key not in _PLACES}
    if isinstance(node, list):
        return [without_locations(item) for item in node]
    return node


_NAMED: Final = frozenset({"sval"})
_PLACES: Final = frozenset(
    {"location", "list_start", "list_end", "rexpr_list_start", "rexpr_list_end"}
)
