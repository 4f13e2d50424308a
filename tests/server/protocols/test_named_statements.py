"""Prepared statements and cursors by their names in SQL: they mean what they were judged as."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from recordings.rows import decode_postgres
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import RowRun
from tests.server.protocols.gateway import Door
from tests.server.protocols.raw_client import RawClient, Reply, errors, tags

pytestmark = pytest.mark.anyio

SSN = "SELECT ssn FROM customers ORDER BY id LIMIT 1"
PLAIN = "SELECT name FROM customers ORDER BY id LIMIT 1"
MASKED = [b"***-**-9991"]


@pytest.fixture(autouse=True)
def no_clients_left(door: Door) -> Iterator[None]:
    yield
    door.close()
    door.clients.clear()


def cells(replies: list[Reply]) -> list[list[bytes | None]]:
    runs = [reply.frames for reply in replies if isinstance(reply, RowRun)]
    return [row for frames in runs for row in decode_postgres(frames)]


def run(text: str, *formats: int) -> list[f.Command]:
    return [f.Parse("", text), f.Bind("", "", (), (), formats), f.Execute("")]


async def extended(client: RawClient, *messages: f.Command) -> list[Reply]:
    client.send(*messages, f.Sync())
    return await client.until_ready()


async def went(client: RawClient, *texts: str) -> list[Reply]:
    """The last one's replies; all of them must go through."""
    replies: list[Reply] = []
    for text in texts:
        replies = await client.query(text)
        assert errors(replies) == [], text
    return replies


async def refused(client: RawClient, text: str) -> str:
    """The refusal's words."""
    ((code, said),) = errors(await client.query(text))
    assert code == "42501"
    return said


async def test_a_prepared_statement_runs_by_its_name(door: Door) -> None:
    client, direct = await door.client(), await door.direct()
    for text in (
        "PREPARE get (int) AS SELECT id, name FROM customers WHERE id = $1",
        "EXECUTE get(1)",
        "EXECUTE GET('2')",
        "DEALLOCATE get",
    ):
        assert await client.query(text) == await direct.query(text)


async def test_a_labelled_column_comes_masked_from_what_has_a_name(door: Door) -> None:
    client = await door.client()
    replies = await went(client, f"PREPARE s AS {SSN}", "EXECUTE s")
    assert cells(replies) == [MASKED]
    replies = await went(client, "BEGIN", f"DECLARE c CURSOR FOR {SSN}", "FETCH c")
    assert cells(replies) == [MASKED]


async def test_an_expression_over_a_labelled_column_is_masked_in_a_fetch(door: Door) -> None:
    client = await door.client()
    text = "SELECT id, ssn || '', name FROM customers ORDER BY id"
    replies = await went(client, "BEGIN", f"DECLARE c CURSOR FOR {text}", "FETCH 1 FROM c")
    ((number, masked, name),) = cells(replies)
    assert (number, name) == (b"1", b"Ada Lovelace")
    assert b"9991" not in (masked or b"")


async def test_every_way_to_fetch_gives_what_the_server_gives(door: Door) -> None:
    client, direct = await door.client(), await door.direct()
    query = "SELECT id, total FROM orders WHERE id < 20 ORDER BY id"
    for text in (
        "BEGIN",
        f'DECLARE "Mixed" SCROLL CURSOR FOR {query}',
        'FETCH "Mixed"',
        'FETCH FORWARD 2 FROM "Mixed"',
        'MOVE 3 IN "Mixed"',
        'FETCH ABSOLUTE -1 FROM "Mixed"',
        'FETCH BACKWARD 2 FROM "Mixed"',
        'FETCH RELATIVE 0 FROM "Mixed"',
        'FETCH PRIOR "Mixed"',
        'MOVE ABSOLUTE 0 FROM "Mixed"',
        'FETCH ALL "Mixed"',
        'CLOSE "Mixed"',
        "COMMIT",
    ):
        assert await client.query(text) == await direct.query(text), text


async def test_what_is_made_by_the_extended_protocol_is_known_too(door: Door) -> None:
    client = await door.client()
    await went(client, "BEGIN")
    declare = "DECLARE c CURSOR FOR SELECT ssn, id FROM customers WHERE id < $1 ORDER BY id"
    bound = [f.Parse("", declare), f.Bind("", "", (), (b"2",)), f.Execute("")]
    assert tags(await extended(client, *bound)) == "12CZT"
    assert cells(await went(client, "FETCH 10 FROM c")) == [[*MASKED, b"1"]]


async def test_names_are_used_by_the_extended_protocol(door: Door) -> None:
    client = await door.client()
    await extended(client, *run(f"PREPARE s AS {SSN}"))
    replies = await extended(client, *run("EXECUTE s", 1))
    assert (tags(replies), cells(replies)) == ("12DCZI", [MASKED])
    await went(client, "BEGIN")
    await extended(client, *run(f"DECLARE c CURSOR FOR {SSN}"))
    replies = await extended(client, *run("FETCH c"), f.Close("P", "other"))
    assert (tags(replies), cells(replies)) == ("12DC3ZT", [MASKED])


async def test_a_statement_parsed_for_one_cursor_does_not_describe_another(door: Door) -> None:
    """The server keeps the columns that it found at Parse."""
    client = await door.client()
    await went(client, "BEGIN", f"DECLARE c CURSOR FOR {PLAIN}")
    assert tags(await extended(client, f.Parse("get", "FETCH c"))) == "1ZT"
    other = "SELECT ssn FROM customers WHERE name <> '' ORDER BY id"
    await went(client, "CLOSE c", f"DECLARE c CURSOR FOR {other}")
    replies = await extended(client, f.Bind("", "get"), f.Execute(""))
    assert cells(replies) == [MASKED]


async def test_a_statement_parsed_for_one_name_does_not_describe_another(door: Door) -> None:
    client = await door.client()
    await went(client, f"PREPARE s AS {PLAIN}")
    await extended(client, f.Parse("get", "EXECUTE s"))
    other = "SELECT ssn FROM customers WHERE name <> '' ORDER BY id LIMIT 1"
    await went(client, "DEALLOCATE s", f"PREPARE s AS {other}")
    assert cells(await extended(client, f.Bind("", "get"), f.Execute(""))) == [MASKED]


UNKNOWN = ["EXECUTE nope", "FETCH nope", "MOVE 1 IN nope", "EXECUTE s", "FETCH c"]


@pytest.mark.parametrize("text", UNKNOWN)
async def test_an_unknown_name_is_refused_before_the_server_is_asked(door: Door, text: str) -> None:
    client = await door.client()
    assert "opaque" in await refused(client, text)


async def test_a_name_of_the_drivers_is_not_sqls(door: Door) -> None:
    client = await door.client()
    await extended(client, f.Parse("s", SSN))
    assert "no prepared statement" in await refused(client, "EXECUTE s")
    await went(client, "BEGIN")
    await extended(client, f.Parse("", SSN), f.Bind("p", ""))
    assert "no cursor" in await refused(client, "FETCH p")


async def test_sql_does_not_give_a_drivers_name_another_meaning(door: Door) -> None:
    """Bind would be judged as the statement that was parsed."""
    client = await door.client()
    await extended(client, f.Parse("s", PLAIN))
    await went(client, "DEALLOCATE s")
    assert "driver" in await refused(client, f"PREPARE s AS {SSN}")
    assert errors(await extended(client, f.Bind("", "s"), f.Execute("")))[0][0] == "26000"


async def test_nor_within_one_batch(door: Door) -> None:
    client = await door.client()
    replies = await extended(
        client,
        f.Parse("s", PLAIN),
        *run("DEALLOCATE s"),
        *run(f"PREPARE s AS {SSN}"),
        *(f.Bind("", "s"), f.Execute("")),
        f.Close("S", "s"),
    )
    assert tags(replies) == "112CEZI"
    assert cells(replies) == []


async def test_nor_for_a_portal(door: Door) -> None:
    client = await door.client()
    await went(client, "BEGIN")
    await extended(client, f.Parse("", PLAIN), f.Bind("p", ""), f.Execute("p", 1))
    await extended(client, *run("CLOSE p"))
    replies = await extended(client, *run(f"DECLARE p CURSOR FOR {SSN}"))
    assert "driver" in errors(replies)[0][1]


MADE_ANEW = {
    "closed and parsed": [f.Close("S", "s"), f.Parse("s", SSN)],
    "parsed over it": [f.Parse("s", SSN)],
    "closed": [f.Close("S", "s")],
}


@pytest.mark.parametrize("what", MADE_ANEW)
async def test_a_name_that_the_protocol_takes_is_forgotten(door: Door, what: str) -> None:
    client = await door.client()
    await went(client, f"PREPARE s AS {PLAIN}", "EXECUTE s")
    await extended(client, *MADE_ANEW[what])
    assert "no prepared statement" in await refused(client, "EXECUTE s")


async def test_a_name_that_both_give_in_one_batch_is_the_drivers(door: Door) -> None:
    client = await door.client()
    taken = f.Close("S", "s"), f.Parse("s", SSN)
    replies = await extended(client, *run(f"PREPARE s AS {PLAIN}"), *taken)
    assert (tags(replies), "driver" in errors(replies)[0][1]) == ("EZI", True)


async def test_a_name_taken_behind_a_flush_is_forgotten(door: Door) -> None:
    client = await door.client()
    client.send(*run(f"PREPARE s AS {PLAIN}"), f.Flush())
    assert tags([await client.reply() for _ in range(3)]) == "12C"
    replies = await extended(client, f.Close("S", "s"), f.Parse("s", SSN))
    assert tags(replies) == "31ZI"
    assert "no prepared statement" in await refused(client, "EXECUTE s")


FORGOTTEN = [
    ("DEALLOCATE s", "EXECUTE s"),
    ("DEALLOCATE ALL", "EXECUTE s"),
    ("DISCARD ALL", "EXECUTE s"),
    ("DISCARD PLANS", "EXECUTE s"),
]


@pytest.mark.parametrize(("text", "use"), FORGOTTEN)
async def test_what_is_dropped_is_not_known(door: Door, text: str, use: str) -> None:
    client = await door.client()
    await went(client, f"PREPARE s AS {PLAIN}", text)
    assert "no prepared statement" in await refused(client, use)


ENDED = ["CLOSE c", "CLOSE ALL", "COMMIT", "ROLLBACK", "ROLLBACK TO a", "END", "ABORT"]


@pytest.mark.parametrize("text", ENDED)
async def test_a_cursor_ends_with_its_transaction(door: Door, text: str) -> None:
    client = await door.client()
    await went(client, "BEGIN", "SAVEPOINT a", f"DECLARE c CURSOR FOR {PLAIN}", "FETCH c", text)
    assert "no cursor" in await refused(client, "FETCH c")


async def test_a_prepared_statement_outlives_its_transaction(door: Door) -> None:
    client = await door.client()
    await went(client, "BEGIN", f"PREPARE s AS {SSN}", "ROLLBACK")
    assert cells(await went(client, "EXECUTE s")) == [MASKED]


async def test_what_failed_makes_no_name_and_the_old_one_is_not_trusted(door: Door) -> None:
    client = await door.client()
    await went(client, f"PREPARE s AS {PLAIN}")
    assert errors(await client.query(f"PREPARE s AS {SSN}"))[0][0] == "42P05"
    assert "no prepared statement" in await refused(client, "EXECUTE s")
    assert cells(await went(client, "DEALLOCATE s", f"PREPARE s AS {SSN}", "EXECUTE s")) == [MASKED]


async def test_what_a_pipeline_skips_makes_no_name(door: Door) -> None:
    client = await door.client()
    replies = await extended(client, *run("SELECT 1 / 0"), *run(f"PREPARE s AS {PLAIN}"))
    assert len(errors(replies)) == 1
    assert "no prepared statement" in await refused(client, "EXECUTE s")


async def test_a_name_is_used_once_the_server_has_confirmed_it(door: Door) -> None:
    """Neither in the message that makes it, nor before its answer."""
    client = await door.client()
    assert "no prepared" in await refused(client, f"PREPARE s AS {SSN}; EXECUTE s")
    replies = await extended(client, *run(f"PREPARE s AS {SSN}"), *run("EXECUTE s"))
    assert "no prepared" in errors(replies)[0][1]
    assert cells(await went(client, "EXECUTE s")) == [MASKED]


async def test_an_error_in_the_middle_of_a_message_makes_no_name(door: Door) -> None:
    client = await door.client()
    replies = await client.query(f"PREPARE s AS {PLAIN}; SELECT 1 / 0; PREPARE t AS {SSN}")
    assert tags(replies) == "CEZI"
    assert cells(await went(client, "EXECUTE s")) != []
    assert "no prepared" in await refused(client, "EXECUTE t")


REFUSED = [
    "PREPARE s AS DELETE FROM orders",
    "PREPARE s AS SELECT pg_read_file('/etc/passwd')",
    "PREPARE s AS SELECT set_config('search_path', 'pg_catalog', false)",
    "PREPARE s AS SELECT current_setting($1)",
    "PREPARE s AS SELECT nothing FROM nowhere",
    "PREPARE s AS MERGE INTO orders o USING customers c ON o.id = c.id WHEN MATCHED THEN DELETE",
    "PREPARE s (customers) AS SELECT $1",
    f"PREPARE s AS {PLAIN} INTO gone",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "DECLARE c BINARY CURSOR FOR SELECT 1",
    "DECLARE c CURSOR FOR SELECT set_config('search_path', 'pg_catalog', false)",
    "DECLARE c CURSOR FOR WITH w AS (INSERT INTO orders VALUES (1) RETURNING 1) SELECT * FROM w",
    "UPDATE customers SET name = '' WHERE CURRENT OF c",
    "CREATE TABLE t AS EXECUTE good",
    "EXPLAIN ANALYZE EXECUTE good",
    "EXPLAIN EXECUTE good",
    "EXECUTE good(now())",
    "EXECUTE good((SELECT ssn FROM customers))",
    "EXECUTE good(1 + 1)",
    "EXECUTE good(ARRAY[1])",
    "EXECUTE good('x'::customers)",
    f'PREPARE "{"n" * 63}" AS SELECT 1',
    'PREPARE "é" AS SELECT 1',
]


@pytest.mark.parametrize("text", REFUSED)
async def test_what_is_refused_without_a_name_is_refused_with_one(door: Door, text: str) -> None:
    client = await door.client()
    await went(client, "PREPARE good AS SELECT 1", "BEGIN")
    replies = await client.query(text)
    assert [code for code, _ in errors(replies)] == ["42501"]


async def test_what_needs_approval_has_no_name(door: Door) -> None:
    client = await door.client()
    said = await refused(client, "PREPARE s AS UPDATE orders SET status = 'paid' WHERE id = $1")
    assert "needs approval" in said
    assert "ticket" not in said


async def test_a_name_is_bound_and_run_at_once(door: Door) -> None:
    """Between Bind and Execute it could come to mean something else."""
    client = await door.client()
    await went(client, "BEGIN", f"DECLARE c CURSOR FOR {PLAIN}")
    replies = await extended(client, f.Parse("", "FETCH c"), f.Bind("p", ""), f.Describe("P", "p"))
    assert [code for code, _ in errors(replies)] == ["42501"]


async def test_a_fetch_in_portions_is_not_taken_up_again(door: Door) -> None:
    client = await door.client()
    await went(client, "BEGIN", "DECLARE c CURSOR FOR SELECT id FROM orders ORDER BY id")
    first = [f.Parse("", "FETCH 4 FROM c"), f.Bind("p", ""), f.Execute("p", 2)]
    assert tags(await extended(client, *first)) == "12DDsZT"
    assert errors(await extended(client, f.Execute("p", 2)))[0][0] == "42501"


async def test_the_row_limit_counts_over_all_fetches_of_a_cursor(door: Door) -> None:
    client = await door.client()
    query = "SELECT id FROM orders ORDER BY id"
    await went(client, "BEGIN", f"DECLARE limited CURSOR FOR {query}")
    assert len(cells(await went(client, "FETCH 6 FROM limited"))) == 6
    assert len(cells(await went(client, "FETCH 4 FROM limited"))) == 4
    client.send(f.Query("FETCH 1 FROM limited"))
    last = (await client.to_the_end())[-1]
    assert isinstance(last, b.ErrorResponse)
    assert (last.text("S"), last.text("C")) == ("FATAL", "42501")


async def test_a_cursor_of_another_search_path_is_not_read(door: Door) -> None:
    client = await door.client()
    await went(client, "BEGIN", f"DECLARE c CURSOR FOR {SSN}", "SET search_path TO pg_catalog")
    assert "search path" in await refused(client, "FETCH c")


async def test_an_execute_is_judged_by_the_search_path_that_it_runs_with(door: Door) -> None:
    client = await door.client()
    await went(client, f"PREPARE s AS {SSN}", "SET search_path TO pg_catalog")
    assert "opaque" in await refused(client, "EXECUTE s")
    assert cells(await went(client, "RESET search_path", "EXECUTE s")) == [MASKED]


async def test_the_servers_words_about_a_named_statement_are_withheld(door: Door) -> None:
    client = await door.client()
    await went(client, "PREPARE s AS SELECT ssn::int FROM customers")
    ((code, said),) = errors(await client.query("EXECUTE s"))
    assert (code, "withheld" in said, "219" in said) == ("22P02", True, False)
    await went(client, "BEGIN", "DECLARE c CURSOR FOR SELECT ssn::int FROM customers")
    ((code, said),) = errors(await client.query("FETCH c"))
    assert (code, "withheld" in said, "219" in said) == ("22P02", True, False)


async def test_the_record_says_which_name_was_run(door: Door) -> None:
    client = await door.client()
    await went(client, f"PREPARE noted AS {PLAIN}", "EXECUTE noted")
    rows = await door.store.pool.fetch(
        "SELECT document::jsonb -> 'facts' -> 'named' AS n FROM records WHERE kind = 'intent'"
        " AND document::jsonb #>> '{facts,named,name}' = 'noted' ORDER BY sequence"
    )
    assert [row["n"] for row in rows] == [
        '{"kind": "prepare", "name": "noted"}',
        '{"kind": "execute", "name": "noted"}',
    ]


LONG = "n" * 63


async def test_names_that_the_server_cuts_are_not_let_through(door: Door) -> None:
    """Otherwise one would mean what was parsed for the other."""
    client = await door.client()
    assert errors(await extended(client, f.Parse(LONG, PLAIN))) == []
    for message in (f.Parse(LONG + "1", PLAIN), f.Close("S", LONG + "2"), f.Bind(LONG + "3", LONG)):
        replies = await extended(client, message)
        assert [code for code, _ in errors(replies)] == ["42501"]
    replies = await extended(client, f.Bind("", LONG), f.Execute(""))
    assert len(cells(replies)) == 1
