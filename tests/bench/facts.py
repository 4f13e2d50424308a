"""`make bench`: what understanding and judging a statement costs, beside the bare libraries.

Facts of typical statements through the worker processes and in this process, facts that are known
already, and a decision by 100 policies beside Cedar alone, asked the same two questions. No
statement is known from another one, but where that is what is measured.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cedarpy
import uvloop

from policies import packs
from policies.cedar import CedarDecisionPoint
from policies.loading import PolicySets, load_policy_sets, policy_set
from policies.memory import RememberingDecisionPoint
from policies.model import AccessRequest, Channel, SqlStatement
from policies.questions import entities, questions, request_context
from policies.sql.catalog import Catalog
from server.parsing.in_process import DIALECTS
from server.parsing.pool import ParserPool, parsing
from tests.policies import catalogs as postgres
from tests.policies.mysql import catalogs as mysql
from tests.policies.requests import NOON, SHOP, person

ROUNDS: Final = 400
POLICIES: Final = 100

TYPICAL: Final = (
    "SELECT id, name FROM users WHERE {} = id",
    "SELECT u.id, u.name, o.total FROM users u JOIN orders o ON o.user_id = u.id"
    " WHERE o.id > {} AND u.name LIKE 'A%' ORDER BY o.total DESC LIMIT 20",
    "SELECT user_id, count(*), sum(total) FROM orders WHERE total > {} GROUP BY user_id",
    "UPDATE users SET name = 'x' WHERE id = {}",
    "INSERT INTO orders (id, user_id, total) VALUES ({}, 7, 12.50)",
)
MORE: Final = (
    'permit (principal in Group::"team-{n}", action in Action::"read",'
    ' resource in Schema::"shop/s{n}") when {{ context.request.channel != "web" }};',
    'permit (principal in Group::"team-{n}", action in Action::"change",'
    ' resource in Environment::"stage-{n}");',
    'forbid (principal, action == Action::"sql.query", resource)'
    ' when {{ context.sql.functions.contains("app.f{n}") }};',
    '@approve("dba") forbid (principal, action == Action::"sql.update",'
    ' resource in Schema::"shop/s{n}") unless {{ principal in Group::"dba" }};',
)


@dataclass(slots=True)
class Times:
    """What one thing took, in milliseconds."""

    name: str
    bound: str = ""
    taken: Sequence[float] = ()

    def print(self) -> None:
        ordered = sorted(self.taken)
        p50, p95 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.95)]
        print(f"{self.name:44} {p50:9.4f} {p95:9.4f}   {self.bound}")


def timed(name: str, act: Callable[[int], object], bound: str = "") -> Times:
    taken = []
    for number in range(ROUNDS):
        begun = time.perf_counter()
        act(number)
        taken.append((time.perf_counter() - begun) * 1000)
    return Times(name, bound, taken)


async def through_workers(pool: ParserPool, dialect: str, catalog: Catalog) -> Times:
    """Half of it beside the same in process, so that a disturbance meets both."""
    taken = []
    for number in range(ROUNDS):
        text = TYPICAL[number % len(TYPICAL)].format(number)
        begun = time.perf_counter()
        facts = await pool.facts(dialect, text, catalog)
        taken.append((time.perf_counter() - begun) * 1000)
        assert facts.opaque is None, facts.opaque
    bound = "p50 at most 0.6" if dialect == "postgres" else ""
    return Times(f"facts, {dialect}, through the workers", bound, taken)


def in_process(dialect: str, catalog: Catalog) -> Times:
    analyse = DIALECTS[dialect]
    return timed(
        f"facts, {dialect}, in process",
        lambda number: analyse(TYPICAL[number % len(TYPICAL)].format(number), catalog),
    )


async def known(pool: ParserPool, catalog: Catalog) -> Times:
    """By hundreds, because one takes less than the clock tells apart."""
    text, taken = TYPICAL[0].format(0), []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for _ in range(100):
            await pool.facts("postgres", text, catalog)
        taken.append((time.perf_counter() - begun) * 10)
    return Times("facts that are known", "at most 0.005", taken)


def policies(directory: Path) -> PolicySets:
    """The starter set, and as many more as make a hundred."""
    for file in packs.directory_of("starter").glob("*.cedar"):
        (directory / file.name).write_text(file.read_text())
    starter = load_policy_sets(directory, targets=None, labels=(), groups=None)
    more = (
        f'@id("more-{n}") {MORE[n % len(MORE)].format(n=n)}'
        for n in range(POLICIES - len(starter.policies))
    )
    (directory / "more.cedar").write_text("\n".join(more))
    return load_policy_sets(directory, targets=None, labels=(), groups=None)


def a_request() -> AccessRequest:
    facts = DIALECTS["postgres"](TYPICAL[0].format(7), postgres.catalog())
    principal = person("analysts", "developers", "team-3")
    return AccessRequest(
        principal, SHOP, SqlStatement("x"), Channel.MCP, NOON, "s", facts, "to see"
    )


def decisions(sets: PolicySets) -> list[Times]:
    request = a_request()
    point = CedarDecisionPoint(sets)
    remembering = RememberingDecisionPoint(point)
    texts = [replace(request, session=str(number)) for number in range(ROUNDS)]
    return [
        timed(
            f"a decision, {len(sets.policies)} policies",
            lambda n: point.decide(texts[n]),
            "p50 at most 0.6",
        ),
        timed("  Cedar alone, prepared", bare(sets, request)),
        timed("  remembered", lambda n: remembering.decide(texts[n])),
    ]


def bare(sets: PolicySets, request: AccessRequest) -> Callable[[int], object]:
    """The same questions to the same policies as one set; only the asking is measured."""
    asked, context = questions(request), request_context(request)
    documents: list[dict[str, Any]] = [
        {**q.document(request.principal), "context": json.dumps(q.whole(context))} for q in asked
    ]
    known = cedarpy.Entities.from_json_str(json.dumps(entities(request, asked)), sets.schema)
    whole = policy_set({policy.id: policy.document for policy in sets.policies.values()})
    return lambda _: cedarpy.is_authorized_batch(documents, whole, known, sets.schema)


async def measure() -> list[Times]:
    found = []
    async with parsing(["mysql", "postgres"]) as pool:
        for dialect, catalog in (("postgres", postgres.catalog()), ("mysql", mysql.catalog())):
            for text in TYPICAL:  # the workers take the catalog in
                await pool.facts(dialect, text.format(-1), catalog)
            found += [await through_workers(pool, dialect, catalog), in_process(dialect, catalog)]
        found.append(await known(pool, postgres.catalog()))
    return found


def main() -> int:
    print(f"{'milliseconds':44} {'p50':>9} {'p95':>9}")
    for times in uvloop.run(measure()):
        times.print()
    with tempfile.TemporaryDirectory(prefix="ostiary-bench-", dir="/tmp") as directory:
        for times in decisions(policies(Path(directory))):
            times.print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
