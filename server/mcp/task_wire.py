"""Tasks in the extension's words, and the ways in which one ends without a result."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import mcp.types as t
from pydantic import JsonValue

from server.mcp.task_rows import Ending, TaskRow

POLL_MS: Final = 2000

_AGAIN: Final = (
    "If the call had begun, how far it came is in its recording: look at the target's state."
    " An approval that was asked for stays: repeat the exact call."
)


def created(row: TaskRow) -> dict[str, JsonValue]:
    """A CreateTaskResult: flat, without result, error or requests."""
    return {"resultType": "task", **_base(row)}


def detailed(row: TaskRow) -> dict[str, JsonValue]:
    """What tasks/get answers."""
    document = {"resultType": "complete", **_base(row)}
    if row.status == "input_required":
        document["inputRequests"] = dict(row.requests)
    if row.result is not None:
        document["result"] = {**row.result, "resultType": "complete"}
    if row.error is not None:
        document["error"] = dict(row.error)
    return document


def _base(row: TaskRow) -> dict[str, JsonValue]:
    document: dict[str, JsonValue] = {
        "taskId": row.id,
        "status": row.status,
        "createdAt": _stamp(row.created_at),
        "lastUpdatedAt": _stamp(row.updated_at),
        "ttlMs": max(1, round((row.expires_at - row.created_at).total_seconds() * 1000)),
        "pollIntervalMs": POLL_MS,
    }
    if row.message:
        document["statusMessage"] = row.message
    return document


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _failed(reason: str) -> Ending:
    error: dict[str, JsonValue] = {"code": t.INTERNAL_ERROR, "message": reason}
    return Ending("failed", reason, error=error)


CANCELLED: Final = Ending(
    "cancelled",
    "The call was cancelled by its caller. If it had begun, how far it came is in its recording:"
    " look at the target's state.",
)
FAILED: Final = _failed("The gateway failed on this call.")
STOPPED: Final = _failed(f"The gateway that ran this call was stopped. {_AGAIN}")
LAPSED: Final = _failed(
    f"The gateway could not reach the store for too long, and ended this call. {_AGAIN}"
)
LOST: Final = _failed(f"The gateway that ran this call is not there any more. {_AGAIN}")
