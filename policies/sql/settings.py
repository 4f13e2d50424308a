"""Session settings: which may be set, and to what, and which may be shown.

What may be set is what drivers and `psql` send when they start, to values that leave every
statement its meaning. Everything else stays as the gateway set it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from policies.sql.grammar import unwrap, unwrap_as
from policies.sql.not_understood import NotUnderstood
from policies.sql.parser import Tree

_VALUES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "bytea_output": frozenset({"hex"}),
        "client_encoding": frozenset({"utf8", "utf-8", "unicode"}),
        "client_min_messages": frozenset({"error", "warning", "notice", "log"}),
        "datestyle": frozenset({"iso", "iso, mdy"}),
        # All three print a float in full.
        "extra_float_digits": frozenset({"1", "2", "3"}),
        "intervalstyle": frozenset({"postgres"}),
        # Off, the server refuses what row security would leave rows out of.
        "row_security": frozenset({"on", "off", "true", "false"}),
        "standard_conforming_strings": frozenset({"on", "true"}),
        "synchronize_seqscans": frozenset({"on", "off"}),
        "timezone": frozenset({"utc", "etc/utc"}),
    }
)
_ANY_TEXT: Final = frozenset({"application_name"})
NAMES: Final = frozenset(_VALUES) | _ANY_TEXT
LIMITS: Final = frozenset(
    {
        *("statement_timeout", "lock_timeout", "transaction_timeout"),
        *("idle_in_transaction_session_timeout", "idle_session_timeout"),
    }
)
"""A native session may set them: the gateway keeps its own time of statements and idleness."""
_LONGEST_NAME: Final = 63

# They hold passwords, or commands that may: of the server to its primary, for its keys.
SECRET_SETTINGS: Final = frozenset(
    {
        "archive_cleanup_command",
        "archive_command",
        "primary_conninfo",
        "recovery_end_command",
        "restore_command",
        "ssl_passphrase_command",
    }
)


def check_set(body: Tree) -> None:
    """Refuses a SET of anything that is not listed here."""
    if body["kind"] != "VAR_SET_VALUE":
        raise NotUnderstood("SQL_NOT_UNDERSTOOD", "only SET name = value is understood")
    name = body["name"].lower()
    if not _is_listed(name, ", ".join(map(_text, body["args"]))):
        raise NotUnderstood("SETTING_NOT_ALLOWED", f"the setting {name} may not be changed to this")


def check_limit(body: Tree) -> None:
    """Refuses a time limit that is no constant."""
    for value in body["args"]:
        _text(value)


def _is_listed(name: str, value: str) -> bool:
    if name in _ANY_TEXT:
        return len(value.encode()) <= _LONGEST_NAME
    return value.lower() in _VALUES.get(name, frozenset())


def _text(node: Tree) -> str:
    constant = unwrap_as("A_Const", node)
    match constant:
        case {"sval": {**text}}:
            return str(text.get("sval", ""))
        case {"ival": {**number}}:
            return str(number.get("ival", 0))
        case _:
            raise NotUnderstood("SETTING_NOT_ALLOWED", "a setting's value of this kind")


def is_harmless_call(arguments: list[Tree]) -> bool:
    """Whether `set_config` is called for nothing but speed: asyncpg does, to look up a type."""
    kinds = [unwrap(argument) for argument in arguments]
    match kinds:
        case [("A_Const", {"sval": {"sval": "jit"}}), (value, _), ("A_Const", {"boolval": _})]:
            return value in ("A_Const", "ParamRef")
        case _:
            return False


def check_shown(name: str) -> None:
    """Refuses to show a setting that may hold a secret; applications keep theirs in dotted ones."""
    if name.lower() in SECRET_SETTINGS | {"all"} or "." in name:
        raise NotUnderstood("SETTING_NOT_ALLOWED", f"the setting {name} is not shown")


def check_asked(arguments: list[Tree]) -> int | None:
    """The same for `current_setting`, whose argument is written out, or a parameter: its number."""
    kind, body = unwrap(arguments[0]) if arguments else ("", {})
    if kind == "TypeCast" and _is_text(body["typeName"]):
        kind, body = unwrap(body["arg"])
    if kind == "ParamRef":
        return int(body["number"])
    if kind != "A_Const" or "sval" not in body:
        raise NotUnderstood("SETTING_NOT_ALLOWED", "current_setting of a name that is computed")
    check_shown(body["sval"].get("sval", ""))
    return None


def _is_text(type_name: Tree) -> bool:
    """A cast that leaves a text as it is, and does not cut it off."""
    names = [body.get("sval") for _, body in map(unwrap, type_name["names"])]
    plain = names in (["text"], ["varchar"], ["pg_catalog", "varchar"])
    return plain and "typmods" not in type_name and "arrayBounds" not in type_name
