"""The one error of the recordings: the journal can't take a record, so nothing may happen."""

from __future__ import annotations

from typing import Final

from policies.errors import BackendUnavailable


class JournalUnavailable(BackendUnavailable):
    """The record is not durable, and may never be: what it stands for must not happen."""


SESSION_LOST: Final = (
    "the journal was out of reach for so long that the session was closed as interrupted;"
    " open a new one"
)
