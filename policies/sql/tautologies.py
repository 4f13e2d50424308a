"""Predicates that let every row through: by their truth table, with comparisons as its letters.

NULL is left out: `id = 1 OR id <> 1` names no rows, though rows without an id don't match.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import product
from types import MappingProxyType
from typing import Final

from policies.sql.grammar import strings, without_locations
from policies.sql.parser import Tree
from policies.sql.predicates import has_live_column

Letters = dict[str, int]
Formula = Callable[[tuple[bool, ...]], bool]

# Twice as many lines with every letter; longer predicates are taken by their words.
MAXIMUM_LETTERS: Final = 8

_NEGATIONS: Final[Mapping[str, str]] = MappingProxyType({"<>": "=", ">=": "<"})
_MIRRORED: Final[Mapping[str, str]] = MappingProxyType(
    {"=": "=", "<>": "<>", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
)
_REFLEXIVE: Final = frozenset({"=", "<=", ">="})
_MATCHES: Final[Mapping[str, bool]] = MappingProxyType(
    {
        "~~": True,
        "~~*": True,
        "!~~": False,
        "!~~*": False,
        "~": True,
        "~*": True,
        "!~": False,
        "!~*": False,
    }
)
_FALSE_TESTS: Final = frozenset({"IS_FALSE", "IS_NOT_TRUE"})


def always_true(node: Tree) -> bool:
    """Whether a condition holds for every row that it can tell anything about."""
    letters: Letters = {}
    formula = _formula(node, letters)
    if len(letters) > MAXIMUM_LETTERS:
        return False
    return all(formula(values) for values in product((False, True), repeat=len(letters)))


def _formula(node: Tree, letters: Letters) -> Formula:
    [(kind, body)] = node.items()
    match kind:
        case "BoolExpr":
            return _connective(body, letters)
        case "NullTest":
            unset = _letter({"NullTest": body["arg"]}, letters)
            return unset if body["nulltesttype"] == "IS_NULL" else _not(unset)
        case "BooleanTest":
            tested = _formula(body["arg"], letters)
            return _not(tested) if body["booltesttype"] in _FALSE_TESTS else tested
        case "CaseExpr" if "arg" not in body:
            return _case(body, letters)
        case "CoalesceExpr":
            return _formula(body["args"][0], letters)
        case "A_Const" if "boolval" in body:
            value = bool(body["boolval"].get("boolval"))
            return lambda _: value
        case "A_Expr":
            return _comparison(body, letters)
        case _:
            return _letter(node, letters)


def _letter(node: Tree, letters: Letters) -> Formula:
    """A part that is true or false row by row; one that no row decides counts as true."""
    if not has_live_column(node):
        return lambda _: True
    key = json.dumps(without_locations(node), sort_keys=True)
    index = letters.setdefault(key, len(letters))
    # Past the maximum nothing is evaluated.
    return lambda values: values[index]


def _not(formula: Formula) -> Formula:
    return lambda values: not formula(values)


def _connective(body: Tree, letters: Letters) -> Formula:
    parts = [_formula(part, letters) for part in body["args"]]
    match body["boolop"]:
        case "NOT_EXPR":
            return _not(parts[0])
        case "AND_EXPR":
            return lambda values: all(part(values) for part in parts)
        case _:
            return lambda values: any(part(values) for part in parts)


def _case(body: Tree, letters: Letters) -> Formula:
    whens = [
        (_formula(when["CaseWhen"]["expr"], letters), _formula(when["CaseWhen"]["result"], letters))
        for when in body["args"]
    ]
    last = _formula(body["defresult"], letters) if "defresult" in body else (lambda _: False)

    def chosen(values: tuple[bool, ...]) -> bool:
        results = (result for condition, result in whens if condition(values))
        return next(results, last)(values)

    return chosen


def _comparison(body: Tree, letters: Letters) -> Formula:
    operator = strings(body.get("name", []))[-1:]
    name = operator[0] if operator else ""
    left, right = body.get("lexpr"), body.get("rexpr")
    same = left is not None and without_locations(left) == without_locations(right)
    if same and name in _MIRRORED and body["kind"] == "AEXPR_OP":
        return lambda _: name in _REFLEXIVE
    if _matches_anything(name, right):
        return lambda _: _MATCHES[name]
    if body["kind"] in ("AEXPR_OP", "AEXPR_IN") and name in _MIRRORED:
        return _ordered(body, name, letters)
    if body["kind"] == "AEXPR_NOT_DISTINCT":
        return _not(_letter({"A_Expr": {**body, "kind": "AEXPR_DISTINCT"}}, letters))
    return _letter({"A_Expr": body}, letters)


def _ordered(body: Tree, name: str, letters: Letters) -> Formula:
    """One letter for a comparison, its opposite, and both with their sides changed."""
    left, right = body.get("lexpr"), body.get("rexpr")
    if body["kind"] == "AEXPR_OP" and str(without_locations(left)) > str(without_locations(right)):
        left, right, name = right, left, _MIRRORED[name]
    plain = "<" if name in ("<=", ">") else _NEGATIONS.get(name, name)
    letter = _letter({"A_Expr": {"kind": plain, "lexpr": left, "rexpr": right}}, letters)
    if name not in ("<=", ">"):
        return letter if plain == name else _not(letter)
    equal = _letter({"A_Expr": {"kind": "=", "lexpr": left, "rexpr": right}}, letters)
    reached: Formula = lambda values: letter(values) or equal(values)  # noqa: E731 -- as all here
    return reached if name == "<=" else _not(reached)


def _matches_anything(name: str, pattern: Tree | None) -> bool:
    constant = (pattern or {}).get("A_Const", {})
    if name not in _MATCHES or "sval" not in constant:
        return False
    text = constant["sval"].get("sval", "")
    return set(text) <= set(".*^$") if "~~" not in name else bool(text) and set(text) == {"%"}
