"""The table of precision and recall: measured anew, written as Markdown, and compared."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.masking.quality.infrastructure import harmless, positives
from tests.masking.quality.measuring import Figures, Finder, Measured, measure

COMMITTED = Path(__file__).parent / "table.md"
EACH_KIND, EACH_LOOK_ALIKE = 20, 40
HARMLESS_AT_LEAST = 0.95

INFRASTRUCTURE = "Infrastructure's texts"
SENTENCES = "presidio-evaluator's sentences"

_HEAD = "| entity | values | recall | named right | spans | precision |"
_ROW = re.compile(r"\| (\S+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \| (\d+) \| ([\d.]+) \|")
_LEFT_ALONE = re.compile(r"Harmless look-alikes left alone: ([\d.]+)")


def infrastructure(finder: Finder) -> Measured:
    return measure(finder, [*positives(EACH_KIND), *harmless(EACH_LOOK_ALIKE)])


def written(title: str, measured: Measured) -> str:
    """One section of the table."""
    lines = [f"## {title}", "", _HEAD, "|---|---|---|---|---|---|"]
    lines += [_row(entity, figures) for entity, figures in measured.by_entity.items()]
    if measured.harmless:
        share = measured.harmless_precision
        lines += ["", f"Harmless look-alikes left alone: {share:.4f} of {measured.harmless}."]
        lines += _told("Found in look-alikes", measured.alarms)
    if measured.harmless:
        lines += _told("Not found", measured.missed)
    return "\n".join([*lines, ""])


def _told(what: str, counts: Mapping[str, int]) -> Iterator[str]:
    if counts:
        yield f"{what}: {', '.join(f'{kind} ({n})' for kind, n in sorted(counts.items()))}."


def _row(entity: str, figures: Figures) -> str:
    named = figures.named / figures.values if figures.values else 1.0
    return (
        f"| {entity} | {figures.values} | {figures.recall:.3f} | {named:.3f} "
        f"| {figures.spans} | {figures.precision:.3f} |"
    )


def committed(title: str) -> str:
    """A section of the committed table."""
    sections = COMMITTED.read_text().split("\n## ")
    return next(section for section in sections if section.startswith(title))


def worse(title: str, measured: Measured) -> list[str]:
    """In what the measured figures fall behind the committed ones."""
    section = committed(title)
    found: list[str] = []
    for entity, _, recall, _, _, precision in _ROW.findall(section):
        now = measured.by_entity.get(entity, Figures(0, 0, 0, 0, 0))
        if round(now.recall, 3) < float(recall):
            found.append(f"{entity}: recall {now.recall:.3f}, was {recall}")
        if round(now.precision, 3) < float(precision):
            found.append(f"{entity}: precision {now.precision:.3f}, was {precision}")
    left_alone = _LEFT_ALONE.search(section)
    if left_alone and round(measured.harmless_precision, 4) < float(left_alone[1]):
        found.append(f"look-alikes left alone: {measured.harmless_precision:.4f}")
    return found
