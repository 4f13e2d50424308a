"""Names of persons, places, groups and organisations, by spaCy's small English model.

An extra (`ostiary[ner]`), and for single columns of free text only: it finds three names in four
of English prose, few in other languages, and takes products, pods and log lines for persons. Names
in columns of their own want a rule on the column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import spacy
from presidio_analyzer import LocalRecognizer, RecognizerResult
from presidio_analyzer.nlp_engine import NlpArtifacts

from masking.entities import MODEL

# spaCy's labels (OntoNotes 5) as Presidio names them.
_LABELS: Final[Mapping[str, str]] = {
    "PERSON": "PERSON",
    "GPE": "LOCATION",
    "LOC": "LOCATION",
    "FAC": "LOCATION",
    "NORP": "NRP",
    "ORG": "ORGANIZATION",
}
_SCORE: Final = 0.85  # Presidio's own for what a model finds
_LEFT_OUT: Final = ("tagger", "parser", "lemmatizer", "attribute_ruler")
"""Parts of the pipeline that names don't depend on, and that take most of its time."""


class NameRecognizer(LocalRecognizer):
    """Reports the entities of `entities` that the model finds."""

    def __init__(self, entities: Sequence[str]) -> None:
        self._wanted = frozenset(entities)
        self._model = spacy.load(MODEL, exclude=list(_LEFT_OUT))
        super().__init__(supported_entities=list(entities), name="NameRecognizer")

    def load(self) -> None:
        """Loaded when it is made."""

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None
    ) -> list[RecognizerResult]:
        # The zone frees what the model learns of new words, which it keeps for good otherwise.
        with self._model.memory_zone():
            return [
                RecognizerResult(_LABELS[found.label_], found.start_char, found.end_char, _SCORE)
                for found in self._model(text).ents
                if _LABELS.get(found.label_) in self._wanted
            ]
