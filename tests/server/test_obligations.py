"""What happens to each output column, and the fixed order of shaping."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from masking.cells import Hide, Keep, Mask, Masker, Scan, Treatment
from masking.operators import PseudonymKey
from masking.scanning import ScanText
from masking.spans import Span
from policies.errors import Denied
from policies.model import Decision, Effect, LimitRows, MaskLabels, Target
from policies.sql.catalog import Catalog, Relation
from policies.sql.catalog import Column as CatalogColumn
from policies.sql.copied import CopyLayout
from policies.sql.facts import Opaque, SqlEffect, SqlFacts, TableName
from recordings.batches import each, one_by_one
from recordings.copied_rows import codec_name
from recordings.events import (
    Batch,
    Column,
    Columns,
    Done,
    Event,
    Failed,
    Native,
    Origin,
    Results,
    Rows,
)
from recordings.journal import JournalUnavailable, Record
from recordings.rows import ROW_CODECS
from server.backends import Backend, ColumnRule, Snapshot
from server.obligations import (
    CHANGED_ORIGIN,
    RECORDED_BYTES,
    Delivery,
    Shaping,
    shape,
    treatment,
)
from server.parsing.in_process import InProcess

CUSTOMERS = TableName("public", "customers")
REMOTE = TableName("public", "remote")
TEXT, INT4 = 25, 23
PII = MaskLabels(frozenset({"pii"}), "mask-pii")


class NothingFound:
    async def spans(self, texts: Any) -> list[list[Span]]:
        return [[] for _ in texts]

    async def column_spans(self, context: str, texts: Any) -> dict[int, list[Span]]:
        return {}


class Journal:
    """Accepts like the real one, and refuses when told to."""

    def __init__(self, *, room: int = 1000) -> None:
        self.records: list[Record] = []
        self.room = room

    def accept_now(self, record: Record) -> bool:
        if len(self.records) >= self.room:
            return False
        self.records.append(record)
        return True

    async def accept(self, record: Record) -> None:
        if not self.accept_now(record):
            raise JournalUnavailable("the journal has no room")


def backend() -> Backend:
    labelled = frozenset({"pii"})
    columns = (
        CatalogColumn("id", 1, "integer"),
        CatalogColumn("ssn", 2, "text", labelled),
        CatalogColumn("name", 3, "text"),
    )
    customers = Relation(CUSTOMERS, 100, "r", columns)
    remote = Relation(REMOTE, 200, "f", columns)
    relations = {CUSTOMERS: customers, REMOTE: remote}
    catalog = Catalog(
        version="1",
        database="shop",
        search_path=("public",),
        relations=relations,
        functions={},
        operators=frozenset(),
        types=frozenset(),
        by_oid={r.oid: r for r in relations.values()},
    )
    made = Backend(
        Target("shop", "postgres", "production"),
        connector=None,  # type: ignore[arg-type]  # shaping never connects
        rules={(CUSTOMERS, "ssn"): ColumnRule("pii", "keep_last(4)")},
        analyst=InProcess(),
    )
    made.snapshot = Snapshot(catalog, 0.0)
    return made


def shaping(
    *obligations: Any,
    facts: SqlFacts | None = None,
    journal: Journal | None = None,
    native: bool = False,
) -> Shaping:
    return Shaping(
        session="s",
        decision=Decision(Effect.PERMIT, "1", obligations),
        facts=facts or SqlFacts(SqlEffect.READ),
        backend=backend(),
        masker=Masker(PseudonymKey(b"k" * 32), NothingFound()),
        journal=journal or Journal(),  # type: ignore[arg-type]
        delivery=Delivery(),
        native=native,
    )


LABELLED = Mask("keep_last(4)", "pii", "label pii")
HIDDEN = Hide("pii", "an expression that may carry label pii")
TOUCHES = SqlFacts(SqlEffect.READ, labels_read=frozenset({"pii"}), clean_outputs=frozenset({1}))


@pytest.mark.parametrize(
    ("column", "index", "given", "expected"),
    [
        (Column("ssn", TEXT, 100, 2), 0, shaping(PII), LABELLED),
        (Column("harmless", TEXT, 100, 2), 0, shaping(PII), LABELLED),
        (Column("name", TEXT, 100, 3), 0, shaping(PII), Scan()),
        (Column("ssn", TEXT, 100, 2), 0, shaping(), Keep()),
        (Column("tableoid", 26, 100, -6), 0, shaping(PII), Scan()),
        (Column("upper", TEXT), 1, shaping(PII, facts=TOUCHES), Scan()),
        (Column("upper", TEXT), 0, shaping(PII, facts=TOUCHES), HIDDEN),
        (Column("upper", TEXT), 0, shaping(PII), Scan()),
        (Column("upper", TEXT), 0, shaping(facts=TOUCHES), Scan()),
    ],
)
def test_a_column_is_treated_by_its_origin_and_an_expression_by_proof(
    column: Column, index: int, given: Shaping, expected: Treatment
) -> None:
    assert treatment(column, index, given) == expected


@pytest.mark.parametrize(
    ("column", "given"),
    [
        (Column("x", TEXT, 999, 1), shaping(PII)),  # a relation that is not in the snapshot
        (Column("x", TEXT, 100, 9), shaping(PII)),  # a column that is not in the snapshot
        (Column("x", 2249, 100, 0), shaping(PII)),  # a whole row
        (Column("x", TEXT, 200, 1), shaping(PII)),  # a foreign table
        (Column("x", TEXT, 999, 1), shaping()),  # also for who may see every label
    ],
)
def test_what_can_not_be_traced_is_masked(column: Column, given: Shaping) -> None:
    found = treatment(column, 0, given)
    assert isinstance(found, Mask)
    assert found.operator == "redact"


def rows(*values: str) -> Rows:
    return Rows(ROW_CODECS["postgres"].encode([[v.encode()] for v in values]), len(values))


async def events(*given: Event) -> Any:
    for event in given:
        yield event


async def shaped(given: Results, how: Shaping) -> list[Event]:
    return [event async for event in each(shape(one_by_one(given), how))]


SSN = Columns((Column("ssn", TEXT, 100, 2),))


@pytest.mark.anyio
async def test_rows_are_masked_then_recorded_then_delivered() -> None:
    journal = Journal()
    how = shaping(PII, journal=journal)
    delivered = await shaped(events(SSN, rows("219-09-9991"), Done("SELECT 1", 1)), how)
    recorded = next(r for r in journal.records if r.kind == "rows")
    assert isinstance(delivered[1], Rows)
    assert delivered[1].frames == recorded.body
    assert b"219-09" not in recorded.body
    assert how.delivery.masked == {"pii": 1}
    outcome = how.delivery.document()
    assert (outcome["masked"], outcome["masked_columns"]) == ({"pii": 1}, {"ssn": {"pii": 1}})
    assert how.delivery.status == "completed"


@pytest.mark.anyio
async def test_rows_of_a_copy_are_masked_in_their_own_layout() -> None:
    csv = codec_name(CopyLayout("csv", ",", "", '"', '"'))
    given = Columns((Column("ssn", TEXT, 100, 2), Column("name", TEXT, 100, 3)), csv)
    lines = b'd\0\0\0\x19219-09-9991,"Eve, x"\n' + b"d\0\0\0\x09,Bob\n"
    how = shaping(PII)
    delivered = await shaped(events(given, Rows(lines, 2, csv)), how)
    assert delivered[1] == Rows(lines.replace(b"219-09", b"***-**"), 2, csv)
    assert how.delivery.masked_columns == {"ssn": {"pii": 1}}


@pytest.mark.anyio
async def test_rows_in_which_nothing_is_found_are_delivered_as_they_came() -> None:
    given = Columns((Column("name", TEXT, 100, 3),)), rows("Bob", "Eve")
    assert (await shaped(events(*given), shaping(PII)))[1] is given[1]


@pytest.mark.anyio
async def test_rows_are_delivered_as_they_come_and_wait_for_no_others() -> None:
    async def slow() -> Any:
        yield SSN
        yield rows("219-09-9991")
        await asyncio.Event().wait()  # the server goes on later, or never

    async with (
        asyncio.timeout(30),
        aclosing(each(shape(one_by_one(slow()), shaping(PII)))) as results,
    ):
        assert isinstance(await anext(results), Columns)
        assert await anext(results) == rows("***-**-9991")


@pytest.mark.anyio
async def test_what_the_journal_does_not_take_is_not_delivered() -> None:
    how = shaping(PII, journal=Journal(room=1))  # room for the description alone
    delivered: list[Event] = []
    results = each(shape(one_by_one(events(SSN, rows("219-09-9991"))), how))
    delivered.append(await anext(results))
    with pytest.raises(JournalUnavailable):
        delivered.append(await anext(results))
    assert [type(event) for event in delivered] == [Columns]


@pytest.mark.anyio
async def test_a_native_door_is_refused_past_the_row_limit_and_never_cut_short() -> None:
    how = shaping(LimitRows(2, "bounded"), native=True)
    with pytest.raises(Denied) as refused:
        await shaped(events(SSN, rows("a", "b"), rows("c"), Done("SELECT 3")), how)
    assert refused.value.refusal.code == "ROW_LIMIT"
    assert refused.value.refusal.policy == "bounded"


@pytest.mark.anyio
async def test_the_targets_words_are_withheld_where_a_label_was_touched() -> None:
    failed = Failed("22P02", 'invalid input syntax for type integer: "219-09-9991"')
    (touched,) = await shaped(events(failed), shaping(PII, facts=TOUCHES))
    assert isinstance(touched, Failed)
    assert touched.sqlstate == "22P02"
    assert "219" not in touched.message
    (untouched,) = await shaped(events(failed), shaping(PII))
    assert untouched == failed


@pytest.mark.anyio
async def test_rows_without_a_description_end_the_statement() -> None:
    with pytest.raises(Exception, match="before their description"):
        await shaped(events(rows("219-09-9991")), shaping(PII))


@pytest.mark.anyio
async def test_past_the_recording_bound_a_count_and_a_digest_are_kept() -> None:
    journal = Journal()
    how = shaping(journal=journal)
    big = rows("x" * (RECORDED_BYTES // 2))
    name = Columns((Column("name", TEXT, 100, 3),))
    await shaped(events(name, big, big, big, Done("SELECT 3", 3)), how)
    assert len([r for r in journal.records if r.kind == "rows"]) == 1
    assert how.delivery.rows == 3
    assert how.delivery.bytes == 3 * len(big.frames)
    assert how.delivery.recorded == len(big.frames)


def test_scan_text_is_what_a_span_finder_takes() -> None:
    """The fake above speaks the scanner's interface."""
    assert ScanText("a", "b").context == "b"


# --- MySQL, whose server's word on a column's origin is no proof ---------------------------------


def mysql_column(*, table: int = 0, number: int = 0) -> Column:
    return Column("c", 253, table=table, number=number, origin=Origin())


STORED = replace(TOUCHES, stored_outputs=((0, CUSTOMERS, "ssn"),))


@pytest.mark.parametrize(
    ("column", "index", "facts", "given", "expected"),
    [
        (mysql_column(), 0, STORED, (PII,), LABELLED),
        (mysql_column(), 0, STORED, (), Keep()),
        (mysql_column(table=100, number=3), 0, STORED, (PII,), LABELLED),
        (mysql_column(), 0, TOUCHES, (PII,), HIDDEN),
        (mysql_column(table=100, number=3), 0, TOUCHES, (PII,), HIDDEN),
        (mysql_column(), 1, TOUCHES, (PII,), Scan()),
        (
            mysql_column(table=100, number=2),
            1,
            TOUCHES,
            (PII,),
            Mask("redact", "unknown", CHANGED_ORIGIN),
        ),
    ],
)
def test_a_column_of_mysql_is_treated_by_lineage_and_its_origin_only_adds_a_mask(
    column: Column, index: int, facts: SqlFacts, given: tuple[Any, ...], expected: Treatment
) -> None:
    assert treatment(column, index, shaping(*given, facts=facts)) == expected


async def answers(*given: Batch) -> Any:
    for batch in given:
        yield batch


def at_once(*given: Event) -> Any:
    return answers(Batch((*given, Native(b"Z")), last=True))


@pytest.mark.anyio
async def test_a_small_answer_that_came_at_once_is_one_record_with_its_outcome() -> None:
    journal = Journal()
    how = shaping(PII, journal=journal)
    given = at_once(SSN, rows("219-09-9991"), Done("SELECT 1", 1))
    (batch,) = [batch async for batch in shape(given, how)]
    (record,) = journal.records
    assert record.kind == "answer"
    assert record.body == b"".join(e.frames for e in batch.events if isinstance(e, Rows))
    assert b"219-09" not in record.body
    document = record.document
    (column,) = document["columns"]  # type: ignore[misc]
    assert (column["name"], column["type"], bool(column["masked"])) == ("ssn", TEXT, True)
    assert document["masked"] == {"pii": 1}
    assert (document["status"], document["tag"], document["more"]) == (
        *("completed", "SELECT 1"),
        False,
    )
    assert (document["rows"], document["bytes"], document["recorded_bytes"]) == (
        *(1, len(record.body)),
        len(record.body),
    )
    assert how.delivery.whole


@pytest.mark.anyio
@pytest.mark.parametrize(
    "given",
    [
        at_once(SSN, rows("a" * 70_000), Done("SELECT 1", 1)),
        at_once(SSN, rows("a"), rows("b"), Done("SELECT 2", 2)),
        at_once(SSN, rows("a"), Done("SELECT 1"), Done("SELECT 1")),
        at_once(SSN, rows("a"), Failed("22012", "division by zero")),
        at_once(SSN, rows("a")),
        answers(Batch((SSN, rows("a"))), Batch((Done("SELECT 1"),), last=True)),
        answers(Batch((SSN, rows("a"), Done("SELECT 1")))),
    ],
    ids=["large", "rows twice", "two ends", "an error", "no end", "in two parts", "not the last"],
)
async def test_any_other_answer_is_recorded_as_it_comes(given: Any) -> None:
    journal = Journal()
    how = shaping(PII, journal=journal)
    async for _ in shape(given, how):
        pass
    assert [r.kind for r in journal.records][:2] == ["columns", "rows"]
    assert not how.delivery.whole


@pytest.mark.anyio
async def test_a_small_answer_that_the_journal_does_not_take_is_not_delivered() -> None:
    how = shaping(PII, journal=Journal(room=0))
    delivered: list[Batch] = []
    results = shape(at_once(SSN, rows("219-09-9991"), Done("SELECT 1", 1)), how)
    with pytest.raises(JournalUnavailable):
        delivered.append(await anext(results))
    assert not delivered
    assert not how.delivery.whole


@pytest.mark.anyio
async def test_a_plan_under_which_nothing_is_masked_serves_no_other_question() -> None:
    shown, masked = shaping(), shaping(PII)
    masked = replace(masked, backend=shown.backend)
    (_, clear, _) = await shaped(events(SSN, rows("219-09-9991"), Done("")), shown)
    assert clear == rows("219-09-9991")  # policy shows it to this one
    (_, kept, _) = await shaped(events(SSN, rows("219-09-9991"), Done("")), masked)
    assert kept == rows("***-**-9991")
    opaque = SqlFacts(SqlEffect.OPAQUE, opaque=Opaque("X", "x", "x"))
    number = Columns((Column("n", INT4),))
    (_, first, _) = await shaped(events(number, rows("7"), Done("")), shown)
    assert first == rows("7")
    judged = replace(shaping(facts=opaque), backend=shown.backend)
    (_, hidden, _) = await shaped(events(number, rows("7"), Done("")), judged)
    assert hidden != rows("7")


@pytest.mark.anyio
async def test_a_plan_is_made_anew_by_another_catalog() -> None:
    given = shaping(PII)
    name = Columns((Column("name", INT4, 100, 3),))
    (_, before, _) = await shaped(events(name, rows("7"), Done("")), given)
    assert before == rows("7")
    catalog = given.backend.catalog
    customers = catalog.relations[CUSTOMERS]
    labelled = tuple(replace(c, labels=frozenset({"pii"})) for c in customers.columns)
    changed = replace(customers, columns=labelled)
    given.backend.replace(replace(catalog, by_oid={100: changed}))
    (_, after, _) = await shaped(
        events(name, rows("7"), Done("")), replace(given, delivery=Delivery())
    )
    assert after != rows("7")
