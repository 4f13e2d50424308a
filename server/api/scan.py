"""The HTTP API of `ostiary scan`: one line a table as it is scanned, and a last one at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Protocol

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from policies.model import Principal, ScanTarget
from recordings.chain import Json
from server.api.answers import Lines
from server.api.requests import read_body
from server.scanning.desk import Scan, ScannedTable
from server.scanning.judging import Judged

Endpoint = Callable[[Request, Principal], Awaitable[Response]]
Guard = Callable[[Endpoint], Callable[[Request], Awaitable[Response]]]

_Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class Scans(Protocol):
    """What `server.scanning.desk` does; it asks the gate."""

    def scanning(
        self, principal: Principal, target: str, action: ScanTarget, names: Sequence[str]
    ) -> AbstractAsyncContextManager[tuple[Scan, AsyncIterator[ScannedTable]]]:
        """One scan. Raises `Denied`, `ProtocolError`, `BackendUnavailable`."""
        ...


class ScanBody(BaseModel):
    """`tables` (all without) and `columns` (all without) by name; `sample` is rows of a table."""

    model_config = ConfigDict(extra="forbid", strict=True)

    target: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    tables: list[_Name] = Field(default=[], max_length=200)
    columns: list[_Name] = Field(default=[], max_length=200)
    sample: int = Field(default=200, ge=1, le=1000)


@dataclass(frozen=True, slots=True)
class ScanApi:
    """The endpoint; `signed_in` lets nobody past without a token."""

    scans: Scans
    signed_in: Guard

    def routes(self) -> list[Route]:
        """Every path."""
        return [Route("/api/scan", self.signed_in(self._scan), methods=["POST"])]

    async def _scan(self, request: Request, principal: Principal) -> Response:
        body = await read_body(request, ScanBody)
        return Lines(self._lines(principal, body))

    @asynccontextmanager
    async def _lines(
        self, principal: Principal, body: ScanBody
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        action = ScanTarget((), tuple(body.columns), body.sample)
        scanning = self.scans.scanning(principal, body.target, action, body.tables)
        async with scanning as (scan, found):
            yield _told(scan, found)


async def _told(scan: Scan, found: AsyncIterator[ScannedTable]) -> AsyncIterator[bytes]:
    yield _line({"tables": len(scan.tables), "left_out": scan.left_out, "session": scan.session})
    async for table in found:
        yield _line(_table(table))
    yield _line({"done": True, "tables": scan.scanned})


def _table(found: ScannedTable) -> dict[str, Json]:
    columns: list[Json] = [_column(column) for column in found.columns]
    return {
        "schema": found.table.schema,
        "table": found.table.name,
        "rows": found.rows,
        "columns": columns,
        "trouble": found.trouble,
        "left_out": found.left_out,
    }


def _column(judged: Judged) -> dict[str, Json]:
    evidence: list[Json] = [
        {
            "entity": e.entity,
            "share": e.share,
            "score": e.score,
            "whole": e.whole,
            "example": e.example,
        }
        for e in judged.evidence
    ]
    rule: Json = None
    if judged.rule is not None:
        rule = {"label": judged.rule.label, "mask": judged.rule.mask}
    return {
        "column": judged.column,
        "type": judged.type,
        "values": judged.values,
        "evidence": evidence,
        "hint": judged.hint,
        "rule": rule,
        "labels": [*judged.labels],
    }


def _line(content: Json) -> bytes:
    return orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)
