"""Generated queries with labelled columns in every kind of place, from one seed each.

Not every one is valid; the server says which. `deciding`: labelled values may also stand in what
tests, sorts and groups rows.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tests.policies.lineage.schema import TABLES

_NAMES = ("id", "name", "ssn", "note", "x", "y", "contact", "part")
_JOINS = (
    (", ", ""),
    (" CROSS JOIN ", ""),
    (" JOIN ", " ON true"),
    (" LEFT JOIN ", " ON true"),
    (" NATURAL JOIN ", ""),
    (" JOIN ", " USING (id)"),
    (" FULL JOIN ", " USING (id)"),
    (" LEFT JOIN ", " USING (id, name)"),
)
_CALLS = (
    "lower({}::text)", "concat({}, {})", "coalesce({}::text, {}::text)", "left({}::text, 2)",
    "{}::text || {}::text", "CASE WHEN {}::text = 'x' THEN {}::text ELSE {}::text END",
    "CASE {}::text WHEN 'n1' THEN 1 ELSE 2 END", "md5({}::text)", "length({}::text)",
    "{}::text IS NULL", "{} IS DISTINCT FROM {}", "nullif({}::text, {}::text)",
    "greatest({}::text, {}::text)", "ARRAY[{}::text, {}::text]", "(ARRAY[{}::text, {}::text])[1]",
    "ROW({}, {})", "ROW({}, 1)::text", "jsonb_build_object('k', {}) ->> 'k'", "format('%s', {})",
    "{}::text::varchar(3)", "{}::text COLLATE \"C\"", "substring({}::text from 2 for 1)",
    "position('n' in {}::text)", "{}::text LIKE 'n%'", "{}::text BETWEEN 'a' AND {}::text",
    "{}::text IN ('n1', {}::text)", "{}::text = ANY (ARRAY['n1', {}::text])", "quote_literal({})",
    "convert_to({}::text, 'UTF8')", "to_json({})", "reverse({}::text)", "ascii({}::text)",
    "string_to_array({}::text, 'n')", "GREATEST(length({}::text), 1)", "-length({}::text)",
    "first_value({}) OVER ()", "lag({}) OVER (ORDER BY 1)", "count({}) OVER ()",
    "row_number() OVER ()", "({})", "trim({}::text)", "current_date",
    "JSON_ARRAY({}, 1)::text", "JSON_OBJECT('k': {})::text", "num_nonnulls({}, {})",
    "ROW({}::text, 1) < ROW('m', 2)", "width_bucket(length({}::text), 1, 9, 3)",
    "rank() OVER (PARTITION BY left({}::text, 1) ORDER BY length({}::text))",
    "nth_value({}, 2) OVER (ORDER BY {}::text ROWS 2 PRECEDING)", "{}::text IS JSON SCALAR",
    "count({}) FILTER (WHERE length({}::text) > 6) OVER ()", "count({}) OVER (ORDER BY {}::text)",
    "JSON_VALUE(to_jsonb({}::text), '$')", "lower({}::text) = ANY (ARRAY['n1', {}::text])",
    "string_to_array({}::text, 'n') @> ARRAY[{}::text]", "regexp_match({}::text, '.')",
)  # fmt: skip
_ROWS = (
    "{}", "to_json({})", "row_to_json({})::text", "to_jsonb({}) ->> 'ssn'", "{}::text", "ROW({}.*)",
    "row({}.*)::text", "({}).*", "({}).ssn", "({}).id", "ssn({})", "id({})", "name({})", "{}.*",
    "{} IS NULL", "json_build_array({})", "to_json({}.*)", "concat({})", "quote_literal({})",
    "length({}::text)", "{} = {}", "coalesce({})", "md5({}::text)", "ARRAY[{}]",
)  # fmt: skip
_AGGREGATES = (
    "count(*)", "count({})", "max({}::text)", "min({}::text)", "array_agg({})", "jsonb_agg({})",
    "string_agg({}::text, ',')", "json_object_agg('k', {})", "bool_or({}::text = 'n1')",
    "count(DISTINCT {})", "count(*) FILTER (WHERE {}::text = 'n1')", "max(length({}::text))",
    "(array_agg({}::text))[1]", "string_agg('a', {}::text)", "array_agg(1 ORDER BY {}::text)",
    "JSON_ARRAYAGG({} ORDER BY {}::text)", "JSON_OBJECTAGG('k' : {})", "array_agg({}::text)",
    "percentile_disc(0.5) WITHIN GROUP (ORDER BY {}::text)", "array_agg(DISTINCT {}::text)",
    "count({}) FILTER (WHERE length({}::text) > 6)", "rank('m') WITHIN GROUP (ORDER BY {}::text)",
    "count((SELECT 1 FROM users s WHERE length(s.ssn) > length({}::text) LIMIT 1))",
    "count(nullif(length({}::text), 9))", "count(CASE WHEN length({}::text) > 6 THEN 1 END)",
)  # fmt: skip
_TESTS = (
    "{}::text LIKE 'n%'", "{}::text = 'n1'", "{} IS NOT NULL", "length({}::text) < 6",
    "{}::text > 'b'", "{}::text = {}::text", "{}::text IN ('n1', 'n2')", "NOT {}::text = 'n1'",
    "JSON_ARRAY(SELECT ssn FROM users LIMIT 1)::text > {}::text", "({}::text, 1) < ('m', 2)",
    "EXISTS (SELECT 1 FROM users s WHERE length(s.ssn) > length({}::text))",
    "(SELECT max(length(ssn)) FROM users) > length({}::text)", "{}::text LIKE '%n%' IS NOT FALSE",
    "{}::text NOT IN (SELECT ssn FROM users)", "JSON_EXISTS(to_jsonb({}::text), '$ ? (@ > \"m\")')",
)  # fmt: skip
_ROWS_OF_MANY = (
    "SELECT ssn, 0 FROM users UNION ALL SELECT name, id FROM departments",
    "SELECT ssn, 0 FROM users WHERE false UNION ALL VALUES ('n1', 1), ('n2', 2)",
    "VALUES ((SELECT ssn FROM users LIMIT 1), 1), ('m', 2)",
    "SELECT j.x, j.n FROM (SELECT max(ssn) AS s FROM users) u, JSON_TABLE(to_jsonb(u.s), '$'"
    " COLUMNS (x text PATH '$', n FOR ORDINALITY)) j",
    "SELECT x, n FROM (users JOIN departments USING (id)) AS j(n, x)",
)
_SETS = ("UNION ALL", "UNION ALL", "UNION", "INTERSECT", "EXCEPT", "EXCEPT ALL")

_DISTINCT = ("DISTINCT ", "DISTINCT ON ({}::text) ")

Known = dict[str, tuple[str, ...]]


@dataclass
class Generator:
    """Makes one query of a seed."""

    seed: int
    deciding: bool = False
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def statement(self) -> str:
        if self._chance(0.1):
            return self._recursive()
        if self._chance(0.25):
            # One of them hides a table.
            names = ("c1", self._random.choice(("c2", "users", "departments")))
            ctes = [f"{n}{self._columns()} AS ({self._query(1, ())})" for n in names]
            return f"WITH {', '.join(ctes)} {self._query(0, names)}"
        return self._query(0, ())

    def _recursive(self) -> str:
        start, step = self._random.sample(("ssn", "name", "email", "'x'"), 2)
        moved = self._random.choice(("b, a, n + 1", "a, b, n + 1", "a || b, b, n + 1"))
        made = self._random.choice(("UNION ALL", "UNION"))
        shown = self._random.choice(("a", "b", "n", "r", "*", "to_json(r)", "(r).a", "a(r)"))
        return (
            f"WITH RECURSIVE r(a, b, n) AS (SELECT {start}, {step}, 1 FROM users {made}"
            f" SELECT {moved} FROM r WHERE n < 3) SELECT {shown}, n FROM r"
        )

    def _query(self, depth: int, ctes: tuple[str, ...]) -> str:
        if self._chance(0.06):
            rows = [f"({self._scalar(depth)}, {self._scalar(depth)})" for _ in range(2)]
            return f"VALUES {', '.join(rows)}"
        if self._chance(0.15):
            made = self._random.choice(_SETS if self.deciding else _SETS[:2])
            sides = [self._select(depth, ctes, cast=True) for _ in range(2)]
            return f" {made} ".join(sides)
        return self._select(depth, ctes, cast=False)

    def _select(self, depth: int, ctes: tuple[str, ...], *, cast: bool) -> str:
        known: Known = {}
        first = self._item(f"t{depth}0", depth, ctes, known)
        joined, condition = "", ""
        if self._chance(0.5):
            between, condition = self._random.choice(_JOINS)
            joined = between + self._second(f"t{depth}1", depth, ctes, known)
        aggregate = self._chance(0.15)
        outputs = [self._output(known, depth, aggregate=aggregate, cast=cast) for _ in range(2)]
        if self._chance(0.1) and not aggregate:
            outputs[:1] = ["*"]
        tail = self._tail(known, aggregate=aggregate)
        plain = not self.deciding or aggregate or not self._chance(0.15)
        distinct = "" if plain else self._random.choice(_DISTINCT).format(self._column(known))
        return f"SELECT {distinct}{', '.join(outputs)} FROM {first}{joined}{condition}{tail}"

    def _tail(self, known: Known, *, aggregate: bool) -> str:
        tests = [f"{self._alias(known)}.id < 4"] if self._chance(0.2) else []
        if self.deciding and self._chance(0.5):
            tests.append(self._filled(self._random.choice(_TESTS), known))
        where = f" WHERE {' AND '.join(tests)}" if tests else ""
        if not self.deciding or not self._chance(0.4):
            return where
        if aggregate:
            grouped = self._random.choice(("{}", "ROLLUP ({})", "left({}::text, 1)", "CUBE ({})"))
            return f"{where} GROUP BY {grouped.format(self._column(known))}"
        if self._chance(0.2):
            counted = self._random.choice(("max(length(ssn))", "count(ssn)", "count(*)"))
            return f"{where} LIMIT (SELECT {counted} FROM users)"
        return f"{where} ORDER BY {self._random.choice(('1', '2', self._column(known)))}"

    def _item(self, alias: str, depth: int, ctes: tuple[str, ...], known: Known) -> str:
        """A table reference; `known` gains the columns that it may have."""
        known[alias] = _NAMES
        if ctes and self._chance(0.5):
            return f"{self._random.choice(ctes)} {alias}"
        if depth < 2 and self._chance(0.35):
            return f"({self._query(depth + 1, ctes)}) {alias}{self._columns()}"
        if self._chance(0.05):
            known[alias] = ("x", "n")
            return f"unnest(ARRAY['a', 'b']) WITH ORDINALITY {alias}(x, n)"
        if self._chance(0.05):
            known[alias] = ("x", "n")
            rows = self._random.choice(_ROWS_OF_MANY)
            return f"({rows}) {alias}(x, n)"
        table = self._random.choice(sorted(TABLES))
        known[alias] = TABLES[table]
        if self._chance(0.1):
            known[alias] = ("x", "y", *TABLES[table][2:])
            return f"{table} AS {alias}(x, y)"
        return f"{table} {alias}"

    def _second(self, alias: str, depth: int, ctes: tuple[str, ...], known: Known) -> str:
        if not self._chance(0.25):
            return self._item(alias, depth, ctes, known)
        inside = [self._value(known, depth + 2), self._value(known, depth + 2)]
        known[alias] = ("x", "y")
        return f"LATERAL (SELECT {inside[0]} AS x, {inside[1]} AS y) {alias}"

    def _columns(self) -> str:
        return f" ({', '.join(self._random.sample(_NAMES[:6], 2))})" if self._chance(0.2) else ""

    def _output(self, known: Known, depth: int, *, aggregate: bool, cast: bool) -> str:
        if aggregate:
            value = self._filled(self._random.choice(_AGGREGATES), known)
        elif self._chance(0.2):
            value = self._random.choice(_ROWS).replace("{}", self._alias(known))
            if value.endswith(".*"):
                return value
        else:
            value = self._value(known, depth)
        value = f"({value})::text" if cast else value
        return f"{value} AS {self._random.choice(_NAMES)}" if self._chance(0.5) else value

    def _value(self, known: Known, depth: int) -> str:
        if self._chance(0.15):
            return self._scalar(depth)
        if self._chance(0.45):
            return self._filled(self._random.choice(_CALLS), known)
        return self._column(known)

    def _scalar(self, depth: int) -> str:
        """A value of one row; a name in it may be one of the queries around it."""
        if depth > 2 or self._chance(0.3):
            return self._random.choice(("'id'", "1", "'ssn'", "NULL", "true"))
        name = self._random.choice(
            ("ssn", "name", "max(ssn)", "max(name)", "x", "count(*)", "id", "s", "to_json(s)")
        )
        inner = f"({self._query(depth + 2, ())}) s" if self._chance(0.3) else "users s"
        shape = self._random.choice(
            ("(SELECT {} FROM {} LIMIT 1)",) * 4
            + (
                "EXISTS (SELECT {} FROM {})",
                "ARRAY(SELECT {} FROM {})",
                "JSON_ARRAY(SELECT {} FROM {})::text",
                "(SELECT count({}) FROM {})",
                "'n1' IN (SELECT {} FROM {})",
            )
        )
        return shape.format(name, inner)

    def _filled(self, form: str, known: Known) -> str:
        return form.format(*(self._column(known) for _ in range(form.count("{}"))))

    def _column(self, known: Known) -> str:
        alias = self._alias(known)
        name = self._random.choice(known[alias] if self._chance(0.9) else _NAMES)
        return f"{alias}.{name}" if self._chance(0.75) else name

    def _alias(self, known: Known) -> str:
        return self._random.choice(sorted(known))

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability
