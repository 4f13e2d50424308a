"""COPY to the client brings what SELECT brings, cell by cell: no labelled value in any form."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.sql.copied import CopyLayout
from recordings.copied_rows import decode
from recordings.rows import Row, decode_postgres
from server.protocols.postgres import backend as b
from server.protocols.postgres import frontend as f
from server.protocols.postgres.codec import CopyRun, RowRun
from tests.attacks_sql.doors import Doors, everything, found
from tests.server.protocols.raw_client import Reply, tags

pytestmark = pytest.mark.anyio

# One statement a line.
STATEMENTS = (Path(__file__).parent / "labelled_values.sql").read_text().splitlines()
QUERIES = [sql for sql in STATEMENTS if not sql.startswith("EXPLAIN")]
TEXT = CopyLayout()
CSV = CopyLayout("csv", "-", "2", "9", "9")
CSV_OPTIONS = "(FORMAT csv, DELIMITER '-', NULL '2', QUOTE '9')"


def refusals(replies: list[Reply]) -> list[str]:
    return [r.text("C") for r in replies if isinstance(r, b.ErrorResponse)]


def selected(replies: list[Reply]) -> list[Row]:
    frames = b"".join(r.frames for r in replies if isinstance(r, RowRun))
    return sorted(decode_postgres(frames), key=repr)


def copied(replies: list[Reply], layout: CopyLayout) -> list[Row]:
    frames = b"".join(r.frames for r in replies if isinstance(r, CopyRun))
    return sorted(decode(layout, frames), key=repr)


@pytest.mark.parametrize("sql", QUERIES)
async def test_a_copy_of_a_query_has_the_cells_of_the_query(doors: Doors, sql: str) -> None:
    through_select = await doors.raw.query(sql)
    through_text = await doors.raw.query(f"COPY ({sql}) TO STDOUT")
    doors.raw.send(f.Parse("", f"COPY ({sql}) TO STDOUT {CSV_OPTIONS}"))
    doors.raw.send(f.Bind("", ""), f.Execute(""), f.Sync())
    through_csv = await doors.raw.until_ready()
    assert refusals(through_select) == refusals(through_text) == refusals(through_csv)
    if not refusals(through_select):
        cells = selected(through_select)
        assert copied(through_text, TEXT) == copied(through_csv, CSV) == cells
    for replies in (through_text, through_csv):
        assert found(everything(replies)) == set()
        # With these signs the lines have other quotes and delimiters than the values.
        undone = [(cell or b"").decode() for row in copied(through_text, TEXT) for cell in row]
        assert found("\n".join(undone)) == set()


@pytest.mark.parametrize(
    "table",
    ["customers", "customers (ssn)", "customers (id, email, ssn, phone)", "m_copies", "vip"],
)
@pytest.mark.parametrize("options", ["", "(FORMAT csv, HEADER)", CSV_OPTIONS])
async def test_a_copy_of_a_table_is_masked(doors: Doors, table: str, options: str) -> None:
    replies = await doors.raw.query(f"COPY {table} TO STDOUT {options}")
    # PostgreSQL copies a materialized view since version 18.
    assert tags(replies).endswith("cCZI") or table == "m_copies"
    assert found(everything(replies)) == set()


@pytest.mark.parametrize(
    "table", ["contacts", "v_row", "v_union", "ledger", "pg_stats", "pg_authid"]
)
async def test_what_is_no_table_is_not_copied(doors: Doors, table: str) -> None:
    replies = await doors.raw.query(f"COPY {table} TO STDOUT")
    assert tags(replies) == "EZI"
    assert found(everything(replies)) == set()


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT leak(1)) TO STDOUT",
        "COPY (SELECT poke('x')) TO STDOUT",
        "COPY (SELECT x FROM v_calls) TO STDOUT",
        "COPY (SELECT pg_read_file('/etc/passwd')) TO STDOUT",
        "COPY typed TO STDOUT (FORMAT binary)",
        "COPY (SELECT rolpassword FROM pg_authid) TO STDOUT",
        "COPY (DELETE FROM orders WHERE id = 1 RETURNING id) TO STDOUT",
        "COPY (INSERT INTO copies VALUES (1, 'x') RETURNING t) TO STDOUT",
        "COPY (WITH x AS (DELETE FROM orders WHERE id = 1 RETURNING 1) SELECT 1) TO STDOUT",
        "COPY (SELECT 1) TO STDOUT; COPY (SELECT ssn FROM customers) TO STDOUT",
        "COPY (SELECT 1) TO STDOUT; DELETE FROM orders",
        "COPY (SELECT 1; DELETE FROM orders) TO STDOUT",
        "COPY (SELECT 1) TO PROGRAM 'touch /tmp/x'",
        "COPY (SELECT 1) TO '/tmp/x'",
        "COPY pg_temp.x TO STDOUT",
        "COPY customers (nothing) TO STDOUT",
        "COPY customers TO STDOUT (NULL '219-09-9991')",
        "COPY customers TO STDOUT (FORMAT csv, FORCE_QUOTE (ssn))",
    ],
)
async def test_a_copy_that_does_more_is_refused(doors: Doors, sql: str) -> None:
    before = await doors.state()
    replies = await doors.raw.query(sql)
    doors.raw.send(f.Parse("", sql), f.Bind("", ""), f.Execute(""), f.Sync())
    replies += await doors.raw.until_ready()
    assert set(refusals(replies)) == {"42501"}
    assert not any(isinstance(r, CopyRun | b.CopyOutResponse) for r in replies)
    assert await doors.state() == before
    assert (await doors.mcp(sql)).refused


async def test_a_label_on_a_value_that_decides_is_not_told_by_a_copys_error(doors: Doors) -> None:
    for sql in (
        "COPY (SELECT ssn::int FROM customers) TO STDOUT",
        "COPY (SELECT ssn::json FROM customers) TO STDOUT (FORMAT csv)",
    ):
        replies = await doors.raw.query(sql)
        assert len(refusals(replies)) == 1
        assert found(everything(replies)) == set()
