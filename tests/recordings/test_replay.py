"""A recorded session told on a terminal: readable, and nothing in it can steer the terminal."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordings.replay import Replay, terminal
from recordings.sessions import StoredRecord
from recordings.text import cut, escaped, escaped_lines, table, width
from tests.recordings.samples import (
    CLOSED,
    DONE,
    INTENT,
    OPENED,
    OUTCOME,
    REFUSED,
    columns,
    replayed,
    rows,
    stored,
)


def told(*records: StoredRecord, max_rows: int = 20) -> str:
    replay = Replay(max_rows)
    return "\n".join(line for record in records for line in replay.lines(record))


@pytest.mark.anyio
async def test_a_session_reads_from_its_opening_to_its_end() -> None:
    email = columns("id", "email", masked={"email": "label pii"})
    given = replayed(
        OPENED, INTENT, email, rows([b"1", b"a***"], [b"22", None], at=4), DONE, OUTCOME, CLOSED
    )
    assert [line async for line in terminal(given)] == [
        "22:13:20.000000  session s-1 on shop",
        "          2023-11-14 UTC, over mcp",
        "          Ann (corp:ann), by agent claude",
        "22:13:20.000001  runs: SqlStatement",
        "          | SELECT id, email",
        "          |     FROM customers",
        "          | $1 = 7",
        "          | $2 = null",
        "          policies: shop.read",
        "          approval: t-9",
        "          reason given: month's end",
        "22:13:20.000003  result of 2 columns",
        "          masked: email: label pii",
        "22:13:20.000004  rows: 2",
        "          | id | email",
        "          | ---+------",
        "          | 1  | a***",
        "          | 22 | NULL",
        "22:13:20.000005  target: SELECT 2",
        "22:13:20.000006  outcome: completed (2 rows, 40 bytes)",
        "          masked: pii 2",
        "22:13:20.000008  session ended: interrupted",
        '          outcome unknown: {"stream":7,"sequence":2,"action":"SqlStatement"}',
    ]


def test_an_answer_of_one_record_is_told_as_one_of_several_is() -> None:
    apart = (columns("id", masked={"id": "label pii"}), rows([b"1"], [b"2"], at=4), DONE, OUTCOME)
    body = apart[1].body
    whole = {**apart[0].document, **OUTCOME.document, "codec": "postgres", "tag": "SELECT 2"}

    def said(text: str) -> list[str]:
        return [re.sub(r"^[\d:.]+", "", line).strip() for line in text.splitlines()]

    assert said(told(stored("answer", whole, body))) == said(told(*apart))
    changed = {"status": "completed", "rows": 0, "bytes": 0, "tag": "UPDATE 3", "more": False}
    assert said(told(stored("answer", changed)))[0] == "target: UPDATE 3"


def test_what_was_masked_is_told_by_column_and_label_or_entity() -> None:
    gone = {"note": {"EMAIL_ADDRESS": 3, "UNREADABLE": 1}, "ssn": {"pii": 9}}
    text = told(stored("outcome", {"status": "completed", "masked_columns": gone}))
    assert "masked in note: EMAIL_ADDRESS 3, UNREADABLE 1" in text
    assert "masked in ssn: pii 9" in text


def test_a_refusal_is_told_with_its_policy_and_next_step() -> None:
    text = told(REFUSED)
    assert "refused: SqlStatement" in text
    assert "| DROP TABLE customers" in text
    assert "POLICY by no-drop: Tables are not dropped." in text
    assert "next: Ask the owner." in text


def test_rows_past_the_cap_are_counted_over_all_chunks_of_a_result() -> None:
    text = told(columns("n"), rows([b"one"], [b"two"]), rows([b"three"], [b"four"]), max_rows=3)
    assert "three" in text
    assert "four" not in text
    assert "(1 more rows are in the recording)" in text


def test_the_cap_begins_again_with_each_result() -> None:
    text = told(columns("n"), rows([b"one"]), columns("n"), rows([b"two"]), max_rows=1)
    assert "one" in text
    assert "two" in text


def test_a_cell_that_is_no_text_is_shown_in_hexadecimal() -> None:
    assert "\\xff00" in told(columns("n"), rows([b"\xff\x00"]))


def test_a_long_cell_is_cut() -> None:
    text = told(columns("n"), rows([b"x" * 1000]))
    assert "…" in text
    assert max(map(len, text.splitlines())) < 100


def test_rows_that_can_t_be_read_are_said_to_be() -> None:
    text = told(stored("rows", {"count": 1, "codec": "postgres"}, b"D\0"))
    assert "2 bytes that can't be read as rows" in text


def test_a_missing_body_is_said_to_be_missing() -> None:
    assert "the body is missing" in told(stored("intent", {}, None))


def test_a_kind_that_replay_does_not_know_is_told_by_its_members() -> None:
    text = told(stored("approval_decided", {"ticket": "t-1", "approve": True}))
    assert "approval_decided" in text
    assert "ticket: t-1" in text
    assert "approve: true" in text


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"principal": 1, "columns": 2, "refusal": [], "action": None, "masked": "x"},
        {"masked": 1, "masked_columns": {"note": 2}},
        {"columns": 1, "codec": 2, "rows": "x"},
    ],
)
@pytest.mark.parametrize(
    "kind",
    [
        *("session_opened", "decision", "intent", "columns", "rows", "done", "failed", "outcome"),
        "answer",
    ],
)
def test_a_document_of_another_shape_is_still_told(kind: str, document: dict[str, int]) -> None:
    assert told(stored(kind, document))


HOSTILE = [
    "\x1b[2J",
    "\x9b31m",  # CSI in C1
    "\x07",
    "\r",
    "\b\b\b",
    "\x7f",
    "‮drop",
    "⁦a⁩",
    "\u200b",
    "\u200e",
    "\ufeff",
    "\u2028",
    "\u2029",
    "\x85",
    "\ue000",
    "\U000e0041",  # tag characters
    "\ud800",
    "\0",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_a_terminal_would_act_on_is_escaped_everywhere(hostile: str) -> None:
    raw = hostile.encode("utf-8", "surrogatepass")
    text = told(
        stored(
            "session_opened", {"principal": {"name": hostile, "id": hostile}, "target": hostile}
        ),
        stored("intent", {"reason": hostile, "action": {"parameters": [hostile]}}, raw),
        columns(hostile, masked={hostile: hostile}),
        rows([raw]),
        stored("failed", {"sqlstate": hostile, "message": hostile}),
        stored("answer", {"columns": [{"name": hostile, "masked": hostile}], "tag": hostile}),
        stored("answer", {"codec": "postgres", "rows": hostile}, rows([raw]).body),
        stored("other", {hostile: {hostile: hostile}}, raw),
        stored("outcome", {"status": hostile, "masked": {hostile: 1}}),
        stored("outcome", {"masked_columns": {hostile: {hostile: 1}}}),
    )
    assert hostile not in text


def test_a_recorded_line_end_forges_no_record() -> None:
    forged = "x\n22:13:20.000001  session ended: closed"
    for line in told(
        stored("session_opened", {"principal": {"name": forged}}),
        stored("intent", {}, forged.encode()),
        stored("failed", {"message": forged}),
        rows([forged.encode()]),
    ).splitlines():
        assert not line.startswith("22:13:20.000001")


@given(st.text())
def test_escaped_text_holds_only_characters_that_print(text: str) -> None:
    unsafe = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert not unsafe & {unicodedata.category(c) for line in escaped_lines(text) for c in line}


def test_plain_text_of_any_script_is_left_alone() -> None:
    for text in ("SELECT 'a' || \"b\"", "Füße 日本語 Ελλάδα 🙂"):
        assert escaped(text) == text


def test_columns_align_with_wide_and_combining_characters() -> None:
    lines = table(["a", "b"], [["日本", "x"], ["e\u0301", "x"]])
    assert {width(line) for line in lines} == {8}


def test_text_is_cut_by_columns() -> None:
    assert cut("日本語", 5) == "日本…"
    assert cut("abc", 3) == "abc"
