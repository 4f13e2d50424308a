"""What a tool is: argument and output models, and how arguments become work for the gate."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, Final, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from policies.errors import Denied, Refusal
from policies.model import Action, Principal
from recordings.events import Event
from tools.cursor import Cursors
from tools.escaping import visible
from tools.gateway import Gateway
from tools.schema import MOST_NAMED, wrong_arguments


class Arguments(BaseModel):
    """A tool's arguments as they come from outside: nothing is coerced, nothing is dropped."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    judged: ClassVar[frozenset[str]] = frozenset()
    """Arguments whose text is the gate's to judge, NUL included."""


class Output(BaseModel):
    """A tool's structured content."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")


MOST_ARGUMENTS: Final = 32


class Audience(Enum):
    """Who sees a tool; to anybody else it does not exist."""

    EVERYBODY = "everybody"
    REVIEWERS = "reviewers"


@dataclass(frozen=True, slots=True)
class Hints:
    """MCP's tool annotations, which clients use to decide what may run unasked."""

    read_only: bool
    destructive: bool
    idempotent: bool
    open_world: bool


@dataclass(frozen=True, slots=True)
class Call:
    """Who calls and how: what a tool may know besides its arguments.

    `now` is in seconds since the epoch. `can_ask`: the client can show its user a form.
    """

    principal: Principal
    now: float
    cursors: Cursors
    can_ask: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """A result: compact text for the model, and structured content for programs."""

    text: str
    structured: Output


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer that is no result: the document is what the model reads."""

    document: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Ask:
    """A form for the user of the calling client; `state` comes back with the reply."""

    message: str
    schema: Mapping[str, JsonValue]
    state: str


class Choice(Enum):
    """What the user did with a form, in MCP's words."""

    ACCEPT = "accept"
    DECLINE = "decline"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Reply:
    """The user's answer to a form. Nothing in `content` is to be trusted to fit the schema."""

    choice: Choice
    content: Mapping[str, object] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """A text field of the form, cut to 500 characters; empty where it was left out."""
        value = self.content.get(name, "")
        return value[:500] if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a performed action ended. `writes`: it needed more than a read-only transaction."""

    session: str
    writes: bool
    duration_ms: int


class Rendering(Protocol):
    """Takes the events of one action, and words the answer at the end."""

    def add(self, event: Event) -> None: ...

    def answer(self, outcome: Outcome) -> Answer | Problem: ...


@dataclass(frozen=True, slots=True)
class Performance:
    """Arguments as an action on a target, for the gate to perform."""

    target: str
    action: Action
    reason: str
    rendering: Rendering


Resume = Callable[[Gateway, str, Reply], Awaitable[Answer | Problem]]


async def _never_asked(_gateway: Gateway, _state: str, _reply: Reply) -> Answer | Problem:
    raise Denied(
        Refusal(
            code="REPLY_UNEXPECTED",
            reason="This call answers a question that was not asked.",
            next_step="Call the tool again without an answer.",
        )
    )


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Arguments as a question to the gateway itself; `resume` takes the reply to an `Ask`."""

    answer: Callable[[Gateway], Awaitable[Answer | Problem | Ask]]
    resume: Resume = _never_asked


@dataclass(frozen=True, slots=True)
class Tool:
    """One MCP tool. `prepare` raises `Denied` for arguments that don't fit."""

    name: str
    title: str
    description: str
    arguments: type[Arguments]
    output: type[Output]
    hints: Hints
    prepare: Callable[[Mapping[str, JsonValue], Call], Performance | Inquiry]
    audience: Audience = Audience.EVERYBODY


A = TypeVar("A", bound=Arguments)


def parse(model: type[A], raw: Mapping[str, JsonValue]) -> A:
    """The arguments as their model. Raises `Denied`, naming each wrong argument, never a value."""
    if len(raw) > MOST_ARGUMENTS:  # before each is looked at: thousands would hold up everybody
        raise _invalid(f"{len(raw)} arguments; no tool has more than {MOST_ARGUMENTS}")
    faults = [(visible(name)[:64], _fault(model, name, value)) for name, value in raw.items()]
    if broken := [f"{name}: {fault}" for name, fault in faults if fault]:
        raise _invalid("; ".join(broken[:MOST_NAMED]))
    try:
        return model.model_validate(dict(raw))
    except ValidationError as error:
        raise _invalid(wrong_arguments(error)) from None


def _fault(model: type[Arguments], name: str, value: JsonValue) -> str:
    """JSON can spell lone surrogates, which are no text in any encoding, and NUL, no text here."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half a character"
    if name not in model.judged and "\\u0000" in text and _holds_nul(value):
        return "holds a NUL character"
    return ""


def _holds_nul(value: JsonValue) -> bool:
    match value:
        case str():
            return "\0" in value
        case list():
            return any(map(_holds_nul, value))
        case _:
            return False  # no argument is an object


def _invalid(reason: str) -> Denied:
    return Denied(
        Refusal(
            code="ARGUMENTS_INVALID",
            reason=reason,
            next_step="Correct the arguments named here; tools/list has the schema.",
        )
    )
