"""The tour: an agent works on the shop through the gateway, and each step proves what it says.

Every step is a real MCP call over HTTP. Whether something has happened is looked up in the
database over a second connection that goes round the gateway.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import asyncpg
import httpx2
from mcp import MCPError
from pydantic import JsonValue

from policies.errors import BackendUnavailable
from recordings.text import table
from server.demo.clients import Agent, Person, Reply, connected
from server.demo.command_line import CommandLine, Ended, Psql
from server.demo.stage import Stage, wrapped
from server.demo.support_notes import secrets_in

_DECIDED_WITHIN: Final = 60.0
"""Seconds in which the tour's own reviewer has to find the request."""

READ: Final = "SELECT name, email, ssn, card, birth_date FROM customers ORDER BY id LIMIT 5"
NOTES: Final = (
    "SELECT id, body FROM support_notes WHERE id IN (2, 6, 11, 13, 17, 18, 22, 56) ORDER BY id"
)
DROP: Final = "DROP TABLE orders"
UPDATE_ALL: Final = "UPDATE orders SET status = 'cancelled'"
UPDATE_ONE: Final = "UPDATE orders SET total = total - 5.00 WHERE id = 42"
_MASKED: Final = ("email", "ssn", "card", "birth_date")
_REASON: Final = "goodwill credit for a late parcel, ticket 4711"


@dataclass(frozen=True, slots=True)
class Tour:
    """What the steps need. `direct` is a connection to the shop that goes round the gateway."""

    stage: Stage
    url: str
    tokens: Mapping[str, str]
    direct: asyncpg.Connection
    command_line: CommandLine
    psql: Psql
    earlier: frozenset[str] = frozenset()
    """Sessions of tours before this one."""

    async def as_rita(self, tool: str, arguments: Mapping[str, JsonValue]) -> Reply:
        """One call by the requester's agent, printed."""
        self.stage.call("rita's agent", _call(tool, arguments))
        async with connected(self.url, self.tokens["rita"]) as agent:
            return await agent.call(tool, arguments)

    async def truth(self, question: str) -> Any:
        """One value from the database itself."""
        return await self.direct.fetchval(question)


async def play(tour: Tour) -> bool:
    """Every step in order; whether each did what it said."""
    begun = replace(tour, earlier=frozenset(_ids(await tour.command_line.run("sessions", "list"))))
    for step in STEPS:
        try:
            await step(begun)
        except _FAILURES as error:
            tour.stage.check(f"the step ends: {type(error).__name__}: {error}", holds=False)
    return not tour.stage.failures


_FAILURES: Final = (BackendUnavailable, MCPError, httpx2.HTTPError, OSError, ExceptionGroup)
"""What ends a step and not the tour. A timeout is an `OSError`; the SDK's client raises groups."""


# --- the steps -----------------------------------------------------------------------------------


async def _tools(tour: Tour) -> None:
    tour.stage.step(
        "Tools are listed for who asks",
        "Rita is a developer: her agent acts for her. Victor may approve. Each sees their own.",
    )
    seen = {}
    for name in ("rita", "victor"):
        async with connected(tour.url, tour.tokens[name]) as agent:
            seen[name] = await agent.tools()
        tour.stage.call(f"{name}'s agent", "tools/list")
        tour.stage.show([", ".join(seen[name])])
    tour.stage.check("rita's agent can run SQL", holds="run_sql" in seen["rita"])
    hidden = "review_approvals" not in seen["rita"] and "review_approvals" in seen["victor"]
    tour.stage.check("only the reviewer sees review_approvals", holds=hidden)
    reply = await tour.as_rita("list_targets", {})
    tour.stage.show(reply.text.splitlines())
    tour.stage.check("the shop is open to rita", holds="shop" in reply.text)


async def _masked_columns(tour: Tour) -> None:
    tour.stage.step(
        "A SELECT comes back masked",
        "The columns are labelled in the configuration; the values never leave the gateway.",
    )
    reply = await tour.as_rita("run_sql", {"target": "shop", "sql": READ})
    _show_rows(tour.stage, reply)
    true_rows = await tour.direct.fetch(READ)
    secrets = [str(row[name]) for row in true_rows for name in _MASKED]
    masked = reply.document.get("masked_columns")
    names = set(masked) if isinstance(masked, dict) else set()
    tour.stage.check("five customers came back", holds=len(_rows(reply)) == len(true_rows) == 5)
    tour.stage.check(f"{', '.join(_MASKED)} are masked, it says", holds=names >= set(_MASKED))
    tour.stage.check("none of their true values is in the answer", holds=_absent(secrets, reply))


async def _masked_text(tour: Tour) -> None:
    tour.stage.step(
        "Personal data and secrets in free text are found",
        "Nobody can label what people write into a note: text is scanned on its way out. It is "
        "the net below the labels: names stay, and where it matters, the column gets a label.",
    )
    reply = await tour.as_rita("run_sql", {"target": "shop", "sql": NOTES})
    _show_rows(tour.stage, reply)
    secrets = [found for row in await tour.direct.fetch(NOTES) for found in secrets_in(row["body"])]
    tour.stage.check("eight notes came back", holds=len(_rows(reply)) == 8)
    tour.stage.check(
        f"{len(secrets)} numbers, addresses, keys and passwords in them are not in the answer",
        holds=len(secrets) >= 8 and _absent(secrets, reply),
    )


async def _drop(tour: Tour) -> None:
    tour.stage.step(
        "DROP TABLE is refused",
        "The gateway's own database role owns the table: only the gateway stands in the way.",
    )
    reply = await tour.as_rita("run_sql", {"target": "shop", "sql": DROP})
    _show_refusal(tour, reply)
    there = await tour.truth("SELECT to_regclass('public.orders') IS NOT NULL")
    tour.stage.check("looked up directly: the table is there", holds=bool(there))


async def _update_all(tour: Tour) -> None:
    tour.stage.step("An UPDATE without WHERE is refused", "It would change every order.")
    count = "SELECT count(*) FROM orders WHERE status = 'cancelled'"
    before = await tour.truth(count)
    reply = await tour.as_rita("run_sql", {"target": "shop", "sql": UPDATE_ALL})
    _show_refusal(tour, reply)
    tour.stage.check(
        "looked up directly: no order has changed", holds=await tour.truth(count) == before
    )


async def _approved(tour: Tour) -> None:
    tour.stage.step(
        "An UPDATE waits for the reviewer, is approved, and runs once",
        "The approval is for these exact bytes, by somebody else, for one run.",
    )
    before = await _total(tour)
    reply = await _reviewed(tour, Person("approve", "agreed with support"))
    tour.stage.show(reply.text.splitlines())
    after = await _total(tour)
    tour.stage.check("the call was answered: UPDATE 1", holds=reply.word("command") == "UPDATE 1")
    tour.stage.check(
        f"looked up directly: the order's total went from {before} to {after}, once",
        holds=before - after == 5,
    )


async def _asked_again(tour: Tour) -> None:
    tour.stage.step(
        "The same call again needs a new approval",
        "An approval is used up by its run. This time the reviewer says no.",
    )
    before = await _total(tour)
    reply = await _reviewed(tour, Person("deny", "once is enough"))
    _show_document(tour.stage, reply)
    tour.stage.check("it was refused", holds=reply.is_error)
    tour.stage.check("the reviewer's word is in it", holds="once is enough" in reply.text)
    tour.stage.check("looked up directly: nothing has changed", holds=await _total(tour) == before)


async def _psql(tour: Tour) -> None:
    tour.stage.step(
        "psql meets the same gate",
        "Scripts and people keep their own clients. A token takes the password's place: it is "
        "short-lived, and good for this target only.",
    )
    rita = replace(tour.command_line, token=tour.tokens["rita"])
    issued = await rita.run("token", "--target", "shop", "--ttl", "10m")
    password = issued.lines[-1] if issued.good and issued.lines else ""
    tour.stage.call("rita", "export PGPASSWORD=$(ostiary token --target shop --ttl 10m)")
    tour.stage.check("she has a password for ten minutes", holds=bool(password))

    tour.stage.call("rita", f'{" ".join(tour.psql.words)} -c "{READ}"')
    shown = await tour.psql.run(password, READ)
    tour.stage.show(shown.lines)
    reply = await _as_before(tour, READ)
    agents = [" | ".join(_cells(row)) for row in _rows(reply)]
    tour.stage.check(
        "the same rows under the same masks as the agent's",
        holds=len(agents) == 5 and shown.lines[1:] == agents,
    )

    tour.stage.call("rita", f'{" ".join(tour.psql.words)} -c "{DROP}"')
    refused = await tour.psql.run(password, DROP)
    tour.stage.show(refused.lines)
    policy = (await _as_before(tour, DROP)).word("policy")
    tour.stage.check(
        "it was refused by the same policy", holds=bool(policy) and policy in refused.text
    )
    there = await tour.truth("SELECT to_regclass('public.orders') IS NOT NULL")
    tour.stage.check("looked up directly: the table is there", holds=bool(there))


async def _as_before(tour: Tour, sql: str) -> Reply:
    """The agent's answer once more, unprinted."""
    async with connected(tour.url, tour.tokens["rita"]) as agent:
        return await agent.call("run_sql", {"target": "shop", "sql": sql})


async def _recording(tour: Tour) -> None:
    tour.stage.step(
        "All of it was recorded, before it happened",
        "Victor is an auditor as well; the command line speaks to the gateway with his token.",
    )
    everything = await _replayed(tour)
    for sql in (READ, NOTES, DROP, UPDATE_ALL, UPDATE_ONE):
        words = " ".join(sql.split())
        recorded = words in " ".join(everything.split())
        tour.stage.check(f"recorded: {words[:60]}", holds=recorded)
    rows = await tour.direct.fetch(f"SELECT ssn, card FROM ({READ}) AS shown")  # noqa: S608 - a constant
    tour.stage.check(
        "the recording holds what was delivered: masked values, not true ones",
        holds=not any(value in everything for row in rows for value in row),
    )
    verified = await tour.command_line.run("sessions", "verify")
    tour.stage.call("victor", "ostiary sessions verify")
    tour.stage.show(verified.lines)
    tour.stage.check("the chain verifies: nothing was changed or left out", holds=verified.good)


STEPS: Final[Sequence[Callable[[Tour], Awaitable[None]]]] = (
    _tools,
    _masked_columns,
    _masked_text,
    _drop,
    _update_all,
    _approved,
    _asked_again,
    _psql,
    _recording,
)


# --- approval ------------------------------------------------------------------------------------


async def _reviewed(tour: Tour, reviewer: Person) -> Reply:
    """Rita's update, while the reviewer looks for it and decides; her agent waits as told."""
    arguments: dict[str, JsonValue] = {"target": "shop", "sql": UPDATE_ONE, "reason": _REASON}
    tour.stage.call("rita's agent", _call("run_sql", arguments))
    async with (
        connected(tour.url, tour.tokens["rita"]) as agent,
        connected(tour.url, tour.tokens["victor"], reviewer) as desk,
        asyncio.timeout(_DECIDED_WITHIN),
    ):
        asking = asyncio.create_task(_until_decided(agent, arguments))
        try:
            await _decide(tour.stage, desk, reviewer, asking)
            return await asking
        finally:
            asking.cancel()


async def _until_decided(agent: Agent, arguments: Mapping[str, JsonValue]) -> Reply:
    """What an agent does that can't be held: wait with approval_wait, then repeat the call."""
    while True:
        reply = await agent.call("run_sql", arguments)
        if reply.word("status") != "pending_approval":
            return reply
        await agent.call("approval_wait", {"approval_id": reply.word("approval_id")})


async def _decide(stage: Stage, desk: Agent, reviewer: Person, asking: asyncio.Task[Reply]) -> None:
    decided = ""
    while not reviewer.shown and not asking.done():
        decided = (await desk.call("review_approvals", {})).word("decided")
        await asyncio.sleep(0.1)
    stage.check("the call waits, and the reviewer is asked", holds=bool(reviewer.shown))
    if reviewer.shown:
        stage.call("victor", "review_approvals(), whose form says:")
        stage.show(reviewer.shown[0].splitlines())
        stage.show([f"Decision: {reviewer.decision} ({reviewer.comment})", decided])


async def _total(tour: Tour) -> Any:
    return await tour.truth("SELECT total FROM orders WHERE id = 42")


# --- recording -----------------------------------------------------------------------------------


async def _replayed(tour: Tour) -> str:
    """Every session's replay, oldest first; printed is the one of the approved update."""
    listed = await tour.command_line.run("sessions", "list")
    tour.stage.call("victor", "ostiary sessions list")
    tour.stage.show(listed.lines, most=14)
    sessions = [s for s in reversed(_ids(listed)) if s not in tour.earlier]
    replays = {s: await tour.command_line.run("sessions", "replay", s) for s in sessions}
    for session, replay in replays.items():
        if "UPDATE 1" in replay.text:
            tour.stage.call("victor", f"ostiary sessions replay {session}")
            tour.stage.show(replay.lines)
    good = listed.good and bool(replays) and all(replay.good for replay in replays.values())
    tour.stage.check(f"{len(replays)} sessions are replayed", holds=good)
    return "\n".join(replay.text.replace("| ", " ") for replay in replays.values())


def _ids(listed: Ended) -> list[str]:
    """The first column of `ostiary sessions list`."""
    head, rows = listed.lines[:1], listed.lines[2:]
    return [row.split()[0] for row in rows] if head and head[0].startswith("id") else []


# --- showing -------------------------------------------------------------------------------------


def _call(tool: str, arguments: Mapping[str, JsonValue]) -> str:
    given = ", ".join(f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in arguments.items())
    return f"{tool}({given})"


def _cells(row: JsonValue) -> list[str]:
    cells = row if isinstance(row, list) else [row]
    return ["NULL" if cell is None else str(cell) for cell in cells]


def _rows(reply: Reply) -> list[JsonValue]:
    rows = reply.document.get("rows")
    return rows if isinstance(rows, list) else []


def _show_rows(stage: Stage, reply: Reply) -> None:
    if reply.is_error:
        _show_document(stage, reply)
    columns = reply.document.get("columns")
    names = (
        [str(c["name"]) for c in columns if isinstance(c, dict)]
        if isinstance(columns, list)
        else []
    )
    if names:
        stage.show(table(names, [_cells(row) for row in _rows(reply)]))


def _show_document(stage: Stage, reply: Reply) -> None:
    for name, value in reply.document.items():
        words = "; ".join(map(str, value)) if isinstance(value, list) else value
        stage.show(wrapped(name, words))


def _show_refusal(tour: Tour, reply: Reply) -> None:
    _show_document(tour.stage, reply)
    tour.stage.check("it was refused", holds=reply.is_error)
    told = all(reply.word(name) for name in ("code", "policy", "reason", "next_step"))
    tour.stage.check("it says which policy, why, and what to do next", holds=told)


def _absent(secrets: Sequence[str], reply: Reply) -> bool:
    """Whether no secret is anywhere in an answer, its text or its structure."""
    everything = reply.text + json.dumps(dict(reply.document), ensure_ascii=False)
    return bool(everything) and not any(secret in everything for secret in secrets)
