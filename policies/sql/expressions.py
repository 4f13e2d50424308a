"""Expressions: what they call and read, and which labels their value may carry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from policies.sql import documents, names, settings
from policies.sql.columns import ColumnResolver, is_star
from policies.sql.findings import Findings
from policies.sql.grammar import checked, location_of, strings, unwrap, unwrap_as
from policies.sql.inference import SET_RETURNING, compared_labels, conjuncts_of
from policies.sql.lineage import CLEAN, UNCERTAIN, Lineage, Scope, Shape, Source, union
from policies.sql.matching import constants_of, is_equality, is_whole_call
from policies.sql.not_understood import NotUnderstood
from policies.sql.parser import Tree
from policies.sql.partly_shown import SETTINGS
from policies.sql.secret_uses import check_condition, check_use
from policies.sql.sequences import sequence_of
from policies.sql.server_secrets import SERVER_SECRET
from policies.sql.table_functions import out_columns

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
# What they do hangs on their arguments, which must be seen.
_ARGUMENTS_MATTER: Final = frozenset({"current_setting", "currval", "set_config"})
_SET_CONFIG: Final = (("set_config",), ("pg_catalog", "set_config"))
_TAKING_APART: Final = (("pg_catalog", "pg_options_to_table"), ("pg_catalog", "unnest"))
_SIDES: Final = ("lexpr", "rexpr")
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
            "ColumnRef": self._reference,
            "A_Expr": self._operator,
            "BoolExpr": lambda body, scope: self.every(body["args"], scope),
            "NullTest": self._null_test,
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
            **{kind: partial(self._document, kind) for kind in documents.KINDS},
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
        lineage = walk(body, scope)
        if not lineage.carried or kind == "ColumnRef":
            return lineage
        check_use(kind, body, lineage)
        whole = kind == "FuncCall" and is_whole_call(body, self.catalog)
        return lineage if whole else lineage.in_part()

    def condition(self, node: Tree | None, scope: Scope) -> Lineage:
        """Walks a WHERE, ON or HAVING; what could be read off the rows it lets through is noted."""
        tested = union(self.compare_in(part, scope) for part in conjuncts_of(node))
        self.findings.tests.append(tested)
        return tested

    def compare_in(self, node: Tree, scope: Scope) -> Lineage:
        """Walks an expression that says which rows there are, or in what order."""
        mark = self.findings.mark()
        lineage, compared = self.judged(node, scope)
        self.findings.compared |= compared
        self.findings.decide_since(mark, scope)
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

    def operator(self, parts: tuple[str, ...], location: int | None) -> None:
        """Notes an operator, which must be a built-in one."""
        names.check_operator(self.catalog, parts, location=location)
        self.findings.operators.add(parts[-1])

    def window(self, body: Tree, scope: Scope) -> Lineage:
        checked("WindowDef", body)
        keys = body.get("partitionClause", []) + body.get("orderClause", [])
        bounds = [body[edge] for edge in ("startOffset", "endOffset") if edge in body]
        # A window that is defined elsewhere carries what the whole WINDOW clause carries.
        named = UNCERTAIN if "refname" in body or "name" in body else CLEAN
        mark = self.findings.mark()
        lineage = self.every(keys + bounds, scope)
        # Rows come out in the order of the windows.
        self.findings.decide_since(mark, scope)
        return lineage | named

    def _reference(self, body: Tree, scope: Scope) -> Lineage:
        called = self._function_as_column(body, scope)
        return self.columns.reference(body, scope) if called is None else called

    def _function_as_column(self, body: Tree, scope: Scope) -> Lineage | None:
        """`u.row_to_json`, where u has no such column, is a call with its row."""
        if len(body["fields"]) == 1 or is_star(body):
            return None
        parts = strings(body["fields"])
        found = names.find_function(self.catalog, parts[-1:])
        if found is None or found[0] != "pg_catalog" or found[1] in _ARGUMENTS_MATTER:
            return None
        source = self.columns.qualified_source(parts[:-1], scope, body.get("location"))
        if source.positions(parts[-1]) or source.has_system_column(parts[-1]):
            return None
        self.findings.functions.add(".".join(found))
        return self.findings.refer_to_all(source).in_part()

    def _value_function(self, body: Tree, scope: Scope) -> Lineage:
        self.findings.functions.add(f"pg_catalog.{value_function_name(body)}")
        return CLEAN

    def _operator(self, body: Tree, scope: Scope) -> Lineage:
        kind, location = body["kind"], body.get("location")
        if kind in _IMPLIED_OPERATORS:
            for implied in _IMPLIED_OPERATORS[kind]:
                self.operator((implied,), location)
        elif kind in _EXPLICIT_OPERATORS:
            self.operator(strings(body["name"]), location)
        else:
            raise NotUnderstood("SQL_NOT_UNDERSTOOD", f"{kind} is not understood", location)
        before = len(self.findings.references)
        left, right = (self.optional(body.get(side), scope) for side in _SIDES)
        if (left.carried or right.carried) and is_equality(body):
            self._match(body, left, right, before)
        return left | right

    def _match(self, body: Tree, left: Lineage, right: Lineage, before: int) -> None:
        """Notes a comparison of a whole value with constants, or with another labelled one."""
        constants = frozenset[int]()
        for side, lineage in zip(_SIDES, (left, right), strict=True):
            if not lineage.carried:
                found = constants_of(body[side], self.catalog) if side in body else None
                if found is None:
                    return
                constants |= found
            elif not (lineage.whole and lineage.certain):
                return
        self.findings.deciding.match(left | right, constants)
        self.findings.deciding.cover(before, len(self.findings.references))

    def _null_test(self, body: Tree, scope: Scope) -> Lineage:
        before = len(self.findings.references)
        lineage = self.expression(body["arg"], scope)
        if lineage.whole and lineage.certain:
            # Masks leave NULL as it is.
            self.findings.deciding.cover(before, len(self.findings.references))
        return lineage.in_part()

    def _case(self, body: Tree, scope: Scope) -> Lineage:
        if "arg" in body:
            self.operator(("=",), body.get("location"))
        argument = self.optional(body.get("arg"), scope)
        if "arg" in body:
            check_condition(body["arg"], argument)
        ends = argument | self.optional(body.get("defresult"), scope)
        return ends | self.every(body["args"], scope)

    def _case_when(self, body: Tree, scope: Scope) -> Lineage:
        tested = self.expression(body["expr"], scope)
        check_condition(body["expr"], tested)
        return tested | self.expression(body["result"], scope)

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
        mark = self.findings.mark()
        shown = self._look_at_arguments(name, body, scope)
        arguments = shown | self.every(body.get("args", []), scope)
        if body.get("agg_distinct"):
            self.findings.decide_since(mark, scope)
        if name in SET_RETURNING and not self.takes_stored_options(body, scope):
            self.findings.compare(arguments)
        around = self._around_call(body, scope)
        if schema not in ("pg_catalog", "information_schema"):
            self.findings.call_unknown_code()
            return UNCERTAIN
        # A count says how many, never which; unless the NULLs that it leaves out were computed.
        counts = (schema, name) == ("pg_catalog", "count") and arguments.counted
        return around if counts else arguments | around

    def takes_stored_options(self, call: Tree, scope: Scope) -> bool:
        """Whether a call takes apart options that the server keeps: how many there are is shown."""
        found = names.find_function(self.catalog, strings(call["funcname"]))
        kind, argument = unwrap(call["args"][0]) if len(call.get("args", [])) == 1 else ("", {})
        if found not in _TAKING_APART or kind != "ColumnRef":
            return False
        column = self.columns.stored_in(argument, scope)
        lineage = CLEAN if column is None else column[0].shape.outputs[column[1]].lineage
        secret = {label for _, label in lineage.carried} == {SERVER_SECRET}
        return secret and lineage.whole and lineage.certain and not lineage.mixed

    def _asked_for(self, arguments: list[Tree], scope: Scope) -> Lineage:
        """What `current_setting` shows: of `pg_settings.name` what that relation shows itself."""
        kind, argument = unwrap(arguments[0]) if arguments else ("", {})
        column = self.columns.stored_in(argument, scope) if kind == "ColumnRef" else None
        if column is not None and names_a_setting(*column):
            source = column[0]
            return union(self.findings.refer(source, i) for i in source.positions("setting"))
        self.findings.settings_asked |= {settings.check_asked(arguments)} - {None}
        return CLEAN

    def _look_at_arguments(self, name: str, body: Tree, scope: Scope) -> Lineage:
        """Refuses what they may not be; the lineage of what the function shows besides them."""
        match name:
            case "current_setting":
                return self._asked_for(body.get("args", []), scope)
            case "currval":
                self.findings.use(sequence_of(self.catalog, body.get("args", [])), "select")
            case "generate_series":
                self.findings.made_rows.count(body)
        return CLEAN

    def _document(self, kind: str, body: Tree, scope: Scope) -> Lineage:
        name = documents.document_name(kind, body)
        if name:
            self.findings.functions.add(f"pg_catalog.{name}")
        return documents.document_lineage(self, kind, body, scope)

    def _around_call(self, body: Tree, scope: Scope) -> Lineage:
        over = body.get("over")
        window = CLEAN if over is None else self.window(over, scope)
        order = self.aggregated_by(body.get("agg_order", []), scope)
        return window | order | self.optional(body.get("agg_filter"), scope)

    def aggregated_by(self, nodes: list[Tree], scope: Scope) -> Lineage:
        """The ORDER BY inside of an aggregate.

        As for DISTINCT, rows are sorted once, and other aggregates meet them in that order too.
        """
        mark = self.findings.mark()
        order = self.every(nodes, scope)
        self.findings.decide_since(mark, scope)
        return order

    def answer(self, body: Tree, scope: Scope) -> Lineage:
        """What a query gives that stands for one value."""
        shape = self.query(body, scope)
        self.findings.answers.append((scope, shape.lineage))
        return shape.lineage

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
            self.operator(operator, body.get("location"))

    def _cast(self, body: Tree, scope: Scope) -> Lineage:
        self.type_name(body["typeName"])
        self.findings.casts.add(type_text(body["typeName"]))
        return self.expression(body["arg"], scope)

    def _collation(self, body: Tree, scope: Scope) -> Lineage:
        strings(body["collname"])
        return self.expression(body["arg"], scope)

    def _indirection(self, body: Tree, scope: Scope) -> Lineage:
        kind, argument = unwrap(body["arg"])
        steps = [unwrap(step) for step in body["indirection"]]
        if all(step == "A_Indices" for step, _ in steps):
            return self.expression(body["arg"], scope) | self._subscripts(steps, scope)
        if len(steps) != 1 or steps[0][0] != "String":
            raise _no_field(body)
        field = steps[0][1].get("sval", "")
        source = self.columns.whole_row(argument, scope) if kind == "ColumnRef" else None
        if source is None:
            return self._field_of_value(kind, argument, field, scope)
        return self.columns.column(source, field, location_of(body))

    def _field_of_value(self, kind: str, body: Tree, field: str, scope: Scope) -> Lineage:
        """A field of what certainly has one of this name; else a function could be meant."""
        if kind == "RowExpr" and field in {f"f{i}" for i, _ in enumerate(body["args"], start=1)}:
            return self.every(body["args"], scope)
        if kind == "FuncCall" and field in out_columns(strings(body["funcname"])):
            return self._call(body, scope)
        if kind == "ColumnRef" and field in self.columns.fields(body, scope):
            return self.columns.reference(body, scope).in_part()
        if kind != "SubLink" or body["subLinkType"] != "EXPR_SUBLINK":
            raise _no_field(body)
        shape = self.query(unwrap_as("SelectStmt", body["subselect"]), scope)
        row = shape.outputs[0].row if shape.exact and len(shape.outputs) == 1 else None
        if row is None or not row.positions(field):
            raise _no_field(body)
        self.findings.answers.append((scope, shape.lineage))
        return shape.lineage.in_part()

    def _subscripts(self, steps: list[tuple[str, Tree]], scope: Scope) -> Lineage:
        bounds = (body.get(edge) for _, body in steps for edge in ("lidx", "uidx"))
        return union(self.optional(bound, scope) for bound in bounds)

    def _sort_key(self, body: Tree, scope: Scope) -> Lineage:
        return self.expression(body["node"], scope)


def names_a_setting(source: Source, position: int) -> bool:
    """Whether a column of a FROM item is `pg_settings.name`."""
    of_settings = source.relation is not None and source.relation.name == SETTINGS
    return of_settings and source.shape.outputs[position].name == "name"


def _no_field(body: Tree) -> NotUnderstood:
    return NotUnderstood(
        "SQL_NOT_UNDERSTOOD", "taking a field of this value is not understood", location_of(body)
    )


def type_text(body: Tree) -> str:
    """The name of a built-in type, with brackets where it is an array of them."""
    return strings(body["names"])[-1] + ("[]" if "arrayBounds" in body else "")


def value_function_name(body: Tree) -> str:
    """`current_date` for SVFOP_CURRENT_DATE; precision does not change the name."""
    name: str = body["op"].removeprefix("SVFOP_").removesuffix("_N").lower()
    return name
