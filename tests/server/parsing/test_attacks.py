"""Attempts to mix answers up, to slander others, and to hold others up with odd statements."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import pytest
from pydantic import TypeAdapter, ValidationError

from policies.sql import postgres
from policies.sql.facts import SqlEffect, SqlFacts
from server.parsing import wire
from server.parsing.link import ANALYSIS, Said
from server.parsing.pool import FOR_EVERYBODY, ParserPool, parsing
from tests.policies.catalogs import catalog
from tests.policies.mysql import catalogs as of_mysql
from tests.server.parsing.pools import PLAIN, WITHIN, ask, code, exists, spiteful, until

pytestmark = pytest.mark.anyio

# Different in everything that a mixed-up answer would show.
KINDS: Final = (
    "SELECT id FROM users WHERE id = {}",
    "DELETE FROM users WHERE id = {}",
    "INSERT INTO orders (id) VALUES ({})",
    "SELECT count(*) FROM orders WHERE id > {}",
    "BEGIN -- {}",
    "SELECT nothing_at_all({})",
)
SIGNALS: Final = (signal.SIGSTOP, signal.SIGSTOP, signal.SIGCONT, signal.SIGKILL)


async def asked_all_the_time(pool: ParserPool, asker: str, stop: asyncio.Event) -> int:
    """How many were answered; each with its own facts, or as opaque for want of a parser."""
    answered = 0
    number = 0
    while not stop.is_set():
        text = KINDS[number % len(KINDS)].format(f"{number}{asker[-1]}"[:-1] + "7")
        number += 1
        found = await ask(pool, text, asker)
        if found.opaque is None or not found.opaque.code.startswith("SQL_PARSER"):
            assert found == postgres.analyse(text, catalog()), text
            answered += 1
    return answered


@pytest.mark.parametrize("seed", range(2))
async def test_no_answer_is_taken_for_another_while_workers_stop_go_on_and_die(seed: int) -> None:
    chance = random.Random(seed)
    async with spiteful() as pool:
        await ask(pool, PLAIN.format(0))
        stop = asyncio.Event()
        asking = [
            asyncio.create_task(asked_all_the_time(pool, f"asker{n}", stop)) for n in range(4)
        ]
        for _ in range(150):
            workers = pool.processes[1:]
            if workers:
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(workers), chance.choice(SIGNALS))
            await asyncio.sleep(0.01)
        # All but the nursery, which has no part in answers, are as they come again.
        stop.set()
        assert sum(await asyncio.gather(*asking)) > 0
        for pid in pool.processes[1:]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        await until(lambda: len(pool.processes) == 1 + FOR_EVERYBODY + 1)


async def test_a_late_answer_is_nobodys() -> None:
    """The worker is let go on at the very moment when its statement is given up."""
    async with spiteful() as pool:
        await ask(pool, PLAIN.format(0))
        for number in range(1, 3):
            worker = pool.processes[1]
            os.kill(worker, signal.SIGSTOP)
            late = asyncio.create_task(ask(pool, PLAIN.format(number), "alice"))
            await asyncio.sleep(0)
            other = asyncio.create_task(ask(pool, "DELETE FROM users WHERE id = 1", "bob"))
            facts = await late
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGCONT)
            assert facts.opaque is None or facts.opaque.code == "SQL_PARSER_LATE"
            after = await ask(pool, f"INSERT INTO orders (id) VALUES ({number})", "alice")
            assert after.opaque is None
            assert {use.verb for use in after.tables} == {"insert"}
            assert (await other).effect in (SqlEffect.WRITE, SqlEffect.OPAQUE)
            await until(lambda: len(pool.processes) == 1 + FOR_EVERYBODY + 1)


@pytest.mark.parametrize("spent", ["NaN", "Infinity", "-Infinity", "-1", "1e999"])
def test_no_word_of_a_worker_makes_the_accounts_of_time_senseless(spent: str) -> None:
    """Not a number is never more than a share, and infinity never made good."""
    with pytest.raises(ValidationError):
        TypeAdapter(Said).validate_json(f'{{"about":1,"facts":null,"spent":{spent}}}', strict=True)


async def test_a_worker_can_not_have_somebody_suspected_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spent: list[float] = []
    async with spiteful() as pool:
        monkeypatch.setattr(pool, "suspicions", _Noting(spent))
        await ask(pool, "SELECT 1 /* slander */", "alice")
    assert spent == [ANALYSIS]


class _Noting:
    """What the pool asks of `Suspicions`; notes the time that is charged."""

    def __init__(self, spent: list[float]) -> None:
        self._spent = spent

    def spent(self, asker: str, seconds: float) -> None:
        self._spent.append(seconds)

    def of_asker(self, asker: str) -> bool:
        return False

    def of_statement(self, dialect: str, text: str) -> SqlFacts | None:
        return None


def columns(count: int) -> str:
    return ", ".join(f"c{n}" for n in range(count))


ODD: Final[Mapping[str, str]] = {
    "parameters": "SELECT 1 FROM users WHERE id IN (" + ", ".join(f"${n}" for n in range(1, 9000)),
    "a parameter's number": "SELECT $" + "9" * 30_000,
    "an identifier": 'SELECT "' + "i" * 60_000 + '" FROM users',
    "identifiers": "SELECT " + ".".join(["a"] * 30_000),
    "UNIONs": " UNION ".join(["SELECT 1"] * 4_000),
    "UNIONs of stars": " UNION ALL ".join(["SELECT * FROM users"] * 2_000),
    "CTEs in a row": "WITH "
    + ", ".join(f"c{n} AS (SELECT * FROM {f'c{n - 1}' if n else 'users'})" for n in range(900))
    + " SELECT * FROM c899",
    "CTEs that double": "WITH c0 AS (SELECT 1 AS a), "
    + ", ".join(f"c{n} AS (SELECT x.a FROM c{n - 1} x, c{n - 1} y)" for n in range(1, 60))
    + " SELECT * FROM c59",
    "columns that double": "WITH c0 AS (SELECT * FROM users), "
    + ", ".join(f"c{n} AS (SELECT x.*, y.* FROM c{n - 1} x, c{n - 1} y)" for n in range(1, 30))
    + " SELECT * FROM c29",
    "joins of stars": "SELECT * FROM " + ", ".join(f"users u{n}" for n in range(3_000)),
    "values": "VALUES " + ", ".join(["(1, 2, 3)"] * 5_000),
    "aliases": "SELECT " + ", ".join(f"id AS c{n}" for n in range(5_000)) + " FROM users",
    "strings": "SELECT " + "'' || " * 9_000 + "''",
    "quotation marks": "SELECT '" + "''" * 30_000 + "'",
    "dollars": "SELECT " + " ".join(f"$a{n}$" for n in range(6_000)),
    "casts": "SELECT 1" + "::int" * 10_000,
    "COLLATEs": "SELECT 'a'" + ' COLLATE "C"' * 5_000,
    "ORDER BYs": "SELECT 1 FROM users ORDER BY " + ", ".join(["id"] * 20_000),
    "GROUPING SETS": "SELECT 1 FROM users GROUP BY " + ", ".join(["CUBE (id, name)"] * 3_000),
    "windows": "SELECT " + ", ".join(["sum(id) OVER (PARTITION BY name)"] * 1_500) + " FROM users",
    "backticks": "SELECT `" + "``" * 30_000,
    "controls": "SELECT " + "\x01\x02\x7f" * 10_000,
    "line ends": "SELECT 1 --" + "\r\n--" * 15_000,
    "other scripts": "SELECT " + "\U00010400" * 16_000,
}


@pytest.mark.parametrize("dialect", ["postgres", "mysql"])
async def test_odd_statements_are_answered_and_hold_nobody_up(dialect: str) -> None:
    names = catalog() if dialect == "postgres" else of_mysql.catalog()
    async with asyncio.timeout(WITHIN), parsing([dialect]) as pool:
        await pool.facts(dialect, PLAIN.format(0), names)

        async def all_of(asker: str) -> list[SqlFacts]:
            return [await pool.facts(dialect, text, names, asker=asker) for text in ODD.values()]

        asking = [asyncio.create_task(all_of(f"mallory{n}")) for n in range(2)]
        answered = 0
        while answered < 20 or not all(task.done() for task in asking):
            facts = await pool.facts(dialect, PLAIN.format(answered), names, asker="alice")
            assert facts.opaque is None
            answered += 1
        assert all(len(task.result()) == len(ODD) for task in asking)
        processes = pool.processes
    await until(lambda: not any(map(exists, processes)))


async def test_what_two_ask_at_once_is_asked_of_a_parser_once_whoever_is_suspected() -> None:
    async with spiteful() as pool:
        assert await code(pool, "SELECT 1 /* crash */", "mallory") == "SQL_PARSER_DIED"
        found = await asyncio.gather(
            *(ask(pool, PLAIN.format(1), asker) for asker in ("mallory", "alice", "bob"))
        )
        assert all(facts is found[0] for facts in found)
        assert found[0].opaque is None


def test_an_answer_is_one_documents_and_no_other_kind() -> None:
    framed = wire.answer_frame(7, SqlFacts(SqlEffect.READ), 0.5)
    said = TypeAdapter(Said).validate_json(framed[wire.HEADER.size :], strict=True)
    assert (said.about, said.spent) == (7, 0.5)
    for content in (b"[]", b"null", b'"x"', b"{}", b'{"about":"7","facts":null,"spent":0}'):
        with pytest.raises(ValidationError):
            TypeAdapter(Said).validate_json(content, strict=True)
