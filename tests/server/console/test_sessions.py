"""Sessions of the approval page, in a real store and by its clock."""

from __future__ import annotations

from datetime import timedelta

import pytest

from policies.model import Principal
from recordings.store import Store
from server.console.sessions import MOST_SESSIONS, Sessions

pytestmark = pytest.mark.anyio

VICTOR = Principal("corp:victor", "Victor", "web", frozenset({"dba", "ops"}), "v@corp.example")
VERA = Principal("corp:vera", "Vera", "web")
NEW, OLD = b"n" * 32, b"o" * 32


def sessions(store: Store, *keys: bytes, lifetime: float = 60, idle: float = 30) -> Sessions:
    bounds = {"lifetime": timedelta(minutes=lifetime), "idle": timedelta(minutes=idle)}
    return Sessions(store, keys or (NEW,), **bounds)


async def pass_minutes(store: Store, minutes: float, *columns: str) -> None:
    for column in columns:
        await store.pool.execute(
            f"UPDATE console_sessions SET {column} = {column} - $1::interval",
            timedelta(minutes=minutes),
        )


async def test_a_session_knows_who_signed_in(store: Store) -> None:
    opened = await sessions(store).open(VICTOR)
    found = await sessions(store).find(opened.id)
    assert found is not None
    assert found.principal == VICTOR
    assert found.form_token == opened.form_token


async def test_the_id_is_not_in_the_store_and_the_form_token_does_not_give_it_away(
    store: Store,
) -> None:
    opened = await sessions(store).open(VICTOR)
    stored = await store.pool.fetchval("SELECT row_to_json(s)::text FROM console_sessions s")
    for secret in (opened.id, opened.form_token, opened.id.encode().hex()):
        assert secret not in stored
    assert opened.id not in opened.form_token
    assert opened.id not in repr(opened)


async def test_every_session_has_an_id_of_its_own(store: Store) -> None:
    ids = {(await sessions(store).open(VICTOR)).id for _ in range(5)}
    assert len(ids) == 5
    assert all(len(each) >= 43 for each in ids)


@pytest.mark.parametrize("guess", ["", "guess", "\x00", "\udcff", "é", "x" * 10_000])
async def test_another_id_is_nobodys(store: Store, guess: str) -> None:
    opened = await sessions(store).open(VICTOR)
    assert await sessions(store).find(guess) is None
    assert await sessions(store).find(opened.id + guess if guess else opened.id[:-1]) is None


async def test_a_session_that_is_left_alone_ends(store: Store) -> None:
    opened = await sessions(store).open(VICTOR)
    await pass_minutes(store, 29, "seen_at")
    assert await sessions(store).find(opened.id) is not None
    await pass_minutes(store, 29, "seen_at")
    assert await sessions(store).find(opened.id) is not None
    await pass_minutes(store, 31, "seen_at")
    assert await sessions(store).find(opened.id) is None


async def test_a_session_ends_however_much_it_is_used(store: Store) -> None:
    opened = await sessions(store).open(VICTOR)
    await pass_minutes(store, 59, "opened_at", "expires_at")
    assert await sessions(store).find(opened.id) is not None
    await pass_minutes(store, 2, "opened_at", "expires_at")
    assert await sessions(store).find(opened.id) is None


async def test_a_shorter_bound_counts_for_sessions_that_are_open(store: Store) -> None:
    opened = await sessions(store).open(VICTOR)
    await pass_minutes(store, 10, "opened_at", "expires_at", "seen_at")
    assert await sessions(store, lifetime=9).find(opened.id) is None
    assert await sessions(store, idle=9).find(opened.id) is None
    assert await sessions(store).find(opened.id) is not None


async def test_a_closed_session_is_over(store: Store) -> None:
    one, other = await sessions(store).open(VICTOR), await sessions(store).open(VICTOR)
    await sessions(store).close(one.id)
    assert await sessions(store).find(one.id) is None
    assert await sessions(store).find(other.id) is not None


async def test_a_new_key_leaves_old_sessions_open_and_a_removed_one_does_not(
    store: Store,
) -> None:
    opened = await sessions(store, OLD).open(VICTOR)
    assert await sessions(store, NEW, OLD).find(opened.id) is not None
    await sessions(store, NEW, OLD).close("another")
    assert await sessions(store, NEW).find(opened.id) is None
    await sessions(store, NEW, OLD).close(opened.id)
    assert await sessions(store, OLD).find(opened.id) is None


async def test_nobody_keeps_more_than_a_bounded_number_of_sessions(store: Store) -> None:
    of_vera = await sessions(store).open(VERA)
    opened = [await sessions(store).open(VICTOR) for _ in range(MOST_SESSIONS + 2)]
    found = [await sessions(store).find(each.id) is not None for each in opened]
    assert found == [False, False] + [True] * MOST_SESSIONS
    assert await sessions(store).find(of_vera.id) is not None


async def test_what_is_over_does_not_stay_in_the_store(store: Store) -> None:
    await sessions(store).open(VERA)
    await pass_minutes(store, 61, "opened_at", "expires_at", "seen_at")
    await sessions(store).open(VICTOR)
    assert await store.pool.fetchval("SELECT count(*) FROM console_sessions") == 1
