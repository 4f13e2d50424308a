"""What the MySQL door itself refuses, before any policy is asked."""

from __future__ import annotations

from typing import Final

from policies.errors import Refusal
from recordings.events import Pending
from server.protocols.mysql import commands as m

UNKNOWN_STATEMENT: Final = Refusal(
    code="STATEMENT_UNKNOWN",
    reason="There is no prepared statement with this number in the session.",
    next_step="Prepare it again.",
)
PREPARED_ELSEWHERE: Final = Refusal(
    code="PREPARED_ELSEWHERE",
    reason="The statement was prepared in another database, in which its names are looked up.",
    next_step="Prepare it again, or choose the database that it was prepared in.",
)
TOO_MANY_STATEMENTS: Final = Refusal(
    code="TOO_MANY_STATEMENTS",
    reason="The session has as many prepared statements as it may have.",
    next_step="Close those that are not used.",
)
STATEMENT_TOO_LONG: Final = Refusal(
    code="STATEMENT_TOO_LONG",
    reason="The statement and its values have more than 4 MiB, which are recorded before it runs.",
    next_step="Send it in parts.",
)
_NO_CURSOR: Final = Refusal(
    code="NO_CURSOR",
    reason="The statement has no open cursor: all its rows were sent when it was executed.",
    next_step="Read the rows that came.",
)
_NOT_UTF8: Final = Refusal(
    code="NOT_UTF8",
    reason="The text is not UTF-8, which was agreed on.",
    next_step="Connect with the character set utf8mb4, and send text in it.",
)


def of_command(command: m.Command) -> Refusal:
    """Why a command is not performed."""
    match command:
        case m.StmtFetch():
            return _NO_CURSOR
        case m.Unreadable():
            return _NOT_UTF8
        case m.SetOption():
            return _not_allowed("COM_SET_OPTION", "Send one statement at a time.")
        case m.FieldList():
            return _not_allowed("COM_FIELD_LIST", "Send SHOW COLUMNS, which is judged.")
        case _:
            return Refusal(
                code="COMMAND_UNKNOWN",
                reason=f"The command {command.code:#04x} is not let through.",
                next_step="Send statements.",
            )


def _not_allowed(name: str, next_step: str) -> Refusal:
    return Refusal(
        code="COMMAND_NOT_ALLOWED",
        reason=f"The command {name} is not let through.",
        subject=name,
        next_step=next_step,
    )


def nobody(number: int) -> Refusal:
    return Refusal(
        code="NO_SUCH_SESSION",
        reason=f"You have no session with the number {number} here.",
        next_step="Use the number that the session was greeted with.",
    )


def cancelled(pending: Pending) -> Refusal:
    return Refusal(
        code="APPROVAL_CANCELLED",
        reason="The statement was cancelled, and its request for approval taken back.",
        subject=pending.ticket,
        next_step="Repeat the statement to ask again.",
    )


def idle_session(limit: float) -> Refusal:
    return Refusal(
        code="IDLE_SESSION",
        reason=f"The session said nothing for {limit:g} s.",
        next_step="Connect again.",
    )


def idle_in_transaction(limit: float) -> Refusal:
    return Refusal(
        code="IDLE_IN_TRANSACTION",
        reason=f"The session kept a transaction open for {limit:g} s without a statement.",
        next_step="Connect again, and end a transaction when its last statement has run.",
    )


def needs_approval(pending: Pending, *, in_transaction: bool) -> Refusal:
    """Nobody waits for a person with a transaction open, nor for longer than the hold."""
    first = "ROLLBACK; have" if in_transaction else "Have"
    page = f" on {pending.url}" if pending.url else ""
    return Refusal(
        code="APPROVAL_NEEDED",
        reason=f"The statement needs approval: ticket {pending.ticket}.",
        subject=pending.ticket,
        next_step=f"{first} somebody approve ticket {pending.ticket}{page};"
        " then repeat the statement.",
    )
