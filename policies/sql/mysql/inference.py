"""Conditions of MySQL taken apart: what must all hold, what equates columns, what says nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from sqlglot import exp

from policies.sql.mysql.lexer import Kind, Token
from policies.sql.mysql.tree import Node, child, children, operands

_TOKENS: Final = (exp.Identifier, exp.Literal, exp.Anonymous)
_LARGE: Final = 60  # nodes
# NOT, and what stands for `!`.
DENIALS: Final = exp.Not | exp.BitwiseNot
_COMPARISONS: Final = (exp.EQ, exp.LT, exp.Like)


def conjuncts_of(node: Node | None) -> Iterator[Node]:
    """The parts of a condition that must all hold."""
    while isinstance(node, exp.Paren):
        node = child(node, "this")
    if isinstance(node, exp.And):
        for part in operands(node, (exp.And,)):
            yield from conjuncts_of(part)
    elif node is not None:
        yield node


def equates_columns(node: Node) -> bool:
    """Whether a condition is `a.x = b.y`."""
    sides = (child(node, "this"), child(node, "expression")) if isinstance(node, exp.EQ) else ()
    return bool(sides) and all(isinstance(side, exp.Column) for side in sides)


def spelled(node: Node, tokens: tuple[Token, ...]) -> str:
    """An expression with its tokens' values in place of their numbers, to compare it by.

    A large one is like no other: nobody writes one twice, and each may hold the next.
    """
    if sum(1 for _ in islice(node.walk(), _LARGE)) == _LARGE:
        return f"an expression at {id(node)}"
    return _spell(node, tokens)


def _spell(node: Node, tokens: tuple[Token, ...]) -> str:
    parts = (_spell(part, tokens) for part in node.iter_expressions())
    own = "" if isinstance(node.args.get("this"), exp.Expression) else str(node.args.get("this"))
    digits = own.lstrip("nf")
    if isinstance(node, _TOKENS) and digits.isdigit() and int(digits) < len(tokens):
        own = tokens[int(digits)].value.lower()
    denied = "Not " if node.args.get("negate") else ""
    return _spelling(denied + type(node).__name__, parts, own)


def _spelling(kind: str, parts: Iterable[str], own: str = "") -> str:
    return f"{kind}({own}: {', '.join(parts)})"


def has_live_column(node: Node, tokens: tuple[Token, ...]) -> bool:
    """Whether an expression names a column outside of comparisons that hold for every row."""
    if isinstance(node, exp.Column):
        return True
    if isinstance(node, _COMPARISONS) and _holds_always(node, tokens):
        return False
    if isinstance(node, exp.In) and _contains_itself(node, tokens):
        return False
    if isinstance(node, exp.Between | exp.Case | exp.Sub) and _is_fixed(node, tokens):
        return False
    return any(has_live_column(inner, tokens) for inner in node.iter_expressions())


def has_complementary_tests(nodes: list[Node], tokens: tuple[Token, ...]) -> bool:
    """Whether an OR holds both a test and its negation: `x IS NULL OR NOT x IS NULL`.

    Two comparisons of the same two values, `x < 5 OR x >= 5`, count as such.
    """
    said = {_test(node, tokens) for node in nodes}
    compared = [_sides(node, tokens) for node in nodes]
    pairs = [pair for pair in compared if pair is not None]
    return len(set(pairs)) < len(pairs) or any((test, not denied) in said for test, denied in said)


def selected_again(node: Node, tokens: tuple[Token, ...]) -> str:
    """The table of which `id IN (SELECT id FROM table)` selects all rows; "" for all else."""
    query = child(node, "query") if isinstance(node, exp.In) else None
    query = child(query, "this") if isinstance(query, exp.Subquery) else query
    if not isinstance(query, exp.Select) or any(
        value for name, value in query.args.items() if name not in ("expressions", "from_")
    ):
        return ""
    listed, clause = children(query, "expressions"), child(query, "from_")
    table = None if clause is None else child(clause, "this")
    if len(listed) != 1 or not isinstance(table, exp.Table) or table.args.get("joins"):
        return ""
    name, chosen = (_last_name(part, tokens) for part in (node.args["this"], listed[0]))
    return _last_name(table, tokens) if name and name == chosen else ""


def _last_name(node: Node, tokens: tuple[Token, ...]) -> str:
    named = child(node, "this") if isinstance(node, exp.Column | exp.Table) else None
    digits = str(named.args["this"]).lstrip("n") if isinstance(named, exp.Identifier) else ""
    return tokens[int(digits)].value.lower() if digits.isdigit() else ""


def _sides(node: Node, tokens: tuple[Token, ...]) -> frozenset[str] | None:
    """The two values that a comparison is of."""
    node = _bare(node)
    if not isinstance(node, exp.EQ | exp.LT):
        return None
    return frozenset(spelled(_bare(node.args[side]), tokens) for side in ("this", "expression"))


def _bare(node: Node) -> Node:
    while isinstance(node, exp.Paren):
        node = node.args["this"]
    return node


def _is_fixed(node: Node, tokens: tuple[Token, ...]) -> bool:
    """Whether a value is the same for every row: `x BETWEEN x AND x`, `x - x`, a CASE of one."""
    match node:
        case exp.Case():
            default = child(node, "default")
            if default is None:
                return False
            parts = [default, *(branch.args["true"] for branch in children(node, "ifs"))]
        case exp.Between():
            parts = [node.args[part] for part in ("this", "low", "high")]
        case _:
            parts = [node.args["this"], node.args["expression"]]
    return len({spelled(_bare(part), tokens) for part in parts}) == 1


def _test(node: Node, tokens: tuple[Token, ...]) -> tuple[str, bool]:
    """What a condition tests, and whether it denies it."""
    denied = False
    while isinstance(node, exp.Paren | DENIALS):
        denied ^= isinstance(node, DENIALS)
        node = node.args["this"]
    if isinstance(node, exp.Like) and node.args.get("negate"):
        parts = (node.args["this"], node.args["expression"])
        return _spelling("Like", (spelled(part, tokens) for part in parts)), not denied
    return spelled(node, tokens), denied


def _holds_always(node: Node, tokens: tuple[Token, ...]) -> bool:
    left, right = _bare(node.args["this"]), _bare(node.args["expression"])
    if type(left) is type(right) and spelled(left, tokens) == spelled(right, tokens):
        return True
    return isinstance(node, exp.Like) and _matches_all(right, tokens)


def _matches_all(pattern: Node, tokens: tuple[Token, ...]) -> bool:
    if not isinstance(pattern, exp.Literal):
        return False
    token = tokens[int(str(pattern.args["this"]))]
    return token.kind is Kind.STRING and set(token.value) <= {"%", ".", "*", "^", "$"}


def _contains_itself(node: Node, tokens: tuple[Token, ...]) -> bool:
    tested = spelled(node.args["this"], tokens)
    return any(spelled(item, tokens) == tested for item in children(node, "expressions"))
