"""A generated, labelled set of infrastructure's texts: values to hide, and harmless look-alikes.

Each format is taken from the document that its kind names. The generators know nothing of the
recognizers: what these miss stays in the set.
"""

from __future__ import annotations

from random import Random

from tests.masking.quality import identifiers, passwords, tokens
from tests.masking.quality.harmless import HARMLESS
from tests.masking.quality.samples import Kind, Sample

KINDS: tuple[Kind, ...] = (*identifiers.KINDS, *tokens.KINDS, *passwords.KINDS)
SEED = 20261122


def positives(each: int) -> list[Sample]:
    """So many samples of each kind, always the same ones."""
    return [
        kind.sample(Random(f"{SEED} {kind.name} {number}"))
        for kind in KINDS
        for number in range(each)
    ]


def harmless(each: int) -> list[Sample]:
    """So many samples of each look-alike, always the same ones."""
    return [
        Sample(name, write(Random(f"{SEED} {name} {number}")), ())
        for name, write in HARMLESS.items()
        for number in range(each)
    ]
