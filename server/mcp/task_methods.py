"""tasks/get, tasks/update and tasks/cancel: for a task's own principal and agent only."""

from __future__ import annotations

import re
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import mcp.types as t
import orjson
from mcp.server import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import Field, JsonValue
from starlette.requests import Request

from policies.errors import BackendUnavailable, Denied, Unauthenticated
from server.mcp.elicitation import TASKS, declares_tasks
from server.mcp.identity import Caller
from server.mcp.results import worded
from server.mcp.task_rows import Document, TaskRow
from server.mcp.task_wire import detailed
from server.mcp.tasks import Tasks

T = TypeVar("T")

MOST_ANSWERS: Final = 16 * 1024
"""Bytes of the answers in one tasks/update: they are kept, and read back with every look."""

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class TaskParams(t.RequestParams):
    task_id: str = Field(alias="taskId")


class TaskUpdateParams(TaskParams):
    input_responses: dict[str, JsonValue] = Field(alias="inputResponses")


@dataclass(frozen=True, slots=True)
class TaskMethods:
    """Another's task and one that does not exist get the same answer."""

    tasks: Tasks
    caller: Caller

    def register(self, server: Server[Any]) -> None:
        """Serve and advertise the extension."""
        server.extensions[TASKS] = {}
        server.add_request_handler("tasks/get", TaskParams, self.get)
        server.add_request_handler("tasks/update", TaskUpdateParams, self.update)
        server.add_request_handler("tasks/cancel", TaskParams, self.cancel)

    async def get(
        self, request: ServerRequestContext[Any, Any], params: TaskParams
    ) -> dict[str, Any]:
        return detailed(await self._own(request, params))

    async def update(
        self, request: ServerRequestContext[Any, Any], params: TaskUpdateParams
    ) -> dict[str, Any]:
        row = await self._own(request, params)
        _require_storable(params.input_responses)
        await self._reached(self.tasks.update(row.id, params.input_responses))
        return {"resultType": "complete"}

    async def cancel(
        self, request: ServerRequestContext[Any, Any], params: TaskParams
    ) -> dict[str, Any]:
        row = await self._own(request, params)
        await self._reached(self.tasks.cancel(row.id))
        return {"resultType": "complete"}

    async def _own(self, request: ServerRequestContext[Any, Any], params: TaskParams) -> TaskRow:
        _require_extension(request)
        _require_name(request, params.task_id)
        row = await self._reached(self._found(params.task_id))
        if row is None:
            raise MCPError(t.INVALID_PARAMS, "Unknown task")
        return row

    async def _found(self, task: str) -> TaskRow | None:
        principal = await self.caller()
        return await self.tasks.get(principal, task) if _ID.fullmatch(task) else None

    async def _reached(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except (BackendUnavailable, Denied, Unauthenticated) as error:
            reason = str(worded(error).document["reason"])
            raise MCPError(t.INTERNAL_ERROR, reason) from None


def _require_extension(request: ServerRequestContext[Any, Any]) -> None:
    if request.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        raise MCPError(t.METHOD_NOT_FOUND, "Method not found")
    if not declares_tasks(request):
        required = t.ClientCapabilities(extensions={TASKS: {}})
        missing = t.MissingRequiredClientCapabilityErrorData(required_capabilities=required)
        raise MCPError(
            t.MISSING_REQUIRED_CLIENT_CAPABILITY,
            f"Client did not declare required extension {TASKS!r}",
            missing.model_dump(by_alias=True, mode="json", exclude_none=True),
        )


def _require_name(request: ServerRequestContext[Any, Any], task: str) -> None:
    """Over HTTP the header Mcp-Name says the same as the body, as for tools (SEP-2243)."""
    if not isinstance(request.request, Request):
        return
    name = request.request.headers.get(MCP_NAME_HEADER)
    if name is None or decode_header_value(name) != task:
        message = "The header Mcp-Name does not match the body's taskId"
        raise MCPError(t.HEADER_MISMATCH, message)


def _require_storable(answers: Document) -> None:
    """No half of a surrogate pair, no integer of more than 64 bits, and not too much."""
    try:
        size = len(orjson.dumps(answers))
    except TypeError:
        raise MCPError(t.INVALID_PARAMS, "The answers hold what can't be kept") from None
    if size > MOST_ANSWERS:
        raise MCPError(t.INVALID_PARAMS, f"The answers are more than {MOST_ANSWERS} bytes")
