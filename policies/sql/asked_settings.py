"""Settings that a statement asks for by a parameter: what was bound decides whether they are shown.

SQLAlchemy sends `current_setting($1::VARCHAR)`. Text and facts are the same for every value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from policies.model import Action, Parameter, SqlPlan, SqlStatement
from policies.sql.facts import Opaque, SqlEffect, SqlFacts
from policies.sql.not_understood import NotUnderstood
from policies.sql.sessions import SET_LIMIT
from policies.sql.settings import check_shown

_NOT_SHOWN: Final = Opaque(
    "SETTING_NOT_ALLOWED",
    "A setting that a parameter names is not shown.",
    "Ask for another setting, or write its name out.",
)


_OF_SESSIONS: Final[Mapping[str, Opaque]] = MappingProxyType(
    {
        SET_LIMIT: Opaque(
            "SETTING_NOT_ALLOWED",
            "Time limits are the gateway's, and a call is alone in its session.",
            "Leave the setting out.",
        ),
        "listen": Opaque(
            "NOTIFICATIONS",
            "A call is alone in its session, and nothing would be heard after it.",
            "Ask for the rows that changed; or LISTEN in a session at the PostgreSQL listener.",
        ),
    }
)
"""Kinds of statements that have a meaning only for what comes after them in their session."""


def asked_by_parameters(facts: SqlFacts, action: Action) -> SqlFacts:
    """The facts, or opaque where a bound name is that of a setting with a secret."""
    if not facts.settings_asked or not isinstance(action, SqlStatement | SqlPlan):
        return facts
    bound = action.parameters
    if all(n <= len(bound) and _is_shown(bound[n - 1]) for n in facts.settings_asked):
        return facts
    return replace(facts, effect=SqlEffect.OPAQUE, opaque=_NOT_SHOWN)


def of_one_call(facts: SqlFacts) -> SqlFacts:
    """The facts of a statement that stands alone: what it does to its session is gone after it."""
    why = next((_OF_SESSIONS[kind] for kind in facts.kinds if kind in _OF_SESSIONS), None)
    return facts if why is None else replace(facts, effect=SqlEffect.OPAQUE, opaque=why)


def _is_shown(parameter: Parameter) -> bool:
    """Text is the same in both formats."""
    try:
        check_shown((parameter.value or b"").decode())
    except (NotUnderstood, UnicodeDecodeError):
        return False
    return True
