"""How the analysis of MySQL and MariaDB gives up: the shared exception, with next steps of its own.

Locations are character offsets into the statement; the facts turn them into byte ranges.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from policies.sql.not_understood import NotUnderstood

NEXT_STEPS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "SQL_NUL": "Remove the NUL character; to store one, pass it as a parameter.",
        "SQL_CHARACTER": "Use plain characters; put other names into backticks.",
        "SQL_COMMENT": "Leave out comments that the server runs: those that begin with ! or +.",
        "SQL_CHARSET": "Leave the character set out; statements are utf8mb4.",
        "SQL_TOO_LONG": "Send a shorter statement; pass long values as parameters.",
        "SQL_TOO_DEEP": "Nest less, for instance with CTEs (WITH … AS) in place of subqueries.",
        "SQL_TOO_COMPLEX": "Split the statement, or write joins with ON.",
        "SQL_SYNTAX": "Correct the statement; it must be valid MySQL or MariaDB.",
        "SQL_MULTIPLE_STATEMENTS": "Send the statements one at a time, one call for each.",
        "SQL_NOT_UNDERSTOOD": "Write it as a plain SELECT, INSERT, UPDATE or DELETE.",
        "SQL_VARIABLE": "Leave user variables out; use a subquery, a CTE or a parameter.",
        "RELATION_UNKNOWN": "Name an existing table or view, with its database if need be.",
        "RELATION_SENSITIVE": "Leave this relation out; it holds secrets or system state.",
        "FUNCTION_NOT_ALLOWED": "Leave the function out, or have the administrator allow it.",
        "SQL_ADMINISTRATION": "Leave it to an administrator, on the server itself.",
        "SETTING_NOT_ALLOWED": "Leave the setting out; the gateway has set what statements need.",
        "COLUMN_UNKNOWN": "Name an existing column, with its table; give expressions an alias.",
    }
)


def next_step(code: str) -> str:
    """What the requester can do about a refusal of this code."""
    return NEXT_STEPS[code]


def unclear(what: str, location: int | None = None) -> NotUnderstood:
    """The refusal of a form that the grammar of this package doesn't have."""
    return NotUnderstood("SQL_NOT_UNDERSTOOD", f"{what} is not understood here", location)
