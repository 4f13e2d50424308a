"""What was said on channels that a native session listens to, as it may be delivered.

No rule about columns knows the text of a notification: recognizers alone search it, as any text of
which nothing is known. Who may listen is the gate's to decide (`NativeSession.notified`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import orjson

from masking.cells import ColumnShape, Masker, Scan
from masking.errors import MaskingFailed
from masking.postgres_types import TEXT
from policies.errors import Refusal
from recordings.events import Notification
from recordings.journal import Journal, Json, Record
from server.backends import Backend

FLOODED: Final = Refusal(
    code="NOTIFICATION_FLOOD",
    reason="More was said on the session's channels than one session is told in so short a time.",
    next_step="Connect again, LISTEN, and read the rows that changed meanwhile.",
)

_PAYLOAD: Final = ColumnShape("payload", TEXT)


async def as_delivered(
    told: Sequence[Notification], session: str, backend: Backend, masker: Masker, journal: Journal
) -> Sequence[Notification]:
    """Masked, and recorded so. What can't be searched is withheld, and its number recorded.

    Raises `JournalUnavailable`: then nothing may be delivered.
    """
    plan = masker.plan([_PAYLOAD], [Scan(backend.names_anywhere)])
    cells: list[bytes | None] = [each.payload.encode() for each in told]
    masked: Mapping[str, int] = {}
    try:
        masked = (await masker.columns(plan, [cells])).counts
    except MaskingFailed:
        cells = [None] * len(told)
    shown = [
        replace(each, payload=cell.decode())
        for each, cell in zip(told, cells, strict=True)
        if cell is not None
    ]
    document: dict[str, Json] = {
        "count": len(shown),
        "withheld": len(told) - len(shown),
        "masked": dict(masked),
    }
    await journal.accept(Record(session, "notified", document, _lines(shown)))
    return shown


def _lines(shown: Sequence[Notification]) -> bytes:
    """Channel and payload of each as a line of JSON."""
    return b"\n".join(orjson.dumps([each.channel, each.payload]) for each in shown)
