"""What is proposed for a column, of what its values hold and what its name says."""

from __future__ import annotations

from functools import cache

import pytest

from masking.engine import Scanner
from masking.spans import NOT_SCANNED, Span
from server.demo import shop
from server.scanning.clues import Rule, clue_of
from server.scanning.judging import Judged, judged, shape

MAIL = Rule("pii", "email")
TYPES = {"ssn": "character(11)", "birth_date": "date", "joined_at": "timestamp with time zone"}


@cache
def scanner() -> Scanner:
    return Scanner()


def proposal(column: str, texts: list[str], type_name: str = "text", **more: object) -> Judged:
    spans = scanner().spans(texts, column)
    return judged(column, type_name, texts, spans, **more)  # type: ignore[arg-type]


def test_values_that_are_entities_get_a_rule_with_its_evidence() -> None:
    texts = [f"person{n}@example.com" for n in range(9)] + ["unknown"]
    found = proposal("remark", texts)
    [evidence] = found.evidence
    assert found.rule == MAIL
    assert (evidence.entity, evidence.share, evidence.whole) == ("EMAIL_ADDRESS", 0.9, True)
    assert evidence.example == "xxxxxx9@xxxxxxx.xxx"


def test_free_text_with_some_in_it_is_noted_and_gets_no_rule() -> None:
    texts = ["please call back tomorrow, she was out"] * 9 + ["write to ada@example.com instead"]
    found = proposal("body", texts)
    assert found.rule is None
    assert [(e.entity, e.share, e.whole) for e in found.evidence] == [("EMAIL_ADDRESS", 0.1, False)]


def test_text_that_always_holds_one_is_masked_as_a_whole() -> None:
    texts = [f'{{"who": {{"name": "n{n}", "mail": "n{n}@example.com"}}}}' for n in range(5)]
    assert proposal("document", texts, "jsonb").rule == Rule("pii", "redact")


def test_a_name_is_a_clue_where_there_are_no_values() -> None:
    found = judged("email", "text", [], [])
    assert (found.rule, found.hint, found.evidence) == (MAIL, "an e-mail address", ())


def test_a_name_makes_few_values_enough() -> None:
    texts = ["none"] * 4 + ["ada@example.com"]
    assert proposal("email", texts).rule == MAIL
    assert proposal("state", texts).rule is None


def test_a_column_with_a_label_gets_no_rule() -> None:
    found = judged("email", "text", [], [], labels=frozenset({"contact"}))
    assert (found.rule, found.labels) == (None, ("contact",))


def test_a_value_that_could_not_be_searched_is_no_evidence() -> None:
    assert judged("body", "text", ["x"], [[Span(0, 1, NOT_SCANNED)]]).evidence == ()


@pytest.mark.parametrize(
    ("column", "type_name", "label"),
    [
        ("EmailAddress", "text", "pii"),
        ("customerEmail", "character varying(200)", "pii"),
        ("work_email", "citext", "pii"),
        ("email_verified", "boolean", None),
        ("email", "boolean", None),
        ("date_of_birth", "date", "pii"),
        ("birthday", "timestamp without time zone", "pii"),
        ("salary", "numeric(10,2)", "financial"),
        ("password_hash", "text", "secret"),
        ("token_count", "integer", None),
        ("token", "integer", None),
        ("card_type", "text", None),
        ("name", "text", None),
        ("last_name", "text", "pii"),
        ("description", "text", None),
        ("client_ip", "inet", "pii"),
        ("zip", "text", "pii"),
    ],
)
def test_only_names_that_mean_it_are_clues(column: str, type_name: str, label: str | None) -> None:
    clue = clue_of(column, type_name)
    assert (clue.rule.label if clue else None) == label


def test_the_shape_of_a_value_holds_no_letter_and_no_digit_of_it() -> None:
    assert shape("Ada-Ünal 219-09-9991\n") == "xxx-xxxx 999-99-9999?"
    assert shape("a" * 30) == "x" * 24 + "…"


def test_on_the_demos_shop_what_is_personal_is_proposed_and_nothing_else() -> None:
    proposed, noted = set(), set()
    for name, table in shop.tables().items():
        for position, column in enumerate(table.columns):
            texts = [str(row[position]) for row in table.rows[:200] if row[position] is not None]
            found = proposal(column, texts, TYPES.get(column, "text"))
            proposed |= {(name, column, found.rule.label)} if found.rule else set()
            noted |= {f"{name}.{column}"} if found.evidence and not found.rule else set()
    assert proposed == {
        ("customers", "email", "pii"),
        ("customers", "phone", "pii"),
        ("customers", "ssn", "pii"),
        ("customers", "card", "financial"),
        ("customers", "birth_date", "pii"),
    }
    assert noted == {"support_notes.body"}
