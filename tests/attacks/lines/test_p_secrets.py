"""Line P42: what the server keeps secret comes back masked, and decides nothing, on both doors.

The gateway's role is a superuser here: it is shown every option and every setting.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest

from tests.attacks.lines.guard import Answer, Guard, Verdicts, text_of
from tests.attacks.lines.guard import everything as wire_bytes

pytestmark = pytest.mark.anyio

WHOLE = re.compile(r'"?<redacted>"?|\{("<redacted>",?)*\}|\[("<redacted>",? ?)*\]')
SENSITIVE = "RELATION_SENSITIVE"
CANARY = "canary-of-the-"
SUBSCRIPTION = """CREATE SUBSCRIPTION kept CONNECTION 'host=::1 password=canary-of-the-subscription'
PUBLICATION p WITH (connect = false, slot_name = NONE)"""
OPTIONS = "SELECT quote_ident(option_name) || ' ' || quote_literal(option_value)"


@pytest.fixture(scope="module", autouse=True)
async def subscription(guard: Guard) -> AsyncIterator[None]:
    await guard.direct.execute(SUBSCRIPTION)
    yield
    await guard.direct.execute("DROP SUBSCRIPTION kept")


def everything(answer: Answer) -> str:
    said = answer.result.model_dump_json() + text_of(answer.result)
    return said + answer.wire.decode("utf-8", "replace")


async def test_p42_the_canaries_are_there_for_who_asks_the_server(guard: Guard) -> None:
    """Else the other tests would show nothing."""
    found = await guard.direct.fetch(
        """SELECT srvoptions::text FROM pg_foreign_server UNION ALL
           SELECT umoptions::text FROM pg_user_mappings UNION ALL
           SELECT ftoptions::text FROM pg_foreign_table UNION ALL
           SELECT setconfig::text FROM pg_db_role_setting UNION ALL
           SELECT useconfig::text FROM pg_user UNION ALL
           SELECT subconninfo FROM pg_subscription UNION ALL
           SELECT attmissingval::text FROM pg_attribute UNION ALL
           SELECT setting FROM pg_settings"""
    )
    told = "".join(str(row[0]) for row in found)
    what = (
        "server",
        "mapping",
        "table",
        "role",
        "databases",
        "subscription",
        "default",
        "settings",
    )
    assert [each for each in what if f"{CANARY}{each}" in told] == list(what)


MASKED = (
    *("SELECT srvoptions FROM pg_foreign_server", "SELECT srvoptions[1] FROM pg_foreign_server"),
    "SELECT reverse(srvoptions::text) FROM pg_foreign_server",
    "SELECT CASE WHEN srvoptions IS NULL THEN '' ELSE array_to_string(ARRAY("
    f"{OPTIONS} FROM pg_options_to_table(srvoptions)), ', ') END FROM pg_foreign_server",
    "SELECT array_to_string(ARRAY("
    f"{OPTIONS} FROM pg_options_to_table(umoptions) ORDER BY option_name), E',\n    ')"
    " FROM pg_user_mappings ORDER BY usename",
    "SELECT option_value FROM pg_user_mappings, pg_options_to_table(umoptions)",
    "SELECT (pg_options_to_table(umoptions)).option_value FROM pg_user_mappings",
    "SELECT o FROM pg_user_mappings, unnest(umoptions) o",
    *("SELECT ftoptions FROM pg_foreign_table", "SELECT f FROM pg_foreign_table f"),
    "SELECT option_value FROM pg_foreign_table, pg_options_to_table(ftoptions)",
    "SELECT u FROM pg_user_mappings u",
    "SELECT to_jsonb(u) FROM pg_user_mappings u",
    "SELECT string_agg(u::text, ';') FROM pg_user_mappings u",
    "WITH x AS (SELECT umoptions::text || 'x' AS o FROM pg_user_mappings) SELECT o FROM x",
    "SELECT array_to_string(setconfig, E'\n') FROM pg_db_role_setting",
    *("SELECT setconfig FROM pg_db_role_setting", "SELECT subconninfo FROM pg_subscription"),
    *(
        "SELECT rolconfig FROM pg_roles",
        "SELECT useconfig FROM pg_user",
        "SELECT r FROM pg_roles r",
    ),
    "SELECT attmissingval FROM pg_attribute WHERE atthasmissing",
    "SELECT attmissingval::text FROM pg_attribute WHERE attrelid = 'defaulted'::regclass",
    "SELECT setting FROM pg_settings",
    "SELECT reset_val || boot_val FROM pg_settings",
    "SELECT current_setting(name, true) FROM pg_settings LIMIT 50",
    "SELECT pg_catalog.current_setting(s.name) || '' FROM pg_settings s"
    " WHERE lower(s.name) ~ '^dynamic'",
    "SELECT setting FROM pg_settings WHERE name = 'dynamic_library_path' OR name = 'x.y'",
    "SELECT (SELECT string_agg(setting, ',') FROM pg_settings WHERE o.name = 'work_mem')"
    " FROM (SELECT 'work_mem' AS name) o",
    *("SELECT config FROM v_roles", "SELECT loud FROM v_roles", "SELECT useconfig FROM m_roles"),
    *("SELECT config::text || '' FROM v_over_roles", "SELECT missing FROM v_missing"),
    *("SELECT a FROM v_rows", "SELECT v::text FROM v_rows v"),
    "SELECT statement FROM pg_prepared_statements",
)
WITH_OTHERS = (
    "SELECT * FROM pg_foreign_server",
    "TABLE pg_user_mappings",
    "SELECT * FROM pg_db_role_setting",
    "SELECT * FROM pg_roles",
    "SELECT * FROM pg_settings",
    "SELECT * FROM pg_attribute WHERE atthasmissing",
    "SELECT * FROM v_roles",
    "SELECT l.oid, l.* FROM pg_foreign_server l ORDER BY l.srvname",
    "SELECT name, setting, current_setting(name) FROM pg_settings ORDER BY name",
    "SELECT option_name, option_value FROM pg_user_mappings, pg_options_to_table(umoptions)"
    " WHERE option_name = 'password' ORDER BY option_name",
)
DECIDING = (
    "SELECT srvname FROM pg_foreign_server WHERE srvoptions::text LIKE '%canary%'",
    "SELECT srvname FROM pg_foreign_server ORDER BY srvoptions",
    "SELECT count(*) FROM pg_foreign_server GROUP BY srvoptions",
    "SELECT DISTINCT umoptions FROM pg_user_mappings",
    "SELECT srvname FROM pg_user_mappings, pg_options_to_table(umoptions) WHERE option_value < 'm'",
    "SELECT srvname FROM pg_user_mappings, regexp_split_to_table(umoptions::text, '') c",
    "SELECT rank() OVER (ORDER BY setting) FROM pg_settings",
    "SELECT name FROM pg_settings WHERE current_setting(name) LIKE '%canary%'",
    "SELECT 1 FROM pg_roles WHERE rolconfig = ARRAY['app.password=canary-of-the-role']",
    "SELECT attname FROM pg_attribute WHERE attmissingval::text ~ 'canary'",
    "SELECT 1 FROM v_roles WHERE config::text LIKE '%c%'",
    "EXPLAIN ANALYZE SELECT 1 FROM pg_subscription WHERE subconninfo LIKE '%c%'",
    "INSERT INTO copies SELECT 1, setting FROM pg_settings",
    "INSERT INTO copies SELECT 1, option_value FROM pg_user_mappings,"
    " pg_options_to_table(umoptions)",
    "UPDATE copies SET t = (SELECT max(rolconfig::text) FROM pg_roles) WHERE id = 1",
)


async def test_p42_a_secret_of_the_servers_is_masked_in_whatever_is_made_of_it(
    guard: Guard,
) -> None:
    for sql in MASKED:
        answer = await guard.ask(sql)
        assert (sql, answer.verdicts) == (sql, Verdicts.all("OK"))
        shown = {cell for cell in answer.cells - {None} if WHOLE.fullmatch(str(cell)) is None}
        assert (sql, shown) == (sql, set())


@pytest.mark.parametrize("sql", [*MASKED, *WITH_OTHERS])
async def test_p42_no_answer_holds_a_secret_of_the_servers(guard: Guard, sql: str) -> None:
    answer = await guard.ask(sql)
    assert answer.verdicts == Verdicts.all("OK")
    assert CANARY not in everything(answer)


async def test_p42_a_secret_of_the_servers_decides_nothing_and_goes_nowhere(guard: Guard) -> None:
    await guard.refuses(SENSITIVE, *DECIDING)
    await guard.refuses("FUNCTION_NOT_ALLOWED", "SELECT * FROM v_servers", "TABLE v_settings")


FAILING = [
    "SELECT (srvoptions::text)::int FROM pg_foreign_server",
    "SELECT (setting)::int FROM pg_settings",
    "SELECT 1 / (CASE WHEN umoptions::text ~ 'canary' THEN 0 ELSE 1 END) FROM pg_user_mappings",
    "SELECT CASE WHEN starts_with(subconninfo, 'h') THEN 1 / 0 END FROM pg_subscription",
    "SELECT CASE subconninfo WHEN 'x' THEN 1 ELSE 1 / 0 END FROM pg_subscription",
    "SELECT 1 / (length(subconninfo) - 7) FROM pg_subscription",
    "SELECT 1 / nullif(ascii(subconninfo), 7) FROM pg_subscription",
    "SELECT to_json(subconninfo) ->> 'a' FROM pg_subscription",
    "SELECT regexp_count('a', subconninfo) FROM pg_subscription",
    "SELECT JSON_VALUE(to_jsonb(subconninfo), 'strict $.a' ERROR ON ERROR) FROM pg_subscription",
    "SELECT coalesce((subconninfo ~ '^h')::int, 1) FROM pg_subscription",
    "SELECT 1 / count(*) FILTER (WHERE subconninfo ~ 'h') FROM pg_subscription",
]


async def test_p42_no_statement_fails_by_what_a_secret_is(guard: Guard) -> None:
    """Its words would be withheld; that it failed would tell a letter, statement by statement."""
    for sql in FAILING:
        answer = await guard.ask(sql)
        assert (sql, answer.verdicts) == (sql, Verdicts.all("RELATION_SENSITIVE"))
        assert CANARY not in everything(answer)


async def test_p42_a_dry_run_tells_nothing_of_a_secret(guard: Guard) -> None:
    for sql in (*MASKED[:6], *DECIDING[:4]):
        result = await guard.mcp(sql, dry_run=True)
        assert CANARY not in result.model_dump_json() + text_of(result)


async def test_p42_a_setting_that_is_named_is_shown_as_it_is(guard: Guard) -> None:
    answer = await guard.ask("SELECT setting FROM pg_settings WHERE name = 'max_index_keys'")
    assert (answer.verdicts, answer.cells) == (Verdicts.all("OK"), {"32"})


async def test_p42_no_cursor_copy_or_name_in_sql_shows_a_secret_of_the_servers(
    guard: Guard,
) -> None:
    for sql in (MASKED[0], MASKED[7], WITH_OTHERS[1], WITH_OTHERS[4]):
        texts = (
            f"COPY ({sql}) TO STDOUT" if sql.startswith("SELECT") else "SELECT 1",
            "BEGIN",
            f"DECLARE secrets CURSOR FOR {sql}",
            "FETCH ALL FROM secrets",
            "COMMIT",
            f"PREPARE secrets AS {sql}",
            "EXECUTE secrets",
            "DEALLOCATE secrets",
        )
        replies = [await guard.raw.query(text) for text in texts]
        told = b"".join(wire_bytes(each) for each in replies)
        assert CANARY.encode() not in told
        assert b"<redacted>" in told
