"""The calling client in one request: what its user can be asked, and how, in both eras."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import mcp.types as t
from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from tools.tool import Ask, Choice, Reply

_log = logging.getLogger(__name__)

TASKS: Final = "io.modelcontextprotocol/tasks"
ANSWER_KEY: Final = "answer"
ASK_SECONDS: Final = 50.0
"""Some clients declare forms and never show them, and give up on the whole call after 60 s."""
PROGRESS_SECONDS: Final = 5.0

_PAGE: Final = re.compile(r"page:(\d{1,3}):([A-Za-z0-9_-]{1,64})")


@dataclass(frozen=True, slots=True)
class Page:
    """An approval page that the client is asked to open for its user."""

    message: str
    url: str
    ticket: str


@dataclass(frozen=True, slots=True)
class Round:
    """A repetition of a call: its user's reply, and the state that was sealed with the question."""

    state: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class PageRound:
    """A repetition of a call whose client was asked to open a page, or waits for the decision.

    `number` 0 comes with the reply; all others are polls, without one.
    """

    ticket: str
    number: int
    reply: Reply | None = None

    @property
    def state(self) -> str:
        return f"page:{self.number}:{self.ticket}"

    @property
    def opened(self) -> bool:
        """Whether the user has agreed to open the page; that approves nothing."""
        if self.number:
            return True
        return self.reply is not None and self.reply.choice is Choice.ACCEPT

    def next(self) -> t.InputRequiredResult:
        """A result that asks for nothing: the client calls again at once."""
        later = PageRound(self.ticket, self.number + 1)
        return t.InputRequiredResult(request_state=later.state)


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
    def takes_tasks(self) -> bool:
        """Whether a call may go on as a task: the extension is of the modern era only."""
        return self.modern and declares_tasks(self.request)

    @property
    def can_ask(self) -> bool:
        """Whether this request can show its user a form."""
        elicitation = self._elicitation
        if elicitation is None or (elicitation.form is None and elicitation.url is not None):
            return False  # a bare {} means forms
        return self._can_push

    @property
    def can_open(self) -> bool:
        """Whether this request can send its user to a page."""
        elicitation = self._elicitation
        return elicitation is not None and elicitation.url is not None and self._can_push

    @property
    def _elicitation(self) -> t.ElicitationCapability | None:
        capabilities = self.request.session.client_capabilities
        return capabilities.elicitation if capabilities else None

    @property
    def _can_push(self) -> bool:
        return self.modern or self.request.session.can_send_request

    async def ask(self, ask: Ask) -> Reply | t.InputRequiredResult:
        """Show the form: a reply now, or a result that makes the client call again with one.

        A client that does not answer, or not with an answer, has cancelled.
        """
        if self.modern:
            form = t.ElicitRequestFormParams(message=ask.message, requested_schema=dict(ask.schema))
            return _input_required(form, ask.state)
        return await self._pushed(
            self.request.session.elicit_form(
                ask.message, dict(ask.schema), related_request_id=self.request.request_id
            )
        )

    def page_required(self, page: Page) -> t.InputRequiredResult:
        """The result that makes a modern client open the page, and call again."""
        asked = t.ElicitRequestURLParams(message=page.message, url=page.url)
        return _input_required(asked, PageRound(page.ticket, 0).state)

    async def open(self, page: Page) -> Reply:
        """Ask a legacy client to open the page. A client that does not answer has cancelled."""
        return await self._pushed(
            self.request.session.elicit_url(
                page.message, page.url, page.ticket, related_request_id=self.request.request_id
            )
        )

    async def close(self, page: Page) -> None:
        """Tell a legacy client that the page has served its purpose."""
        session = self.request.session
        with contextlib.suppress(MCPError):
            await session.send_elicit_complete(page.ticket, self.request.request_id)

    async def _pushed(self, asking: Coroutine[Any, Any, t.ElicitResult]) -> Reply:
        try:
            async with asyncio.timeout(self.ask_seconds):
                return _reply(await asking)
        except (TimeoutError, MCPError, ValidationError) as error:
            _log.info("a client did not answer an elicitation: %s", type(error).__name__)
            return Reply(Choice.CANCEL)

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


def declares_tasks(request: ServerRequestContext[Any, Any]) -> bool:
    """Whether the client of this request declares the tasks extension."""
    capabilities = request.session.client_capabilities
    return TASKS in ((capabilities.extensions or {}) if capabilities else {})


def later_round(params: t.CallToolRequestParams) -> Round | PageRound | None:
    """What a modern client sends with a repetition; an answer without its state counts for nothing.

    The state has been sealed for this caller, this tool and these arguments.
    """
    state = params.request_state
    if state is None:
        return None
    answer = (params.input_responses or {}).get(ANSWER_KEY)
    reply = _reply(answer) if isinstance(answer, t.ElicitResult) else None
    if page := _PAGE.fullmatch(state):
        return PageRound(page[2], int(page[1]), reply)
    return Round(state, reply) if reply is not None else None


def _input_required(
    asked: t.ElicitRequestFormParams | t.ElicitRequestURLParams, state: str
) -> t.InputRequiredResult:
    requests: dict[str, Any] = {ANSWER_KEY: t.ElicitRequest(params=asked)}
    return t.InputRequiredResult(input_requests=requests, request_state=state)


def _reply(answer: t.ElicitResult) -> Reply:
    return Reply(Choice(answer.action), dict(answer.content or {}))
