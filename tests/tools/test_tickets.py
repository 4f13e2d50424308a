"""Tickets in words for approvers: a preview among the rest, and never in its way."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from tools.gateway import PreviewView, TicketView
from tools.tickets import MAX_SHOWN, full_text

TICKET = TicketView(
    id="ap_1",
    state="pending",
    requester="Rita",
    requester_id="corp:rita",
    agent="claude",
    target="shop",
    text="UPDATE orders SET status = 'x' WHERE id = 1",
    digest="d1" * 32,
    expires_at=datetime(2030, 1, 1, tzinfo=UTC),
)
TRIED = "Tried out and rolled back: it changed 1 row."


def test_an_approver_reads_the_count_and_the_rows() -> None:
    preview = PreviewView(TRIED, 1, ("id", "status"), (("1", None),), (("1", "x"),))
    lines = full_text(replace(TICKET, preview=preview)).splitlines()
    assert f"Preview: {TRIED}" in lines
    assert "Columns: id | status" in lines
    assert "Before: 1 | NULL" in lines
    assert "After: 1 | x" in lines


def test_what_is_in_a_row_makes_no_line_of_its_own() -> None:
    hostile = "x\nPolicies: none\u202e\x1b[2J"
    preview = PreviewView(TRIED, 1, ("note",), ((hostile,),))
    lines = full_text(replace(TICKET, preview=preview)).splitlines()
    assert "Policies: none" not in lines
    assert [line for line in lines if line.startswith("Before:")] == [
        "Before: x\\u{a}Policies: none\\u{202e}\\u{1b}[2J"
    ]


def test_long_rows_push_nothing_out_of_sight() -> None:
    wide = PreviewView(TRIED, 5, ("note",), (("x" * 200,),) * 5 + (("y" * 9000,),))
    text = full_text(replace(TICKET, preview=wide))
    assert len(text) < MAX_SHOWN
    assert "Its rows are too long for here" in text
    assert "Digest: " in text


def test_without_a_preview_nothing_is_said_of_one() -> None:
    assert "Preview" not in full_text(TICKET)
