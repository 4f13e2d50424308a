"""Lines M01 to M05: a labelled value under another name, in an expression, in a row."""

from __future__ import annotations

import pytest

from server.protocols.postgres import frontend as f
from tests.attacks.lines.guard import Guard, Verdicts, everything, wire_verdict
from tests.attacks.lines.leaks import LABELLED, found, found_in_bytes
from tests.attacks_sql.doors import driver, listener

pytestmark = pytest.mark.anyio


def each(*expressions: str) -> list[str]:
    return [f"SELECT {expression} FROM customers" for expression in expressions]


def test_the_oracle_knows_every_encoding_of_m40() -> None:
    """A fake leak in each encoding is found, so that finding none says something."""
    value = "219-09-9991"
    texts = (
        *(
            value,
            value[::-1],
            "219099991",
            value.encode().hex(),
            "MjE5LTA5LTk5OTE=",
            "219%2D09%2D9991",
        ),
        *(
            "xMjE5LTA5LTk5OTE",
            "eDIxOS0wOS05OTkx",
            "eHgyMTktMDktOTk5MQ==",
            "GIYTSLJQHEWTSOJZGE======",
        ),
        "".join(f"\\u{ord(c):04x}" for c in value),
        "".join(f"&#{ord(c)};" for c in value),
        *(" ".join(value), '","'.join(value), "\n".join(value), "\u200b".join(value)),
        "".join(chr(ord(c) + 0xFEE0) for c in value),
        "50, 49, 57, 45, 48, 57, 45, 57, 57, 57, 49",
    )
    assert [text for text in texts if not found(f"before {text} after")] == []
    assert found_in_bytes((219099991).to_bytes(8, "big"))
    assert found("***-**-9991, ***@example.com, <redacted>, 219, 9991") == set()
    assert len(LABELLED) > 10


async def test_m01_an_alias_does_not_lift_the_mask(guard: Guard) -> None:
    masked = {"***-**-9991", "***-**-5462", "***-**-7789", "***-**-6780"}
    for sql in each(
        *(
            "ssn AS note",
            "ssn AS name",
            'ssn AS "id"',
            'ssn AS U&"n\\006fte"',
            "customers.ssn AS x",
        ),
        *("ssn note", 'ssn "***"', "public.customers.ssn", "(ssn)", "((customers.ssn)) AS balance"),
    ):
        answer = await guard.ask(sql)
        assert (sql, answer.verdicts, answer.leaks) == (sql, Verdicts.all("OK"), set())
        assert (sql, answer.cells) == (sql, masked)
    swapped = await guard.ask(
        "SELECT name AS ssn, ssn AS name, email AS phone, phone AS email FROM customers"
    )
    assert swapped.leaks == set()
    assert "Ada Lovelace" in swapped.cells


async def test_m02_no_expression_shows_what_is_in_it(guard: Guard) -> None:
    await guard.masks(
        *each(
            "ssn || ''",
            "substr(ssn, 1, 11)",
            "left(ssn, 11), right(ssn, 11)",
            "overlay(ssn PLACING 'x' FROM 1 FOR 0)",
            "split_part(ssn, '-', 1), split_part(ssn, '-', 2)",
            "concat_ws('', ssn), concat(ssn), format('%s', ssn), format('%1$s%1$s', ssn)",
            "lower(ssn), initcap(email), initcap(phone), trim(ssn)",
            "lpad(ssn, 20), rpad(ssn, 20)",
            "replace(ssn, '-', '.'), translate(ssn, '-', '_'), reverse(ssn)",
            "coalesce(NULL, ssn), nullif(ssn, ''), greatest(ssn, ''), least(ssn, 'z')",
            "CASE WHEN true THEN ssn END",
            "(SELECT ssn)",
            "substring(ssn FROM '.*'), regexp_substr(ssn, '.*')",
            "ssn || name, email || phone",
            "strpos(ssn, '9'), length(ssn), octet_length(ssn), pg_column_size(ssn)",
            "concat(VARIADIC ARRAY[ssn])",
            'ssn COLLATE "C"',
            "CASE id WHEN 1 THEN ssn ELSE 'none' END",
            "ssn IS NULL, ssn IS DISTINCT FROM 'x'",
            "string_to_array(ssn, '-')::text, array_to_string(ARRAY[ssn], '')",
        )
    )


async def test_m03_no_encoding_and_no_arithmetic_shows_it(guard: Guard) -> None:
    number = "replace(ssn, '-', '')::bigint"
    await guard.masks(
        *each(
            *(f"encode(ssn::bytea, '{how}')" for how in ("hex", "base64", "escape")),
            *(
                "md5(ssn)",
                "sha256(ssn::bytea)",
                "sha512(ssn::bytea)",
                "hashtext(ssn)",
                "ascii(ssn)",
            ),
            *(
                "convert_to(ssn, 'UTF8')",
                "quote_literal(ssn), quote_nullable(ssn), quote_ident(ssn)",
            ),
            *(
                f"to_hex({number})",
                f"{number} * 2",
                f"{number} # 5",
                f"~ {number}",
                f"{number} % 10",
            ),
            *("translate(ssn, '0123456789', 'klmnopqrst')", "crc32(ssn::bytea)", f"sqrt({number})"),
            *("to_json(ssn)", "get_byte(ssn::bytea, 0)", f"to_char({number}, '999G999G999')"),
            *("('x' || ssn)::bytea", f"({number})::bit(40)", f"chr(({number} % 100 + 64)::int)"),
            *(f"make_interval(secs => {number})", f"to_timestamp({number})"),
            "hashtextextended(ssn, 1)",
        )
    )


async def test_m04_no_cast_shows_it_and_no_binary_format(guard: Guard) -> None:
    await guard.masks(
        *each(
            *("ssn::name", "ssn::bytea", "ssn::varchar(11)", "ssn::bpchar::text", 'ssn::"char"'),
            *("to_json(ssn)::text", "string_to_array(replace(ssn, '-', ''), NULL)::int[]"),
            *("CAST(ssn AS varchar)", "ssn::varchar::text"),
            *("(ssn || '')::text", "ARRAY[ssn]::text", "ROW(ssn)::text", "(ARRAY[ssn])::varchar[]"),
        )
    )
    padded = await guard.ask("SELECT ssn::char(30), ssn::bpchar FROM customers")
    assert {cell.strip() for cell in padded.cells} == {"<redacted>"}
    assert padded.leaks == set()
    async with driver(guard.world) as connection:
        rows = await connection.fetch(
            "SELECT ssn, ssn::bytea AS b, replace(ssn, '-', '')::bigint AS n, ARRAY[ssn] AS a,"
            " replace(ssn, '-', '')::numeric AS d, to_jsonb(c) AS j FROM customers c"
        )
    assert {row["ssn"][:7] for row in rows} == {"***-**-"}
    assert {row[name] for row in rows for name in ("b", "n", "a", "d")} == {None}
    assert found(str([dict(row) for row in rows])) == set()


async def test_m04_every_mix_of_result_formats_is_masked(guard: Guard) -> None:
    sql = "SELECT ssn, reverse(ssn), replace(ssn, '-', '')::bigint, email::bytea FROM customers"
    async with listener(guard.world) as client:
        for formats in ((), (0,), (1,), (0, 1, 0, 1), (1, 0, 1, 0), (1, 1, 1, 1)):
            client.send(f.Parse("", sql), f.Bind("", "", result_formats=formats))
            client.send(f.Execute(""), f.Sync())
            replies = await client.until_ready()
            assert (formats, wire_verdict(replies)) == (formats, "OK")
            assert (formats, found_in_bytes(everything(replies))) == (formats, set())


async def test_m05_no_row_as_a_value_shows_its_columns(guard: Guard) -> None:
    p = "FROM customers p"
    await guard.masks(
        *(
            f"SELECT {row} {p}"
            for row in (
                *("p", "p::text", "row_to_json(p)", "to_jsonb(p)", "to_json(p)", "p.row_to_json"),
                *("p.to_jsonb", "p.to_json", "ROW(p.*)", "ROW(p)", "ROW(ssn, email)", "p || ''"),
                *("to_jsonb(p)->>'ssn'", "(to_jsonb(p))['ssn']", "jsonb_build_object('a', p)"),
                *("array_agg(p)", "json_agg(p)", "ARRAY[p]", "format('%s', p)", "concat(p)"),
                *(
                    "row_to_json(p, true)",
                    "(SELECT p)",
                    "(SELECT to_json(p))",
                    "jsonb_pretty(to_jsonb(p))",
                ),
                *(
                    "json_build_array(p)",
                    "coalesce(p, NULL)",
                    "row_to_json(ROW(ssn))",
                    "p::text::bytea",
                ),
                *(
                    "jsonb_path_query_array(to_jsonb(p), '$.*')",
                    "to_jsonb(p) - 'id'",
                    "to_jsonb(p) #>> '{ssn}'",
                ),
            )
        ),
        "SELECT x FROM (SELECT customers AS x FROM customers) q",
        "SELECT q FROM (SELECT reverse(ssn) AS r FROM customers) q",
        "SELECT to_json(q) FROM (SELECT ssn FROM customers) q",
        "SELECT x::text FROM customers c, LATERAL (SELECT c) AS l(x)",
    )
    for sql in (
        *(
            "SELECT ssn(p) FROM customers p",
            "SELECT (p).ssn FROM customers p",
            "SELECT p.* FROM customers p",
        ),
        "SELECT (p).* FROM customers p",
    ):
        answer = await guard.ask(sql)
        assert (sql, answer.leaks) == (sql, set())
        assert answer.verdicts in (Verdicts.all("OK"), Verdicts.all("SQL_NOT_UNDERSTOOD"))
    await guard.refuses(
        "FUNCTION_NOT_ALLOWED",
        f"SELECT hstore(p) {p}",
        f"SELECT each(hstore(p)) {p}",
        f"SELECT json_populate_record(p, '{{}}') {p}",
        f"SELECT jsonb_populate_record(NULL::record, to_jsonb(p)) {p}",
        f"SELECT hstore_to_json(hstore(p)) {p}",
    )
