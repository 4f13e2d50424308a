"""Comparisons of a whole value with constants: `ssn = ?`, `lower(email) IN ('a', 'b')`.

Not with numbers: where a text is compared with one, the server takes the text's leading digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from sqlglot import exp

from policies.sql.lineage import CLEAN, Lineage, Shape, union
from policies.sql.mysql.calls import Call
from policies.sql.mysql.findings import fold
from policies.sql.mysql.lexer import Kind, Token
from policies.sql.mysql.tree import Node, child, children, number, required

# Functions that leave a value what it is, but for its case or the blanks round it.
WHOLE_FUNCTIONS: Final = frozenset({"lower", "upper", "lcase", "ucase", "trim", "ltrim", "rtrim"})


class Constants:
    """Tells constants and whole values in a statement of these tokens and calls."""

    def __init__(self, tokens: tuple[Token, ...], calls: Mapping[int, Call]) -> None:
        self._tokens = tokens
        self._calls = calls

    def keeps_whole(self, node: Node) -> bool:
        """Whether a form's value is that of its one part, all of it."""
        if isinstance(node, exp.Anonymous):
            call = self._calls.get(number(node, "f"))
            whole = call is not None and call.database is None and call.name in WHOLE_FUNCTIONS
            return whole and len(children(node, "expressions")) == 1
        return isinstance(node, exp.Column | exp.Paren)

    def places(self, nodes: Iterable[Node]) -> frozenset[int] | None:
        """Where the constants and parameters stand that these are; None if one is more."""
        found: set[int] = set()
        for node in nodes:
            place = self._place(node)
            if place is None:
                return None
            found.add(place)
        return frozenset(found)

    def key_lineage(self, node: Node, shape: Shape) -> Lineage:
        """What a key carries if it may name an output column, or gives its position."""
        match node:
            case exp.Column():
                name = fold(self._tokens[number(required(node, "this"), "n")].value)
                return union(o.lineage for o in shape.outputs if o.name == name)
            case exp.Literal():
                written = self._tokens[number(node, "")].value
                position = int(written) if written.isascii() and written.isdigit() else 0
                return union(o.lineage for o in shape.outputs[position - 1 : position])
            case _:
                return CLEAN

    def _place(self, node: Node) -> int | None:
        match node:
            case exp.Paren():
                inner = child(node, "this")
                return None if inner is None else self._place(inner)
            case exp.Anonymous() if self.keeps_whole(node):
                return self._place(children(node, "expressions")[0])
            case exp.Literal():
                at = number(node, "")
                return at if self._tokens[at].kind is Kind.STRING else None
            case exp.Placeholder() | exp.Null():
                return -id(node)
            case _:
                return None


def constant_outputs(query: Node, constants: Constants) -> frozenset[int]:
    """The positions of a query's output columns that are the same constant in every row."""
    if isinstance(query, exp.Union | exp.Except | exp.Intersect):
        sides = (child(query, side) for side in ("this", "expression"))
        return frozenset.intersection(
            *(constant_outputs(side, constants) for side in sides if side is not None)
        )
    listed = list(_values(query))
    if any(isinstance(node, exp.Star) or node.find(exp.Star) is not None for node in listed):
        return frozenset()
    places = enumerate(constants.places([node]) for node in listed)
    return frozenset(position for position, place in places if place is not None)


def _values(query: Node) -> Iterator[Node]:
    listed = children(query, "expressions") if isinstance(query, exp.Select) else []
    for node in listed:
        inner = child(node, "this") if isinstance(node, exp.Alias) else node
        yield node if inner is None else inner
