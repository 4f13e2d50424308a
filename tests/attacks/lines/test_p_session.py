"""Lines P25 to P28 and P37: who a session is, what its names mean, and how its text is read."""

from __future__ import annotations

import struct

import pytest

from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import RowRun
from tests.attacks.lines.guard import Guard, everything, mcp_verdict, wire_verdict
from tests.attacks.lines.leaks import found_in_bytes
from tests.attacks_sql.doors import knocking, listener
from tests.server.protocols.raw_client import RawClient

pytestmark = pytest.mark.anyio

OPAQUE = "SQL_NOT_UNDERSTOOD"
NOT_SET = "SETTING_NOT_ALLOWED"

# What the meaning of every later statement hangs on, and what bounds it.
PINNED = (
    *("default_transaction_read_only", "client_encoding", "standard_conforming_strings", "role"),
    *("session_authorization", "is_superuser", "row_security", "statement_timeout"),
    *("lock_timeout", "backslash_quote", "array_nulls", "transform_null_equals", "xmloption"),
    *("session_replication_role", "check_function_bodies", "default_table_access_method"),
    *("datestyle", "intervalstyle", "timezone", "bytea_output", "client_min_messages"),
    *("local_preload_libraries", "dynamic_library_path", "temp_tablespaces", "work_mem"),
    *("quote_all_identifiers", "escape_string_warning", "default_transaction_isolation"),
    *("idle_in_transaction_session_timeout", "debug_print_plan", "zero_damaged_pages"),
)


async def pinned(client: RawClient) -> dict[str, bytes]:
    """The settings as the session sees them itself."""
    return {
        name: b"".join(
            r.frames for r in await client.query(f"SHOW {name}") if isinstance(r, RowRun)
        )
        for name in PINNED
    }


async def nothing_is_loosened(guard: Guard, *statements: str) -> None:
    """After each statement, refused or not, all settings are what they were."""
    async with listener(guard.world) as client:
        before = await pinned(client)
        assert before["default_transaction_read_only"] != b""
        for sql in statements:
            replies = await client.query(sql)
            assert (sql, wire_verdict(replies)) in ((sql, OPAQUE), (sql, NOT_SET), (sql, "OK"))
            assert (sql, await pinned(client)) == (sql, before)


async def test_p25_nobody_becomes_somebody_else(guard: Guard) -> None:
    await guard.refuses(
        NOT_SET,
        *("SET ROLE postgres", "SET ROLE NONE", "SET ROLE 'postgres'", 'SET "role" = "postgres"'),
        *("SET role = postgres", "SET SESSION ROLE postgres", "SET RoLe TO 'x'"),
        *("SET SESSION AUTHORIZATION postgres", "SET session_authorization = 'postgres'"),
        *("SET is_superuser = on", "SET session_replication_role = replica"),
        *("SET U&\"rol\\0065\" = 'postgres'", "SET \"session_authorization\" TO 'x'"),
    )
    await guard.refuses(
        OPAQUE,
        *("ALTER ROLE postgres SET role = 'x'", "ALTER ROLE CURRENT_USER SET search_path = evil"),
        *("ALTER ROLE ALL SET statement_timeout = 0", "ALTER USER postgres PASSWORD 'x'"),
        *("CREATE USER evil SUPERUSER", "CREATE ROLE evil", "DROP ROLE postgres"),
        *("GRANT postgres TO PUBLIC", "ALTER DATABASE postgres SET role = 'x'"),
        *("ALTER ROLE CURRENT_USER SUPERUSER", "ALTER GROUP postgres ADD USER postgres"),
    )
    await guard.refuses(
        "FUNCTION_NOT_ALLOWED",
        "SELECT set_config('role', 'postgres', false)",
        "SELECT set_config('ROLE', 'none', true)",
        "SELECT set_config('session_authorization', 'postgres', false)",
        "SELECT set_config('session_' || 'authorization', 'postgres', false)",
    )


async def test_p25_resets_go_back_to_what_the_gateway_has_set(guard: Guard) -> None:
    """Drivers send them between users of a connection; refused or not, nothing is loosened."""
    await nothing_is_loosened(
        guard,
        *("RESET ROLE", "RESET SESSION AUTHORIZATION", "SET SESSION AUTHORIZATION DEFAULT"),
        *("RESET ALL", "DISCARD ALL", "DISCARD PLANS", "DISCARD TEMP", "DISCARD SEQUENCES"),
        *("SET LOCAL ROLE NONE", 'RESET "role"', "RESET statement_timeout", "RESET search_path"),
        *("CLOSE ALL", "UNLISTEN *", "DEALLOCATE ALL", "SET statement_timeout TO DEFAULT"),
        *("RESET transaction_read_only", "RESET default_transaction_read_only"),
        *("SET client_encoding TO DEFAULT", "SET NAMES DEFAULT", "RESET client_encoding"),
        *("SET standard_conforming_strings TO DEFAULT", "SET search_path FROM CURRENT"),
    )


async def test_p26_names_mean_what_they_were_judged_by(guard: Guard) -> None:
    """Another search path, refused or followed: `people` is never taken for another table."""
    before = await guard.state()
    for change in (
        "SET search_path = evil, public",
        "SELECT set_config('search_path', 'evil, public', false)",
        "SELECT pg_catalog.set_config('search_path', 'evil,public', false)",
        "SET search_path TO 'evil', 'public'",
        "SET SCHEMA 'evil'",
        'SET "search_path" = evil',
    ):
        async with listener(guard.world) as client:
            moved = wire_verdict(await client.query(change)) == "OK"
            for sql in ("SELECT reverse(ssn), ssn FROM customers", "SELECT ssn FROM people"):
                replies = await client.query(sql)
                assert found_in_bytes(everything(replies)) == set() or "people" in sql
            seen = await client.query("SELECT * FROM people")
            columns = [len(r.columns) for r in seen if isinstance(r, b.RowDescription)]
            assert columns in ([1], []) if moved else columns == [2]
            for sql in ("SELECT lower('A')", "SELECT 1 WHERE 'a' = 'b'", "SELECT id FROM people"):
                await client.query(sql)
            assert wire_verdict(await client.query("DELETE FROM people")) != "OK"
    assert await guard.state() - before == set()


async def test_p26_a_path_set_for_a_transaction_that_is_rolled_back_is_gone(guard: Guard) -> None:
    before = await guard.state()
    async with listener(guard.world) as client:
        for sql in (
            "BEGIN",
            "SAVEPOINT a",
            "SELECT set_config('search_path', 'evil, public', false)",
            "SET LOCAL search_path = evil, public",
            "ROLLBACK TO a",
            "ROLLBACK",
        ):
            await client.query(sql)
        seen = await client.query("SELECT * FROM people LIMIT 1")
        assert [len(r.columns) for r in seen if isinstance(r, b.RowDescription)] == [2]
        await client.query("BEGIN")
        await client.query("SELECT set_config('search_path', 'evil, public', true)")
        await client.query("COMMIT")
        seen = await client.query("SELECT * FROM people LIMIT 1")
        assert [len(r.columns) for r in seen if isinstance(r, b.RowDescription)] == [2]
        # In one batch: the second is judged by what the first will have done, or not sent.
        client.send(
            f.Parse("", "SELECT set_config('search_path', 'evil, public', false)"),
            f.Bind("", ""),
            f.Execute(""),
            f.Parse("", "SELECT lower('A'), ssn FROM people"),
            f.Bind("", ""),
            f.Execute(""),
            f.Sync(),
        )
        await client.until_ready()
    assert await guard.state() - before == set()


async def test_p26_no_user_function_operator_or_cast_takes_a_built_in_ones_place(
    guard: Guard,
) -> None:
    await guard.runs("SELECT lower('A')", "SELECT 1 WHERE 'a' = 'b'", "SELECT '5'::integer")
    await guard.refuses("FUNCTION_NOT_ALLOWED", "SELECT evil.lower('a')", "SELECT public.upper(1)")
    await guard.refuses("OPERATOR_UNKNOWN", "SELECT 'a' OPERATOR(evil.=) 'b'")
    await guard.refuses("TYPE_UNKNOWN", "SELECT 5::guarded", "SELECT 5::public.guarded")
    await guard.refuses("RELATION_UNKNOWN", "SELECT * FROM pg_temp.people")
    await guard.refuses("SQL_NOT_UNDERSTOOD", "CREATE TABLE pg_temp.people (id int, ssn text)")


@pytest.mark.parametrize(
    "more",
    [
        ("search_path", "evil"),
        ("options", "-c search_path=evil"),
        ("options", "--search_path=evil"),
        ("options", "-crole=postgres"),
        ("SEARCH_PATH", "evil"),
        ("default_transaction_read_only", "off"),
        ("role", "postgres"),
        ("session_authorization", "postgres"),
        ("row_security", "off"),
        ("standard_conforming_strings", "off"),
        ("client_encoding", "SJIS"),
        ("statement_timeout", "0"),
    ],
    ids=lambda pair: "=".join(pair),
)
async def test_p26_no_setting_comes_in_with_the_greeting(
    guard: Guard, more: tuple[str, str]
) -> None:
    async with listener(guard.world) as usual:
        expected = await pinned(usual)
    async with knocking(guard.world) as client:
        parameters = (("user", "rita"), ("database", "shop"), more)
        client.writer.write(f.StartupMessage(f.PROTOCOL_3_0, parameters).encode())
        client.send(f.Password(guard.world.token("rita")))
        seen: list[object] = []
        try:
            while not (seen and isinstance(seen[-1], b.ReadyForQuery)):
                seen.append(await client.reply())
        except (EOFError, ConnectionResetError):
            errors = {r.text("C") for r in seen if isinstance(r, b.ErrorResponse)}
            assert errors <= {"08P01", "42501"}
            return
        assert await pinned(client) == expected
        people = await client.query("SELECT * FROM people LIMIT 1")
        assert [len(r.columns) for r in people if isinstance(r, b.RowDescription)] == [2]


async def test_p27_text_is_utf_8_and_nothing_else(guard: Guard) -> None:
    await guard.refuses(
        NOT_SET,
        *("SET client_encoding = 'SJIS'", "SET client_encoding = 'GBK'", "SET NAMES 'SJIS'"),
        *("SET client_encoding TO BIG5", "SET NAMES 'LATIN1'", "SET NAMES 'SQL_ASCII'"),
        *("SET client_encoding = 'UTF8 '", "SET client_encoding = 'SHIFT_JIS_2004'"),
    )
    await guard.refuses(
        "FUNCTION_NOT_ALLOWED",
        "SELECT set_config('client_encoding', 'SJIS', false)",
        "SELECT set_config('client_' || 'encoding', 'GBK', false)",
    )
    await nothing_is_loosened(guard, "SET NAMES 'UTF8'", "SET client_encoding = 'UTF8'")
    before = await guard.state()
    for content in (
        b"SELECT '\xff'",  # no byte of UTF-8
        b"SELECT '\xbf\x5c'; DELETE FROM orders -- '",  # a quote, read as GBK
        b"SELECT '\xc0\xa7; DELETE FROM orders -- '",  # an overlong quote
        b"SELECT '\xed\xa0\x80'",  # half of a surrogate pair
        b"SELECT '\xf4\x90\x80\x80'",  # past U+10FFFF
        b"SELECT '\xe2\x80'",  # cut off
        b"SELECT \xc0\xbb DELETE FROM orders",
    ):
        for tag, more in ((b"Q", b""), (b"P", b"\0\0")):
            body = (b"\0" if tag == b"P" else b"") + content + b"\0" + more
            async with listener(guard.world) as client:
                # At once: what comes behind a closed connection resets it, and loses the answer.
                message = tag + struct.pack("!i", 4 + len(body)) + body
                client.writer.write(message + f.Sync().encode())
                replies = await client.to_the_end()
            assert wire_verdict(replies) in ("08P01", "22021", "SQL_SYNTAX")
            assert not any(isinstance(r, b.CommandComplete | RowRun) for r in replies)
    assert (
        mcp_verdict(
            await guard.mcp(
                "SELECT '\ud800'".encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            )
        )
        == "OK"
    )
    assert await guard.state() - before == set()


async def test_p28_a_backslash_in_a_string_is_always_a_backslash(guard: Guard) -> None:
    await guard.refuses(
        NOT_SET,
        *("SET standard_conforming_strings = off", "SET standard_conforming_strings = 'OFF'"),
        *("SET standard_conforming_strings = 0", "SET backslash_quote = on"),
        *("SET backslash_quote = safe_encoding", "SET escape_string_warning = off"),
        *("SET quote_all_identifiers = on", "SET transform_null_equals = on"),
        *("SET array_nulls = off", "SET xmloption = document", "SET lo_compat_privileges = on"),
    )
    await guard.refuses(
        "FUNCTION_NOT_ALLOWED",
        "SELECT set_config('standard_conforming_strings', 'off', false)",
        "SELECT set_config('backslash_quote', 'on', true)",
    )
    # One string, as the server reads it; and two statements, of which none runs.
    await guard.runs(r"SELECT 'a\' AS x", r"SELECT 'a\'' ; DELETE FROM orders -- '")
    before = await guard.state()
    several = await guard.ask(r"SELECT 'a\' ; DELETE FROM orders -- '")
    assert several.verdicts.mcp == "SQL_MULTIPLE_STATEMENTS"
    assert several.verdicts.simple in ("SQL_MULTIPLE_STATEMENTS", "no-whole-table-changes")
    assert await guard.state() - before == set()


async def test_p37_row_security_is_not_got_round(guard: Guard) -> None:
    """That the rows of others are not there is the target's to say, by the gateway's own role.

    Switched off, it makes an error of what it would leave out (test_row_security).
    """
    await guard.runs("SET row_security = off", "SET SESSION row_security TO on")
    await guard.refuses(
        "FUNCTION_NOT_ALLOWED",
        "SELECT set_config('row_security', 'off', false)",
        # Leaky functions below the barrier: a user's own would see rows that nobody may see.
        "SELECT * FROM private WHERE poke(what) = 'x'",
        "SELECT * FROM private WHERE public.joined(what, 'x') = 'x'",
    )
    await guard.refuses("OPERATOR_UNKNOWN", "SELECT * FROM private WHERE what <+> 'x' = 'y'")
    await guard.refuses(
        OPAQUE,
        "ALTER ROLE CURRENT_USER BYPASSRLS",
        "ALTER TABLE private DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE private NO FORCE ROW LEVEL SECURITY",
        "ALTER POLICY own ON private USING (true)",
        "CREATE POLICY p ON private USING (true)",
        "DROP POLICY own ON private",
    )
    await nothing_is_loosened(guard, "RESET row_security", "SET LOCAL row_security = off")
