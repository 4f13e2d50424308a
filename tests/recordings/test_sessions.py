"""The list of sessions, and one session read back."""

from __future__ import annotations

import itertools

import pytest

from recordings.chain import Json
from recordings.journal import Journal, Record
from recordings.retention import delete_bodies
from recordings.sessions import SessionFilter, list_sessions, read_session
from recordings.store import Store

pytestmark = pytest.mark.anyio


def opened(session: str, principal: str = "corp:ann", target: str = "shop") -> Record:
    who: dict[str, Json] = {"id": principal, "name": "Ann", "agent": "claude", "groups": []}
    document: dict[str, Json] = {
        "principal": who,
        "target": target,
        "protocol": "postgres",
        "channel": "mcp",
    }
    return Record(session, "session_opened", document)


def asked(session: str, kind: str, action: str, effect: str) -> Record:
    return Record(session, kind, {"action": {"kind": action}, "effect": effect, "reason": ""})


async def test_a_session_is_listed_with_who_where_and_how_much(
    journal: Journal, store: Store
) -> None:
    await journal.commit(opened("s-1"), asked("s-1", "intent", "Connect", "permit"))
    await journal.commit(asked("s-1", "intent", "SqlStatement", "permit"))
    await journal.commit(asked("s-1", "intent", "SqlStatement", "permit"))
    await journal.commit(asked("s-1", "decision", "SqlStatement", "deny"))
    await journal.commit(asked("s-1", "decision", "SqlStatement", "pending"))
    await journal.commit(Record("s-1", "session_closed", {"end": "closed"}))
    (found,) = await list_sessions(store)
    assert (found.id, found.principal, found.agent) == ("s-1", "corp:ann", "claude")
    assert (found.target, found.channel, found.end) == ("shop", "mcp", "closed")
    assert (found.statements, found.refused) == (2, 1)
    assert found.closed is not None
    assert found.opened < found.closed


async def test_text_that_looks_like_a_refusal_is_not_counted_as_one(
    journal: Journal, store: Store
) -> None:
    forged: dict[str, Json] = {"effect": "pending", "reason": '"effect":"deny"'}
    await journal.commit(opened("s-1"), Record("s-1", "decision", forged))
    assert [s.refused for s in await list_sessions(store)] == [0]


async def test_an_open_session_has_no_end(journal: Journal, store: Store) -> None:
    await journal.commit(opened("s-1"))
    assert [(s.closed, s.end) for s in await list_sessions(store)] == [(None, "")]


async def test_the_newest_sessions_come_first_and_pages_go_on_from_the_last(
    journal: Journal, store: Store
) -> None:
    for n in range(5):
        await journal.commit(opened(f"s-{n}"))
    first = await list_sessions(store, limit=2)
    second = await list_sessions(store, limit=2, only=SessionFilter(before=first[-1].opened))
    assert [s.id for s in (*first, *second)] == ["s-4", "s-3", "s-2", "s-1"]


async def test_sessions_are_listed_by_principal_and_target(journal: Journal, store: Store) -> None:
    await journal.commit(
        *(
            opened(f"{principal}-{target}-{n}", principal, target)
            for principal, target, n in itertools.product(("ann", "ben"), ("shop", "crm"), range(3))
        )
    )
    found = await list_sessions(store, limit=2, only=SessionFilter("ann", "crm"))
    assert [s.id for s in found] == ["ann-crm-2", "ann-crm-1"]


async def test_a_name_that_postgres_can_t_hold_as_json_does_not_spoil_the_list(
    journal: Journal, store: Store
) -> None:
    await journal.commit(opened("s-1", principal="corp:\0\x1b"))
    assert [s.principal for s in await list_sessions(store)] == ["corp:\0\x1b"]


async def test_a_long_session_is_read_whole_and_in_order(journal: Journal, store: Store) -> None:
    for n in range(150):
        await journal.accept(Record("s-1", "rows", {"n": n}))
        await journal.accept(Record("s-2", "rows", {"n": -n}))
    await journal.flush()
    assert [r.document["n"] async for r in read_session(store, "s-1")] == list(range(150))


async def test_an_unknown_session_has_no_records(store: Store) -> None:
    assert [r async for r in read_session(store, "../s-1")] == []


async def test_no_body_a_deleted_body_and_a_missing_one_are_told_apart(
    journal: Journal, store: Store
) -> None:
    for n in range(3):
        await journal.commit(Record("s-1", "intent", {}, b"x" * n))
    third = await store.pool.fetchval("SELECT max(at) FROM records")
    await delete_bodies(journal, before=third)
    await store.pool.execute("DELETE FROM bodies WHERE deleted_at IS NULL")
    found = [(r.body, r.body_deleted) async for r in read_session(store, "s-1")]
    assert found == [(b"", False), (None, True), (None, False)]
