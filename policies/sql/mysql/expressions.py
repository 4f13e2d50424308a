"""Expressions of MySQL: what they call and read, and which labels their value may carry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from sqlglot import exp

from policies.sql.inference import compared_labels
from policies.sql.lineage import CLEAN, UNCERTAIN, Lineage, Shape, Source, union
from policies.sql.mysql import names
from policies.sql.mysql.calls import Call
from policies.sql.mysql.columns import ColumnResolver
from policies.sql.mysql.findings import SELECT_LIST, MySqlFindings
from policies.sql.mysql.functions import RESERVED_FUNCTIONS
from policies.sql.mysql.gate import Text
from policies.sql.mysql.inference import conjuncts_of
from policies.sql.mysql.matching import Constants
from policies.sql.mysql.plain import PlainText
from policies.sql.mysql.scopes import Level
from policies.sql.mysql.steps import unclear
from policies.sql.mysql.tree import (
    Node,
    checked,
    child,
    children,
    number,
    operands,
    parse,
    required,
)
from policies.sql.not_understood import NotUnderstood

_CHAINS: Final[tuple[type[Node], ...]] = (
    *(exp.And, exp.Or, exp.EQ, exp.LT, exp.Is, exp.Like),
    *(exp.Add, exp.Sub, exp.Mul, exp.Div),
)
_CONSTANTS: Final[tuple[type[Node], ...]] = (exp.Literal, exp.Boolean, exp.Null, exp.Placeholder)


class ExpressionWalker(ABC):
    """Walks expressions; queries inside them are walked by the class that knows queries."""

    def __init__(self, findings: MySqlFindings, read: Text) -> None:
        self.findings = findings
        self.catalog = findings.catalog
        self.read = read
        self.columns = ColumnResolver(findings, read.tokens)
        self.calls: dict[int, Call] = {}
        self.locks: dict[int, str] = {}
        self.constants = Constants(read.tokens, self.calls)

    @abstractmethod
    def query(self, node: Node, level: Level) -> Shape:
        """Walks a query inside `level`."""

    def parse(
        self, *parts: str | tuple[int, int], called: frozenset[str] = RESERVED_FUNCTIONS
    ) -> Node:
        """The tree of a query that is put together of plain words and of ranges of tokens.

        Every function in the ranges is looked up here, wherever the tree may have it.
        """
        plain = PlainText(self.read, called)
        written = (p if isinstance(p, str) else plain.write(*p) for p in parts)
        text = " ".join(written)
        for index, call in plain.calls.items():
            database = names.resolve_function(self.catalog, call)
            self.findings.functions.add(
                call.name if database is None else f"{database}.{call.name}"
            )
            self.calls[index] = Call(database, call.name, call.location, call.columns)
        self.locks |= plain.locks
        self.findings.operators |= plain.operators
        self.findings.casts |= plain.casts
        return parse(text)

    def expression(self, node: Node, level: Level) -> Lineage:
        """The lineage of one expression."""
        walk = _WALKS.get(type(node))
        if walk is None:
            raise unclear(f"a form ({type(node).__name__})")
        secrets = self.findings.secrets
        lineage = walk(self, checked(node), level)
        if not isinstance(node, exp.Column):
            self.findings.refuse_secrets_since(secrets)
        if not lineage.carried:
            return lineage
        if self.constants.keeps_whole(node):
            # Whole for what it is compared with, and yet not as it is stored.
            return replace(lineage, origin=None) if isinstance(node, exp.Anonymous) else lineage
        return lineage.in_part()

    def condition(self, node: Node | None, level: Level) -> Lineage:
        """Walks a WHERE, ON or HAVING; what could be read off the rows it lets through is noted."""
        tested = union(self.compare_in(part, level) for part in conjuncts_of(node))
        self.findings.tests.append(tested)
        return tested

    def compare_in(self, node: Node, level: Level) -> Lineage:
        """Walks an expression that says which rows there are, or in what order."""
        mark = self.findings.mark()
        lineage, compared = self.judged(node, level)
        self.findings.compared |= compared
        self.findings.decide_since(mark, level)
        return lineage

    def judged(self, node: Node, level: Level) -> tuple[Lineage, frozenset[str]]:
        """An expression's lineage, and the labels that it compares with other data."""
        found = self.findings
        references, answers = len(found.references), len(found.answers)
        lineage = self.expression(node, level)
        own = [answer for scope, answer in found.answers[answers:] if scope is level]
        seen = found.references[references:]
        if not any(part.carried or part.mixed for part in (*own, *(part for _, part in seen))):
            return lineage, frozenset()
        return lineage, compared_labels(seen, own, level) | _compared_with_aliases(seen)

    def every(self, nodes: Iterable[Node], level: Level) -> Lineage:
        return union([self.expression(node, level) for node in nodes])

    def optional(self, node: Node | None, level: Level) -> Lineage:
        return CLEAN if node is None else self.expression(node, level)

    def order(self, node: Node | None, level: Level) -> list[Node]:
        """The keys of an ORDER BY."""
        if node is None:
            return []
        keys = [checked(key) for key in children(checked(node), "expressions")]
        return [required(key, "this") if isinstance(key, exp.Ordered) else key for key in keys]

    def window(self, node: Node, level: Level) -> Lineage:
        """What a window's definition carries; one that is defined elsewhere may carry anything."""
        keys = [*children(node, "partition_by"), *self.order(child(node, "order"), level)]
        named = UNCERTAIN if child(node, "alias") is not None else CLEAN
        mark = self.findings.mark()
        lineage = self.every(keys, level)
        # Rows come out in the order of the windows.
        self.findings.decide_since(mark, level)
        return lineage | named

    def call_of(self, node: Node) -> Call:
        """What an Anonymous calls, as it stands in the text."""
        call = self.calls.get(number(checked(node), "f"))
        if call is None:
            raise unclear("a call")
        return call

    def _constant(self, node: Node, level: Level) -> Lineage:
        return CLEAN

    def _column(self, node: Node, level: Level) -> Lineage:
        return self.columns.reference(node, level)

    def _list(self, node: Node, level: Level) -> Lineage:
        return self.every(children(node, "expressions"), level)

    def _chain(self, node: Node, level: Level) -> Lineage:
        first, second, *others = operands(node, _CHAINS)
        before = len(self.findings.references)
        left, right = self.expression(first, level), self.expression(second, level)
        if left.carried or right.carried:
            sides = ((first, left), (second, right))
            if isinstance(first.parent, exp.EQ):
                self._match(sides, before)
            elif isinstance(first.parent, exp.Is) and left.whole and left.certain:
                # Masks leave NULL as it is.
                null = isinstance(second, exp.Null)
                self.findings.deciding.cover(before, len(self.findings.references) if null else 0)
        return left | right | self.every(others, level)

    def _match(self, sides: Iterable[tuple[Node, Lineage]], before: int) -> None:
        """Notes a comparison of a whole value with constants, or with another labelled one."""
        carried, constants = CLEAN, frozenset[int]()
        for node, lineage in sides:
            found = None if lineage.carried else self.constants.places([node])
            if found is None and not (lineage.carried and lineage.whole and lineage.certain):
                return
            carried, constants = carried | lineage, constants | (found or frozenset())
        self.findings.deciding.match(carried, constants)
        self.findings.deciding.cover(before, len(self.findings.references))

    def _inner(self, node: Node, level: Level) -> Lineage:
        return self.expression(required(node, "this"), level)

    def _between(self, node: Node, level: Level) -> Lineage:
        return self.every((required(node, part) for part in ("this", "low", "high")), level)

    def _case(self, node: Node, level: Level) -> Lineage:
        branches = [checked(branch) for branch in children(node, "ifs")]
        parts = (required(branch, part) for branch in branches for part in ("this", "true"))
        ends = (self.optional(child(node, end), level) for end in ("this", "default"))
        return self.every(parts, level) | union(ends)

    def _call(self, node: Node, level: Level) -> Lineage:
        call, arguments = self.call_of(node), children(node, "expressions")
        if call.name == "json_table":
            raise unclear("JSON_TABLE outside of FROM", call.location)
        if call.name == "last_insert_id" and arguments:
            # It keeps its argument for a later statement.
            raise NotUnderstood(
                "FUNCTION_NOT_ALLOWED", "last_insert_id takes no argument here", call.location
            )
        mark = self.findings.mark()
        lineage = self.every(arguments, level)
        if self._word_after(node) == "DISTINCT":
            self.findings.decide_since(mark, level)
        if call.database is not None:
            self.findings.call_unknown_code()
            return UNCERTAIN
        # A count says how many, never which; unless the NULLs that it leaves out were computed.
        return CLEAN if call.name == "count" and lineage.counted else lineage

    def _word_after(self, node: Node) -> str:
        """The word after the bracket that opens a call's arguments."""
        index = number(node, "f") + 2
        return self.read.tokens[index].word if index < len(self.read.tokens) else ""

    def _windowed(self, node: Node, level: Level) -> Lineage:
        return self.expression(required(node, "this"), level) | self.window(node, level)

    def _in(self, node: Node, level: Level) -> Lineage:
        tested, before = required(node, "this"), len(self.findings.references)
        query = child(node, "query")
        if query is None:
            nodes = (tested, *children(node, "expressions"))
            sides = [(item, self.expression(item, level)) for item in nodes]
            merged = union(lineage for _, lineage in sides)
            if merged.carried:
                self._match(sides, before)
            return merged
        return self.expression(tested, level) | self._tested(query, level)

    def _any(self, node: Node, level: Level) -> Lineage:
        return self._tested(required(node, "this"), level)

    def _tested(self, query: Node, level: Level) -> Lineage:
        before = len(self.findings.references)
        shape = self.query(query, level)
        self.findings.answers.append((level, shape.lineage))
        return shape.lineage | self._looked_at(before)

    def _exists(self, node: Node, level: Level) -> Lineage:
        before = len(self.findings.references)
        shape = self.query(required(node, "this"), level)
        return shape.lineage | self._looked_at(before)

    def _looked_at(self, before: int) -> Lineage:
        """The answer of a test tells about everything that the subquery looked at."""
        return union(lineage for _, lineage in self.findings.references[before:])

    def _scalar(self, node: Node, level: Level) -> Lineage:
        shape = self.query(node, level)
        self.findings.answers.append((level, shape.lineage))
        return shape.lineage


def _compared_with_aliases(seen: Iterable[tuple[Source, Lineage]]) -> frozenset[str]:
    """Labels that meet other values where an alias is among the two: it may be of any table."""
    references = tuple(seen)
    plain = any(not lineage.carried for _, lineage in references)
    if not plain or all(source is not SELECT_LIST for source, _ in references):
        return frozenset()
    return frozenset(label for _, lineage in references for _, label in lineage.carried)


_Walk = Callable[[ExpressionWalker, Node, Level], Lineage]

_WALKS: Final[Mapping[type[Node], _Walk]] = MappingProxyType(
    {
        **dict.fromkeys(_CONSTANTS, ExpressionWalker._constant),
        **dict.fromkeys(_CHAINS, ExpressionWalker._chain),
        exp.Column: ExpressionWalker._column,
        exp.Paren: ExpressionWalker._inner,
        exp.Not: ExpressionWalker._inner,
        exp.Neg: ExpressionWalker._inner,
        exp.BitwiseNot: ExpressionWalker._inner,
        exp.Tuple: ExpressionWalker._list,
        exp.Concat: ExpressionWalker._list,
        exp.Between: ExpressionWalker._between,
        exp.Case: ExpressionWalker._case,
        exp.Anonymous: ExpressionWalker._call,
        exp.Window: ExpressionWalker._windowed,
        exp.In: ExpressionWalker._in,
        exp.Exists: ExpressionWalker._exists,
        exp.Any: ExpressionWalker._any,
        exp.All: ExpressionWalker._any,
        exp.Subquery: ExpressionWalker._scalar,
    }
)
