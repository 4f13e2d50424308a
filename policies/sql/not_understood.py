"""The one way in which the analysis gives up: a code, a reason, and what the requester can do."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

NEXT_STEPS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "SQL_NUL": "Remove the NUL character; to store one, pass it as a bytea parameter.",
        "SQL_TOO_LONG": "Send a shorter statement; pass long values as parameters.",
        "SQL_TOO_DEEP": "Nest less, for instance with CTEs (WITH … AS) in place of subqueries.",
        "SQL_TOO_COMPLEX": "Split the statement, or pass lists as one array parameter (= ANY($1)).",
        "SQL_SYNTAX": "Correct the statement; it must be valid PostgreSQL.",
        "SQL_MULTIPLE_STATEMENTS": "Send the statements one at a time, one call for each.",
        "SQL_NOT_UNDERSTOOD": "Write it as a plain SELECT, INSERT, UPDATE or DELETE.",
        "RELATION_UNKNOWN": "Name an existing table or view, with its schema if need be.",
        "RELATION_SENSITIVE": "Leave this relation out; it holds secrets or system state.",
        "FUNCTION_NOT_ALLOWED": "Leave the function out, or have the administrator allow it.",
        "OPERATOR_UNKNOWN": "Use a built-in operator.",
        "TYPE_UNKNOWN": "Use a built-in type.",
        "SETTING_NOT_ALLOWED": "Leave the setting out; the gateway has set what statements need.",
        "SCHEMA_UNKNOWN": "Name schemas that exist, or leave the search path as it is.",
        "SEARCH_PATH": "Name the schema in the statement, and leave the search path as it is.",
        "NAME_OF_SESSION": "Run the statement itself.",
        "NAME_NOT_FOLLOWED": "Give it a short name of plain letters, digits and underscores.",
        "COLUMN_UNKNOWN": "Name an existing column; for functions in FROM write f(…) AS a(b, c).",
    }
)


class NotUnderstood(Exception):
    """The statement goes past the understood subset; `location` is a byte offset, if known."""

    statements: int = 1

    def __init__(self, code: str, reason: str, location: int | None = None) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason
        self.location = location

    @property
    def next_step(self) -> str:
        return NEXT_STEPS[self.code]


class SeveralStatements(NotUnderstood):
    """The text holds more than one statement."""

    def __init__(self, statements: int, location: int | None) -> None:
        reason = f"the text holds {statements} statements, and one is judged at a time"
        super().__init__("SQL_MULTIPLE_STATEMENTS", reason, location)
        self.statements = statements
