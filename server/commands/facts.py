"""`ostiary facts`: statements in, what policy sees of them out, a line of JSON each."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from policies.case_catalogs import Offline
from policies.errors import BackendUnavailable, Denied, ProtocolError
from policies.model import Target
from policies.sql.facts import Opaque, SqlEffect, SqlFacts
from server.case_files import read_catalog
from server.commands.gateway_client import GatewayClient, open_gateway
from server.facts_lines import facts_line

_READ: Final = 65536
_AT_ONCE: Final = 64  # statements, as many as the API takes
_BYTES_AT_ONCE: Final = 128 * 1024  # a body may be twice that
_FIELDS: Final = ("id", "effect", "reads", "writes", "columns", "functions", "has_where", "reason")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the input: a statement, or why it is none."""

    id: str | int
    sql: str
    wrong: str = ""

    @property
    def size(self) -> int:
        return len(orjson.dumps(self.sql)) + 64


Answer = dict[str, Any]
Judge = Callable[[Sequence[Line]], Iterator[Answer]]


def facts(arguments: Namespace) -> int:
    """Answer each line in order; what can't be judged is opaque and carries `error`. 1 then."""
    if arguments.catalog is not None:
        return _answer(arguments, _offline(Path(arguments.catalog)))
    with open_gateway(arguments.gateway, os.environ) as gateway:
        if arguments.snapshot:
            print(orjson.dumps(gateway.get("policy", "catalog", target=arguments.target)).decode())
            return 0
        return _answer(arguments, lambda lines: _live(gateway, arguments.target, lines))


def _answer(arguments: Namespace, judge: Judge) -> int:
    shown = (*_FIELDS, "error", "facts") if arguments.full else (*_FIELDS, "error")
    failed = False
    for batch in _batches(_lines()):
        for answer in _answers(batch, judge):
            failed |= "error" in answer
            line = {name: answer[name] for name in shown if name in answer}
            print(orjson.dumps(line).decode(), flush=True)
    return 1 if failed else 0


def _lines() -> Iterator[list[Line]]:
    """Each read's complete lines: whoever sends one and waits is answered at once."""
    rest, number = b"", 0
    while read := os.read(sys.stdin.fileno(), _READ):
        *complete, rest = (rest + read).split(b"\n")
        found = [_line(text, number + i) for i, text in enumerate(complete, 1) if text.strip()]
        number += len(complete)
        yield found
    if rest.strip():
        yield [_line(rest, number + 1)]


def _line(text: bytes, number: int) -> Line:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return Line(number, "", f"line {number} is not JSON")
    match document:
        case {"sql": str(sql), "id": bool()}:
            return Line(number, sql)
        case {"sql": str(sql), "id": str() | int() as identifier}:
            return Line(identifier, sql)
        case {"sql": str(sql)}:
            return Line(number, sql)
        case _:
            return Line(number, "", f"line {number} has no `sql`")


def _batches(groups: Iterable[list[Line]]) -> Iterator[list[Line]]:
    for group in groups:
        batch: list[Line] = []
        for line in group:
            full = len(batch) == _AT_ONCE or sum(map(_size, batch)) + line.size > _BYTES_AT_ONCE
            if full:
                yield batch
                batch = []
            batch.append(line)
        yield batch


def _size(line: Line) -> int:
    return line.size


def _answers(batch: Sequence[Line], judge: Judge) -> Iterator[Answer]:
    """One answer a line, in order; one that fails with others is asked again by itself."""
    judged = judge([line for line in batch if not line.wrong])
    for number, line in enumerate(batch):
        if line.wrong:
            yield _error(line, line.wrong)
            continue
        try:
            yield next(judged, {}) or _error(line, "the gateway did not answer")
        except (BackendUnavailable, ProtocolError, Denied) as error:
            if isinstance(error, Denied) and error.refusal.code in _FINAL:
                raise
            if len(batch) == 1:
                yield _error(line, str(error))
                return
            for each in batch[number:]:
                yield from _answers([each], judge)
            return


_FINAL: Final = frozenset({"TARGET_UNKNOWN", "NOT_PERMITTED", "FORBIDDEN", "AGENT_BLOCKED"})
"""Asking on would be refused in the same way."""


def _error(line: Line, why: str) -> Answer:
    empty: dict[str, Any] = {name: [] for name in ("reads", "writes", "columns", "functions")}
    said = {"id": line.id, "effect": "opaque", "has_where": False, "reason": why, "error": why}
    return {**empty, **said}


_TOO_LONG: Final = SqlFacts(
    SqlEffect.OPAQUE,
    has_where=False,
    opaque=Opaque(
        "SQL_TOO_LONG", "The statement is longer than a gateway takes.", "Send a shorter one."
    ),
)


def _live(gateway: GatewayClient, target: str, lines: Sequence[Line]) -> Iterator[Answer]:
    if not lines:
        return
    if lines[0].size > _BYTES_AT_ONCE:  # alone in its batch
        yield facts_line(lines[0].id, _TOO_LONG)
        return
    statements = [{"id": line.id, "sql": line.sql} for line in lines]
    body: dict[str, Any] = {"target": target, "statements": statements}
    yield from map(orjson.loads, gateway.post_lines("facts", body=body))


def _offline(path: Path) -> Judge:
    kind, catalog = read_catalog(path)
    around = Offline({"": Target("", kind, "")}, {"": catalog})

    def judge(lines: Sequence[Line]) -> Iterator[Answer]:
        for line in lines:
            yield facts_line(line.id, around.facts("", line.sql))

    return judge
