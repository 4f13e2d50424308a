"""Reading what API requests carry: ids in paths, and JSON bodies. What is wrong is not quoted."""

from __future__ import annotations

import re
from typing import Final, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from policies.errors import Denied, ProtocolError, Refusal
from server.identity.strict import read_json

MAX_BODY: Final = 256 * 1024
"""Bytes; a statement to explain is the largest thing that is sent here."""

_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

Body = TypeVar("Body", bound=BaseModel)


def identifier(request: Request, code: str) -> str:
    """The id in the path. Raises `Denied` with this code for what is none."""
    value = str(request.path_params["id"])
    if not _IDENTIFIER.fullmatch(value):
        unknown(code, "Check the id.")
    return value


def unknown(code: str, next_step: str) -> NoReturn:
    """What is not there, and what one may not see, answer alike."""
    raise Denied(Refusal(code=code, reason="There is none that you may see.", next_step=next_step))


async def read_body(request: Request, shape: type[Body]) -> Body:
    """The body as one JSON object of this shape. Raises `ProtocolError`, which quotes nothing."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ProtocolError("the body must be application/json")
    try:
        return shape.model_validate(read_json(await _bytes(request)))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise ProtocolError(f"{where[:64]!r}: {first['msg']}") from error
    except ValueError as error:
        raise ProtocolError("the body is not one well-formed JSON document") from error


async def _bytes(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise ProtocolError(f"the body is larger than {MAX_BODY} bytes")
    return bytes(body)
