"""INSERT, REPLACE, UPDATE, DELETE of MySQL: what is written, from where, whether rows are named.

Their own words are read here from the tokens; what they hold of queries and expressions is parsed
as the query that it would be: `UPDATE t SET a = b WHERE c` as `SELECT b FROM t WHERE c`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from policies.sql.catalog import Relation
from policies.sql.findings import ALL_COLUMNS
from policies.sql.lineage import FromItem, Lineage, Shape, Source, exact_shape, single
from policies.sql.mysql import names
from policies.sql.mysql.cursor import Cursor, Named, find, split
from policies.sql.mysql.findings import fold
from policies.sql.mysql.functions import RESERVED_FUNCTIONS
from policies.sql.mysql.inference import (
    DENIALS,
    conjuncts_of,
    has_complementary_tests,
    has_live_column,
    selected_again,
)
from policies.sql.mysql.lexer import Token
from policies.sql.mysql.queries import QueryWalker
from policies.sql.mysql.scopes import Level
from policies.sql.mysql.steps import unclear
from policies.sql.mysql.tree import Node, child, children, operands, required
from policies.sql.not_understood import NotUnderstood

_OPTIONS: Final = frozenset({"LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "QUICK", "IGNORE"})
_CONFLICT: Final = ("ON", "DUPLICATE", "KEY", "UPDATE")
_WITH_VALUES: Final = RESERVED_FUNCTIONS | {"VALUES"}
_NOTHING: Final = exact_shape(())
# Functions that leave a value what it is, but for its case or the blanks round it.
_WHOLE: Final = frozenset({"lower", "upper", "lcase", "ucase", "trim", "ltrim", "rtrim"})


@dataclass(frozen=True, slots=True)
class _Assigned:
    """`name = expression`: the tokens of the dotted name, and the range of the expression."""

    name: tuple[Token, ...]
    value: tuple[int, int]


class ChangeWalker(QueryWalker):
    """Walks changes: the complete walker."""

    def change(self, cursor: Cursor, before: tuple[int, int]) -> Shape:
        """The change at the cursor, after the WITH clause in the range `before`."""
        verb = cursor.word()
        cursor.index += 1
        match verb:
            case "INSERT" | "REPLACE":
                return self._insert(cursor, verb)
            case "UPDATE":
                return self._update(cursor, before)
            case "DELETE":
                return self._delete(cursor, before)
            case _:
                raise unclear(verb, cursor.location)

    def _insert(self, cursor: Cursor, verb: str) -> Shape:
        cursor.skip_any(_OPTIONS)
        cursor.skip("INTO")
        named = cursor.relation()
        relation = self._written(names.resolve_relation(self.catalog, named), "insert", named)
        if verb == "REPLACE":
            self._written(relation, "delete", named)
            self.findings.kinds.add("replace")
        if cursor.skip("PARTITION"):
            cursor.bracketed()
        target = self.source_of(relation, None, verb="select")
        rest = self._rest_of_insert(cursor)
        if cursor.skip("SET"):
            self._insert_set(relation, cursor.index, rest.source_end)
        else:
            self._insert_rows(cursor, relation, rest.source_end)
        if rest.conflict is not None:
            self._on_duplicate(rest.conflict, rest.alias, target)
        return self._returning(rest.returning, target)

    def _rest_of_insert(self, cursor: Cursor) -> _Rest:
        """Where the rows end, and what follows them."""
        text, stop = cursor.text, cursor.stop
        returning = find(text, cursor.index, stop, "RETURNING")
        stop = stop if returning is None else returning
        conflict = find(text, cursor.index, stop, *_CONFLICT)
        end = stop if conflict is None else conflict
        alias = None if conflict is None else self._row_alias(cursor, end)
        return _Rest(
            source_end=end if alias is None else end - 2,
            alias=alias,
            conflict=None if conflict is None else (conflict + len(_CONFLICT), stop),
            returning=None if returning is None else (returning + 1, cursor.stop),
        )

    def _row_alias(self, cursor: Cursor, end: int) -> Token | None:
        """`new` in `VALUES (…) AS new ON DUPLICATE …`."""
        queried = any(
            find(cursor.text, cursor.index, end, word) is not None for word in ("SELECT", "TABLE")
        )
        if queried or end - 2 <= cursor.index or cursor.text.tokens[end - 2].word != "AS":
            return None
        return Cursor(cursor.text, end - 1, end).name()

    def _insert_rows(self, cursor: Cursor, relation: Relation, end: int) -> None:
        columns = self._column_list(cursor)
        self._touch_columns(relation, "insert", columns)
        if cursor.skip("VALUE") or (cursor.word() == "VALUES" and self._is_empty_row(cursor, end)):
            raise unclear("this form of VALUES", cursor.location)
        if cursor.index >= end:
            raise unclear("INSERT without rows", cursor.location)
        shape = self.outermost(self.parse((cursor.index, end)), Level())
        if columns and len(columns) != len(shape.outputs):
            raise unclear("INSERT with another number of values than columns")
        self.findings.copy_out(shape.lineage)

    def _is_empty_row(self, cursor: Cursor, end: int) -> bool:
        return cursor.sign(1) == "(" and cursor.sign(2) == ")" and cursor.index + 3 <= end

    def _insert_set(self, relation: Relation, start: int, end: int) -> None:
        assigned = list(self._assignments(start, end))
        self._touch_columns(relation, "insert", [item.name[-1] for item in assigned])
        tree = self.parse("SELECT", *_listed(assigned))
        self.findings.copy_out(self.every(children(tree, "expressions"), Level()))

    def _column_list(self, cursor: Cursor) -> list[Token]:
        """`(a, b)` before the rows; a bracket that holds a query is none."""
        if cursor.sign() != "(" or cursor.word(1) in ("SELECT", "WITH", "TABLE", "VALUES"):
            return []
        start, stop = cursor.bracketed()
        found = []
        for begin, end in split(cursor.text, start, stop):
            inner = Cursor(cursor.text, begin, end)
            found.append(inner.name())
            inner.expect_end()
        return found

    def _on_duplicate(self, conflict: tuple[int, int], alias: Token | None, target: Source) -> None:
        assigned = list(self._assignments(*conflict))
        tree = self.parse("SELECT", *_listed(assigned), called=_WITH_VALUES)
        sources = [target]
        if alias is not None and target.relation is not None:
            sources.append(self.source_of(target.relation, alias.value, verb="insert"))
        items = FromItem(tuple(sources), single(target).visible)
        self._mark(self._assign(assigned, tree, Level().over(items)), "update")

    def _update(self, cursor: Cursor, before: tuple[int, int]) -> Shape:
        cursor.skip_any(_OPTIONS)
        text, start = cursor.text, cursor.index
        setting = find(text, start, cursor.stop, "SET")
        if setting is None:
            raise unclear("UPDATE without SET", cursor.location)
        end = _clause_start(cursor, setting + 1)
        assigned = list(self._assignments(setting + 1, end))
        listed = _listed(assigned)
        query: list[str | tuple[int, int]] = [before, "SELECT", *listed]
        tree = self.parse(*query, "FROM", (start, setting), (end, cursor.stop))
        self._name_single_target(tree, start)
        level, items = self._change_level(tree)
        scope = level.over(items)
        targets = self._assign(assigned, tree, scope)
        self._mark(targets, "update")
        self._where(tree, scope, targets)
        return self._sorted(tree, scope)

    def _delete(self, cursor: Cursor, before: tuple[int, int]) -> Shape:
        cursor.skip_any(_OPTIONS)
        returning = find(cursor.text, cursor.index, cursor.stop, "RETURNING")
        stop = cursor.stop if returning is None else returning
        listed, start = self._delete_targets(cursor, stop)
        tree = self.parse(before, "SELECT 1 FROM", (start, stop))
        if not listed:
            self._name_single_target(tree, start)
        level, items = self._change_level(tree)
        if not listed and len(items.sources) != 1:
            raise unclear("DELETE from a join without its targets")
        targets = [self.columns.source(n, level.over(items)) for n in listed]
        targets = targets or list(items.sources)
        scope = level.over(items)
        self._mark(targets, "delete")
        self._where(tree, scope, targets)
        self._sorted(tree, scope)
        return self._returning(
            None if returning is None else (returning + 1, cursor.stop), targets[0]
        )

    def _delete_targets(self, cursor: Cursor, stop: int) -> tuple[list[Named], int]:
        """The tables that a DELETE names as its targets, and where its table references begin.

        No targets: the one table that it deletes from.
        """
        begins = cursor.skip("FROM")
        start = cursor.index
        listed = [self._delete_target(cursor)]
        while cursor.skip_sign(","):
            listed.append(self._delete_target(cursor))
        if cursor.index < stop and cursor.skip("USING" if begins else "FROM"):
            return listed, cursor.index
        if not begins or len(listed) > 1:
            raise unclear("this form of DELETE", cursor.location)
        return [], start

    def _delete_target(self, cursor: Cursor) -> Named:
        first = cursor.name()
        if cursor.sign() != ".":
            return Named(None, first.value, first.start)
        cursor.skip_sign(".")
        if cursor.skip_sign("*"):
            return Named(None, first.value, first.start)
        second = cursor.name()
        if cursor.sign() == "." and cursor.sign(1) == "*":
            cursor.index += 2
        return Named(first.value, second.value, first.start)

    def _name_single_target(self, tree: Node, start: int) -> None:
        """The one table of a change counts as read only where its columns are."""
        if not children(tree, "joins"):
            self.written_at = self.read.tokens[start].start

    def _change_level(self, tree: Node) -> tuple[Level, FromItem]:
        self.findings.count_query()
        level = self.with_clause(tree, Level())
        return level, self.from_clause(tree, level)

    def _sorted(self, tree: Node, scope: Level) -> Shape:
        self._sort_and_limit(tree, scope, _NOTHING)
        return _NOTHING

    def _assignments(self, start: int, stop: int) -> Iterator[_Assigned]:
        for begin, end in split(self.read, start, stop):
            cursor = Cursor(self.read, begin, end)
            parts = [cursor.name()]
            while cursor.skip_sign("."):
                parts.append(cursor.name())
            cursor.expect_sign("=")
            if cursor.at_end or len(parts) > 3:
                raise unclear("this assignment", parts[0].start)
            yield _Assigned(tuple(parts), (cursor.index, end))

    def _assign(self, assigned: list[_Assigned], tree: Node, scope: Level) -> list[Source]:
        """Walks assignments, whose values the tree selects; the sources that they write to."""
        values = children(tree, "expressions")
        if len(values) != len(assigned):
            raise unclear("these assignments")
        found: dict[Source, None] = {}
        for item, value in zip(assigned, values, strict=True):
            source = self._assigned_source(item, scope)
            if source.relation is None:
                raise unclear("a change of a derived table", item.name[0].start)
            found[source] = None
            self._touch_columns(source.relation, "update", [item.name[-1]])
            lineage = self.expression(value, scope)
            if not self._stays(value, lineage, source.relation, fold(item.name[-1].value)):
                self.findings.copy_out(lineage)
        return list(found)

    def _assigned_source(self, item: _Assigned, scope: Level) -> Source:
        name = item.name[-1]
        if len(item.name) > 1:
            database = item.name[0].value if len(item.name) == 3 else None
            table = item.name[-2]
            return self.columns.source(Named(database, table.value, table.start), scope)
        found = {source for v in scope.items.named(fold(name.value)) for source, _ in v.columns}
        if len(found) != 1:
            raise NotUnderstood(
                "COLUMN_UNKNOWN", f"{name.value} is no column of one table here", name.start
            )
        return found.pop()

    def _stays(self, node: Node, lineage: Lineage, relation: Relation, column: str) -> bool:
        """Whether the value comes from this very column, and is still all of it."""
        if isinstance(node, exp.Anonymous):
            call, arguments = self.call_of(node), children(node, "expressions")
            whole = call.database is None and call.name in _WHOLE and len(arguments) == 1
            return whole and self._stays(arguments[0], lineage, relation, column)
        if not isinstance(node, exp.Column):
            return False
        same = fold(self.columns.token(required(node, "this")).value) == column
        # A subquery may give another column under this one's name.
        return same and lineage.certain and self.findings.referred_to(relation)

    def _mark(self, targets: list[Source], verb: str) -> None:
        for source in targets:
            if source.relation is None:
                raise unclear("a change of a derived table")
            self._written(source.relation, verb, None)

    def _written(self, relation: Relation, verb: str, named: Named | None) -> Relation:
        location = self.written_at if named is None else named.location
        names.writable(relation, location=location)
        self.findings.write(relation, verb, location)
        if relation.user_code:
            self.findings.call_unknown_code()
        self.findings.kinds.add(verb)
        return relation

    def _touch_columns(self, relation: Relation, verb: str, named: Sequence[Token]) -> None:
        known = {fold(column.name) for column in relation.columns}
        for token in named:
            if fold(token.value) not in known:
                raise NotUnderstood(
                    "COLUMN_UNKNOWN", f"{relation.name} has no column {token.value}", token.start
                )
        for name in [token.value for token in named] or [ALL_COLUMNS]:
            self.findings.touch(relation, verb, name)

    def _where(self, tree: Node, scope: Level, targets: list[Source]) -> None:
        """A change names its rows if its WHERE and its inner joins tell those of every target."""
        where = child(tree, "where")
        self.condition(where, scope)
        if where is None:
            self.findings.has_where = False
            return
        predicate = required(where, "this")
        by_where = [self._named_by(part, scope, negated=False) for part in conjuncts_of(predicate)]
        by_joins = (self._named_by(on, scope, negated=False) for on in _inner_conditions(tree))
        told = frozenset[Source]().union(*by_where, *by_joins)
        every = any(by_where) and set(targets) <= told
        self.findings.has_where = self.findings.has_where and every

    def _named_by(self, node: Node, scope: Level, *, negated: bool) -> frozenset[Source]:
        """The sources whose rows a predicate tells apart, as far as can be told."""
        if isinstance(node, exp.Paren):
            return self._named_by(required(node, "this"), scope, negated=negated)
        if isinstance(node, DENIALS):
            return self._named_by(required(node, "this"), scope, negated=not negated)
        if not isinstance(node, exp.And | exp.Or):
            return self._named_by_leaf(node, scope)
        sides = list(operands(node, (type(node),)))
        named = [self._named_by(side, scope, negated=negated) for side in sides]
        if isinstance(node, exp.And) != negated:
            return frozenset().union(*named)
        if has_complementary_tests(sides, self.read.tokens):
            return frozenset()
        return frozenset.intersection(*named)

    def _named_by_leaf(self, node: Node, scope: Level) -> frozenset[Source]:
        before = len(self.findings.references)
        self.expression(node, scope)
        if not has_live_column(node, self.read.tokens):
            return frozenset()
        again = selected_again(node, self.read.tokens)
        found = {source for source, _ in self.findings.references[before:]}
        return frozenset(s for s in found if not (again and _is_named(s, again)))

    def _returning(self, listed: tuple[int, int] | None, target: Source) -> Shape:
        if listed is None:
            return _NOTHING
        tree = self.parse("SELECT", listed)
        scope = Level().over(single(target))
        shape = self.targets(children(tree, "expressions"), scope)
        # What was just copied into a plain column comes straight back.
        return shape.uncertain() if self.findings.labels_copied else shape


@dataclass(frozen=True, slots=True)
class _Rest:
    """What an INSERT holds past its column list, as ranges of tokens."""

    source_end: int
    alias: Token | None
    conflict: tuple[int, int] | None
    returning: tuple[int, int] | None


def _listed(assigned: list[_Assigned]) -> list[str | tuple[int, int]]:
    """The values of assignments as a select list."""
    parts: list[str | tuple[int, int]] = []
    for item in assigned:
        parts += [",", item.value] if parts else [item.value]
    return parts


def _clause_start(cursor: Cursor, start: int) -> int:
    """Where WHERE, ORDER BY or LIMIT begins after the assignments."""
    found = (find(cursor.text, start, cursor.stop, word) for word in ("WHERE", "ORDER", "LIMIT"))
    return min((index for index in found if index is not None), default=cursor.stop)


def _is_named(source: Source, table: str) -> bool:
    """Whether a FROM item is the table of this name, given in small letters."""
    return source.relation is not None and source.relation.name.name.lower() == table


def _inner_conditions(tree: Node) -> Iterator[Node]:
    for join in children(tree, "joins"):
        condition = child(join, "on")
        if condition is not None and not join.args.get("side"):
            yield from conjuncts_of(condition)
