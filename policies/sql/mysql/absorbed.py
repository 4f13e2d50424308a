"""Settings that clients set to what the gateway never lets come true, and can do without it.

Connector/J and mariadb-dump ask for results in no character set (`character_set_results = NULL`,
`'binary'`): they must read a column's own from its definition then, and so read utf8mb4 as well.
mariadb-dump lifts its time limit; limits are the gateway's. A listener answers such a statement
with OK, and forwards nothing of it: `answered` gives the facts that it is judged by then.
Everywhere else it stays opaque, and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from policies.sql.facts import SqlEffect, SqlFacts
from policies.sql.mysql.lexer import Kind, Token
from policies.sql.not_understood import NotUnderstood

_NO_CHARSET: Final = frozenset({"null", "binary"})
_NO_LIMIT: Final = frozenset({"0", "0.0", "0.000000"})
_ABSORBED: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "character_set_results": _NO_CHARSET,
        "max_execution_time": _NO_LIMIT,
        "max_statement_time": _NO_LIMIT,
    }
)
"""By setting the values that are answered, and not forwarded."""

_WRITTEN: Final = frozenset({Kind.WORD, Kind.STRING, Kind.NUMBER})


class Absorbed(NotUnderstood):
    """The statement sets `settings` and does nothing else: for a listener to answer."""

    def __init__(self, settings: frozenset[str], location: int | None) -> None:
        listed = ", ".join(sorted(settings))
        reason = f"the gateway keeps {listed}; only its MySQL listener answers this"
        super().__init__("SETTING_NOT_ALLOWED", reason, location)
        self.settings = settings


def is_absorbed(name: str, value: Token | None) -> bool:
    """Whether a setting is set to one of the values here."""
    if value is None or value.kind not in _WRITTEN:
        return False
    return value.value.lower() in _ABSORBED.get(name, frozenset())


def answered(facts: SqlFacts) -> SqlFacts:
    """The facts for a door that answers what is absorbed, and sends the target nothing of it."""
    if not facts.absorbed:
        return facts
    return replace(facts, effect=SqlEffect.SESSION, opaque=None)
