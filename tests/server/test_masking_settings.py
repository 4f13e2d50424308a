"""The section `masking`: what it means for the scanner, and what is refused, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from masking.engine import Scanner, recognizers
from masking.entities import ENTITIES, Recognition
from masking.spans import substitute
from tests.server.test_config import SMALLEST, load, refusal

BADGE = """
masking:
  packs: [uk]
  entities:
    IP_ADDRESS: on
    PHONE_NUMBER: off
    US_SSN: 0.9
  recognizers:
    - name: badge
      entity: EMPLOYEE_BADGE
      patterns:
        - {regex: 'EB-[0-9]{6}', score: 0.6}
        - {regex: '[0-9]{6}', score: 0.2}
      context: [Badge]
"""


def _recognition(path: Path, section: str) -> Recognition:
    return load(path, SMALLEST + section).masking.recognition()


def test_without_the_section_the_table_stands(tmp_path: Path) -> None:
    assert _recognition(tmp_path, "") == Recognition()


def test_packs_are_added_to_what_is_always_there(tmp_path: Path) -> None:
    chosen = {entity.name for entity in _recognition(tmp_path, BADGE).chosen()}
    assert {"UK_NINO", "EMAIL_ADDRESS", "PRIVATE_KEY", "IP_ADDRESS"} < chosen
    assert chosen.isdisjoint({"PHONE_NUMBER", "DE_TAX_ID"})


def test_a_recognizer_of_ones_own_finds_its_entity(tmp_path: Path) -> None:
    scanner = Scanner(recognizers(_recognition(tmp_path, BADGE)))
    text = "eb-123456 at 10.0.0.7, call (415) 555-0134, ssn 219-09-9999"
    masked = "<EMPLOYEE_BADGE> at <IP_ADDRESS>, call (415) 555-0134, ssn 219-09-9999"
    assert substitute(text, scanner.spans([text], "")[0]) == masked
    assert scanner.spans(["654321"], "") == [[]]
    assert [s.entity for s in scanner.spans(["654321"], "badge_no")[0]] == ["EMPLOYEE_BADGE"]


def test_an_entity_of_a_pack_that_is_not_chosen_can_be_named(tmp_path: Path) -> None:
    section = "masking: {entities: {DE_VAT_ID: on, UK_NHS: 0.6}}\n"
    chosen = {entity.name for entity in _recognition(tmp_path, section).chosen()}
    assert {"DE_VAT_ID", "UK_NHS"} < chosen


def test_every_entity_of_the_table_can_be_built() -> None:
    switched = {entity.name: True for entity in ENTITIES}
    built = recognizers(Recognition(switched=switched))
    assert {e for r in built for e in r.supported_entities} == set(switched)


@pytest.mark.parametrize(
    ("section", "line", "advice"),
    [
        ("masking:\n  packs: [secrets, ukk]\n", 1, "no such pack; write uk?"),
        ("masking:\n  entities:\n    CREDIT_CRAD: off\n", 0, "no such entity; write CREDIT_CARD?"),
        ("masking:\n  entities:\n    CREDIT_CARD: maybe\n", 2, "write on, off, or a threshold"),
        ("masking:\n  entities:\n    CREDIT_CARD: 1.5\n", 2, "at most 1"),
        ("masking:\n  pack: [uk]\n", 1, "write 'packs'?"),
        ("masking: {recognizers: [{name: Badge}]}\n", 0, "employee-badge"),
        ("masking: {recognizers: [{name: b, entity: badge}]}\n", 0, "in capitals"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(
    tmp_path: Path, section: str, line: int, advice: str
) -> None:
    said = refusal(tmp_path, SMALLEST + section)
    assert advice in said
    assert f":{SMALLEST.count(chr(10)) + 1 + line}: " in said


@pytest.mark.parametrize(
    ("pattern", "advice"),
    [
        ("EB-[0-9", "no regular expression"),
        ("[0-9]*", "matches the empty text"),
        ("(a+)+$", "takes too long"),
        (r"(\w+\s?)*!", "takes too long"),
        ("x" * 1001, "at most 1000 characters"),
        ("", "write a regular expression"),
    ],
)
def test_a_pattern_that_would_do_harm_is_refused(tmp_path: Path, pattern: str, advice: str) -> None:
    section = (
        "masking:\n  recognizers:\n    - name: badge\n      entity: BADGE\n"
        f"      patterns: [{{regex: '{pattern}', score: 0.6}}]\n"
    )
    said = refusal(tmp_path, SMALLEST + section)
    assert advice in said
    assert pattern == "" or pattern not in said


def test_a_name_stands_once(tmp_path: Path) -> None:
    one = "{name: b, entity: BADGE, patterns: [{regex: EB, score: 1}]}"
    assert "twice" in refusal(tmp_path, SMALLEST + f"masking: {{recognizers: [{one}, {one}]}}\n")
