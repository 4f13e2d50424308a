"""The same masks as Presidio anonymizer operators: the reference that the fast path is held to.

`masking.operators` and `masking.spans.substitute` do the work in the gateway's own process,
where Presidio is not imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from presidio_anonymizer import AnonymizerEngine
from presidio_anonymizer.entities import OperatorConfig, RecognizerResult
from presidio_anonymizer.operators import Operator, OperatorType

from masking.operators import PseudonymKey, parse_operator
from masking.spans import Span, placeholder
from masking.text_masks import mask_text

OPERATOR: Final = "ostiary"
PLACEHOLDER: Final = "ostiary_placeholder"


class MaskOperator(Operator):
    """A configured mask. Parameters: `operator` as configured, `key` of the pseudonyms."""

    def operate(self, text: str = "", params: dict[str, object] | None = None) -> str:
        wanted, key = _parameters(params)
        return mask_text(parse_operator(wanted), text, key) or ""

    def validate(self, params: dict[str, object] | None = None) -> None:
        parse_operator(_parameters(params)[0])

    def operator_name(self) -> str:
        return OPERATOR

    def operator_type(self) -> OperatorType:
        return OperatorType.Anonymize


class PlaceholderOperator(Operator):
    """`<ENTITY>`; Presidio passes the entity as a parameter."""

    def operate(self, text: str = "", params: dict[str, object] | None = None) -> str:
        return placeholder(str((params or {})["entity_type"]))

    def validate(self, params: dict[str, object] | None = None) -> None:
        """Takes nothing."""

    def operator_name(self) -> str:
        return PLACEHOLDER

    def operator_type(self) -> OperatorType:
        return OperatorType.Anonymize


def _parameters(params: Mapping[str, object] | None) -> tuple[str, PseudonymKey]:
    match params:
        case {"operator": str(operator), "key": PseudonymKey() as key}:
            return operator, key
        case _:
            raise ValueError("a mask operator needs `operator` and `key`")


class Anonymizer:
    """Presidio's anonymizer with our operators."""

    def __init__(self) -> None:
        self._engine = AnonymizerEngine()  # type: ignore[no-untyped-call]  # Presidio's own
        self._engine.add_anonymizer(MaskOperator)
        self._engine.add_anonymizer(PlaceholderOperator)

    def substitute(self, text: str, spans: Sequence[Span]) -> str:
        """The text with each span replaced by `<ENTITY>`."""
        return self._anonymize(text, spans, OperatorConfig(PLACEHOLDER))

    def mask(self, text: str, operator: str, key: PseudonymKey) -> str:
        """The whole text under a configured mask."""
        config = OperatorConfig(OPERATOR, {"operator": operator, "key": key})
        return self._anonymize(text, [Span(0, len(text), "CELL")], config)

    def _anonymize(self, text: str, spans: Sequence[Span], config: OperatorConfig) -> str:
        results = [RecognizerResult(s.entity, s.start, s.end, s.score) for s in spans]
        # Presidio's default merges neighbours over a space; of "4111... 5500..." a partial mask
        # would then leave the second card readable.
        masked = self._engine.anonymize(
            text, results, {"DEFAULT": config}, merge_entities_with_spaces=False
        )
        return str(masked.text)
