"""Statements made up at random over the corpus's tables, dangerous parts among the harmless."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_LITERALS: Final = {
    "integer": "1",
    "bigint": "2",
    "smallint": "1::smallint",
    "numeric": "1.5",
    "double precision": "0.5::float8",
    "real": "0.5::float4",
    "boolean": "true",
    "text": "'orders'::text",
    "name": "'orders'::name",
    "character varying": "'a'::varchar",
    "character": "'a'::bpchar",
    '"char"': "'a'::\"char\"",
    "cstring": "'a'::cstring",
    "bytea": "'\\x01'::bytea",
    "date": "'2026-01-01'::date",
    "timestamp without time zone": "'2026-01-01'::timestamp",
    "timestamp with time zone": "'2026-01-01'::timestamptz",
    "time without time zone": "'12:00'::time",
    "time with time zone": "'12:00+00'::timetz",
    "interval": "'1 day'::interval",
    "json": "'{\"a\": [1]}'::json",
    "jsonb": "'{\"a\": [1]}'::jsonb",
    "jsonpath": "'$.a'::jsonpath",
    "uuid": "'00000000-0000-0000-0000-000000000001'::uuid",
    "oid": "'orders'::regclass::oid",
    "regclass": "'orders'::regclass",
    "regtype": "'int'::regtype",
    "text[]": "ARRAY['a']",
    "integer[]": "ARRAY[1, 2]",
    "anyelement": "1",
    "anyarray": "ARRAY[1, 2]",
    "anynonarray": "1",
    "anycompatible": "1",
    "anycompatiblearray": "ARRAY[1, 2]",
    "anycompatiblenonarray": "1",
    "anyrange": "int4range(1, 3)",
    "anymultirange": "'{[1,3)}'::int4multirange",
    "anyenum": "NULL",
    '"any"': "1",
    "record": "ROW(1, 2)",
    "inet": "'10.0.0.1'::inet",
    "cidr": "'10.0.0.0/8'::cidr",
    "macaddr": "'08:00:2b:01:02:03'::macaddr",
    "bit": "B'1'",
    "bit varying": "B'1'::varbit",
    "point": "'(1,2)'::point",
    "box": "'(1,2),(3,4)'::box",
    "polygon": "'((0,0),(1,1),(1,0))'::polygon",
    "circle": "'<(0,0),1>'::circle",
    "path": "'[(0,0),(1,1)]'::path",
    "lseg": "'[(0,0),(1,1)]'::lseg",
    "line": "'{1,2,3}'::line",
    "tsvector": "'a b'::tsvector",
    "tsquery": "'a'::tsquery",
    "regconfig": "'english'::regconfig",
    "pg_lsn": "'0/1'::pg_lsn",
    "money": "'1'::money",
    "xid": "'1'::xid",
    "xid8": "'1'::xid8",
    "tid": "'(0,1)'::tid",
    "hstore": "'a=>1'::hstore",
    "users": "(SELECT u FROM users u LIMIT 1)",
}
_TABLES: Final = {
    "users": ("id", "name", "email", "ssn", "dept_id", "password_hash"),
    "orders": ("id", "user_id", "total", "note"),
    "departments": ("id", "name"),
    "docs": ("id", "j", "data", "tsv"),
    "hr.salaries": ("user_id", "amount"),
    "v_users": ("id", "name", "contact"),
    "mv_orders": ("user_id", "s"),
    "s1": ("last_value",),
    "v_evil": ("x",),
    "pg_class": ("oid", "relname", "reltuples"),
    "pg_settings": ("name", "setting"),
}
_OPERATORS: Final = ("=", "<", "<>", "+", "||", "AND", "OR", "===", "~~", "IS DISTINCT FROM")
_TYPES: Final = ("text", "int", "numeric", "boolean", "departments", "regclass", "json", "users")
# What acts, by every way that it can be written: the facts must see it in any place.
_ACTING: Final = (
    "f_del()",
    "public.f_del()",
    '"f_del"()',
    'U&"f\\005fdel"()',
    "nextval('s1')",
    "setval('s1', 9)",
    "pg_catalog.set_config('work_mem', '1MB', false)",
    "lo_from_bytea(0, '')",
    "pg_advisory_lock(1)",
    "pg_notify('a', 'b')",
    "txid_current()",
    "(SELECT f_touch(u) FROM users u LIMIT 1)",
    "(SELECT u.f_touch FROM users u LIMIT 1)",
    "CAST('x'::text AS departments)",
    "(1 === 2)",
    "(1 OPERATOR(public.===) 2)",
    "query_to_xml('DELETE FROM orders', true, true, '')",
    "(SELECT count(*) FROM v_evil)",
    "(SELECT count(*) FROM f_del_set())",
    "ts_stat('select to_tsvector(f_del()::text)')",
    "dblink('', 'DELETE FROM orders')",
)


@dataclass(frozen=True, slots=True)
class Function:
    """One overload of the server's; `kind` is pg_proc.prokind."""

    schema: str
    name: str
    arguments: tuple[str, ...]
    kind: str
    returns_set: bool

    def call(self) -> str:
        """A call with a plausible value for each argument."""
        values = ", ".join(_LITERALS.get(a, f"NULL::{a}") for a in self.arguments)
        quoted = '"' + self.name.replace('"', '""') + '"'
        over = " OVER ()" if self.kind == "w" else ""
        return f"{self.schema}.{quoted}({values}){over}"

    def statement(self) -> str:
        """A statement that calls it."""
        source = "FROM" if self.returns_set else "SELECT"
        return (
            f"SELECT * FROM {self.call()} LIMIT 50" if source == "FROM" else f"SELECT {self.call()}"
        )


FUNCTIONS: Final = """
SELECT n.nspname, p.proname,
       ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY a(t, i)
             ORDER BY i), p.prokind::text, p.proretset
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.prokind <> 'p'
ORDER BY p.oid"""


class Generator:
    """Statements of one seed. Most mean nothing; what matters is what the facts call a read."""

    def __init__(self, seed: int, functions: Sequence[Function]) -> None:
        self._random = random.Random(seed)
        self._functions = functions

    def statements(self, count: int) -> Iterator[str]:
        for _ in range(count):
            yield self._statement(3)

    def _one(self, *made: str) -> str:
        return self._random.choice(made)

    def _statement(self, depth: int) -> str:
        chance = self._random.random()
        if chance < 0.6:
            return self._query(depth)
        return self._random.choice(
            (
                lambda: f"EXPLAIN {self._one('', 'ANALYZE', '(ANALYZE off)')} {self._statement(1)}",
                lambda: f"COPY ({self._query(1)}) TO STDOUT",
                lambda: self._change(),
                lambda: f"WITH c AS ({self._one(self._query(1), self._change())}) {self._query(1)}",
                lambda: f"{self._query(1)} {self._one('UNION', 'EXCEPT ALL')} {self._query(1)}",
                lambda: f"VALUES ({self._value(2, '', ())}, {self._value(1, '', ())})",
                lambda: f"{self._query(1)} FOR {self._one('UPDATE', 'SHARE', 'KEY SHARE')}",
                lambda: f"CREATE TABLE made AS {self._query(1)}",
                lambda: f"TABLE {self._one(*_TABLES)}",
            )
        )()

    def _change(self) -> str:
        value = self._value(1, "", ())
        return self._one(
            f"INSERT INTO orders (id, note) VALUES ({self._random.randrange(100, 999)}, 'x')"
            " RETURNING id",
            f"UPDATE orders SET note = {value} WHERE id = 1 RETURNING id",
            "DELETE FROM orders WHERE id = 3 RETURNING id",
        )

    def _query(self, depth: int) -> str:
        table = self._one(*_TABLES)
        columns = _TABLES[table]
        outputs = ", ".join(self._value(depth, "t", columns) for _ in range(2))
        where = f" WHERE {self._condition(depth, columns)}" if self._random.random() < 0.6 else ""
        order = f" ORDER BY {self._value(1, 't', columns)}" if self._random.random() < 0.2 else ""
        limit = f" LIMIT {self._one('3', self._value(1, '', ()))}" if depth > 2 else ""
        source = self._one(f"{table} t", f"{table} t TABLESAMPLE system (100)", f"{table} AS t")
        more = self._one("", "", f", LATERAL (SELECT {self._value(1, 't', columns)} AS v) l")
        return f"SELECT {outputs} FROM {source}{more}{where}{order}{limit}"

    def _condition(self, depth: int, columns: tuple[str, ...]) -> str:
        value = self._value(depth - 1, "t", columns)
        return self._one(f"{value} IS NOT NULL", f"t.{self._one(*columns)}::text <> {value}::text")

    def _value(self, depth: int, alias: str, columns: tuple[str, ...]) -> str:
        if depth <= 0 or self._random.random() < 0.25:
            column = f"{alias}.{self._one(*columns)}" if columns else "1"
            return self._one(column, column, "1", "'a'", "NULL", "now()")
        if self._random.random() < 0.06:
            return self._random.choice(_ACTING)
        inner = self._value(depth - 1, alias, columns)
        row = f"to_json({alias})" if alias else "ROW(1, 2)"
        function = self._random.choice(self._functions)
        return self._one(
            f"({inner} {self._one(*_OPERATORS)} {self._value(depth - 1, alias, columns)})",
            f"CAST({inner} AS {self._one(*_TYPES)})",
            f"coalesce({inner}, NULL)",
            f"CASE WHEN {inner} IS NULL THEN {inner} END",
            f"({self._query(0)} LIMIT 1)" if depth > 1 else "1",
            f"EXISTS ({self._query(0)})",
            f"lower({inner}::text)",
            f"ARRAY[{inner}]",
            function.call(),
            row,
        )
