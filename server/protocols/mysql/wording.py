"""How a MySQL client is told: events and exceptions as answers of its protocol. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from policies.errors import (
    BackendUnavailable,
    ConfigError,
    Denied,
    ProtocolError,
    Refusal,
    Unauthenticated,
)
from recordings.events import Columns, Failed, Outcome
from server.protocols.mysql import answers as a
from server.protocols.mysql import capabilities as c
from server.protocols.mysql.columns import definition_of, ok_of

REFUSED: Final = (1142, "42000")  # ER_TABLEACCESS_DENIED_ERROR
UNKNOWN_COMMAND: Final = (1047, "08S01")
UNKNOWN_STATEMENT: Final = (1243, "HY000")
_CODES: Final[Mapping[str, tuple[int, str]]] = MappingProxyType(
    {
        "APPROVAL_CANCELLED": (1317, "70100"),
        "CHARSET_NOT_ALLOWED": (1115, "42000"),
        "COMMAND_NOT_ALLOWED": (1227, "42000"),
        "COMMAND_UNKNOWN": UNKNOWN_COMMAND,
        "GATEWAY_STOPPING": (1053, "08S01"),
        "IDLE_SESSION": (4031, "HY000"),
        "NO_CURSOR": (1421, "HY000"),
        "NOT_UTF8": (1300, "HY000"),
        "NO_SUCH_SESSION": (1094, "HY000"),
        "SESSION_ENDED": (1053, "08S01"),
        "SESSION_LIMIT": (1053, "08S01"),
        "STATEMENT_TOO_LONG": (1153, "HY000"),
        "STATEMENT_UNKNOWN": UNKNOWN_STATEMENT,
        "TIME_LIMIT": (3024, "HY000"),
        "TLS_REQUIRED": (3159, "HY000"),
        "TOKEN_EXPIRED": (1045, "28000"),
        "TOKEN_REVOKED": (1045, "28000"),
        "TOKEN_FOR_ANOTHER_TARGET": (1045, "28000"),
        "TOO_MANY_FAILURES": (1045, "28000"),
        "TOO_MANY_STATEMENTS": (1461, "42000"),
    }
)
"""Where the server has a number of its own for what happened, clients look for that."""


def refused(refusal: Refusal) -> a.Err:
    """A refusal with what to do instead, its code and its policy, in the one text there is."""
    code, sqlstate = _CODES.get(refusal.code, REFUSED)
    policy = f", policy {refusal.policy}" if refusal.policy else ""
    words = [refusal.reason, refusal.advice, f"({refusal.code}{policy})"]
    return error(code, sqlstate, " ".join(word for word in words if word))


def failed(event: Failed) -> a.Err:
    """The target's own error."""
    return error(event.code or 1105, event.sqlstate, event.message)


def fatal(problem: Exception) -> a.Err:
    """The last message to a client whose connection ends; one answer for each exception."""
    match problem:
        case Denied(refusal=refusal):
            return refused(refusal)
        case Unauthenticated():
            return error(1045, "28000", "Access denied: the token was not accepted")
        case ProtocolError():
            return error(1835, "HY000", f"Malformed communication packet: {problem}")
        case BackendUnavailable():
            return error(3032, "HY000", str(problem))
        case ConfigError():
            return error(3032, "HY000", "the target's configuration is wrong")
        case _:
            raise problem


def error(code: int, sqlstate: str, message: str) -> a.Err:
    return a.Err(code, sqlstate, message.replace("\0", ""))


def described(event: Columns, status: int, capabilities: int) -> tuple[a.Answer, ...]:
    """The beginning of a result."""
    count = a.ColumnCount(len(event.columns))
    definitions = tuple(map(definition_of, event.columns))
    ends = () if capabilities & c.DEPRECATE_EOF else (a.Eof(0, status & ~_PASSING),)
    return count, *definitions, *ends


def ended(outcome: Outcome, *, rows: bool, capabilities: int) -> a.Answer:
    """The end of a result, with rows or without."""
    ok = ok_of(outcome, ends_rows=rows)
    status = ok.status & ~_PASSING
    if rows and not capabilities & c.DEPRECATE_EOF:
        return a.Eof(ok.warnings, status)
    changes = ok.changes if capabilities & c.SESSION_TRACK else ()
    return a.Ok(ok.affected, ok.insert_id, status, ok.warnings, ok.info, changes, rows)


# What is said again where it is so.
_PASSING: Final = c.SESSION_STATE_CHANGED | c.CURSOR_EXISTS | c.LAST_ROW_SENT
