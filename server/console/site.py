"""Where the page is on the web, and what a browser's request must prove to be taken as its own."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from policies.errors import ProtocolError

MAX_FORM: Final = 64 * 1024
_MOST_FIELDS: Final = 16

_OWN_PORTS: Final = MappingProxyType({"https": ":443", "http": ":80"})
_FORM: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Site:
    """One gateway's public address: its origin, and the path before ours."""

    origin: str
    base: str

    @classmethod
    def of(cls, public_url: str) -> Site:
        """The origin as browsers write it: in small letters, without the scheme's own port."""
        parts = urlsplit(public_url)
        scheme = parts.scheme.lower()
        host = parts.netloc.lower().removesuffix(_OWN_PORTS.get(scheme, ""))
        return cls(f"{scheme}://{host}", parts.path.rstrip("/"))

    @property
    def approvals(self) -> str:
        """The path of the list; a ticket's page is below it."""
        return f"{self.base}/approvals"

    @property
    def url(self) -> str:
        """The list's whole address."""
        return self.origin + self.approvals

    @property
    def _secure(self) -> bool:
        return self.origin.startswith("https:")

    def cookie(self, name: str) -> str:
        """A cookie's name. The prefix keeps other hosts and plain HTTP from setting it.

        Over plain HTTP, on loopback, every port shares its cookies: each takes a name of its own.
        """
        port = urlsplit(self.origin).port
        return f"__Host-ostiary_{name}" if self._secure else f"ostiary_{name}_{port or 80}"

    def set_cookie(self, answer: Response, name: str, value: str, *, seconds: int) -> None:
        """Lax: a link in a chat must find its reader signed in; a foreign form must not."""
        answer.set_cookie(
            self.cookie(name),
            value,
            max_age=seconds,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def drop_cookie(self, answer: Response, name: str) -> None:
        answer.delete_cookie(
            self.cookie(name), path="/", secure=self._secure, httponly=True, samesite="lax"
        )

    def sent(self, request: Request) -> bool:
        """Whether one of this site's own pages sent the request, by the browser's own word.

        `Sec-Fetch-Site` where the browser knows it, `Origin` in any case: every browser says the
        origin of a form (Fetch Standard, "append a request Origin header").
        """
        fetched = request.headers.getlist("sec-fetch-site")
        origins = request.headers.getlist("origin")
        return fetched in ([], ["same-origin"]) and origins == [self.origin]


async def read_form(request: Request) -> Mapping[str, str]:
    """The fields of a form, each once. Raises `ProtocolError` for anything else."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise ProtocolError("this is not a form of the approval page")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_FORM:
                raise ProtocolError(f"the form is larger than {MAX_FORM} bytes")
    except ClientDisconnect as error:
        raise ProtocolError("the form was cut off") from error
    return read_fields(body)


def read_fields(encoded: bytes | bytearray) -> Mapping[str, str]:
    """The pairs of a form or a query, each name once. Raises `ProtocolError`."""
    try:
        pairs = parse_qsl(
            encoded.decode("ascii"),
            keep_blank_values=True,
            max_num_fields=_MOST_FIELDS,
            errors="strict",
        )
    except ValueError as error:
        raise ProtocolError("the form can't be read") from error
    if len(dict(pairs)) != len(pairs):
        raise ProtocolError("the form says something twice")
    return dict(pairs)


def form_token_fits(fields: Mapping[str, str], expected: str) -> bool:
    """Whether the form was made for this very session."""
    return hmac.compare_digest(fields.get("token", "").encode(), expected.encode())
