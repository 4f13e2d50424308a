"""Statements through the parser processes: the same facts, and what happens around a bad one."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace

import pytest

from policies.sql import mysql, postgres
from server.parsing import remembered
from server.parsing.link import ANALYSIS
from server.parsing.pool import FOR_EVERYBODY, QUEUE_OF_ONE, WAITING, parsing
from tests.policies.catalogs import catalog, statements
from tests.policies.mysql import catalogs as of_mysql
from tests.server.parsing.pools import PLAIN, WITHIN, ask, code, exists, spiteful, until

pytestmark = pytest.mark.anyio


async def test_every_statement_of_the_corpus_has_the_facts_that_it_has_in_process() -> None:
    async with asyncio.timeout(WITHIN), parsing(["postgres"]) as pool:
        for row in statements():
            found = await pool.facts("postgres", row["sql"], catalog())
            assert found == postgres.analyse(row["sql"], catalog()), row["sql"]


async def test_every_mysql_statement_has_the_facts_that_it_has_in_process() -> None:
    async with asyncio.timeout(WITHIN), parsing(["mysql"]) as pool:
        for row in of_mysql.statements():
            found = await pool.facts("mysql", row["sql"], of_mysql.catalog())
            assert found == of_mysql.facts(row["sql"]), row["sql"]


async def test_one_pool_speaks_both_dialects() -> None:
    async with asyncio.timeout(WITHIN), parsing(["mysql", "postgres"]) as pool:
        quoted = "SELECT `id` FROM `users`"
        one = await pool.facts("postgres", quoted, catalog())
        other = await pool.facts("mysql", quoted, of_mysql.catalog())
    assert one.opaque is not None
    assert other == mysql.analyse(quoted, of_mysql.catalog())
    assert other.opaque is None


async def test_equal_statements_are_asked_of_the_parsers_once() -> None:
    async with spiteful() as pool:
        first = await ask(pool, PLAIN.format(1))
        assert await ask(pool, PLAIN.format(1)) is first
        together = await asyncio.gather(*(ask(pool, PLAIN.format(2)) for _ in range(10)))
    assert all(facts is together[0] for facts in together)


async def test_facts_are_of_the_catalog_asked_about() -> None:
    base = catalog()
    without = {n: r for n, r in base.relations.items() if n.name != "users"}
    async with asyncio.timeout(WITHIN), parsing(["postgres"]) as pool:
        text = PLAIN.format(1)
        assert (await pool.facts("postgres", text, base)).opaque is None
        smaller = await pool.facts("postgres", text, replace(base, relations=without))
        elsewhere = await pool.facts("postgres", text, replace(base, search_path=("hr",)))
        again = await pool.facts("postgres", text, base)
    assert smaller.opaque is not None
    assert elsewhere.opaque is not None
    assert again.opaque is None


async def test_a_caller_that_leaves_does_not_take_the_answer_of_others_along() -> None:
    async with spiteful() as pool:
        leaving = asyncio.create_task(ask(pool, PLAIN.format(1)))
        staying = asyncio.create_task(ask(pool, PLAIN.format(1)))
        await asyncio.sleep(0)
        leaving.cancel()
        assert (await staying).opaque is None


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        ("hang", "SQL_PARSER_LATE"),
        ("crash", "SQL_PARSER_DIED"),
        ("bomb", "SQL_PARSER_DIED"),
        ("garbage", "SQL_PARSER_DIED"),
        ("flood", "SQL_PARSER_DIED"),
        ("twice", "SQL_PARSER_DIED"),
        ("no facts", "SQL_PARSER_DIED"),
    ],
)
async def test_a_statement_that_harms_its_parser_is_opaque_and_others_go_on(
    act: str, expected: str
) -> None:
    async with spiteful() as pool:
        await ask(pool, PLAIN.format(0))
        harmful = asyncio.create_task(ask(pool, f"SELECT 1 /* {act} */", "mallory"))
        for number in range(50):
            assert await code(pool, PLAIN.format(number), "alice") == ""
        facts = await harmful
        assert facts.opaque is not None
        assert facts.opaque.code == expected
        assert facts.opaque.next_step
        await until(lambda: len(pool.processes) == 1 + FOR_EVERYBODY + 1)
        assert await code(pool, "SELECT 2", "mallory") == ""


async def test_others_are_answered_while_a_statement_hangs() -> None:
    async with spiteful() as pool:
        await ask(pool, PLAIN.format(0))
        hanging = asyncio.create_task(ask(pool, "SELECT 1 /* hang */", "mallory"))
        answered = 0
        while not hanging.done():
            # Also those of the one who asked for it: here only the statement itself is late.
            for asker in ("alice", "mallory"):
                assert await code(pool, PLAIN.format(answered), asker) == ""
                answered += 1
    assert answered > 50


async def test_a_statement_waits_and_runs_for_a_second_and_a_half_at_most() -> None:
    assert WAITING + ANALYSIS <= 1.5


async def test_a_statement_that_harmed_a_parser_is_refused_at_once_afterwards() -> None:
    async with spiteful() as pool:
        assert await code(pool, "SELECT 1 /* hang */") == "SQL_PARSER_LATE"
        await until(lambda: len(pool.processes) == 1 + FOR_EVERYBODY + 1)
        before = pool.processes
        for _ in range(20):
            assert await code(pool, "SELECT 1 /* hang */", "another") == "SQL_PARSER_LATE"
        assert pool.processes == before


async def test_many_different_statements_that_hang_hold_up_who_asks_and_nobody_else() -> None:
    async with spiteful() as pool:
        await ask(pool, PLAIN.format(0))
        hanging = [
            asyncio.create_task(code(pool, f"SELECT {n} /* hang */", "mallory")) for n in range(20)
        ]
        answered = 0
        while not all(task.done() for task in hanging):
            assert await code(pool, PLAIN.format(answered), "alice") == ""
            answered += 1
        found = {task.result() for task in hanging}
        assert found <= {"SQL_PARSER_LATE", "SQL_PARSER_BUSY"}
        assert answered > 50


async def test_who_takes_more_than_a_share_leaves_the_workers_of_all_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remembered, "BURST", -1.0)  # anything is more than a share
    async with spiteful() as pool:
        assert await code(pool, PLAIN.format(0), "mallory") == ""
        await until(lambda: len(pool.processes) == 1 + FOR_EVERYBODY + 1)
        everybodys = pool.processes[1 : 1 + FOR_EVERYBODY]
        for number in range(3):
            assert await code(pool, f"SELECT {number} /* crash */", "mallory") == "SQL_PARSER_DIED"
            await until(lambda: len(pool.processes) == 1 + FOR_EVERYBODY + 1)
        assert pool.processes[1 : 1 + FOR_EVERYBODY] == everybodys


async def test_a_statement_that_is_late_without_working_is_not_held_against_anybody() -> None:
    async with spiteful() as pool:
        assert await code(pool, "SELECT 1 /* sleep */", "alice") == "SQL_PARSER_LATE"
        assert not pool.suspicions.of_asker("alice")
        assert pool.suspicions.of_statement("postgres", "SELECT 1 /* sleep */") is None


async def test_who_harmed_a_parser_shares_one_worker_from_then_on() -> None:
    async with spiteful() as pool:
        assert await code(pool, "SELECT 1 /* crash */", "mallory") == "SQL_PARSER_DIED"
        await until(lambda: len(pool.processes) == 1 + FOR_EVERYBODY + 1)
        everybodys = pool.processes[1 : 1 + FOR_EVERYBODY]
        for number in range(5):
            await code(pool, f"SELECT {number} /* crash */", "mallory")
        assert pool.processes[1 : 1 + FOR_EVERYBODY] == everybodys


async def test_more_statements_of_one_caller_than_may_wait_are_refused() -> None:
    async with spiteful() as pool:
        many = (code(pool, PLAIN.format(n), "mallory") for n in range(QUEUE_OF_ONE + 50))
        found = await asyncio.gather(*many)
    # They came before there was a worker: as many as may wait were answered.
    assert found.count("") == QUEUE_OF_ONE
    assert found.count("SQL_PARSER_BUSY") == 50


async def test_statements_that_wait_in_a_queue_that_moves_are_answered() -> None:
    async with spiteful() as pool:
        await ask(pool, PLAIN.format(0))
        many = (code(pool, f"SELECT {n} /* slow */", "alice") for n in range(60))
        assert set(await asyncio.gather(*many)) == {""}  # 1.5 s, with two workers


async def test_a_worker_killed_while_it_parses_is_replaced() -> None:
    async with spiteful() as pool:
        await ask(pool, PLAIN.format(0))
        hanging = asyncio.create_task(code(pool, "SELECT 1 /* hang */"))
        await asyncio.sleep(0)
        victim = pool.processes[1]
        os.kill(victim, signal.SIGKILL)
        assert await hanging == "SQL_PARSER_DIED"
        await until(lambda: len(pool.processes) == 1 + FOR_EVERYBODY + 1)
        assert victim not in pool.processes
        assert await code(pool, PLAIN.format(1), "alice") == ""


async def test_a_worker_that_is_stopped_is_late_and_replaced() -> None:
    async with spiteful() as pool:
        await ask(pool, PLAIN.format(0))
        victim = pool.processes[1]
        os.kill(victim, signal.SIGSTOP)
        assert await code(pool, PLAIN.format(1), "alice") == "SQL_PARSER_LATE"
        assert await code(pool, PLAIN.format(2), "bob") == ""
        await until(lambda: not exists(victim))


async def test_workers_that_die_idle_are_replaced() -> None:
    async with spiteful() as pool:
        await ask(pool, PLAIN.format(0))
        await until(lambda: len(pool.processes) == 1 + FOR_EVERYBODY + 1)
        before = pool.processes[1:]
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: not set(before) & set(pool.processes) and len(pool.processes) == 4)
        assert await code(pool, PLAIN.format(1)) == ""


async def test_a_nursery_that_dies_is_replaced_with_all_its_workers() -> None:
    async with spiteful() as pool:
        await ask(pool, PLAIN.format(0))
        before = pool.processes
        os.kill(before[0], signal.SIGKILL)
        await until(lambda: len(pool.processes) == 4 and not set(before) & set(pool.processes))
        assert await code(pool, PLAIN.format(1)) == ""
        await until(lambda: not any(map(exists, before)))


async def test_a_nursery_that_is_stopped_is_replaced_once_it_should_act() -> None:
    async with spiteful() as pool:
        await ask(pool, PLAIN.format(0))
        before = pool.processes
        os.kill(before[0], signal.SIGSTOP)
        assert await code(pool, "SELECT 1 /* hang */") == "SQL_PARSER_LATE"
        assert await code(pool, PLAIN.format(1), "alice") == ""
        await until(lambda: not any(map(exists, before)))
        await until(lambda: len(pool.processes) == 4)
        assert await code(pool, PLAIN.format(2)) == ""


async def test_without_a_parser_statements_are_opaque() -> None:
    async with (
        asyncio.timeout(WITHIN),
        parsing(["postgres"], "tests.server.parsing.dead_nursery") as pool,
    ):
        first = asyncio.create_task(code(pool, "SELECT 1"))
        await until(lambda: pool.warm)
        assert await code(pool, "SELECT 2") == "SQL_PARSER_MISSING"
        first.cancel()


async def test_processes_begin_with_the_first_statement_or_when_they_are_told_to() -> None:
    async with spiteful() as pool:
        await asyncio.sleep(0)
        assert pool.processes == []
        pool.begin()
        await until(lambda: len(pool.processes) == 1 + FOR_EVERYBODY + 1)
        before = pool.processes
        assert await code(pool, PLAIN.format(0)) == ""
        assert pool.processes == before


async def test_leaving_the_pool_answers_what_waits_and_leaves_no_process() -> None:
    async with spiteful() as pool:
        await ask(pool, PLAIN.format(0))
        await until(lambda: len(pool.processes) == 1 + FOR_EVERYBODY + 1)
        processes = pool.processes
        hanging = asyncio.create_task(code(pool, "SELECT 1 /* hang */"))
        await asyncio.sleep(0)
    assert await hanging == "SQL_PARSER_MISSING"
    async with asyncio.timeout(WITHIN):
        await until(lambda: not any(map(exists, processes)))
