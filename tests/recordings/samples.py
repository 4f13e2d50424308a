"""One recorded session, made by hand, for replay and export."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from recordings.chain import Json
from recordings.rows import ROW_CODECS, Cell
from recordings.sessions import StoredRecord

NOON = 1_700_000_000_000_000  # 2023-11-14 22:13:20 UTC


def stored(
    kind: str, document: Mapping[str, Json], body: bytes | None = b"", *, at: int = 0
) -> StoredRecord:
    return StoredRecord(
        stream=7,
        sequence=at + 1,
        at=NOON + at,
        session="s-1",
        kind=kind,
        document=document,
        body=body,
        body_deleted=False,
        digest=b"" if body == b"" else b"\x0d" * 32,
        hash=b"\x0a" * 32,
    )


def rows(*cells: list[Cell], at: int = 0) -> StoredRecord:
    frames = ROW_CODECS["postgres"].encode(cells)
    return stored("rows", {"count": len(cells), "codec": "postgres"}, frames, at=at)


def columns(*names: str, masked: Mapping[str, str] | None = None) -> StoredRecord:
    why = masked or {}
    described: list[Json] = [{"name": n, "type": 25, "masked": why.get(n, "")} for n in names]
    return stored("columns", {"columns": described}, at=3)


OPENED = stored(
    "session_opened",
    {
        "principal": {"id": "corp:ann", "name": "Ann", "agent": "claude", "groups": ["dev"]},
        "target": "shop",
        "protocol": "postgres",
        "channel": "mcp",
    },
)
INTENT = stored(
    "intent",
    {
        "action": {"kind": "SqlStatement", "parameters": ["7", None]},
        "effect": "permit",
        "questions": [
            {"action": "read", "resource": "t", "allowed": True, "policies": ["shop.read"]},
            {"action": "read", "resource": "u", "allowed": True, "policies": ["shop.read"]},
        ],
        "ticket": "t-9",
        "reason": "month's end",
    },
    b"SELECT id, email\n\tFROM customers",
    at=1,
)
REFUSED = stored(
    "decision",
    {
        "action": {"kind": "SqlStatement", "parameters": []},
        "effect": "deny",
        "questions": [],
        "refusal": {
            "code": "POLICY",
            "policy": "no-drop",
            "reason": "Tables are not dropped.",
            "next_step": "Ask the owner.",
            "subject": "customers",
            "span": None,
        },
        "ticket": "",
    },
    b"DROP TABLE customers",
    at=2,
)
OUTCOME = stored(
    "outcome",
    {"status": "completed", "rows": 2, "bytes": 40, "masked": {"pii": 2}, "milliseconds": 1.5},
    at=6,
)
DONE = stored("done", {"tag": "SELECT 2", "rows": 2, "more": False}, at=5)
CLOSED = stored(
    "session_closed",
    {
        "end": "interrupted",
        "intents_without_outcome": [{"stream": 7, "sequence": 2, "action": "SqlStatement"}],
    },
    at=8,
)


async def replayed(*records: StoredRecord) -> AsyncIterator[StoredRecord]:
    for record in records:
        yield record
