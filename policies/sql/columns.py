"""Column references: which column of which FROM item a name is, by the server's rules of scope."""

from __future__ import annotations

from policies.sql.findings import Findings
from policies.sql.grammar import strings, unwrap
from policies.sql.lineage import CLEAN, UNCERTAIN, Lineage, Scope, Source, Visible, union
from policies.sql.not_understood import NotUnderstood
from policies.sql.parser import Tree


class ColumnResolver:
    """Resolves references in a scope and notes what they touch."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    def reference(self, body: Tree, scope: Scope) -> Lineage:
        """The lineage of a ColumnRef that stands for one value."""
        names, star = _parts(body)
        location = body.get("location")
        if star:
            return self._findings.refer_to_all(self.qualified_source(names, scope, location))
        if len(names) == 1:
            return self._unqualified(names[0], scope, location)
        source = self.qualified_source(names[:-1], scope, location)
        return self.column(source, names[-1], location)

    def column(self, source: Source, name: str, location: int | None) -> Lineage:
        """A column of one FROM item, by name.

        A name that is no column may still be a function, called in attribute notation: refused.
        """
        positions = source.positions(name)
        if positions:
            found = union(self._findings.refer(source, position) for position in positions)
            certain = len(positions) == 1 and source.shape.exact
            return found if certain else found | UNCERTAIN
        if source.has_system_column(name):
            return self._findings.refer_to_system_column(source, name)
        raise _unknown(f"{source.alias}.{name}", location)

    def fields(self, body: Tree, scope: Scope) -> tuple[str, ...]:
        """The fields of the rows in a column `alias.column`, where they are known."""
        names, star = _parts(body)
        if star or len(names) != 2:
            return ()
        source = self.qualified_source(names[:1], scope, body.get("location"))
        found = source.positions(names[1])
        return source.shape.outputs[found[0]].fields if len(found) == 1 else ()

    def whole_row(self, body: Tree, scope: Scope) -> Source | None:
        """The FROM item that a ColumnRef names as a row, or None if it names a column."""
        names, star = _parts(body)
        if star or len(names) != 1 or is_column(names[0], scope):
            return None
        # A FROM item of unknown columns may have one of this name.
        if not all(level.items.exact for level in scope.levels()):
            return None
        return _by_alias(names[0], scope, body.get("location"))

    def qualified_source(
        self, names: tuple[str, ...], scope: Scope, location: int | None
    ) -> Source:
        """The FROM item that a qualifier means: `alias`, or `schema.table`."""
        source = None
        if len(names) == 3 and names[0] == self._findings.catalog.database:
            names = names[1:]
        if len(names) == 1:
            source = _by_alias(names[0], scope, location)
        elif len(names) == 2:
            source = _by_table(names, scope, location)
        if source is None:
            raise _unknown(".".join(names), location)
        return source

    def stored_in(self, body: Tree, scope: Scope) -> tuple[Source, int] | None:
        """The one column of one FROM item that a ColumnRef certainly means; notes nothing."""
        names, star = _parts(body)
        if star:
            return None
        if len(names) > 1:
            source = self.qualified_source(names[:-1], scope, body.get("location"))
            found = source.positions(names[-1]) if source.shape.exact else ()
            return (source, found[0]) if len(found) == 1 else None
        for level in scope.levels():
            visible = level.items.named(names[0])
            if visible or not level.items.exact:
                columns = visible[0].columns if level.items.exact and len(visible) == 1 else ()
                return columns[0] if len(columns) == 1 else None
        return None

    def _unqualified(self, name: str, scope: Scope, location: int | None) -> Lineage:
        passed = CLEAN
        for level in scope.levels():
            # A FROM item of unknown columns may have one of this name, on this level or an inner.
            passed = passed if level.items.exact else passed | UNCERTAIN
            found = level.items.named(name)
            if found:
                return passed | self._visible(found)
            system = [s for s in level.items.sources if s.has_system_column(name)]
            if system:
                return passed | self._findings.refer_to_system_column(system[0], name)
        source = _by_alias(name, scope, location)
        if source is None:
            raise _unknown(name, location)
        return passed | self._findings.refer_to_all(source)

    def _visible(self, found: tuple[Visible, ...]) -> Lineage:
        columns = [column for visible in found for column in visible.columns]
        merged = union(self._findings.refer(source, position) for source, position in columns)
        return merged if len(found) == 1 else merged | UNCERTAIN


def _parts(body: Tree) -> tuple[tuple[str, ...], bool]:
    fields = body["fields"]
    star = unwrap(fields[-1])[0] == "A_Star"
    return strings(fields[:-1] if star else fields), star


def is_star(body: Tree) -> bool:
    """Whether a ColumnRef ends in `*`."""
    return _parts(body)[1]


def qualifier(body: Tree) -> tuple[str, ...]:
    """What stands before the `*`, or before the last name."""
    names, star = _parts(body)
    return names if star else names[:-1]


def is_column(name: str, scope: Scope) -> bool:
    """Whether an unqualified name is a column of some FROM item in sight."""
    return any(
        level.items.named(name) or any(s.has_system_column(name) for s in level.items.sources)
        for level in scope.levels()
    )


def _by_alias(name: str, scope: Scope, location: int | None) -> Source | None:
    for level in scope.levels():
        found = [source for source in level.items.sources if source.alias == name]
        if found:
            return _only(found, name, location)
    return None


def _by_table(names: tuple[str, ...], scope: Scope, location: int | None) -> Source | None:
    for level in scope.levels():
        found = [
            source
            for source in level.items.sources
            if source.qualified is not None
            and (source.qualified.schema, source.qualified.name) == names
        ]
        if found:
            return _only(found, ".".join(names), location)
    return None


def _only(found: list[Source], name: str, location: int | None) -> Source:
    if len(found) > 1:
        raise NotUnderstood("COLUMN_UNKNOWN", f"{name} may mean two tables", location)
    return found[0]


def _unknown(name: str, location: int | None) -> NotUnderstood:
    return NotUnderstood("COLUMN_UNKNOWN", f"there is no column {name}", location)
