"""What a ticket's page says of the text, and the order of the list."""

from __future__ import annotations

import pytest

from server.console.views import LONG_GAP, MANY_EMPTY, Part, sections, sheet
from tests.server.console.tickets import RITA, VICTOR, ticket


def notes(text: str) -> str:
    return "\n".join(sheet(ticket(text=text)).notes)


def test_plain_text_is_one_part_a_line_and_needs_no_note() -> None:
    shown = sheet(ticket(text="UPDATE t\n  SET a = 1"))
    assert shown.lines == ((Part("UPDATE t"),), (Part("  SET a = 1"),))
    assert shown.notes == ()
    assert shown.size == "2 lines, 20 characters"


@pytest.mark.parametrize("text", ["", "\n", "a\n\nb", "a\r\nb", "a\u2028b", "x" * 70_000])
def test_no_character_is_left_out(text: str) -> None:
    lines = sheet(ticket(text=text)).lines
    assert "\n".join("".join(part.text for part in line) for line in lines) == text


@pytest.mark.parametrize(
    "character", ["\u202e", "\u200b", "\x1b", "\x00", "\t", "\r", "\u3164", "\u00a0", "\ufeff"]
)
def test_what_can_not_be_seen_is_marked_and_said(character: str) -> None:
    text = f"SELECT{character}1"
    assert [part.kind for part in sheet(ticket(text=text)).lines[0]] == ["", "hidden", ""]
    assert "can't be seen" in notes(text)


def test_a_letter_that_looks_like_another_is_marked_with_its_name() -> None:
    (line,) = sheet(ticket(text="DROP TABLE \u0430ccounts")).lines
    assert line[1] == Part("\u0430", "unusual", "U+0430 CYRILLIC SMALL LETTER A")
    assert "look like others" in notes("\u0430")


def test_text_that_is_pushed_away_is_pointed_at() -> None:
    away = "SELECT 1" + " " * LONG_GAP + "; DROP TABLE t"
    assert f"Up to {LONG_GAP} spaces in a row: read to the end of line 1." in notes(away)
    below = "SELECT 1" + "\n" * (MANY_EMPTY + 1) + "; DROP TABLE t"
    assert f"goes on after {MANY_EMPTY} empty lines below line 1." in notes(below)
    assert notes("SELECT 1" + " " * (LONG_GAP - 1) + "x\n\ny") == ""
    assert notes("SELECT 1" + "\n" * 20) == ""


def test_many_gaps_make_one_note() -> None:
    text = "\n".join("a" + " " * (LONG_GAP + n) + "b" for n in range(1000))
    assert notes(text).count("\n") == 0
    assert f"Up to {LONG_GAP + 999:,} spaces" in notes(text)


def test_what_waits_for_a_decision_comes_first() -> None:
    tickets = [
        ticket(id="used", state="used", may_decide=False),
        ticket(id="mine", requester_id=VICTOR.id, may_decide=False),
        ticket(id="open", state="pending", may_decide=False),
        ticket(id="decide"),
    ]
    found = {s.heading: [r.ticket.id for r in s.rows] for s in sections(VICTOR, tickets)}
    assert found == {
        "Waiting for your decision": ["decide"],
        "Your own requests": ["mine"],
        "Other requests": ["open", "used"],
    }


def test_an_empty_list_says_so() -> None:
    (only,) = sections(RITA, [])
    assert (only.rows, only.empty) == ((), "Nothing waits for you.")


def test_a_row_says_how_much_it_does_not_show() -> None:
    (section,) = sections(VICTOR, [ticket(text="\n  UPDATE t\nSET a = 1\nWHERE b")])
    assert (section.rows[0].first, section.rows[0].more) == ("  UPDATE t", "and 2 more lines")
