"""Expressions: what they call and read, and which labels their value may carry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Final

from policies.sql import names, settings
from policies.sql.columns import ColumnResolver
from policies.sql.findings import Findings
from policies.sql.grammar import checked, location_of, strings, unwrap, unwrap_as
from policies.sql.inference import SET_RETURNING, compared_labels, conjuncts_of
from policies.sql.lineage import CLEAN, UNCERTAIN, Lineage, Scope, Shape, union
from policies.sql.not_understood import NotUnderstood
from policies.sql.parser import Tree

# Operators that PostgreSQL reads into an expression without their being written.
_IMPLIED_OPERATORS: Final[Mapping[str, tuple[str, ...]]] = {
    "AEXPR_BETWEEN": (">=", "<="),
    "AEXPR_NOT_BETWEEN": ("<", ">"),
    "AEXPR_BETWEEN_SYM": (">=", "<="),
    "AEXPR_NOT_BETWEEN_SYM": ("<", ">"),
}
_EXPLICIT_OPERATORS: Final = frozenset(
    {
        "AEXPR_OP",
        "AEXPR_OP_ANY",
        "AEXPR_OP_ALL",
        "AEXPR_DISTINCT",
        "AEXPR_NOT_DISTINCT",
        "AEXPR_NULLIF",
        "AEXPR_IN",
        "AEXPR_LIKE",
        "AEXPR_ILIKE",
        "AEXPR_SIMILAR",
    }
)
_SET_CONFIG: Final = (("set_config",), ("pg_catalog", "set_config"))
_SCALAR_SUBLINKS: Final = frozenset({"EXPR_SUBLINK", "ARRAY_SUBLINK"})
_TESTING_SUBLINKS: Final = frozenset(
    {"EXISTS_SUBLINK", "ANY_SUBLINK", "ALL_SUBLINK", "ROWCOMPARE_SUBLINK"}
)


class ExpressionWalker(ABC):
    """Walks expressions; queries inside them are walked by the class that knows queries."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.catalog = findings.catalog
        self.columns = ColumnResolver(findings)
        self._walks: Mapping[str, Callable[[Tree, Scope], Lineage]] = {
            "A_Const": lambda body, scope: CLEAN,
            "ParamRef": lambda body, scope: CLEAN,
            "SetToDefault": lambda body, scope: CLEAN,
            "SQLValueFunction": self._value_function,
            "ColumnRef": self.columns.reference,
            "A_Expr": self._operator,
            "BoolExpr": lambda body, scope: self.every(body["args"], scope),
            "NullTest": lambda body, scope: self.expression(body["arg"], scope),
            "BooleanTest": lambda body, scope: self.expression(body["arg"], scope),
            "CaseExpr": self._case,
            "CaseWhen": self._case_when,
            "CoalesceExpr": lambda body, scope: self.every(body["args"], scope),
            "MinMaxExpr": lambda body, scope: self.every(body["args"], scope),
            "GroupingFunc": lambda body, scope: self.every(body["args"], scope),
            "GroupingSet": lambda body, scope: self.every(body.get("content", []), scope),
            "FuncCall": self._call,
            "NamedArgExpr": lambda body, scope: self.expression(body["arg"], scope),
            "SubLink": self._subquery,
            "A_ArrayExpr": lambda body, scope: self.every(body.get("elements", []), scope),
            "RowExpr": lambda body, scope: self.every(body.get("args", []), scope),
            "List": lambda body, scope: self.every(body.get("items", []), scope),
            "TypeCast": self._cast,
            "A_Indirection": self._indirection,
            "CollateClause": self._collation,
            "SortBy": self._sort_key,
        }

    @abstractmethod
    def query(self, body: Tree, scope: Scope) -> Shape:
        """Walks a SelectStmt inside `scope`."""

    def expression(self, node: Tree, scope: Scope) -> Lineage:
        """The lineage of one wrapped expression node."""
        kind, body = unwrap(node)
        walk = self._walks.get(kind)
        if walk is None:
            raise NotUnderstood(
                "SQL_NOT_UNDERSTOOD", f"{kind} is not understood here", location_of(body)
            )
        return walk(body, scope)

    def condition(self, node: Tree | None, scope: Scope) -> Lineage:
        """Walks a WHERE, ON or HAVING; what could be read off the rows it lets through is noted."""
        tested = union(self.compare_in(part, scope) for part in conjuncts_of(node))
        self.findings.tests.append(tested)
        return tested

    def compare_in(self, node: Tree, scope: Scope) -> Lineage:
        """Walks an expression that says which rows there are, or in what order."""
        lineage, compared = self.judged(node, scope)
        self.findings.compared |= compared
        return lineage

    def judged(self, node: Tree, scope: Scope) -> tuple[Lineage, frozenset[str]]:
        """An expression's lineage, and the labels that it compares with other data."""
        found = self.findings
        references, answers = len(found.references), len(found.answers)
        lineage = self.expression(node, scope)
        own = [answer for level, answer in found.answers[answers:] if level is scope]
        return lineage, compared_labels(found.references[references:], own, scope)

    def every(self, nodes: list[Tree], scope: Scope) -> Lineage:
        return union(self.expression(node, scope) for node in nodes)

    def optional(self, node: Tree | None, scope: Scope) -> Lineage:
        return CLEAN if node is None else self.expression(node, scope)

    def type_name(self, body: Tree) -> None:
        """Checks the type of a cast or a column definition."""
        checked("TypeName", body)
        names.check_type(self.catalog, strings(body["names"]), location=body.get("location"))
        for modifier in body.get("typmods", []):
            unwrap_as("A_Const", modifier)

    def window(self, body: Tree, scope: Scope) -> Lineage:
        checked("WindowDef", body)
        keys = body.get("partitionClause", []) + body.get("orderClause", [])
        bounds = [body[edge] for edge in ("startOffset", "endOffset") if edge in body]
        # A window that is defined elsewhere carries what the whole WINDOW clause carries.
        named = UNCERTAIN if "refname" in body or "name" in body else CLEAN
        return self.every(keys + bounds, scope) | named

    def _value_function(self, body: Tree, scope: Scope) -> Lineage:
        self.findings.functions.add(f"pg_catalog.{value_function_name(body)}")
        return CLEAN

    def _operator(self, body: Tree, scope: Scope) -> Lineage:
        kind, location = body["kind"], body.get("location")
        if kind in _IMPLIED_OPERATORS:
            for implied in _IMPLIED_OPERATORS[kind]:
                names.check_operator(self.catalog, (implied,), location=location)
        elif kind in _EXPLICIT_OPERATORS:
            names.check_operator(self.catalog, strings(body["name"]), location=location)
        else:
            raise NotUnderstood("SQL_NOT_UNDERSTOOD", f"{kind} is not understood", location)
        sides = (body.get("lexpr"), body.get("rexpr"))
        return union(self.optional(side, scope) for side in sides)

    def _case(self, body: Tree, scope: Scope) -> Lineage:
        if "arg" in body:
            names.check_operator(self.catalog, ("=",), location=body.get("location"))
        ends = (body.get("arg"), body.get("defresult"))
        return union(self.optional(end, scope) for end in ends) | self.every(body["args"], scope)

    def _case_when(self, body: Tree, scope: Scope) -> Lineage:
        return self.expression(body["expr"], scope) | self.expression(body["result"], scope)

    def _call(self, body: Tree, scope: Scope) -> Lineage:
        column = self._column_as_function(body, scope)
        if column is not None:
            return column
        if strings(body["funcname"]) in _SET_CONFIG and settings.is_harmless_call(body["args"]):
            self.findings.functions.add("pg_catalog.set_config")
            return CLEAN
        schema, name = names.resolve_function(
            self.catalog, strings(body["funcname"]), location=body.get("location")
        )
        self.findings.functions.add(f"{schema}.{name}")
        if name == "current_setting":
            settings.check_asked(body.get("args", []))
        arguments = self.every(body.get("args", []), scope)
        if name in SET_RETURNING:
            self.findings.compare(arguments)
        around = self._around_call(body, scope)
        if schema not in ("pg_catalog", "information_schema"):
            self.findings.call_unknown_code()
            return UNCERTAIN
        # A count says how many, never which.
        return around if (schema, name) == ("pg_catalog", "count") else arguments | around

    def _around_call(self, body: Tree, scope: Scope) -> Lineage:
        over = body.get("over")
        window = CLEAN if over is None else self.window(over, scope)
        order = self.every(body.get("agg_order", []), scope)
        return window | order | self.optional(body.get("agg_filter"), scope)

    def _column_as_function(self, body: Tree, scope: Scope) -> Lineage | None:
        """`ssn(u)` on a row is the column `u.ssn`, if no function of that name may be called."""
        parts, arguments = strings(body["funcname"]), body.get("args", [])
        if len(parts) != 1 or len(arguments) != 1 or names.find_function(self.catalog, parts):
            return None
        kind, argument = unwrap(arguments[0])
        source = self.columns.whole_row(argument, scope) if kind == "ColumnRef" else None
        if source is None or not source.positions(parts[0]):
            return None
        return self.columns.column(source, parts[0], body.get("location"))

    def _subquery(self, body: Tree, scope: Scope) -> Lineage:
        kind = body["subLinkType"]
        self._check_subquery_operator(body)
        before = len(self.findings.references)
        tested = self.optional(body.get("testexpr"), scope)
        shape = self.query(unwrap_as("SelectStmt", body["subselect"]), scope)
        if kind != "EXISTS_SUBLINK":
            self.findings.answers.append((scope, shape.lineage))
        if kind in _SCALAR_SUBLINKS:
            return shape.lineage
        if kind not in _TESTING_SUBLINKS:
            raise NotUnderstood(
                "SQL_NOT_UNDERSTOOD", f"{kind} is not understood", location_of(body)
            )
        # The answer of a test tells about everything that the subquery looked at.
        looked_at = (lineage for _, lineage in self.findings.references[before:])
        return tested | shape.lineage | union(looked_at)

    def _check_subquery_operator(self, body: Tree) -> None:
        operator = strings(body["operName"]) if "operName" in body else ("=",)
        if "testexpr" in body:
            names.check_operator(self.catalog, operator, location=body.get("location"))

    def _cast(self, body: Tree, scope: Scope) -> Lineage:
        self.type_name(body["typeName"])
        return self.expression(body["arg"], scope)

    def _collation(self, body: Tree, scope: Scope) -> Lineage:
        strings(body["collname"])
        return self.expression(body["arg"], scope)

    def _indirection(self, body: Tree, scope: Scope) -> Lineage:
        kind, argument = unwrap(body["arg"])
        steps = [unwrap(step) for step in body["indirection"]]
        if all(step == "A_Indices" for step, _ in steps):
            return self.expression(body["arg"], scope) | self._subscripts(steps, scope)
        source = self.columns.whole_row(argument, scope) if kind == "ColumnRef" else None
        if source is None or len(steps) != 1 or steps[0][0] != "String":
            raise NotUnderstood(
                "SQL_NOT_UNDERSTOOD",
                "taking a field of this value is not understood",
                location_of(body),
            )
        return self.columns.column(source, steps[0][1].get("sval", ""), location_of(body))

    def _subscripts(self, steps: list[tuple[str, Tree]], scope: Scope) -> Lineage:
        bounds = (body.get(edge) for _, body in steps for edge in ("lidx", "uidx"))
        return union(self.optional(bound, scope) for bound in bounds)

    def _sort_key(self, body: Tree, scope: Scope) -> Lineage:
        return self.expression(body["node"], scope)


def value_function_name(body: Tree) -> str:
    """`current_date` for SVFOP_CURRENT_DATE; precision does not change the name."""
    name: str = body["op"].removeprefix("SVFOP_").removesuffix("_N").lower()
    return name
