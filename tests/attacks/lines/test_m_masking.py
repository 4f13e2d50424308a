"""Lines M22 to M26 and M29 on SQL: frames, types, spellings, failures, write-back, every channel.

M27 is in `test_m27.py`; M28, and what these lines say of streams, in `test_m_streams.py`.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote

import pytest

from masking.cells import ColumnShape, Masker, Scan
from masking.errors import MaskingFailed
from masking.operators import PseudonymKey
from masking.scanning import ScanText
from masking.spans import Span
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import RowRun
from tests.attacks.lines.guard import Guard, everything, mcp_verdict, text_of, wire_verdict
from tests.attacks.lines.leaks import found, found_in_bytes

pytestmark = pytest.mark.anyio

MAIL: Final = "ada.canary@example.com"
SSN: Final = "219-09-9991"


@asynccontextmanager
async def written(guard: Guard, *bodies: str) -> AsyncIterator[None]:
    """A table of texts without labels, once the gateway has seen that it is there."""
    await guard.direct.execute("CREATE TABLE bodies (id integer PRIMARY KEY, body text)")
    try:
        await guard.direct.copy_records_to_table("bodies", records=list(enumerate(bodies)))
        async with asyncio.timeout(60):
            while mcp_verdict(await guard.mcp("SELECT id FROM bodies")) == "RELATION_UNKNOWN":
                pass
        yield
    finally:
        await guard.direct.execute("DROP TABLE bodies")


async def hides(guard: Guard, *statements: str) -> None:
    """What runs of these shows nothing; and something of them runs."""
    asked = {sql: await guard.ask(sql) for sql in statements}
    assert {sql: answer.leaks for sql, answer in asked.items() if answer.leaks} == {}
    assert any(answer.verdicts.mcp == "OK" for answer in asked.values())


async def test_m22_a_value_over_two_rows_shows_in_neither(guard: Guard) -> None:
    await hides(
        guard,
        "SELECT left(ssn, 6) FROM customers UNION ALL SELECT substr(ssn, 7) FROM customers",
        "SELECT substr(ssn, n, 1) FROM customers, generate_series(1, 11) AS n",
        "SELECT unnest(ARRAY[left(ssn, 6), substr(ssn, 7)]) FROM customers",
        "SELECT unnest(string_to_array(email, '@')) FROM customers",
        "SELECT regexp_split_to_table(ssn, '') FROM customers",
    )


async def test_m22_the_end_of_a_large_cell_is_masked_and_one_too_large_is_withheld(
    guard: Guard,
) -> None:
    word = "status ok "
    async with written(guard, f"{word * 7000}{MAIL}", f"{word * 120_000}{MAIL}"):
        answer = await guard.ask("SELECT body FROM bodies WHERE id = 0")
        assert answer.leaks == set()
        assert b"<EMAIL_ADDRESS>" in answer.wire
        answer = await guard.ask("SELECT body FROM bodies WHERE id = 1")
        assert answer.leaks == set()
        assert answer.cells == {None}


async def test_m22_the_last_of_many_rows_is_masked_and_past_the_limit_nothing_comes(
    guard: Guard,
) -> None:
    async with written(guard, f"mail {MAIL} or {SSN}"):
        sql = "SELECT n, body FROM bodies, generate_series(1, {}) AS n"
        replies = await guard.extended(sql.format(1000), binary=0)
        assert wire_verdict(replies) == "OK"
        sent = everything(replies)
        assert sum(r.count for r in replies if isinstance(r, RowRun)) == 1000
        assert sent.count(b"mail <EMAIL_ADDRESS> or <US_SSN>") == 1000
        assert found_in_bytes(sent) == set()
        replies = await guard._kept(guard.extended(sql.format(1_000_000), binary=0))
        assert wire_verdict(replies) != "OK"
        assert found_in_bytes(everything(replies)) == set()


async def test_m22_where_the_client_cuts_its_reading_nothing_shows(guard: Guard) -> None:
    """Portals of one row each: what the scanner sees is the same."""
    async with written(guard, *(f"{n} {MAIL}" for n in range(8))):
        guard.raw.send(f.Parse("", "SELECT body FROM bodies"), f.Bind("", ""))
        for _ in range(8):
            guard.raw.send(f.Execute("", 1))
        guard.raw.send(f.Sync())
        sent = everything(await guard.raw.until_ready())
        assert sent.count(b"<EMAIL_ADDRESS>") == 8
        assert found_in_bytes(sent) == set()


NUMBER: Final = "replace(ssn, '-', '')"


async def test_m23_no_type_carries_a_labelled_value(guard: Guard) -> None:
    expressions = (
        *("ARRAY[ssn]", "ARRAY[ARRAY[ssn], ARRAY[email]]", "ROW(ssn, 1)", "ARRAY[ROW(ssn)]"),
        *("json_build_object(ssn, 1)", "jsonb_build_object('a', jsonb_build_array(1, ssn))"),
        *("jsonb_build_object(email, jsonb_build_object(ssn, email))", "to_jsonb(ssn)"),
        *("ssn::bytea", "convert_to(ssn, 'UTF8')", "decode(md5(ssn), 'hex')", "ssn::char(40)"),
        *("to_tsvector('simple', ssn)", "array_to_tsvector(ARRAY[ssn])", "ssn::xml"),
        *(f"{NUMBER}::bigint", f"{NUMBER}::numeric", f"{NUMBER}::float8", f"{NUMBER}::money"),
        *(f"int8range({NUMBER}::bigint, NULL)", f"numrange(1, {NUMBER}::numeric)", "ssn::name"),
        f"make_interval(secs => {NUMBER}::float8)",
        f"to_timestamp({NUMBER}::float8)",
        f"'192.0.2.1'::inet + {NUMBER}::bigint",
        f"('x' || lpad({NUMBER}, 16, '0'))::bit(64)",
    )
    await hides(guard, *(f"SELECT {expression} FROM customers" for expression in expressions))


SPELLINGS: Final = {
    "no separators": "ssn 219099991",
    "dots": "219.09.9991",
    "spaces": "219 09 9991",
    "plus tag": "ada.canary+news@example.com",
    "capitals": MAIL.upper(),
    "url": f"https://shop.example/?to={quote(MAIL, safe='')}&x=1",
    "json in a text": json.dumps({"note": json.dumps({"mail": MAIL})}),
    "base64": base64.b64encode(f"write to {MAIL} today".encode()).decode(),
    "hexadecimal": f"write to {MAIL} today".encode().hex(),
    "data uri": "data:text/plain;base64," + base64.b64encode(f"to {MAIL}".encode()).decode(),
    "escapes": "".join(f"\\u{ord(c):04x}" for c in MAIL),
    "quoted": f'"{MAIL}"',
    "in a sentence": f"Ada\u2019s address ({MAIL}), and her number: {SSN}.",
}


async def test_m24_a_value_is_found_in_every_spelling(guard: Guard) -> None:
    async with written(guard, *SPELLINGS.values()):
        for number, spelling in enumerate(SPELLINGS):
            answer = await guard.ask(f"SELECT body FROM bodies WHERE id = {number}")
            assert (spelling, answer.verdicts.mcp, answer.leaks) == (spelling, "OK", set())


SECRETS: Final = (
    "4111-1111-1111-1111",
    "de89370400440532013000",
    "DE89 3704 0044 0532 0130 00",
    "AKIAIOSFODNN7EXAMPLQ",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "s3cr3t-Passw0rd",
)


async def test_m24_keys_and_numbers_are_found_where_they_stand(guard: Guard) -> None:
    bodies = (
        *(f"it is {secret} (x)" for secret in SECRETS[:-1]),
        f"postgres://app:{SECRETS[-1]}@db.internal/shop",
        f"DATABASE_PASSWORD={SECRETS[-1]}",
    )
    async with written(guard, *bodies):
        result = await guard.mcp("SELECT body FROM bodies ORDER BY id")
        said = text_of(result) + result.model_dump_json()
        assert [secret for secret in SECRETS if secret in said] == []
        assert said.count("<") >= len(bodies)


async def test_m25_characters_of_two_code_units_do_not_move_a_mask(guard: Guard) -> None:
    text = "\U0001f511\U0001f468\u200d\U0001f469 e\u0301 {} \U0001f511 \u202e{}"
    async with written(guard, text.format(MAIL, SSN)):
        answer = await guard.ask("SELECT body FROM bodies")
    assert answer.leaks == set()
    assert answer.cells == {text.format("<EMAIL_ADDRESS>", "<US_SSN>")}


class Gone:
    """A finder whose worker can't be had any more."""

    async def spans(self, texts: Sequence[ScanText]) -> list[list[Span]]:
        raise MaskingFailed("the scanner is gone")

    async def column_spans(self, context: str, texts: Sequence[str]) -> dict[int, list[Span]]:
        raise MaskingFailed("the scanner is gone")


async def test_m25_where_nobody_can_look_nothing_is_delivered() -> None:
    masker = Masker(PseudonymKey(b"k" * 32), Gone())
    plan = masker.plan([ColumnShape("note", 25)], [Scan()])
    with pytest.raises(MaskingFailed):
        await masker.columns(plan, [[f"mail {MAIL}".encode()]])
    with pytest.raises(MaskingFailed):
        await masker.text(f"mail {MAIL}")


async def test_m26_what_was_read_masked_is_not_written_back(guard: Guard) -> None:
    await guard.refuses(
        "WRITE_BACK",
        "UPDATE customers SET ssn = '***' WHERE id = 1",
        "UPDATE customers SET ssn = '***-**-9991' WHERE id = 1",
        "UPDATE customers SET email = '***@example.com', phone = '<redacted>' WHERE id = 1",
        "INSERT INTO customers (id, name, ssn) VALUES (90, 'x', '***-**-9991')",
        "INSERT INTO customers (id, name) VALUES (1, 'x')"
        " ON CONFLICT (id) DO UPDATE SET ssn = '***-**-9991'",
        "COPY customers (id, name, ssn) FROM STDIN",
    )
    await guard.refuses(
        "WRITE_BACK_MASK",
        "UPDATE orders SET status = '<redacted>' WHERE id = 1",
        "UPDATE orders SET status = '***-**-9991' WHERE id = 1",
        "UPDATE orders SET status = '***-**' || '-9991' WHERE id = 1",
        "UPDATE orders SET status = 'lost' WHERE status = '***@example.com'",
        "INSERT INTO orders (id, customer_id, status) SELECT id + 900, 1, '<redacted>' FROM orders",
        "DELETE FROM orders WHERE status = '<redacted>'",
    )
    await guard.waits("UPDATE orders SET status = 'paid ***' WHERE id = 1")


async def test_m29_every_part_of_an_answer_is_masked_alike(guard: Guard) -> None:
    told: list[Any] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    sql = "SELECT ssn, email, notes, ssn || 'x' AS more FROM customers ORDER BY id"
    arguments = {"target": "shop", "sql": sql, "reason": "to see whether it shows"}
    result = await guard.client.call_tool("run_sql", arguments, progress_callback=hear)
    whole = result.model_dump_json() + repr(told)
    assert found(whole) == set()
    assert "ada.second" not in whole
    content = result.structured_content
    assert content is not None
    masked = [column["masked"] for column in content["columns"]]
    assert masked == [True, True, False, True]
    for row in content["rows"]:
        assert all(cell is None or cell in text_of(result) for cell in row)


async def test_m29_a_failure_says_no_more_than_an_answer(guard: Guard) -> None:
    async with written(guard, MAIL):
        for sql in (
            "SELECT body::integer FROM bodies",
            "SELECT body::uuid FROM bodies",
            "SELECT ssn::integer FROM customers",
            f"SELECT '{MAIL}'::integer",
        ):
            result = await guard.mcp(sql)
            assert result.is_error
            rest = result.model_dump_json().replace(json.dumps(sql)[1:-1], "")
            assert (sql, found(rest)) == (sql, set())
