"""What the approval page leaves in the journal besides decisions: sign-ins and sign-outs."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from policies.model import Channel, Principal
from recordings.journal import Json, Record
from server.records import principal_document

Note = Callable[[Hashable, Record], None]
"""Takes what anybody could send without end: the first of a kind is recorded, then a number."""


def signed_in(principal: Principal) -> Record:
    return Record("", "sign_in", _document(principal))


def signed_out(principal: Principal) -> Record:
    return Record("", "sign_out", _document(principal))


def sign_in_failed(because: str) -> Record:
    """`because`: our own words; nothing of what was sent."""
    document: dict[str, Json] = {"channel": Channel.WEB.value, "because": because}
    return Record("", "sign_in_failed", document)


def _document(principal: Principal) -> dict[str, Json]:
    return {"principal": principal_document(principal), "channel": Channel.WEB.value}
