"""MCP clients of the demo: the SDK's own, over HTTP, one for each person's token."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import httpx2
import mcp.types as t
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from pydantic import JsonValue

_TIMEOUT: Final = httpx2.Timeout(30.0, read=120.0)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back from one tool call. `document` is its structured content, or its error's."""

    is_error: bool
    text: str
    document: Mapping[str, JsonValue]

    def word(self, name: str) -> str:
        """One member as text, empty where there is none."""
        value = self.document.get(name)
        return "" if value is None else str(value)


@dataclass(slots=True)
class Person:
    """Answers the forms that their client shows them: with `decision`, and remembers the form."""

    decision: str = "skip"
    comment: str = ""
    shown: list[str] = field(default_factory=list)

    async def answer(
        self, context: ClientRequestContext, params: t.ElicitRequestParams
    ) -> t.ElicitResult:
        """The SDK calls this for each form."""
        self.shown.append(params.message)
        content: dict[str, str | int | float | bool | list[str] | None] = {
            "decision": self.decision,
            "comment": self.comment,
        }
        return t.ElicitResult(action="accept", content=content)


@dataclass(frozen=True, slots=True)
class Agent:
    """An MCP client that is connected."""

    client: Client

    async def tools(self) -> list[str]:
        """The names of the tools that this identity sees."""
        return [tool.name for tool in (await self.client.list_tools()).tools]

    async def call(self, tool: str, arguments: Mapping[str, JsonValue]) -> Reply:
        """Call a tool, and answer its forms, if there is somebody to."""
        result = await self.client.call_tool(tool, dict(arguments))
        text = "\n".join(c.text for c in result.content if isinstance(c, t.TextContent))
        return Reply(bool(result.is_error), text, result.structured_content or _object(text))


def _object(text: str) -> Mapping[str, JsonValue]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


@asynccontextmanager
async def connected(url: str, token: str, person: Person | None = None) -> AsyncIterator[Agent]:
    """A client of the MCP address `url`; without a person it says that it can show no forms."""
    headers = {"Authorization": f"Bearer {token}"}
    answer = person.answer if person else None
    async with (
        httpx2.AsyncClient(headers=headers, timeout=_TIMEOUT) as http,
        Client(
            streamable_http_client(url, http_client=http), mode="auto", elicitation_callback=answer
        ) as client,
    ):
        yield Agent(client)
