"""The masker with the key ring's keys for pseudonyms."""

from __future__ import annotations

from typing import Final

from masking.cells import Masker
from masking.marks import Made
from masking.operators import PseudonymKey
from masking.scanning import SpanFinder
from server.config import Configuration
from server.keys import KeyRing, Purpose
from server.names import wanted_names

_NOTHING_CONFIGURED: Final = Made()


def masker_of(
    keys: KeyRing, finder: SpanFinder, names: SpanFinder, made: Made = _NOTHING_CONFIGURED
) -> Masker:
    """Pseudonyms are made with the current key, and known as ours under every one in the ring;
    `made`: what the configured masks leave."""
    current, *retired = (PseudonymKey(key.secret) for key in keys.keys[Purpose.PSEUDONYM])
    return Masker(current, finder, names, retired=retired, made=made)


def made_by(configuration: Configuration) -> Made:
    """What the masks of all targets leave: what is read from one may be written to another."""
    recognition = configuration.masking.recognition()
    entities = {entity.name for entity in recognition.chosen()}
    entities |= {recognizer.entity for recognizer in recognition.custom}
    return Made(
        frozenset(rule.mask for each in configuration.targets.values() for rule in each.columns),
        frozenset(entities) | wanted_names(configuration),
    )
