"""Generated queries over the fixture's tables, with labelled columns in every kind of place.

Labelled values stand in outputs only, never in what tests, sorts or groups rows, but where that is
asked for (`deciding`): so an output without them is the same whatever they are. Not every query is
valid; the server says which.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

TABLES = {
    "users": ("id", "name", "email", "ssn", "dept_id"),
    "orders": ("id", "user_id", "note"),
    "departments": ("id", "name"),
    "v_users": ("id", "name", "contact"),
    "veiled": ("id", "name", "ssn"),
}
_NAMES = ("id", "name", "ssn", "note", "x", "y", "SSN", "`max(ssn)`")
_JOINS = (
    (", ", ""),
    (" JOIN ", ""),
    (" NATURAL JOIN ", ""),
    (" NATURAL LEFT JOIN ", ""),
    (" LEFT JOIN ", " ON TRUE"),
    (" LEFT JOIN ", " USING (id)"),
    (" JOIN ", " USING (name, id)"),
    (" RIGHT JOIN ", " ON TRUE"),
)
_CALLS = (
    "lower({})", "CONCAT({}, {})", "COALESCE({}, {})", "LEFT({}, 3)", "({})", "-{}", "BINARY {}",
    "{} COLLATE utf8mb4_bin", "IF({} = 'x', {}, {})", "CASE {} WHEN 'x' THEN {} ELSE {} END",
    "HEX({})", "TRIM(BOTH 'c' FROM {})", "SUBSTRING({} FROM 2 FOR 5)", "CAST({} AS CHAR(4))",
    "CONVERT({} USING utf8mb4)", "{} IS NULL", "{} || {}", "{} BETWEEN 'a' AND {}",
    "{} IN ('x', {})",
    "COUNT({})", "COUNT(DISTINCT {})", "COUNT(NULLIF(LEFT({}, 1), '1'))", "MAX({})",
    "COUNT(CASE WHEN {} > '5' THEN 1 END)", "SUM({} LIKE '%1%')", "RANK() OVER (ORDER BY {})",
    "COUNT(*) OVER (PARTITION BY LEFT({}, 1))", "NULLIF({}, 'x')", "FIELD({}, 'x', {})",
    "STRCMP({}, {})", "EXISTS (SELECT 1 FROM users s WHERE s.ssn > {})", "{} XOR {}",
    "JSON_VALUE(JSON_ARRAY({}), '$[0]')", "{} REGEXP '1'", "ELT(1 + ({} > '5'), 'a', 'b')",
    "DATE_ADD({}, INTERVAL 1 DAY)", "JSON_OBJECT('a', {})", "{} DIV 2", "POSITION('c' IN {})",
)  # fmt: skip
_ROWS_OF_MANY = (
    "SELECT ssn AS x, 0 AS y FROM users UNION ALL SELECT name, id FROM departments",
    "SELECT ssn AS x, 0 AS y FROM users WHERE FALSE UNION ALL VALUES ('1', 1), ('c2', 2)",
    "SELECT j.x, j.y FROM JSON_TABLE((SELECT JSON_ARRAY(ssn) FROM users LIMIT 1), '$[*]'"
    " COLUMNS (y FOR ORDINALITY, x TEXT PATH '$')) j",
)
_LABELLED = ("ssn", "email", "contact")
_DECISIONS = (
    "WHERE {} LIKE '%1%'", "WHERE {} > '0'", "WHERE {} = {}", "WHERE {} < 'z'",
    "WHERE {} REGEXP '.'", "WHERE {} IS NOT NULL", "WHERE LEFT({}, 1) > '0'", "ORDER BY {}",
    "WHERE {} <> 'x'",
    "WHERE {} < 3 ORDER BY {}", "WHERE {} <=> {}", "WHERE {} BETWEEN '0' AND 'z'", "GROUP BY {}",
    "WHERE NOT {} IN ('x', 'y')", "ORDER BY 1", "ORDER BY LEFT({}, 2)",
    "HAVING x > '0'", "HAVING name LIKE '%1%'", "ORDER BY CONCAT(x, 'a')", "HAVING id < ssn",
    "GROUP BY LEFT(y, 1)", "HAVING EXISTS (SELECT 1 FROM departments d WHERE d.name < x)",
)  # fmt: skip


@dataclass
class Generator:
    """Makes queries from one seed."""

    seed: int
    deciding: bool = False
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def statement(self) -> str:
        if self._chance(0.3):
            names = ("c1", "c2")
            ctes = [f"{n}{self._columns()} AS ({self._query(1, ())})" for n in names]
            return f"WITH {', '.join(ctes)} {self._query(0, names)}"
        return self._query(0, ())

    def _query(self, depth: int, ctes: tuple[str, ...]) -> str:
        if self._chance(0.15):
            rows = [f"({self._scalar(depth)}, {self._scalar(depth)})" for _ in range(2)]
            return f"VALUES {', '.join(rows)}"
        one = self._select(depth, ctes)
        if self._chance(0.2):
            return f"{one} UNION ALL {self._select(depth, ctes)}"
        return one

    def _select(self, depth: int, ctes: tuple[str, ...]) -> str:
        known: dict[str, tuple[str, ...]] = {}
        items = [
            self._item(f"t{depth}{i}", depth, ctes, known)
            for i in range(self._random.randint(1, 2))
        ]
        outputs = [self._output(known, depth) for _ in range(2)]
        outputs[:1] = ["*"] if self._chance(0.15) else outputs[:1]
        joined, condition = self._random.choice(_JOINS)
        tail = condition if len(items) > 1 else ""
        tail += self._decision(known) if self.deciding else ""
        return f"SELECT {', '.join(outputs)} FROM {joined.join(items)}{tail}"

    def _decision(self, known: dict[str, tuple[str, ...]]) -> str:
        if self._chance(0.4):
            return ""
        form = self._random.choice(_DECISIONS)
        return " " + form.format(*(self._labelled(known) for _ in range(form.count("{}"))))

    def _labelled(self, known: dict[str, tuple[str, ...]]) -> str:
        """A column that has a label, every other time where there is one."""
        named = [f"{a}.{n}" for a, names in known.items() for n in names if n in _LABELLED]
        return self._random.choice(named) if named and self._chance(0.5) else self._column(known)

    def _item(
        self, alias: str, depth: int, ctes: tuple[str, ...], known: dict[str, tuple[str, ...]]
    ) -> str:
        """A table reference; `known` gains the columns that it may have."""
        known[alias] = _NAMES
        if ctes and self._chance(0.5):
            return f"{self._random.choice(ctes)} {alias}"
        if depth < 2 and self._chance(0.4):
            return f"({self._query(depth + 1, ctes)}) {alias}{self._columns()}"
        if self._chance(0.05):
            known[alias] = ("x", "y")
            return f"({self._random.choice(_ROWS_OF_MANY)}) {alias}"
        table = self._random.choice(sorted(TABLES))
        known[alias] = TABLES[table]
        return f"{table} {alias}"

    def _columns(self) -> str:
        return f" ({', '.join(self._random.sample(_NAMES[:6], 2))})" if self._chance(0.2) else ""

    def _output(self, known: dict[str, tuple[str, ...]], depth: int) -> str:
        if self._chance(0.1):
            return f"{self._random.choice(sorted(known))}.*"
        value = self._value(known, depth)
        return f"{value} AS {self._random.choice(_NAMES)}" if self._chance(0.5) else value

    def _value(self, known: dict[str, tuple[str, ...]], depth: int) -> str:
        if self._chance(0.15):
            return self._scalar(depth)
        if self._chance(0.35):
            call = self._random.choice(_CALLS)
            return call.format(*(self._column(known) for _ in range(call.count("{}"))))
        return self._column(known)

    def _scalar(self, depth: int) -> str:
        """A value of one row; a name in it may be one of the queries around it."""
        if depth > 2 or self._chance(0.3):
            return self._random.choice(("'id'", "1", "'ssn'", "NULL"))
        name = self._random.choice(("ssn", "name", "max(ssn)", "max(name)", "x", "count(*)", "id"))
        inner = f"({self._query(depth + 2, ())}) s" if self._chance(0.3) else "users s"
        return f"(SELECT {name} FROM {inner} LIMIT 1)"

    def _column(self, known: dict[str, tuple[str, ...]]) -> str:
        alias = self._random.choice(sorted(known))
        name = self._random.choice(known[alias] if self._chance(0.9) else _NAMES)
        return f"{alias}.{name}" if self._chance(0.75) else name

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability
