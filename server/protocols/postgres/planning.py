"""The target's plan of a statement, without running it: steps and estimated rows, nothing else.

A plan's own text holds constants, which planning may have folded out of values or statistics; so
only the kinds of steps, the relations that the statement itself names, and the rows that the
target expects leave here. Where a label is touched, even that would tell (how many rows match), and
there is no plan.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import orjson

from policies.errors import ProtocolError
from policies.model import SqlPlan
from policies.sql.changed_rows import LONGEST
from policies.sql.facts import SqlEffect, SqlFacts
from policies.sql.not_understood import NotUnderstood
from policies.sql.parser import parse_one
from policies.sql.prescan import QUICK_BYTES, encode
from policies.sql.trees import same
from recordings.events import Column, Columns, Done, Event, Failed, Results, Rows
from recordings.rows import decode_postgres, encode_postgres
from server.protocols.postgres import frontend as f
from server.protocols.postgres.link import Link, unavailable
from server.protocols.postgres.pool import Pool, command

if TYPE_CHECKING:
    from server.gate import Grant

PLANNING_TIME: Final = 5.0  # seconds
LOCK_TIME: Final = 1.0  # seconds; planning locks nothing that readers would not
GRACE: Final = 5.0  # seconds beyond, for a server that says nothing
MOST_STEPS: Final = 100
MOST_BYTES: Final = 4 << 20  # of a plan that is looked into

PREFIX: Final = "EXPLAIN (FORMAT JSON) "
COLUMNS: Final = Columns(
    (Column("depth", 23), Column("node", 25), Column("relation", 25), Column("rows", 20))
)
_PLANNED: Final = frozenset({"select", "insert", "update", "delete"})
_STEP: Final = re.compile(r"[A-Za-z][A-Za-z ]{0,39}")


def no_plan(facts: SqlFacts | None, text: str) -> str:
    """Why a statement has no plan that may be shown; empty where it has one."""
    if len(text) > LONGEST:
        return f"only statements of up to {LONGEST} characters have one"
    if facts is None or facts.effect not in (SqlEffect.READ, SqlEffect.WRITE):
        return "only SELECT, INSERT, UPDATE and DELETE have one"
    if not facts.kinds or not facts.kinds <= _PLANNED:
        return "only SELECT, INSERT, UPDATE and DELETE have one"
    if facts.labels_read or any(use.labels for use in facts.tables):
        return "withheld, because the statement touches labelled columns"
    if any(not name.startswith("pg_catalog.") for name in facts.functions):
        return "withheld, because planning may call the functions of users that it names"
    return ""


@asynccontextmanager
async def planned(pool: Pool, grant: Grant) -> AsyncIterator[Results]:
    """The plan as rows, or `Done` alone where there is none to be shown.

    In a transaction that is read-only whatever the statement is, and rolled back. Raises
    `BackendUnavailable`.
    """
    action = grant.request.action
    if not isinstance(action, SqlPlan):
        raise TypeError("only a plan was asked for")
    if no_plan(grant.request.facts, action.text) or not _is_one_explain(action.text):
        yield _nothing()
        return
    async with pool.lease(grant) as link, aclosing(_events(link, grant, action)) as events:
        yield events


async def _nothing() -> AsyncGenerator[Event]:
    yield Done("NO PLAN")


def _is_one_explain(text: str) -> bool:
    """Whether the text behind our prefix is still the one statement that was judged."""
    if len(text) > QUICK_BYTES:  # everybody waits while it is parsed here
        return False
    try:
        judged, sent = parse_one(encode(text)), parse_one(encode(PREFIX + text))
    except (NotUnderstood, RecursionError):
        return False
    return set(sent) == {"ExplainStmt"} and same(sent["ExplainStmt"].get("query"), judged)


async def _events(link: Link, grant: Grant, action: SqlPlan) -> AsyncGenerator[Event]:
    try:
        with link.patient(PLANNING_TIME + LOCK_TIME + GRACE):
            answer = await _asked(link, action)
    except (OSError, TimeoutError, ProtocolError):
        link.close()
        raise unavailable(link.target.name) from None
    if isinstance(answer, Failed):
        yield answer
        return
    rows = list(_steps(answer, _named(grant)))[:MOST_STEPS]
    yield COLUMNS
    if rows:
        yield Rows(encode_postgres(rows), len(rows))
    yield Done("PLAN", len(rows))


async def _asked(link: Link, action: SqlPlan) -> bytes | Failed:
    """The plan as JSON, or the target's refusal."""
    await command(
        link,
        "BEGIN READ ONLY;"
        f" SET LOCAL statement_timeout = {round(PLANNING_TIME * 1000)};"
        f" SET LOCAL lock_timeout = {round(LOCK_TIME * 1000)}",
    )
    conversation, parameters = link.conversation, action.parameters
    conversation.begin(None)
    asked = (
        f.Parse("", PREFIX + action.text, tuple(p.type for p in parameters)),
        f.Bind(
            "",
            "",
            parameter_formats=tuple(int(p.binary) for p in parameters),
            parameters=tuple(p.value for p in parameters),
        ),
        f.Execute(""),
        f.Sync(),
    )
    link.write(b"".join(conversation.send(message) for message in asked))
    await link.drain()
    found = b""
    for event in await link.finish_turn():
        match event:
            case Failed():
                return event
            case Rows(frames):
                found += b"".join(cell or b"" for row in decode_postgres(frames) for cell in row)
            case _:
                pass
    return found


def _named(grant: Grant) -> frozenset[str]:
    facts = grant.request.facts
    return frozenset(use.table.name for use in facts.tables) if facts else frozenset()


def _steps(plan: bytes, named: frozenset[str]) -> Iterator[list[bytes | None]]:
    """A plan that can't be read has no steps."""
    if len(plan) > MOST_BYTES:
        return
    try:
        match orjson.loads(plan):
            case [{"Plan": dict() as root}]:
                yield from _walk(root, 0, named)
    except orjson.JSONDecodeError:
        return


def _walk(node: dict[str, Any], depth: int, named: frozenset[str]) -> Iterator[list[bytes | None]]:
    """A relation that the statement does not name, behind a view for instance, is not named."""
    kind, relation, rows = node.get("Node Type"), node.get("Relation Name"), node.get("Plan Rows")
    said = kind if isinstance(kind, str) and _STEP.fullmatch(kind) else "Step"
    shown = relation if isinstance(relation, str) and relation in named else ""
    count = int(rows) if isinstance(rows, int | float) else 0
    yield [str(depth).encode(), said.encode(), shown.encode(), str(count).encode()]
    for below in node.get("Plans") or ():
        yield from _walk(below, depth + 1, named)
