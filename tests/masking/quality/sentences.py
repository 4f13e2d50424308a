"""presidio-evaluator's synthetic sentences, as labelled samples: Presidio's own view of quality.

English prose with persons, places and numbers, made by its templates with a fixed seed. Most of
its labels are names and addresses, for which this project has rules on columns, not recognizers:
they are counted, and not found, without NER.
"""

from __future__ import annotations

import contextlib
import io
import warnings

from presidio_evaluator.data_generator import PresidioSentenceFaker

from tests.masking.quality.samples import Label, Sample

COUNT = 1_500
SEED = 42
VERSION = "0.3.2"

# The evaluator's names of what the table in `masking.entities` names otherwise.
_NAMES = {
    "EMAIL_ADDRESS": "EMAIL_ADDRESS",
    "PHONE_NUMBER": "PHONE_NUMBER",
    "CREDIT_CARD": "CREDIT_CARD",
    "IBAN_CODE": "IBAN_CODE",
    "US_SSN": "US_SSN",
    "IP_ADDRESS": "IP_ADDRESS",
}


def sentences() -> list[Sample]:
    """The same ones each time. Labels that have another name here keep it with a star."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # pandas, of what the evaluator does with it
        faker = PresidioSentenceFaker(locale="en_US", lower_case_ratio=0.05, random_seed=SEED)
        made = faker.generate_new_fake_sentences(COUNT)
    return [
        Sample("sentence", each.full_text, tuple(_label(span) for span in each.spans))
        for each in made
    ]


def _label(span: object) -> Label:
    start, end = int(vars(span)["start_position"]), int(vars(span)["end_position"])
    kind = str(vars(span)["entity_type"])
    return Label(start, end, _NAMES.get(kind, f"{kind}*"))
