"""The calling client in one request: whether its user can be asked, and how, in both eras."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import mcp.types as t
from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from tools.tool import Ask, Choice, Reply

_log = logging.getLogger(__name__)

ANSWER_KEY: Final = "answer"
ASK_SECONDS: Final = 50.0
"""Some clients declare forms and never show them, and give up on the whole call after 60 s."""
PROGRESS_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Round:
    """The second round of a call: the user's reply, and the state that was sealed with the form."""

    state: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class Client:
    """The client of one request. `ask_seconds` bounds the wait for a reply in the legacy era."""

    request: ServerRequestContext[Any, Any]
    ask_seconds: float = ASK_SECONDS
    progress_seconds: float = PROGRESS_SECONDS

    @property
    def modern(self) -> bool:
        """Stateless: a question is a result, and the reply comes with a repetition of the call."""
        return self.request.protocol_version in MODERN_PROTOCOL_VERSIONS

    @property
    def can_ask(self) -> bool:
        """Whether this request can show its user a form."""
        session = self.request.session
        capabilities = session.client_capabilities
        elicitation = capabilities.elicitation if capabilities else None
        if elicitation is None or (elicitation.form is None and elicitation.url is not None):
            return False  # a bare {} means forms
        return self.modern or session.can_send_request

    async def ask(self, ask: Ask) -> Reply | t.InputRequiredResult:
        """Show the form: a reply now, or a result that makes the client call again with one.

        A client that does not answer, or not with an answer, has cancelled.
        """
        if self.modern:
            return _input_required(ask)
        try:
            async with asyncio.timeout(self.ask_seconds):
                answer = await self.request.session.elicit_form(
                    ask.message, dict(ask.schema), related_request_id=self.request.request_id
                )
        except (TimeoutError, MCPError, ValidationError) as error:
            _log.info("a client that declares forms did not answer one: %s", type(error).__name__)
            return Reply(Choice.CANCEL)
        return _reply(answer)

    @contextlib.asynccontextmanager
    async def told(self, message: str) -> AsyncIterator[None]:
        """Report progress with this message every few seconds, where the client asked for it."""
        task = asyncio.create_task(self._tell(message))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _tell(self, message: str) -> None:
        done = 0
        while True:
            await self.request.session.report_progress(done, None, message)
            done += 1
            await asyncio.sleep(self.progress_seconds)


def second_round(params: t.CallToolRequestParams) -> Round | None:
    """The reply that a modern client sends; one without its sealed state counts for nothing."""
    answer = (params.input_responses or {}).get(ANSWER_KEY)
    if params.request_state is None or not isinstance(answer, t.ElicitResult):
        return None
    return Round(params.request_state, _reply(answer))


def _input_required(ask: Ask) -> t.InputRequiredResult:
    form = t.ElicitRequestFormParams(message=ask.message, requested_schema=dict(ask.schema))
    return t.InputRequiredResult(
        input_requests={ANSWER_KEY: t.ElicitRequest(params=form)}, request_state=ask.state
    )


def _reply(answer: t.ElicitResult) -> Reply:
    return Reply(Choice(answer.action), dict(answer.content or {}))
