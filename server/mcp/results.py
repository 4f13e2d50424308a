"""What MCP clients read: answers, refusals and errors as tool results. Each is worded here once."""

from __future__ import annotations

import json
import logging
import secrets
from typing import Final

import mcp.types as t
from pydantic import JsonValue

from policies.errors import (
    BackendUnavailable,
    Denied,
    ProtocolError,
    Refusal,
    Unauthenticated,
)
from tools.schema import compact_schema
from tools.tool import Answer, Problem, Tool

_log = logging.getLogger(__name__)


def tool_listing(tool: Tool) -> t.Tool:
    """The tool as tools/list shows it."""
    hints = t.ToolAnnotations(
        read_only_hint=tool.hints.read_only,
        destructive_hint=tool.hints.destructive,
        idempotent_hint=tool.hints.idempotent,
        open_world_hint=tool.hints.open_world,
    )
    return t.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=compact_schema(tool.arguments),
        output_schema=compact_schema(tool.output),
        annotations=hints,
    )


def result(answer: Answer | Problem) -> t.CallToolResult:
    """An answer with its structured content; a problem as an error that the model reads.

    A problem has no structured content: clients check that against the output schema.
    """
    if isinstance(answer, Problem):
        return _result(json.dumps(dict(answer.document), ensure_ascii=False), is_error=True)
    content = answer.structured.model_dump(mode="json")
    return _result(answer.text, is_error=False, structured=content)


def _result(
    text: str, *, is_error: bool, structured: dict[str, JsonValue] | None = None
) -> t.CallToolResult:
    block = t.TextContent(type="text", text=text)
    return t.CallToolResult(content=[block], structured_content=structured, is_error=is_error)


def refused(refusal: Refusal) -> Problem:
    place = refusal.place
    document: dict[str, JsonValue] = {
        "code": refusal.code,
        "reason": refusal.reason,
        "policy": refusal.policy,
        "subject": refusal.subject or None,
        "span": list(refusal.span) if refusal.span else None,
        "at": str(place) if place else None,
        "excerpt": (place.excerpt or None) if place else None,
        "next_step": refusal.next_step,
        "would_pass": list(refusal.would_pass) or None,
    }
    return Problem({key: value for key, value in document.items() if value is not None})


def worded(error: Exception) -> Problem:
    """The answer to a call that ended in an exception; the unexpected gets an id and is logged."""
    match error:
        case Denied():
            return refused(error.refusal)
        case Unauthenticated():
            return _problem("UNAUTHENTICATED", str(error), "Sign in again, and call again.")
        case BackendUnavailable():
            return _problem("BACKEND_UNAVAILABLE", str(error), "Try again later.")
        case ProtocolError():
            _log.warning("a target broke its protocol: %s", error)
            reason = "The target answered in a way that its protocol does not allow."
            return _problem("BACKEND_UNAVAILABLE", reason, "Tell the gateway's operator.")
        case _:
            return _unexpected(error)


def _unexpected(error: Exception) -> Problem:
    number = "err_" + secrets.token_hex(8)
    _log.error("unexpected error %s", number, exc_info=error)
    reason = f"The gateway failed on this call (error {number})."
    return _problem("INTERNAL_ERROR", reason, "Tell the gateway's operator the error's id.")


def _problem(code: str, reason: str, next_step: str) -> Problem:
    return Problem({"code": code, "reason": reason, "next_step": next_step})


UNKNOWN_TOOL: Final = Refusal(
    code="TOOL_UNKNOWN",
    reason="There is no tool of this name for you.",
    next_step="Call one of the tools that tools/list names.",
)

CANCELLED: Final = _problem(
    "CANCELLED",
    "The caller has gone; the call was cancelled.",
    "Look at the target's state before you repeat a call that writes.",
)

STOPPING: Final = _problem(
    "GATEWAY_STOPPING",
    "The gateway is stopping, and has cancelled the call; how far it came is in its recording.",
    "Look at the target's state before you repeat a call that writes.",
)
