"""list_targets: what this identity may connect to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import JsonValue

from tools.escaping import visible
from tools.gateway import Targets, TargetView
from tools.tool import Answer, Arguments, Call, Hints, Inquiry, Output, Tool, parse


class ListTargetsArguments(Arguments):
    pass


class TargetOutput(Output):
    name: str
    kind: str
    environment: str
    notes: list[str]


class ListTargetsOutput(Output):
    targets: list[TargetOutput]


def prepare(raw: Mapping[str, JsonValue], call: Call) -> Inquiry:
    parse(ListTargetsArguments, raw)

    async def answer(gateway: Targets) -> Answer:
        views = await gateway.targets(call.principal)
        return Answer(_text(views), ListTargetsOutput(targets=[_output(view) for view in views]))

    return Inquiry(answer)


def _output(view: TargetView) -> TargetOutput:
    return TargetOutput(
        name=view.name, kind=view.kind, environment=view.environment, notes=list(view.notes)
    )


def _text(views: Sequence[TargetView]) -> str:
    return "\n".join(map(_line, views)) or "No targets are open to you."


def _line(view: TargetView) -> str:
    notes = " ".join(map(visible, view.notes))
    return f"{view.name}\t{view.kind}\t{view.environment}\t{notes}".rstrip()


LIST_TARGETS: Final = Tool(
    name="list_targets",
    title="List targets",
    description="List the targets you may use: name, kind, environment and what needs approval.",
    arguments=ListTargetsArguments,
    output=ListTargetsOutput,
    hints=Hints(read_only=True, destructive=False, idempotent=True, open_world=False),
    prepare=prepare,
)
