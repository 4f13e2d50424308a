"""The target's plan of a statement, without running it: steps and estimated rows, nothing else.

A plan's own text holds constants, which planning may have folded out of values or statistics; so
only the kinds of steps, the relations that the statement itself names, and the rows that the
target expects leave here. Where a label is touched, even that would tell (how many rows match), and
there is no plan.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import orjson

from policies.errors import ProtocolError
from policies.model import Parameter, SqlPlan
from policies.sql.changed_rows import LONGEST
from policies.sql.facts import SqlEffect, SqlFacts
from policies.sql.not_understood import NotUnderstood
from policies.sql.parser import parse_one
from policies.sql.prescan import QUICK_BYTES, encode
from policies.sql.trees import same
from recordings.batches import one_by_one
from recordings.events import Batches, Column, Columns, Done, Event, Failed, Rows
from recordings.rows import encode_postgres
from server.protocols.postgres.asking import Refused, ask, prepare, require_unchanged, run
from server.protocols.postgres.catalog_reader import CatalogReader
from server.protocols.postgres.link import Link, unavailable
from server.protocols.postgres.pool import Pool, command
from server.protocols.postgres.users_code import WHEN_PLANNED

if TYPE_CHECKING:
    from server.gate import Grant

PLANNING_TIME: Final = 5.0  # seconds
LOCK_TIME: Final = 1.0  # seconds; planning locks nothing that readers would not
GRACE: Final = 5.0  # seconds beyond, for a server that says nothing
MOST_STEPS: Final = 100
MOST_BYTES: Final = 4 << 20  # of a plan that is looked into

PREFIX: Final = "EXPLAIN (FORMAT JSON) "
STATEMENT: Final = "ostiary_plan"
WITHHELD: Final = "OSTPL"
"""The code of a plan that is withheld, where the target's own codes stand."""

COLUMNS: Final = Columns(
    (Column("depth", 23), Column("node", 25), Column("relation", 25), Column("rows", 20))
)
_PLANNED: Final = frozenset({"select", "insert", "update", "delete"})
_STEP: Final = re.compile(r"[A-Za-z][A-Za-z ]{0,39}")


def no_plan(facts: SqlFacts | None, text: str) -> str:
    """Why a statement has no plan that may be shown; empty where it has one."""
    if len(text.encode("utf-8", "replace")) > LONGEST:
        return f"only statements of up to {LONGEST} bytes have one"
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
async def planned(pool: Pool, reader: CatalogReader, grant: Grant) -> AsyncIterator[Batches]:
    """The plan as rows, or `Done` alone where there is none to be shown.

    In a transaction that is read-only whatever the statement is, and rolled back. Raises
    `CatalogChanged` where its facts do not hold any more, and `BackendUnavailable`.
    """
    action = grant.request.action
    if not isinstance(action, SqlPlan):
        raise TypeError("only a plan was asked for")
    withheld = no_plan(grant.request.facts, action.text)
    # In a thread: a text of some kilobytes takes tens of milliseconds, and nobody waits for them.
    if withheld or not await asyncio.to_thread(_is_one_explain, action.text):
        yield one_by_one(_nothing())
        return
    async with pool.lease(grant) as link, aclosing(_events(link, reader, grant)) as events:
        yield one_by_one(events)


async def _nothing() -> AsyncGenerator[Event]:
    yield Done("NO PLAN")


def _is_one_explain(text: str) -> bool:
    """Whether the text behind our prefix is still the one statement that was judged."""
    try:
        encoded = encode(text)
        if len(encoded) > QUICK_BYTES:
            return False
        judged, sent = parse_one(encoded), parse_one(encode(PREFIX + text))
        return set(sent) == {"ExplainStmt"} and same(sent["ExplainStmt"].get("query"), judged)
    except (NotUnderstood, RecursionError):
        return False


async def _events(link: Link, reader: CatalogReader, grant: Grant) -> AsyncGenerator[Event]:
    try:
        with link.patient(PLANNING_TIME + LOCK_TIME + GRACE):
            answer = await _asked(link, reader, grant)
    except (OSError, TimeoutError, ProtocolError):
        link.close()
        raise unavailable(link.target.name) from None
    if isinstance(answer, Failed):
        yield answer
        return
    rows = list(islice(_steps(answer, _named(grant)), MOST_STEPS))
    yield COLUMNS
    if rows:
        yield Rows(encode_postgres(rows), len(rows))
    yield Done("PLAN", len(rows))


async def _asked(link: Link, reader: CatalogReader, grant: Grant) -> bytes | Failed:
    """The plan as JSON, or why there is none, in the target's words or in ours.

    What would be called is looked at twice: before parsing, which reads constants by the checks of
    domains in arrays and rows; and when parsing has taken the locks, so that it stays as it is.
    """
    action, facts = grant.request.action, grant.request.facts
    assert isinstance(action, SqlPlan)  # noqa: S101 -- asked for by `planned`
    await command(
        link,
        "BEGIN READ ONLY;"
        f" SET LOCAL statement_timeout = {round(PLANNING_TIME * 1000)};"
        f" SET LOCAL lock_timeout = {round(LOCK_TIME * 1000)}",
    )
    try:
        await _require_no_calls(link, facts)
        await prepare(link, STATEMENT, PREFIX + action.text, action.parameters)
        await require_unchanged(link, reader, facts)
        await _require_no_calls(link, facts)
        answer = await run(link, STATEMENT, action.parameters)
    except Refused as refused:
        return refused.failed
    return b"".join(cell or b"" for row in answer.rows for cell in row)


async def _require_no_calls(link: Link, facts: SqlFacts | None) -> None:
    """That planning would call no function of users, and no other server. Raises `Refused`."""
    named = sorted(oid for _, oid in facts.objects) if facts else []
    oids = Parameter(b"{%s}" % ",".join(map(str, named)).encode())
    if (await ask(link, WHEN_PLANNED, (oids,))).rows:
        words = "planning may call the functions of users, or another server"
        raise Refused(Failed(WITHHELD, words))


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
                yield from _walk(root, named)
    except orjson.JSONDecodeError:
        return


def _walk(root: dict[str, Any], named: frozenset[str]) -> Iterator[list[bytes | None]]:
    """A relation that the statement does not name, behind a view for instance, is not named.

    Each step before those below it, by a list of our own: plans are nested deeper than calls may.
    """
    waiting: list[tuple[dict[str, Any], int]] = [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        kind, relation = node.get("Node Type"), node.get("Relation Name")
        rows = node.get("Plan Rows")
        said = kind if isinstance(kind, str) and _STEP.fullmatch(kind) else "Step"
        shown = relation if isinstance(relation, str) and relation in named else ""
        count = int(rows) if isinstance(rows, int | float) else 0
        yield [str(depth).encode(), said.encode(), shown.encode(), str(count).encode()]
        waiting += ((below, depth + 1) for below in reversed(node.get("Plans") or ()))
