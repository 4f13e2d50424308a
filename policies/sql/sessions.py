"""PostgreSQL statements about the session: its settings, its search path, what a pool resets.

They change nothing in the database. What they may set is in `settings`; a search path that is set
or reset is said in the facts, so that later statements are judged by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from policies.sql import search_path, settings
from policies.sql.catalog import Catalog
from policies.sql.facts import PathChange
from policies.sql.grammar import strings, unwrap, unwrap_as
from policies.sql.not_understood import NotUnderstood
from policies.sql.parser import Tree

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
_RESETTABLE: Final = settings.NAMES | {
    SEARCH_PATH,
    *("default_transaction_read_only", "default_transaction_isolation", "statement_timeout"),
    *("default_transaction_deferrable", "lock_timeout", "transaction_timeout", "row_security"),
    *("idle_in_transaction_session_timeout", "idle_session_timeout"),
}
_CHARACTERISTICS: Final = ("TRANSACTION", "SESSION CHARACTERISTICS")


@dataclass(frozen=True, slots=True)
class SessionChange:
    """What a statement is called among kinds, and what becomes of the search path."""

    kind: str
    path: PathChange | None = None


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
            return SessionChange("close")
        case "UnlistenStmt":
            return SessionChange("unlisten")
        case "DeallocateStmt":
            return SessionChange("deallocate")
        case "SelectStmt":
            return _set_config(body, catalog)
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
    if name.endswith("_timeout"):
        raise NotUnderstood(
            "SETTING_NOT_ALLOWED", f"time limits are the gateway's, and {name} is not changed"
        )
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
