"""A target whose reads do not wait for the journal: they run while it is slow, writes do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
import pytest

from tests.e2e.world import World

READ: Final = "SELECT count(*) FROM orders WHERE id < %s"
WRITE: Final = "UPDATE carts SET note = 'changed' WHERE id = 1"


@pytest.fixture(scope="module")
def world(module_worlds: Callable[..., World]) -> World:
    made = module_worlds()
    shop = made.configuration()["targets"]["shop"]
    fast = {**shop, "recording": "best_effort"}
    policies = made.directory / "policies"
    policies.mkdir()
    (policies / "all.cedar").write_text(
        '@id("all") permit (principal in Group::"developers", action, resource) when { true };\n'
        '@id("m") @mask("pii") forbid (principal, action == Action::"sql.select", resource);\n'
    )
    made.settings = {"targets": {"shop": shop, "fast": fast}, "policies": str(policies)}
    with psycopg.connect(made.direct_dsn) as direct:
        direct.execute("CREATE TABLE carts (id int PRIMARY KEY, note text)")
        direct.execute("INSERT INTO carts VALUES (1, 'as it was')")
    made.start()
    return made


def connect(world: World, target: str) -> psycopg.Connection[Any]:
    place = {"host": "127.0.0.1", "port": world.listener, "user": "anybody", "dbname": target}
    return psycopg.connect(**place, password=world.token("rita"), autocommit=True)


@contextmanager
def journal_stands_still(world: World) -> Iterator[None]:
    with psycopg.connect(world.store_dsn) as store:
        store.execute("LOCK TABLE records IN ACCESS EXCLUSIVE MODE")
        yield


def test_reads_run_and_writes_wait_for_the_journal(world: World) -> None:
    with connect(world, "fast") as fast, connect(world, "shop") as durable:
        for connection in (fast, durable):
            assert connection.execute(READ, (100,)).fetchone() == (99,)
        with journal_stands_still(world):
            assert fast.execute(READ, (51,)).fetchone() == (50,)
            with pytest.raises(psycopg.Error):
                durable.execute(READ, (52,))
            with pytest.raises(psycopg.Error):
                fast.execute(WRITE)
        session = (
            "SELECT document::jsonb ->> 'recording' FROM records WHERE kind = 'session_opened'"
        )
        with psycopg.connect(world.store_dsn) as store:
            assert {row[0] for row in store.execute(session)} == {None, "best_effort"}
    with psycopg.connect(world.direct_dsn) as direct:
        assert direct.execute("SELECT note FROM carts").fetchone() == ("as it was",)


def test_what_ran_is_recorded_in_order_all_the_same(world: World) -> None:
    with connect(world, "fast") as fast:
        fast.execute("SELECT 1")
        fast.execute("SELECT 2")
    kinds = (
        "SELECT kind FROM records WHERE session = (SELECT session FROM records"
        " WHERE kind = 'session_opened' ORDER BY at DESC LIMIT 1) ORDER BY at"
    )
    expected = ["session_opened", "signed_in", *["intent", "answer"] * 2, "session_closed"]
    with psycopg.connect(world.store_dsn, autocommit=True) as store:
        found: list[str] = []
        for _ in range(100):
            found = [kind for (kind,) in store.execute(kinds)]
            if found[-1:] == ["session_closed"]:
                break
            store.execute("SELECT pg_sleep(0.1)")
    assert [kind for kind in found if kind in expected] == expected
