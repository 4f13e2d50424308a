"""What flows where: lineage of values, columns that FROM offers, and the scope of names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from policies.sql.catalog import Relation
from policies.sql.facts import TableName
from policies.sql.server_secrets import SERVER_SECRET

# Every table has them; they hold no value of the application's.
SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})


@dataclass(frozen=True, slots=True)
class Lineage:
    """The labels that a value may carry, each with the relation it comes from.

    Not `certain`: the value may come from anywhere in the statement. `depends`: it carries none,
    but whether it is there tells of some. `mixed`: labelled values met others in it. `whole`: it is
    a column's value as it is stored. `blended`: it is a labelled value in some rows alone.
    `origin`: the one labelled column that it is made of, where that is known.
    """

    carried: frozenset[tuple[TableName, str]] = frozenset()
    certain: bool = True
    depends: bool = False
    mixed: bool = False
    whole: bool = True
    blended: bool = False
    origin: tuple[TableName, str] | None = None

    @property
    def clean(self) -> bool:
        return self.certain and not self.carried and not self.depends

    @property
    def copied(self) -> tuple[TableName, str] | None:
        """The labelled column whose stored value this is in every row, if it is one's."""
        plain = self.certain and self.whole and not (self.depends or self.mixed or self.blended)
        return self.origin if plain else None

    @property
    def counted(self) -> bool:
        """Whether counting such values says how many there are, and nothing that was computed."""
        return self.whole and self.certain and not self.depends

    def __or__(self, other: Lineage) -> Lineage:
        return Lineage(
            self.carried | other.carried,
            self.certain and other.certain,
            self.depends or other.depends,
            self.mixed or other.mixed,
            self.whole and other.whole,
            self.blended or other.blended,
            self.origin if self.origin == other.origin else None,
        )

    def in_part(self) -> Lineage:
        """The lineage of what is made of this value."""
        return replace(self, whole=False) if self.whole and self.carried else self


def stored(relation: Relation, labels: frozenset[str]) -> Lineage:
    """The lineage of a relation's column; what a view makes of a value may be any part of it."""
    if not labels:
        return CLEAN
    carried = frozenset((relation.name, label) for label in labels)
    # The server's own views show their secrets as they are stored.
    own = relation.name.schema == "pg_catalog" and labels == _OWN
    return Lineage(carried, whole=own or relation.kind in _STORING)


_STORING = frozenset({"r", "p"})
_OWN = frozenset({SERVER_SECRET})
CLEAN = Lineage()
UNCERTAIN = Lineage(certain=False)
DEPENDS = Lineage(depends=True)
MIXED = Lineage(mixed=True)
BLENDED = Lineage(blended=True)


def union(lineages: Iterable[Lineage]) -> Lineage:
    merged = CLEAN
    for lineage in lineages:
        # Most values carry nothing.
        if lineage is not CLEAN:
            merged = lineage if merged is CLEAN else merged | lineage
    return merged


def of_rows(parts: Sequence[tuple[Lineage, bool]]) -> Lineage:
    """The lineage of a column whose rows have several origins; with each, whether it is constant.

    Which of the rows without a label is like a labelled one tells what that one holds.
    """
    merged = union(lineage for lineage, _ in parts)
    plain = [constant for lineage, constant in parts if not lineage.carried]
    if not merged.carried or not plain:
        return merged
    return merged.in_part() if all(plain) else merged.in_part() | BLENDED


@dataclass(frozen=True, slots=True)
class Output:
    """One column that a query or a FROM item gives; `row` is the item whose whole row it is.

    `fields`: those of the rows that a built-in function gives.
    """

    name: str
    lineage: Lineage
    row: Source | None = None
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shape:
    """The columns of a query. Not `exact`: positions past `outputs[:certain]` are not known."""

    outputs: tuple[Output, ...]
    certain: int

    @property
    def exact(self) -> bool:
        return self.certain == len(self.outputs)

    @property
    def lineage(self) -> Lineage:
        merged = union(output.lineage for output in self.outputs)
        return merged if self.exact else merged | UNCERTAIN

    def uncertain(self) -> Shape:
        """The same columns, any of which may carry anything."""
        return self.tainted(UNCERTAIN)

    def tainted(self, more: Lineage) -> Shape:
        """The same columns, each of which carries this too."""
        outputs = tuple(Output(o.name, o.lineage | more) for o in self.outputs)
        return Shape(outputs, self.certain)

    def renamed(self, names: tuple[str, ...]) -> Shape:
        """The first columns under new names, as an alias list gives them.

        Where not all columns are known, the list says that there are as many as it names.
        """
        pairs = zip(names, self.outputs, strict=False)
        renamed = tuple(Output(name, output.lineage) for name, output in pairs)
        more = () if self.exact else tuple(Output(n, self.lineage) for n in names[len(renamed) :])
        return Shape(renamed + self.outputs[len(renamed) :] + more, self.certain)


def exact_shape(outputs: Iterable[Output]) -> Shape:
    found = tuple(outputs)
    return Shape(found, len(found))


def united(
    sides: tuple[Shape, Shape], constant: Sequence[frozenset[int]], *, unnamed: str
) -> tuple[Output, ...]:
    """The columns of a set operation; `constant` are the positions of each side's constants."""

    def column(index: int, one: Output | None, other: Output | None) -> Output:
        name = one.name if one else unnamed
        if one is None or other is None:
            return Output(name, UNCERTAIN)
        parts = ((one.lineage, index in constant[0]), (other.lineage, index in constant[1]))
        return Output(name, of_rows(parts))

    pairs = zip_longest(sides[0].outputs, sides[1].outputs)
    return tuple(column(index, *pair) for index, pair in enumerate(pairs))


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One FROM item under its alias. `verb` is how reading a column of `relation` counts.

    `paired`: what stands in one row belongs together, as it does in a row of a table.
    """

    alias: str
    shape: Shape
    relation: Relation | None = None
    verb: str = "select"
    qualified: TableName | None = None
    paired: bool = False

    def positions(self, name: str) -> tuple[int, ...]:
        return tuple(i for i, output in enumerate(self.shape.outputs) if output.name == name)

    def has_system_column(self, name: str) -> bool:
        stored = self.relation is not None and self.relation.kind in ("r", "p", "m")
        return stored and name in SYSTEM_COLUMNS


@dataclass(frozen=True, slots=True)
class Visible:
    """A name that can be used without a qualifier; more than one column when USING merged them."""

    name: str
    columns: tuple[tuple[Source, int], ...]


@dataclass(frozen=True, slots=True)
class FromItem:
    """Part of a FROM clause: the sources to qualify with, and what `*` expands to."""

    sources: tuple[Source, ...] = ()
    visible: tuple[Visible, ...] = ()
    exact: bool = field(init=False)
    _by_name: Mapping[str, tuple[Visible, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {})
        object.__setattr__(self, "exact", all(source.shape.exact for source in self.sources))

    def __add__(self, other: FromItem) -> FromItem:
        if not self.sources:
            return other
        return FromItem(self.sources + other.sources, self.visible + other.visible)

    def named(self, name: str) -> tuple[Visible, ...]:
        if not self._by_name:
            # Looked up once for every column reference, and there may be tens of thousands.
            object.__setattr__(self, "_by_name", self._index())
        return self._by_name.get(name, ())

    def _index(self) -> dict[str, tuple[Visible, ...]]:
        names: dict[str, list[Visible]] = {}
        for visible in self.visible:
            names.setdefault(visible.name, []).append(visible)
        return {name: tuple(found) for name, found in names.items()}


def single(source: Source) -> FromItem:
    outputs = enumerate(source.shape.outputs)
    return FromItem((source,), tuple(Visible(o.name, ((source, i),)) for i, o in outputs))


@dataclass(frozen=True, slots=True)
class Scope:
    """One query level: its FROM items and CTEs, inside the levels around it."""

    parent: Scope | None = None
    items: FromItem = field(default_factory=FromItem)
    ctes: Mapping[str, Shape] = field(default_factory=dict)

    def levels(self) -> Iterator[Scope]:
        level: Scope | None = self
        while level is not None:
            yield level
            level = level.parent

    def cte(self, name: str) -> Shape | None:
        found = (level.ctes[name] for level in self.levels() if name in level.ctes)
        return next(found, None)

    def within(self, items: FromItem) -> Scope:
        """A level inside this one that sees `items`."""
        return Scope(self, items)

    def with_cte(self, name: str, shape: Shape) -> Scope:
        return Scope(self.parent, self.items, {**self.ctes, name: shape})
