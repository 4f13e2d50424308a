"""How a PostgreSQL client is told: events and exceptions as messages of its protocol. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, assert_never

from policies.errors import (
    BackendUnavailable,
    ConfigError,
    Denied,
    ProtocolError,
    Refusal,
    Unauthenticated,
)
from recordings.events import Columns, Done, Event, Failed, Native, Notification, Pending, Rows
from server.protocols.postgres import backend as b
from server.protocols.postgres.plan import Asks

REFUSED: Final = "42501"  # insufficient_privilege
_SQLSTATES: Final = {
    "APPROVAL_CANCELLED": "57014",
    "GATEWAY_STOPPING": "57P01",
    "IDLE_SESSION": "57P05",
    "NOTIFICATION_FLOOD": "54000",
    "SESSION_ENDED": "57P01",
    "SESSION_LIMIT": "57P01",
    "TLS_REQUIRED": "28000",
    "TOKEN_EXPIRED": "28000",
    "TOKEN_REVOKED": "28000",
    "TOKEN_FOR_ANOTHER_TARGET": "28000",
    "TOO_MANY_FAILURES": "28000",
}
"""Where the server has a code of its own for what happened, clients look for that."""

ROWS: Final = "postgres"
"""The codec of rows that a description comes before; others are those of COPY."""


def worded(event: Event, asks: Asks, refusal: Refusal | None) -> bytes:
    """The bytes for one event of a group; `refusal` where the group was refused."""
    match event:
        case Columns(columns, codec) if codec != ROWS:
            return b.CopyOutResponse(0, (0,) * len(columns)).encode()
        case Columns(columns):
            plain = tuple(replace(column, masked="") for column in columns)
            return b.RowDescription(plain).encode() if asks is Asks.QUERY else b""
        case Rows(frames):
            return frames
        case Done():
            return _done(event, asks)
        case Failed(sqlstate) if refusal is not None and sqlstate == REFUSED:
            return refused("ERROR", refusal)
        case Failed(sqlstate, message, position):
            more = {"P": str(position)} if position else {}
            return report("ERROR", sqlstate, message, more)
        case Native(message):
            return message
        case Pending():
            raise ProtocolError("a native session does not wait")
        case _:
            assert_never(event)


def _done(done: Done, asks: Asks) -> bytes:
    if asks not in (Asks.QUERY, Asks.EXECUTE):
        return b""
    if done.more:
        return b.PortalSuspended().encode()
    return (b.CommandComplete(done.tag) if done.tag else b.EmptyQueryResponse()).encode()


def refused(severity: str, refusal: Refusal) -> bytes:
    """A refusal with its code, its policy, its object and place, and what to do instead."""
    about = f": {refusal.subject}" if refusal.subject else ""
    detail = f"{refusal.code}, policy {refusal.policy}{about}"
    position = {"P": str(refusal.place.offset)} if refusal.place else {}
    sqlstate = _SQLSTATES.get(refusal.code, REFUSED)
    return report(
        severity, sqlstate, refusal.reason, {"D": detail, "H": refusal.advice, **position}
    )


def fatal(error: Exception) -> bytes:
    """The last message to a client whose connection ends; one answer for each exception."""
    match error:
        case Denied(refusal=refusal):
            return refused("FATAL", refusal)
        case Unauthenticated():
            return report("FATAL", "28P01", "the token was not accepted", {})
        case ProtocolError():
            return report("FATAL", "08P01", str(error), {})
        case BackendUnavailable():
            return report("FATAL", "57P03", str(error), {})
        case ConfigError():
            return report("FATAL", "57P03", "the target's configuration is wrong", {})
        case _:
            raise error


def report(severity: str, sqlstate: str, message: str, more: dict[str, str]) -> bytes:
    fields = {"S": severity, "V": severity, "C": sqlstate, "M": message, **more}
    pairs = ((code, text.replace("\0", "").encode()) for code, text in fields.items() if text)
    return b.ErrorResponse(tuple(pairs)).encode()


def waiting(ticket: str, url: str, seconds: float) -> bytes:
    """A notice that a statement waits for a person: which ticket, where, and how to give up."""
    page = f"Decide on {url}" if url else f"Decide with: ostiary approvals approve {ticket}"
    fields = {
        "S": "NOTICE",
        "V": "NOTICE",
        "C": "00000",
        "M": f"The statement needs approval and waits for it: ticket {ticket}.",
        "D": f"{page}.",
        "H": f"It waits for {seconds:g} s. Cancel it to take the request back.",
    }
    return b.NoticeResponse(tuple((c, t.encode()) for c, t in fields.items())).encode()


def notified(told: Notification, *, process: int) -> bytes:
    """A notification, said by the session that the client knows by this number."""
    return b.NotificationResponse(process, told.channel, told.payload).encode()


def notice(message: str) -> bytes:
    """A warning, which clients show and go on."""
    fields = {"S": "WARNING", "V": "WARNING", "C": "01000", "M": message}
    return b.NoticeResponse(tuple((c, t.encode()) for c, t in fields.items())).encode()
