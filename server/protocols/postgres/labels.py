"""How labels travel: through views, materialised views, partitions, inheritance, generation. Pure.

A label only ever spreads: where a column's origin is not proven, it takes every label that its
relation touches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

Place = tuple[int, int]
"""A column: its relation's oid and its number; number 0 is the whole row."""


@dataclass(frozen=True, slots=True)
class Graph:
    """What column values flow between. Relations by oid.

    `columns`: relation -> name -> number. `touches`: view -> places that its query mentions.
    `origins`: view -> for each column in order, the place that it copies, or None.
    `kin`: pairs of parent and child. `generated`: column -> columns it is computed from.
    """

    columns: Mapping[int, Mapping[str, int]]
    touches: Mapping[int, frozenset[Place]] = field(default_factory=dict)
    origins: Mapping[int, tuple[Place | None, ...]] = field(default_factory=dict)
    kin: tuple[tuple[int, int], ...] = ()
    generated: Mapping[Place, frozenset[Place]] = field(default_factory=dict)

    def with_touches(self, views: Iterable[int], places: Iterable[Place]) -> Graph:
        """The graph with views that may show any of these places, whatever their queries name."""
        everything = frozenset(places)
        more = {view: self.touches.get(view, frozenset()) | everything for view in views}
        return replace(self, touches={**self.touches, **more})


Labels = Mapping[Place, frozenset[str]]


def propagate(configured: Mapping[Place, str], graph: Graph) -> Labels:
    """Every column that a label reaches."""
    labels: defaultdict[Place, set[str]] = defaultdict(set)
    for place, label in configured.items():
        labels[place].add(label)
    while _spread(labels, graph):
        pass
    return {place: frozenset(found) for place, found in labels.items() if found}


def dependents(relations: Iterable[int], graph: Graph) -> frozenset[int]:
    """Views that a label of one of these relations may reach."""
    reached = set(relations)
    before = 0
    while before != len(reached):
        before = len(reached)
        for parent, child in graph.kin:
            if parent in reached or child in reached:
                reached |= {parent, child}
        reached |= {
            v for v, places in graph.touches.items() if any(o in reached for o, _ in places)
        }
    return frozenset(reached & graph.touches.keys())


def _spread(labels: defaultdict[Place, set[str]], graph: Graph) -> bool:
    """One round; whether anything new was reached."""
    flows = [*_through_kin(graph), *_through_generation(graph), *_through_views(graph)]
    changed = False
    for target, sources in flows:
        found = set[str]().union(*(_labels_of(labels, graph, source) for source in sources))
        if not found <= labels[target]:
            labels[target] |= found
            changed = True
    return changed


def _labels_of(labels: defaultdict[Place, set[str]], graph: Graph, place: Place) -> set[str]:
    relation, number = place
    if number:
        return labels[place]
    numbers = graph.columns.get(relation, {}).values()
    return set[str]().union(*(labels[relation, n] for n in numbers))


Flow = tuple[Place, frozenset[Place]]


def _through_kin(graph: Graph) -> Iterable[Flow]:
    for parent, child in graph.kin:
        above, below = graph.columns.get(parent, {}), graph.columns.get(child, {})
        for name in above.keys() & below.keys():
            yield (child, below[name]), frozenset({(parent, above[name])})
            yield (parent, above[name]), frozenset({(child, below[name])})


def _through_generation(graph: Graph) -> Iterable[Flow]:
    yield from graph.generated.items()


def _through_views(graph: Graph) -> Iterable[Flow]:
    for view, touched in graph.touches.items():
        numbers = sorted(graph.columns.get(view, {}).values())
        origins = graph.origins.get(view, ())
        proven = origins if len(origins) == len(numbers) else (None,) * len(numbers)
        for number, origin in zip(numbers, proven, strict=True):
            known = origin is not None and origin[0] in graph.columns
            yield (view, number), frozenset({origin}) if known and origin else touched
