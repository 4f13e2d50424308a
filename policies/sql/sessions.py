"""PostgreSQL statements about the session: its settings, its search path, what a pool resets.

They change nothing in the database. What they may set is in `settings`; a search path that is set
or reset is said in the facts, so that later statements are judged by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from policies.sql import search_path, settings
from policies.sql.catalog import Catalog, Relation
from policies.sql.facts import Named, PathChange
from policies.sql.grammar import strings, unwrap, unwrap_as
from policies.sql.named import followed_name
from policies.sql.names import check_operator, find_relation
from policies.sql.not_understood import NotUnderstood
from policies.sql.parser import Tree
from policies.sql.partly_shown import SETTINGS

SEARCH_PATH: Final = "search_path"
_BEGINNING: Final = PathChange(None)
_SET_CONFIG: Final = (("set_config",), ("pg_catalog", "set_config"))
# They give back what the session began with: the gateway's own settings came with its login.
_DISCARDED: Final = {
    "DISCARD_ALL": _BEGINNING,
    "DISCARD_PLANS": None,
    "DISCARD_SEQUENCES": None,
    "DISCARD_TEMP": None,
}
SET_LIMIT: Final = "set_limit"
_RESETTABLE: Final = (
    settings.NAMES
    | settings.LIMITS
    | {
        SEARCH_PATH,
        *("default_transaction_read_only", "default_transaction_isolation"),
        "default_transaction_deferrable",
    }
)
_CHARACTERISTICS: Final = ("TRANSACTION", "SESSION CHARACTERISTICS")


@dataclass(frozen=True, slots=True)
class SessionChange:
    """What a statement is called among kinds, and what becomes of the search path, or of a name.

    `reads`: the relation that it finds the names of settings in. `channel`: that of LISTEN, and of
    UNLISTEN unless it gives back all.
    """

    kind: str
    path: PathChange | None = None
    named: Named | None = None
    reads: Relation | None = None
    channel: str = ""


def session_change(kind: str, body: Tree, catalog: Catalog) -> SessionChange | None:
    """What a statement does to its session; None for one that is none of these.

    Raises NotUnderstood for what may not be changed.
    """
    match kind:
        case "VariableSetStmt":
            return _set(body, catalog)
        case "DiscardStmt":
            return SessionChange("discard", _DISCARDED[body["target"]])
        case "ClosePortalStmt":
            named = Named("close", body.get("portalname", ""))
            return SessionChange("close", named=named)
        case "ListenStmt":
            return SessionChange("listen", channel=followed_name(body["conditionname"]))
        case "UnlistenStmt":
            return SessionChange("unlisten", channel=body.get("conditionname", ""))
        case "DeallocateStmt":
            named = Named("deallocate", body.get("name", ""))
            return SessionChange("deallocate", named=named)
        case "SelectStmt":
            return _set_config(body, catalog) or _restricted(body, catalog)
        case _:
            return None


def _set(body: Tree, catalog: Catalog) -> SessionChange:
    name = body.get("name", "").lower()
    local = bool(body.get("is_local"))
    match body["kind"]:
        case "VAR_SET_VALUE" if name == SEARCH_PATH:
            path = search_path.checked(map(_name, body["args"]), catalog)
            return SessionChange("set", PathChange(path, local))
        case "VAR_SET_MULTI":
            return _characteristics(body)
        case "VAR_RESET_ALL":
            return SessionChange("reset", _BEGINNING)
        case "VAR_RESET" | "VAR_SET_DEFAULT" if name in _RESETTABLE:
            change = PathChange(None, local) if name == SEARCH_PATH else None
            return SessionChange("reset", change)
        case "VAR_RESET" | "VAR_SET_DEFAULT":
            raise NotUnderstood("SETTING_NOT_ALLOWED", f"the setting {name} may not be reset")
    if name in settings.LIMITS:
        settings.check_limit(body)
        return SessionChange(SET_LIMIT)
    settings.check_set(body)
    return SessionChange("set")


def _name(node: Tree) -> str:
    constant = unwrap_as("A_Const", node)
    if "sval" not in constant:
        raise NotUnderstood("SETTING_NOT_ALLOWED", "a schema that is not a name or a string")
    name: str = constant["sval"].get("sval", "")
    return name


def _characteristics(body: Tree) -> SessionChange:
    """`SET TRANSACTION` and `SET SESSION CHARACTERISTICS`: an isolation level, or READ ONLY."""
    if body["name"] not in _CHARACTERISTICS:
        raise NotUnderstood("SQL_NOT_UNDERSTOOD", f"SET {body['name']} is not understood")
    for node in body["args"]:
        check_transaction_option(unwrap_as("DefElem", node))
    return SessionChange("set")


def check_transaction_option(option: Tree) -> None:
    """Refuses what would let a transaction do more than it may."""
    name = option["defname"]
    if name in ("transaction_isolation", "transaction_deferrable"):
        return
    _, constant = unwrap(option["arg"])
    if name != "transaction_read_only" or not constant.get("ival", {}).get("ival"):
        raise NotUnderstood(
            "SQL_NOT_UNDERSTOOD", "only READ ONLY and isolation levels are understood here"
        )


def _set_config(body: Tree, catalog: Catalog) -> SessionChange | None:
    """`SELECT set_config('search_path', '...', false)` and nothing else, as pg_dump sends it."""
    call = _only_call(body)
    if call is None or strings(call["funcname"]) not in _SET_CONFIG:
        return None
    match [unwrap(argument) for argument in call.get("args", [])]:
        case [
            ("A_Const", {"sval": {"sval": str(name)}}),
            ("A_Const", {"sval": {**text}}),
            ("A_Const", {"boolval": {**local}}),
        ] if name.lower() == SEARCH_PATH:
            names = search_path.listed(str(text.get("sval", "")))
            path = search_path.checked(names, catalog)
            return SessionChange("set", PathChange(path, bool(local.get("boolval"))))
        case _:
            return None


def _restricted(body: Tree, catalog: Catalog) -> SessionChange | None:
    """`SELECT set_config(name, 'view, ...', false) FROM pg_settings WHERE name = '...'`: pg_dump's.

    It takes something from the session where the server knows the setting, and nothing else.
    """
    without = {k: v for k, v in body.items() if k not in ("fromClause", "whereClause")}
    call = _only_call(without) if without.keys() < body.keys() else None
    match body.get("whereClause"):
        case {
            "A_Expr": {
                "kind": "AEXPR_OP",
                "name": [{"String": {"sval": "="}}],
                "lexpr": {"ColumnRef": {"fields": [{"String": {"sval": "name"}}]}},
                "rexpr": {"A_Const": {"sval": {"sval": str(setting)}}},
            }
        } if call is not None and _restricts(call, setting):
            check_operator(catalog, ("=",), location=None)
            relation = _settings(body.get("fromClause", []), catalog)
            return None if relation is None else SessionChange("set", reads=relation)
        case _:
            return None


def _settings(sources: list[Tree], catalog: Catalog) -> Relation | None:
    """pg_settings, if it stands alone in FROM and under its own name."""
    kind, body = unwrap(sources[0]) if len(sources) == 1 else ("", {})
    plain = body.keys() <= {"schemaname", "relname", "inh", "relpersistence", "location"}
    if kind != "RangeVar" or not plain:
        return None
    relation = find_relation(catalog, body.get("schemaname"), body["relname"])
    return relation if relation is not None and relation.name == SETTINGS else None


def _restricts(call: Tree, setting: str) -> bool:
    if strings(call["funcname"]) not in _SET_CONFIG:
        return False
    match call.get("args"):
        case [
            {"ColumnRef": {"fields": [{"String": {"sval": "name"}}]}},
            {"A_Const": {"sval": {"sval": str(value)}}},
            {"A_Const": {"boolval": {**_local}}},
        ]:
            return {word.strip() for word in value.split(",")} <= _RESTRICTIONS.get(setting, set())
        case _:
            return False


_RESTRICTIONS: Final[Mapping[str, Set[str]]] = MappingProxyType(
    {"restrict_nonsystem_relation_kind": frozenset({"view", "foreign-table"})}
)
_OF_A_PLAIN_SELECT: Final = frozenset({"targetList", "limitOption", "op"})
_OF_A_PLAIN_CALL: Final = frozenset({"funcname", "args", "funcformat", "location"})


def _only_call(body: Tree) -> Tree | None:
    if not body.keys() <= _OF_A_PLAIN_SELECT or len(body.get("targetList", [])) != 1:
        return None
    target = unwrap_as("ResTarget", body["targetList"][0])
    kind, call = unwrap(target["val"])
    if kind != "FuncCall" or not call.keys() <= _OF_A_PLAIN_CALL:
        return None
    return call
