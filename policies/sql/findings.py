"""What an analysis has found so far in one statement: relations, columns, functions, labels."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from policies.sql.catalog import Behind, Catalog, Reach, Relation
from policies.sql.deciding import Deciding
from policies.sql.facts import SqlEffect, SqlFacts, TableName, TableUse
from policies.sql.lineage import CLEAN, Lineage, Scope, Shape, Source, union
from policies.sql.not_understood import NotUnderstood
from policies.sql.partly_shown import SETTINGS, without_secrets
from policies.sql.sequences import MadeRows
from policies.sql.server_secrets import SERVER_SECRET

# Recursive CTEs are walked twice; nested ones would double each time without an end to it.
MAXIMUM_QUERIES: Final = 500
# Each brings all its columns; thousands of them would hold up everybody else.
MAXIMUM_SOURCES: Final = 200

ALL_COLUMNS: Final = "*"

_NAME = re.compile(
    rb'(?:"(?:[^"]|"")*"|[A-Za-z_\x80-\xff][\w$\x80-\xff]*)'
    rb'(?:\s*\.\s*(?:"(?:[^"]|"")*"|[A-Za-z_\x80-\xff][\w$\x80-\xff]*))*'
)


_ROWS: Final = frozenset({"select", "update", "delete", "truncate"})
_REACHED_BY: Final[Mapping[Reach, frozenset[str]]] = MappingProxyType(
    {
        Reach.VIEW: frozenset({"select"}),
        Reach.PARTITIONED: _ROWS | {"insert", "ddl"},
        Reach.INHERITS: _ROWS | {"ddl"},
        Reach.DELETED: frozenset({"delete"}),
        Reach.CHANGED: frozenset({"delete"}),
        Reach.FOLLOWS: frozenset({"update"}),
    }
)


@dataclass(slots=True)
class _Use:
    relation: Relation
    verb: str
    span: tuple[int, int] | None
    columns: set[str] = field(default_factory=set)

    @property
    def labels(self) -> frozenset[str]:
        return frozenset(label for _, label in _labelled(self.relation, self.columns))

    def behind(self, catalog: Catalog) -> Iterator[tuple[Relation, TableUse]]:
        """The relations that are only reached through this one, by the same verb."""
        for reached in self.relation.behind:
            relation = catalog.relations.get(reached.name)
            if relation is not None and self._reaches(reached):
                yield relation, self._through(reached, relation)

    def _through(self, reached: Behind, relation: Relation) -> TableUse:
        columns, labels = frozenset(self.columns), self.labels
        verb = "update" if reached.kind in (Reach.CHANGED, Reach.FOLLOWS) else self.verb
        match reached.kind:
            case Reach.VIEW:
                columns, labels = reached.columns, labels & all_labels(relation)
            case Reach.DELETED | Reach.CHANGED | Reach.FOLLOWS:
                # The server's errors show the whole row.
                columns, labels = reached.columns, all_labels(relation)
        return TableUse(
            reached.name,
            verb,
            columns,
            labels,
            self.span,
            relation.kind_name,
            str(self.relation.name),
            # A row that stays without what it referred to gets no value.
            frozenset() if reached.kind is Reach.CHANGED else _written(relation, verb, columns),
        )

    def _reaches(self, reached: Behind) -> bool:
        touched = {ALL_COLUMNS} & self.columns or reached.keys & self.columns
        return self.verb in _REACHED_BY[reached.kind] and (not reached.keys or bool(touched))

    def freeze(self) -> TableUse:
        return TableUse(
            self.relation.name,
            self.verb,
            frozenset(self.columns),
            self.labels,
            self.span,
            self.relation.kind_name,
            written=_written(self.relation, self.verb, self.columns),
        )


_GIVE_VALUES: Final = frozenset({"insert", "update"})


def _written(relation: Relation, verb: str, columns: Collection[str]) -> frozenset[tuple[str, str]]:
    return frozenset(_labelled(relation, columns)) if verb in _GIVE_VALUES else frozenset()


def _labelled(relation: Relation, columns: Collection[str]) -> Iterator[tuple[str, str]]:
    """Those of the columns that have labels, with each of them."""
    every = ALL_COLUMNS in columns
    for column in relation.columns:
        if every or column.name in columns:
            yield from ((column.name, label) for label in column.labels)


def _refuse_user_casts(relation: Relation, column: str) -> None:
    """The server may put in a cast wherever a value of such a type is used, and the user's code."""
    named = (c for c in relation.columns if column in (c.name, ALL_COLUMNS))
    found = next((c.name for c in named if c.user_code), None)
    if found is not None:
        raise NotUnderstood(
            "FUNCTION_NOT_ALLOWED",
            f"the column {found} of {relation.name} has a type with a user's cast",
        )


def all_labels(relation: Relation) -> frozenset[str]:
    return frozenset().union(*(column.labels for column in relation.columns))


class Findings:
    """Collects while the tree is walked; walking a part twice finds nothing new."""

    def __init__(self, catalog: Catalog, encoded: bytes) -> None:
        self.catalog = catalog
        self.encoded = encoded
        self.kinds: set[str] = set()
        self.functions: set[str] = set()
        self.has_where = True
        self.writes = False
        self.references: list[tuple[Source, Lineage]] = []
        self.answers: list[tuple[Scope, Lineage]] = []
        self.tests: list[Lineage] = []
        self.compared: set[str] = set()
        self.deciding = Deciding()
        self.limit: int | None = None
        self.made_rows = MadeRows()
        self.locks: set[str] = set()
        self.operators: set[str] = set()
        self.casts: set[str] = set()
        self.settings_asked: set[int | None] = set()
        self.settings_named = False
        self._compared_all = False
        self._uses: dict[tuple[TableName, str], _Use] = {}
        self._objects: dict[TableName, int] = {}
        self._copied: set[str] = set()
        self._copied_uncertain = False
        self._more_labels: set[str] = set()
        self._queries = 0
        self._sources = 0

    def count_query(self) -> None:
        self._queries += 1
        if self._queries > MAXIMUM_QUERIES:
            raise NotUnderstood("SQL_TOO_COMPLEX", f"over {MAXIMUM_QUERIES} queries in one")

    def count_source(self) -> None:
        self._sources += 1
        if self._sources > MAXIMUM_SOURCES:
            raise NotUnderstood("SQL_TOO_COMPLEX", f"over {MAXIMUM_SOURCES} tables in FROM")

    def find(self, name: str) -> int | None:
        """Where a name first stands in the text: for nodes that carry no location."""
        folded = self.encoded.lower().find(name.lower().encode())
        return folded if folded >= 0 else None

    def span(self, location: int | None) -> tuple[int, int] | None:
        """The byte range of the name, or of the one character, that stands at a location."""
        if location is None or not 0 <= location <= len(self.encoded):
            return None
        name = _NAME.match(self.encoded, location)
        end = name.end() if name else min(location + 1, len(self.encoded))
        return location, end

    def use(self, relation: Relation, verb: str, location: int | None = None) -> None:
        """The statement names `relation` for `verb`; a new one has no oid yet."""
        if relation.oid:
            self._objects[relation.name] = relation.oid
        key = (relation.name, verb)
        if key not in self._uses:
            self._uses[key] = _Use(relation, verb, self.span(location))

    def as_asked(self, relation: Relation) -> Relation:
        """The relation with the labels that reading it here is judged by."""
        named = self.settings_named and relation.name == SETTINGS
        return without_secrets(relation) if named else relation

    def touch(self, relation: Relation, verb: str, column: str) -> None:
        """The statement touches a column ("*": all of them) for `verb`."""
        if verb == "select":
            _refuse_user_casts(relation, column)
        self.use(relation, verb)
        self._uses[relation.name, verb].columns.add(column)

    def refer(self, source: Source, position: int) -> Lineage:
        """One column of a FROM item is read."""
        output = source.shape.outputs[position]
        if source.relation is not None:
            self.touch(source.relation, source.verb, output.name)
        return self._note(source, output.lineage)

    def referred_to(self, relation: Relation) -> bool:
        """Whether the last value that was referred to is a column of this relation itself."""
        found = (source.relation for source, _ in self.references[-1:])
        return any(each is not None and each.name == relation.name for each in found)

    def refer_to_system_column(self, source: Source, name: str) -> Lineage:
        """Which partition a row is in tells of its key, which may be labelled."""
        relation = source.relation
        keyed = name == "tableoid" and relation is not None and relation.kind == "p"
        return self.refer_to_all(source).in_part() if keyed else self._note(source, CLEAN)

    def refer_to_all(self, source: Source) -> Lineage:
        """All columns of a FROM item are read: `alias.*`, or the alias as a row."""
        if source.relation is not None:
            self.touch(source.relation, source.verb, ALL_COLUMNS)
        return self._note(source, source.shape.lineage)

    def _note(self, source: Source, lineage: Lineage) -> Lineage:
        self.references.append((source, lineage))
        return lineage

    def write(self, relation: Relation, verb: str, location: int | None) -> None:
        """Rows of `relation` are written.

        The server's errors on a write show the whole row, so all its labels count as read.
        """
        self.writes = True
        self.use(relation, verb, location)
        self._more_labels |= all_labels(relation)

    def redefine(self, relation: Relation) -> None:
        """Its rows are read: the server's errors show values that the new definition won't take."""
        self._more_labels |= all_labels(relation)

    def copy_out(self, lineage: Lineage) -> None:
        """A value is written elsewhere: the labels that leave the place they belong to.

        That place is the column, not its label: two columns of one label have masks of their own,
        and what one of them hides the other may show.
        """
        self._copied |= {label for _, label in lineage.carried}
        self._copied_uncertain |= not lineage.certain

    def runs_user_code(self, relation: Relation) -> bool:
        """Whether a change of its rows may call users' triggers, or one of rows that follow."""
        names = [relation.name, *(b.name for b in relation.behind if b.kind is not Reach.VIEW)]
        found = (self.catalog.relations.get(name) for name in names)
        return relation.user_code or any(each.user_code for each in found if each is not None)

    def call_unknown_code(self) -> None:
        """A user's function, which may read anything: every label of the configuration counts."""
        for relation in self.catalog.relations.values():
            self._more_labels |= all_labels(relation) - {SERVER_SECRET}

    def compare(self, lineage: Lineage) -> None:
        """A value says how many rows there are."""
        self.compared |= {label for _, label in lineage.carried}

    def join_on(self, lineages: Iterable[Lineage]) -> None:
        """Columns of two sides are merged where they are equal: USING and NATURAL."""
        merged = tuple(lineages)
        if not all(lineage.carried for lineage in merged) or union(merged).blended:
            self.compare(union(merged))
        elif all(lineage.whole and lineage.certain for lineage in merged):
            self.deciding.match(union(merged), ())
        else:
            self.deciding.decide(union(merged))

    def compare_all(self) -> None:
        """Rows that hang on labelled values, nobody knows which, show in others."""
        self._compared_all = True

    def mark(self) -> tuple[int, int, int]:
        """Where an expression that decides about rows begins, for `decide_since`."""
        return len(self.references), len(self.answers), len(self.deciding.covered)

    def decide_since(self, mark: tuple[int, int, int], scope: Scope) -> None:
        """What was referred to since then, in `scope` itself, decides about rows."""
        references, answers, covered = mark
        for lineage in self.deciding.open(self.references, references, covered):
            self.deciding.decide(lineage)
            self.compare(lineage if lineage.blended else CLEAN)
        for level, lineage in self.answers[answers:]:
            if level is scope:
                self.deciding.decide(lineage)

    @property
    def labels_filtered(self) -> frozenset[str]:
        if self.deciding.uncertain:
            return self.labels_read
        return self.deciding.filtered | self.labels_compared

    @property
    def relations(self) -> tuple[Relation, ...]:
        """Everything that the statement names."""
        return tuple(use.relation for use in self._uses.values())

    @property
    def labels_compared(self) -> frozenset[str]:
        return self.labels_read if self._compared_all else frozenset(self.compared)

    def tested_since(self, mark: int) -> bool:
        """Whether rows were let through, since there were `mark` tests, by what labels hold."""
        return any(not lineage.clean for lineage in self.tests[mark:])

    @property
    def tables(self) -> tuple[TableUse, ...]:
        named = tuple(use.freeze() for use in self._uses.values())
        return named + tuple(use for _, use in self._behind())

    def _behind(self) -> Iterator[tuple[Relation, TableUse]]:
        for use in self._uses.values():
            yield from use.behind(self.catalog)

    @property
    def objects(self) -> tuple[tuple[TableName, int], ...]:
        behind = {relation.name: relation.oid for relation, _ in self._behind() if relation.oid}
        return tuple(sorted({**behind, **self._objects}.items()))

    @property
    def labels_read(self) -> frozenset[str]:
        return frozenset(self._more_labels).union(*(use.labels for use in self._uses.values()))

    @property
    def labels_copied(self) -> frozenset[str]:
        return self.labels_read if self._copied_uncertain else frozenset(self._copied)

    def facts(self, effect: SqlEffect, shape: Shape) -> SqlFacts:
        """All of it about a statement that gives these columns."""
        known = shape.outputs[: shape.certain]
        return SqlFacts(
            effect=effect,
            kinds=frozenset(self.kinds),
            tables=self.tables,
            functions=frozenset(self.functions),
            has_where=self.has_where,
            labels_read=self.labels_read,
            labels_copied=self.labels_copied if effect is not SqlEffect.READ else frozenset(),
            labels_compared=self.labels_compared,
            labels_filtered=self.labels_filtered,
            labels_matched=self.deciding.matched,
            clean_outputs=frozenset(i for i, output in enumerate(known) if output.lineage.clean),
            objects=self.objects,
            limit=self.limit,
            locks=frozenset(self.locks),
            operators=frozenset(self.operators),
            casts=frozenset(self.casts),
            settings_named=self.settings_named,
            settings_asked=frozenset(n for n in self.settings_asked if n is not None),
            catalog=self.catalog.version,
        )
