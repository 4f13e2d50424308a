"""Packs: one published sample number of each, and the numbers around it that are left alone."""

from __future__ import annotations

import pytest

from masking.engine import Scanner, recognizers
from masking.entities import ALWAYS, ENTITIES, PACKS, Recognition
from masking.packs import WORDS

# Entity, a column whose name says what it is, a number that the country publishes as a sample.
SAMPLES = [
    ("US_ITIN", "note", "912-70-1234"),
    ("US_MBI", "note", "1EG4-TE5-MK73"),
    ("US_NPI", "npi", "1234567893"),
    ("ABA_ROUTING_NUMBER", "routing_no", "021000021"),
    ("MEDICAL_LICENSE", "dea", "BB1388568"),
    ("UK_NHS", "nhs_number", "943 476 5919"),
    ("UK_NINO", "note", "AB 12 34 56 C"),
    ("UK_DRIVING_LICENCE", "note", "MORGA657054SM9IJ"),
    ("DE_TAX_ID", "steuer_id", "86095742719"),
    ("DE_ID_CARD", "ausweis", "T22000129"),
    ("DE_SOCIAL_SECURITY", "note", "15070649C103"),
    ("DE_HEALTH_INSURANCE", "kvnr", "A123456780"),
    ("DE_VAT_ID", "note", "DE136695976"),
    ("ES_NIF", "note", "12345678Z"),
    ("ES_NIE", "note", "X1234567L"),
    ("IT_FISCAL_CODE", "note", "RSSMRA85T10A562S"),
    ("IT_VAT_CODE", "piva", "00743110157"),
    ("PL_PESEL", "pesel", "44051401359"),
    ("FI_PERSONAL_IDENTITY_CODE", "note", "131052-308T"),
    ("SE_PERSONNUMMER", "personnummer", "811218-9876"),
    ("SE_ORGANISATIONSNUMMER", "orgnr", "212000-0142"),
    ("AU_TFN", "tfn", "123456782"),
    ("AU_ABN", "abn", "51 824 753 556"),
    ("AU_ACN", "acn", "004 085 616"),
    ("AU_MEDICARE", "medicare", "2123456701"),
    ("CA_SIN", "sin", "130 692 544"),
    ("IN_AADHAAR", "aadhaar", "234123412346"),
    ("IN_PAN", "note", "AFZPK7190K"),
    ("IN_GSTIN", "note", "27AAPFU0939F1ZV"),
    ("SG_NRIC_FIN", "note", "S1234567D"),
    ("KR_RRN", "rrn", "810304-1000007"),
    ("TR_NATIONAL_ID", "tckn", "10000000146"),
    ("TH_TNIN", "citizen_id", "1101700230708"),
    ("ZA_ID_NUMBER", "identity", "8001015009087"),
    ("NG_NIN", "nin", "12345678918"),
]

HARMLESS = [
    "1712345678",
    "1712345678901",
    "4155550134",
    "123456789",
    "ORD-0001234567",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "d3ac94af-0f21-4db6-acad-4a268d116ece",
    "192.168.100.200",
    "2026-11-22 10:11:12",
    "v1.2.3-rc.4",
]


@pytest.fixture(scope="module")
def everything() -> Scanner:
    return Scanner(recognizers(Recognition(packs=PACKS)))


@pytest.mark.parametrize(("entity", "column", "number"), SAMPLES)
def test_a_sample_number_is_found(
    everything: Scanner, entity: str, column: str, number: str
) -> None:
    alone = Scanner([r for r in everything.recognizers if r.supported_entities == [entity]])
    (spans,) = alone.spans([number], column)
    assert [(s.start, s.end, s.entity) for s in spans] == [(0, len(number), entity)]
    assert everything.spans([number], column) != [[]]


def test_every_entity_of_a_pack_has_a_sample() -> None:
    of_packs = {e.name for e in ENTITIES if e.pack not in ALWAYS}
    assert {entity for entity, _, _ in SAMPLES} == of_packs == set(WORDS)


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_numbers_are_left_alone_with_every_pack(everything: Scanner, text: str) -> None:
    assert everything.spans([text], "") == [[]]


def test_a_number_with_a_check_digit_needs_a_word(everything: Scanner) -> None:
    assert everything.spans(["9434765919"], "order_id") == [[]]
    assert everything.spans(["NHS 9434765919"], "") != [[]]


def test_nothing_is_found_inside_a_hash(everything: Scanner) -> None:
    """Presidio's pattern for medical licenses has no word boundaries: notes A.4, item 8."""
    assert everything.spans(["dea 3fbb1388568aa7"], "dea") == [[]]
