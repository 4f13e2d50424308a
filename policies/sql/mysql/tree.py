"""sqlglot's tree for a plain text, and the allow-list of what may stand in it.

A node of a class that is not listed, or with an argument that is not listed, is refused: so is
everything that sqlglot reads into a text besides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from threading import Lock
from types import MappingProxyType
from typing import Final

from sqlglot import exp
from sqlglot.dialects.mysql import MySQL
from sqlglot.errors import SqlglotError

from policies.sql.mysql.steps import unclear
from policies.sql.not_understood import NotUnderstood

Node = exp.Expression

# Making a tokenizer takes as long as reading a statement with it; it reads one at a time.
_DIALECT: Final = MySQL()
_TOKENIZER: Final = _DIALECT.tokenizer()
_ONE_AT_A_TIME: Final = Lock()

_BINARY: Final = frozenset({"this", "expression"})
_UNARY: Final = frozenset({"this"})
_SET: Final = frozenset({"this", "expression", "distinct", "with_", "order", "limit", "offset"})

ARGUMENTS: Final[Mapping[type[Node], frozenset[str]]] = MappingProxyType(
    {
        exp.Select: frozenset(
            {
                *("expressions", "distinct", "from_", "joins", "where", "group", "having"),
                *("order", "limit", "offset", "with_", "windows"),
            }
        ),
        exp.Union: _SET,
        exp.Except: _SET,
        exp.Intersect: _SET,
        exp.Subquery: frozenset({"this", "alias", "order", "limit", "offset", "with_"}),
        exp.Values: frozenset({"expressions", "alias"}),
        exp.With: frozenset({"expressions", "recursive"}),
        exp.CTE: frozenset({"this", "alias"}),
        exp.TableAlias: frozenset({"this", "columns"}),
        exp.From: _UNARY,
        exp.Table: frozenset({"this", "db", "alias", "joins"}),
        exp.Join: frozenset({"this", "on", "using", "side", "kind", "method"}),
        exp.Lateral: frozenset({"this", "alias"}),
        exp.Where: _UNARY,
        exp.Having: _UNARY,
        exp.Group: frozenset({"expressions"}),
        exp.Order: frozenset({"expressions"}),
        exp.Ordered: frozenset({"this", "nulls_first"}),
        exp.Limit: frozenset({"expression"}),
        exp.Offset: frozenset({"expression"}),
        exp.Distinct: frozenset(),
        exp.Identifier: frozenset({"this", "quoted"}),
        exp.Column: frozenset({"this", "table", "db"}),
        exp.Star: frozenset(),
        exp.Alias: frozenset({"this", "alias"}),
        exp.Literal: frozenset({"this", "is_string"}),
        exp.Boolean: _UNARY,
        exp.Null: frozenset(),
        exp.Placeholder: frozenset(),
        exp.Concat: frozenset({"expressions", "safe", "coalesce"}),
        exp.Anonymous: frozenset({"this", "expressions"}),
        exp.Window: frozenset({"this", "partition_by", "order", "alias", "over"}),
        exp.Paren: _UNARY,
        exp.Tuple: frozenset({"expressions"}),
        exp.Case: frozenset({"this", "ifs", "default"}),
        exp.If: frozenset({"this", "true"}),
        exp.And: _BINARY,
        exp.Or: _BINARY,
        exp.Not: _UNARY,
        exp.EQ: _BINARY,
        exp.LT: _BINARY,
        exp.Is: _BINARY,
        exp.Like: frozenset({"this", "expression", "negate"}),
        exp.Between: frozenset({"this", "low", "high"}),
        exp.In: frozenset({"this", "expressions", "query"}),
        exp.Exists: _UNARY,
        exp.Any: _UNARY,
        exp.All: _UNARY,
        exp.Add: _BINARY,
        exp.Sub: _BINARY,
        exp.Mul: _BINARY,
        exp.Div: frozenset({"this", "expression", "typed", "safe"}),
        exp.Neg: _UNARY,
        exp.BitwiseNot: _UNARY,
    }
)
"""For each class of node that is understood, the arguments that it may have."""


def parse(plain: str) -> Node:
    """The tree for one plain text. Raises NotUnderstood, and RecursionError where it is deep."""
    try:
        with _ONE_AT_A_TIME:
            tokens = _TOKENIZER.tokenize(plain)
        found = _DIALECT.parser().parse(tokens, plain)
    except (SqlglotError, ValueError, KeyError, IndexError, TypeError, AttributeError):
        # sqlglot's message quotes the plain text, which says nothing to the requester.
        raise NotUnderstood("SQL_SYNTAX", "the statement can't be parsed") from None
    if len(found) != 1 or not isinstance(found[0], exp.Expression):
        raise NotUnderstood("SQL_SYNTAX", "the statement can't be parsed")
    return found[0]


def checked(node: Node) -> Node:
    """The node, if its class and all its arguments are understood."""
    allowed = ARGUMENTS.get(type(node))
    if allowed is None:
        raise unclear(f"a form ({type(node).__name__})")
    if node.args.keys() <= allowed:
        return node
    for name, value in node.args.items():
        if name not in allowed and value not in (None, False, []):
            raise unclear(f"a form ({type(node).__name__} with {name})")
    return node


def child(node: Node, name: str) -> Node | None:
    """An argument that is a node or is missing."""
    value = node.args.get(name)
    if value is None or isinstance(value, exp.Expression):
        return value
    raise unclear(f"a form ({type(node).__name__} with {name})")


def required(node: Node, name: str) -> Node:
    found = child(node, name)
    if found is None:
        raise unclear(f"a form ({type(node).__name__} without {name})")
    return found


def children(node: Node, name: str) -> list[Node]:
    """An argument that is a list of nodes or is missing."""
    value = node.args.get(name)
    items = value if isinstance(value, list) else []
    if (value and not items) or not all(isinstance(item, exp.Expression) for item in items):
        raise unclear(f"a form ({type(node).__name__} with {name})")
    return items


def number(node: Node, letter: str) -> int:
    """The token number in `n5`, `f5` or '5'."""
    written = str(node.args.get("this"))
    digits = written.removeprefix(letter)
    if not written.startswith(letter) or not digits.isascii() or not digits.isdigit():
        raise unclear("a name")
    return int(digits)


def operands(node: Node, classes: tuple[type[Node], ...]) -> Iterator[Node]:
    """The operands of a chain of these binary operators: chains are deep on their left side."""
    right, here = [], node
    while isinstance(here, classes):
        checked(here)
        right.append(required(here, "expression"))
        here = required(here, "this")
    yield here
    yield from reversed(right)
