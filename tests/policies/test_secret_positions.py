"""What stands in a known secret position is removed, in every form; nothing that runs is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postgast import PgQueryError, scan

from policies.sql.facts import SqlEffect
from policies.sql.postgres import analyse
from policies.sql.prescan import MAXIMUM_BYTES
from policies.sql.secret_positions import (
    MAXIMUM_VALUE,
    cleaned,
    cleaned_value,
    quoting,
    without_secrets,
)
from tests.policies.catalogs import catalog, statements

C = "c4n4ry"
MARK = re.compile(r"['\"]*\[removed\]")
STATEMENTS = [row["sql"] for row in statements() if "\0" not in row["sql"]]

ROLES = [
    f"ALTER USER x PASSWORD '{C}'",
    f"alter role x with encrypted password E'{C}\\'{C}' VALID UNTIL '2027-01-01'",
    f"CREATE ROLE x LOGIN PASSWORD /* a /* nested */ one */ U&'{C}'",
    f"CREATE USER x -- who\n PASSWORD -- what\n '{C}'",
    f"ALTER USER x PASSWORD $q${C}$q$",
    f"ALTER USER x PASSWORD 'a'\n  '{C}'",
    f"ALTER USER x PASSWORD ''\n'{C}'",
    f"ALTER USER x PASSWORD N'{C}'",
    f"CREATE GROUP x PASSWORD '{C}'",
    f"SELECT 1; ALTER USER x PASSWORD '{C}'; SELECT 2",
    # What no server takes, but holds the secret all the same.
    f"ALTER USER x PASSWORD {C}",
    f'ALTER USER x PASSWORD "{C}"',
    f"ALTER USER x PASSWORD '{C}",
    f"ALTER USER x PASWORD '{C}'",
    f"ALTR USER x PASSWORD '{C}'",
    f"ALTER USER x PASSWORD $${C}",
]
OPTIONS = [
    f"CREATE USER MAPPING FOR a SERVER b OPTIONS (user 'bob', password '{C}')",
    f"ALTER USER MAPPING FOR a SERVER b OPTIONS (SET \"password\" '{C}')",
    f"ALTER USER MAPPING FOR a SERVER b OPTIONS (ADD U&\"p\\0061ssword\" '{C}')",
    f"CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (host 'h', aws_secret_access_key '{C}')",
    f"CREATE USER 'u'@'h' IDENTIFIED WITH mysql_native_password BY '{C}' REQUIRE SSL",
    f"CREATE USER u IDENTIFIED BY \"{C}\", v IDENTIFIED BY '{C}'",
    f"SET PASSWORD FOR u = PASSWORD('{C}')",
    f"CHANGE MASTER TO MASTER_HOST='h', MASTER_PASSWORD='{C}'",
]
SETTINGS = [
    f"SET my.token = '{C}'",
    f"SET LOCAL app.secret TO {C}",
    f"SET app.api_key = '', '{C}'",
    f"ALTER ROLE x SET app.token = '{C}'",
    f"ALTER SYSTEM SET primary_conninfo = 'host=h password={C}'",
    f"SELECT set_config('app.jwt_secret', '{C}', false)",
    f"SELECT set_config(new_value => '{C}', setting_name => 'app.jwt_secret', is_local => true)",
    f"SELECT crypt('{C}', gen_salt('bf')), pgp_sym_encrypt('kept', '{C}')",
    f"SELECT hmac('kept', '{C}', 'sha256')",
]
TEXTS = [
    f"CREATE SUBSCRIPTION s CONNECTION 'host=h password={C} dbname=x' PUBLICATION p",
    f"CREATE SUBSCRIPTION s CONNECTION 'postgresql://bob:{C}@h/db?sslpassword={C}' PUBLICATION p",
    f"SELECT * FROM dblink('host=h password=''{C} {C}'' dbname=x', 'select 1') AS t(a int)",
    f"SELECT * FROM dblink('password = {C}', 'select 1') AS t(a int)",
    f"SELECT dblink_connect(E'p\\x61ssword={C}')",
    f"SELECT dblink_connect('postgres://h/db?p%61ssword={C}')",
    f"PREPARE p AS SELECT dblink_connect('password={C}')",
    f"INSERT INTO t VALUES ('https://{C}@github.com/x', 'https://a:{C}@h/?q=1')",
    f"INSERT INTO t VALUES ('https://h/?access_token={C}&page=2')",
    f"INSERT INTO t VALUES ('Authorization: Bearer {C}\r\nHost: h', 'Cookie: a={C}; b={C}')",
    f'INSERT INTO t VALUES (\'{{"Authorization": "Basic {C}", "a": "b"}}\')',
    f"SELECT http_header('Authorization', 'Bearer {C}')",
    f"SELECT http_header(field => 'X-Api-Key', value => '{C}')",
    f"COPY t FROM PROGRAM 'curl -H ''X-Api-Key: {C}'' https://h'",
    f"SELECT 'Server=x;Password={C};Database=y'",
    f"SELECT 1 -- password={C}",
    f"SELECT 1 /* ALTER USER x PASSWORD '{C}' */",
    f'psql postgres://bob:{C}@h/db -c "select 1"',
    f'curl -H "Authorization: Bearer {C}" https://{C}@h/x',
    f"PGPASSWORD={C} psql",
    f"SELECT dblink_connect('pass' -- a\n  'word=a'\n'{C}')",
]
NESTED = [
    f"SELECT dblink_exec('c', 'ALTER USER x PASSWORD ''{C}''')",
    f"DO $$ BEGIN ALTER USER u PASSWORD '{C}'; END $$",
    f"DO 'BEGIN EXECUTE ''ALTER USER u PASSWORD ''''{C}''''''; END'",
    f"DO $$ BEGIN EXECUTE format('ALTER USER %I PASSWORD %L', 'u', '{C}'); END $$",
    f"DO $$ BEGIN EXECUTE 'ALTER USER u PASSWORD ''' || '{C}' || ''''; END $$",
    f"CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $f$ ALTER USER u PASSWORD '{C}' $f$",
    f"EXPLAIN ANALYZE SELECT dblink_exec('password={C}', 'x')",
]


@pytest.mark.parametrize("sql", [*ROLES, *OPTIONS, *SETTINGS, *TEXTS, *NESTED])
def test_a_secret_in_a_known_position_is_removed(sql: str) -> None:
    found = cleaned(sql)
    assert C not in found.text
    assert found.places
    assert all(MARK.match(found.text, place) for place in found.places)


@pytest.mark.parametrize("sql", [*ROLES, *OPTIONS, *SETTINGS, *TEXTS, *NESTED])
def test_cleaning_once_is_enough(sql: str) -> None:
    assert without_secrets(without_secrets(sql)) == without_secrets(sql)


@pytest.mark.parametrize(
    ("sql", "kept"),
    [
        (ROLES[1], " VALID UNTIL '2027-01-01'"),
        (OPTIONS[0], "OPTIONS (user 'bob', password '[removed]')"),
        (OPTIONS[3], "host 'h'"),
        (TEXTS[0], "'host=h password=[removed] dbname=x' PUBLICATION p"),
        (TEXTS[1], "'postgresql://bob:[removed]@h/db?sslpassword=[removed]'"),
        (TEXTS[8], "https://h/?access_token=[removed]&page=2"),
        (TEXTS[14], "'Server=x;Password=[removed];Database=y'"),
        (SETTINGS[7], "gen_salt('bf')), pgp_sym_encrypt('kept', '[removed]')"),
        (NESTED[1], "DO $$ BEGIN ALTER USER u PASSWORD '[removed]'; END $$"),
        (NESTED[0], "dblink_exec('c', 'ALTER USER x PASSWORD ''[removed]''')"),
    ],
)
def test_what_is_no_secret_stays_readable(sql: str, kept: str) -> None:
    assert kept in without_secrets(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id, name FROM customers WHERE id = $1",
        "SELECT cookie::text, password FROM users WHERE token = 'abc' AND password = 'x'",
        "UPDATE users SET password = 'x', note = 'y' WHERE id = 1",
        "INSERT INTO t VALUES ('forgot password', 'a', 'b')",
        "INSERT INTO t VALUES ('set password', 'a', 'b')",
        "SELECT max_tokens = 5, tokenizer FROM t",
        "SELECT identified, 'a' FROM t WHERE identified = 'b'",
        "SET SESSION AUTHORIZATION 'joe'",
        "ALTER USER x PASSWORD NULL",
        "ALTER ROLE x SET search_path = 'a', 'b'",
        "SELECT 'https://example.com/a@b', 'ssh://git@h/x'",
        "CREATE TABLE t (token text DEFAULT 'x')",
    ],
)
def test_what_only_looks_like_one_is_left_alone(sql: str) -> None:
    """Evidence stays: what a column is set to, or compared with, is no known secret position."""
    assert without_secrets(sql) == sql


def test_bind_parameters_in_secret_positions_are_named() -> None:
    sql = "SELECT set_config('app.secret', $2, false), crypt($1, gen_salt('bf')), $3"
    assert cleaned(sql).parameters == {1, 2}


def test_the_value_of_a_parameter_is_searched_like_a_literal() -> None:
    assert cleaned_value(f"host=h password={C}").text == "host=h password=[removed]"
    assert C not in cleaned_value(f"ALTER USER x PASSWORD '{C}'").text


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (f"ALTER USER x PASSWORD {C}", f'syntax error at or near "{C}"'),
        (f"ALTER USER x PASSWORD '{C}", f'unterminated quoted string at or near "\'{C}"'),
        (f"ALTER USER x PASSWORD 'a'b{C}'", f'syntax error at or near "b{C}"'),
    ],
)
def test_messages_about_a_statement_quote_no_secret(sql: str, message: str) -> None:
    said = quoting(message, sql)
    assert C not in said
    assert said.startswith(message[:12])


def test_of_a_long_value_so_much_is_kept_as_can_be_searched() -> None:
    value = "x" * 100_000 + f" password={C} " + "x" * MAXIMUM_VALUE
    kept = cleaned_value(value).text
    assert C not in kept
    assert kept.startswith("x" * 100_000 + " password=[removed] ")
    assert kept.endswith(" characters left out]")


def test_messages_about_other_statements_stay() -> None:
    message = 'relation "nowhere" does not exist'
    assert quoting(message, "SELECT * FROM nowhere") == message


@pytest.mark.parametrize("sql", ROLES)
def test_the_facts_of_a_refused_statement_quote_no_secret(sql: str) -> None:
    facts = analyse(sql, catalog())
    assert facts.effect is SqlEffect.OPAQUE
    assert facts.opaque is not None
    assert C not in facts.opaque.reason


def test_a_text_that_is_too_long_to_run_is_cut_where_it_may_hold_secrets() -> None:
    found = cleaned("x" * MAXIMUM_BYTES + f" password={C}")
    assert C not in found.text
    assert found.text.endswith(" characters left out]")


def scanned(sql: str) -> list[tuple[int, str]] | None:
    """Every token that is no literal and no comment, as PostgreSQL's own lexer has it."""
    try:
        found = scan(sql).tokens
    except (PgQueryError, UnicodeDecodeError):
        return None
    raw = sql.encode()
    return [(t.token, raw[t.start : t.end].decode()) for t in found if t.token not in NOT_CODE]


SCONST, USCONST, SQL_COMMENT, C_COMMENT = (
    scan(text).tokens[0].token for text in ("'a'", "U&'a'", "--a", "/*a*/")
)
NOT_CODE = frozenset({SCONST, USCONST, SQL_COMMENT, C_COMMENT})
SECRETS = st.sampled_from(
    [
        *(
            " 'password=a' ",
            "'https://a:b@c' ",
            "'x://a:'",
            "'@'",
            " password 'x' ",
            "/* token=a */",
            "'Cookie: a",
        ),
        *(" set_config('a.token', 'b') ", "'Authorization', 'b'", "E'pwd=\\'a'", "cookie::text"),
        *("$$", "'", "\u2003$$", "/*authorization:*/", "/*://a?token=*/", " AS identified WITH "),
    ]
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.sampled_from(STATEMENTS), st.lists(st.tuples(SECRETS, st.integers(0, 300)), max_size=4))
def test_nothing_but_literals_and_comments_is_ever_hidden(
    sql: str, added: list[tuple[str, int]]
) -> None:
    """Else an agent could hide from approvers what runs. SET's values may stand bare."""
    for piece, at in added:
        sql = sql[:at] + piece + sql[at:]
    facts = analyse(sql, catalog())
    if facts.opaque is None:
        assert scanned(without_secrets(sql)) == scanned(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE orders SET note='x://u:'WHERE(id=1)OR(id>0)AND('a@b'='a@b')",
        "UPDATE orders SET note='https://'WHERE(id=1)OR(id>0)AND('a@b'='a@b')",
        "SELECT id FROM orders WHERE note='a://b'OR(id)>'0'OR'p:'||'@'='p'",
        "SELECT id FROM orders WHERE note='a://b'OR(ARRAY[1,2])[1:200]='{1}'OR'@'='@'",
        "SELECT id FROM orders WHERE note='x'/*://b?token=*/OR(id)>0",
        "SELECT id AS \"x://u:\"FROM orders WHERE(id)>'0'OR'a@b'=note",
        "SELECT id FROM orders WHERE note=$$https://$$OR(id)>'0'OR $$a@b$$=note",
    ],
)
def test_no_url_that_begins_in_a_literal_hides_what_runs_after_it(sql: str) -> None:
    assert analyse(sql, catalog()).opaque is None
    assert scanned(without_secrets(sql)) == scanned(sql)


@pytest.mark.parametrize("blank", ["\u2003", "\xa0", "\x85", "\u3000", "\u2028"])
def test_no_blank_that_postgresql_takes_for_a_letter_makes_a_literal_of_code(blank: str) -> None:
    sql = f"UPDATE orders AS {blank}$$ SET note='x' /*authorization: */ WHERE id>0"
    assert analyse(sql, catalog()).opaque is None
    assert scanned(without_secrets(sql)) == scanned(sql)


@pytest.mark.parametrize("before", ["", "EXPLAIN "])
def test_no_alias_makes_names_look_like_passwords(before: str) -> None:
    asked = 'SELECT "id", "id", 1, "email" FROM "users"'
    sql = f'{before}INSERT INTO orders AS identified WITH a AS ({asked}) TABLE "a"'
    assert analyse(sql, catalog()).opaque is None
    assert without_secrets(sql) == sql


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(alphabet=st.characters(codec=None)), SECRETS)
def test_any_text_is_cleaned(text: str, piece: str) -> None:
    assert isinstance(without_secrets(text + piece + text), str)
