"""What is kept of an action: itself, with marks in place of the secrets at known positions.

What runs and what an approval is bound to are the exact bytes; this is what people get to read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from policies.model import (
    Action,
    ExplainPolicy,
    Parameter,
    SqlPlan,
    SqlPrepare,
    SqlPreview,
    SqlStatement,
)
from policies.sql.secret_positions import (
    MAXIMUM_VALUE,
    REMOVED,
    Cleaned,
    cleaned,
    cleaned_value,
)
from policies.sql.secret_texts import may_hold_secrets
from recordings.chain import Json


@dataclass(frozen=True, slots=True)
class Kept:
    """`removed` says how much was, and where the marks stand; empty where nothing was removed."""

    action: Action
    removed: Mapping[str, Json]


def kept(action: Action) -> Kept:
    """The action as it may be recorded and shown."""
    match action:
        case SqlStatement() | SqlPlan() | SqlPreview():
            text, parameters = action.text, action.parameters
            found = cleaned(text)
            shown = tuple(_parameters(parameters, found.parameters))
            changed = [n for n, p in enumerate(shown, start=1) if p is not parameters[n - 1]]
            if not found.places and not changed and found.text == text:
                return Kept(action, {})
            return Kept(replace(action, text=found.text, parameters=shown), _note(found, changed))
        case SqlPrepare(text) | ExplainPolicy(text):
            found = cleaned(text)
            if found.text == text:
                return Kept(action, {})
            return Kept(replace(action, text=found.text), _note(found, []))
        case _:
            return Kept(action, {})


def kept_text(text: str) -> str:
    """What a caller wrote beside a statement, a reason or a comment, as it may be kept."""
    return cleaned_value(text).text


def _note(found: Cleaned, parameters: list[int]) -> Mapping[str, Json]:
    return {
        "count": len(found.places) + len(parameters),
        "places": list(found.places),
        "parameters": parameters,
    }


def _parameters(parameters: Sequence[Parameter], secret: frozenset[int]) -> Iterator[Parameter]:
    """All of them together get the work of one: what may hold secrets past that is left out."""
    left = MAXIMUM_VALUE
    for number, parameter in enumerate(parameters, start=1):
        if number in secret and parameter.value is not None:
            yield replace(parameter, value=REMOVED.encode())
            continue
        text = _text(parameter)
        found = cleaned_value(text, most=left)
        if may_hold_secrets(text):
            left -= min(left, len(text))
        unchanged = found.text == text
        yield parameter if unchanged else replace(parameter, value=found.text.encode())


def _text(parameter: Parameter) -> str:
    """The same in both wire forms; what is no text holds no secret that has a position."""
    try:
        return "" if parameter.value is None else parameter.value.decode()
    except UnicodeDecodeError:
        return ""
