"""What a statement's facts hang on in the server's own catalogs, as the server itself can check it.

A row's `xmin` is the transaction that wrote it: whoever changes an object, or makes another of its
name, leaves other rows. A check compares them on the server, in the transaction of the statement,
and fails where they differ; its plan is kept by each connection. Not in here: reading the catalog.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from policies.sql.catalog import Catalog
from policies.sql.facts import SqlFacts, TableName
from server.protocols.postgres.catalog_queries import Row

CHANGED: Final = "22P02"
"""The SQLSTATE that a check fails with; nothing else in it can."""

# relation, what the row is, its number or flags, the transaction that wrote it
_OWN: Final = """
SELECT c.oid AS r, 1 AS k,
       (c.relhasrules::int + 2 * c.relrowsecurity::int + 4 * c.relhassubclass::int)::int8 AS n,
       concat(c.xmin, ' ', s.oid, ' ', s.xmin) AS x
FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace WHERE {c.oid}"""
_COLUMNS: Final = """
SELECT a.attrelid AS r, 2 AS k, a.attnum AS n, a.xmin AS x
FROM pg_attribute a WHERE {a.attrelid} AND a.attnum > 0"""
_MORE: Final = """
SELECT w.ev_class AS r, 3 AS k, w.oid::int8 AS n, w.xmin::text AS x
FROM pg_rewrite w WHERE {w.ev_class}
UNION ALL
SELECT g.tgrelid, 4, g.oid::int8, g.xmin::text FROM pg_trigger g WHERE {g.tgrelid}
UNION ALL
SELECT p.polrelid, 5, p.oid::int8, p.xmin::text FROM pg_policy p WHERE {p.polrelid}
UNION ALL
SELECT i.inhparent, 6, i.inhrelid::int8, i.xmin::text FROM pg_inherits i WHERE {i.inhparent}
UNION ALL
SELECT h.attrelid, 7, h.attnum, concat(t.oid, ' ', t.xmin)
FROM pg_attribute h JOIN pg_type t ON t.oid = h.atttypid
WHERE {h.attrelid} AND h.attnum > 0 AND h.atttypid >= 16384"""
# Only the mark has these: they may call a function when a read is planned.
_PLANNED: Final = """
SELECT indrelid, 8, indexrelid::int8, xmin::text FROM pg_index
WHERE indexprs IS NOT NULL OR indpred IS NOT NULL
UNION ALL SELECT conrelid, 9, oid::int8, xmin::text FROM pg_constraint WHERE contype = 'c'
UNION ALL SELECT stxrelid, 10, oid::int8, xmin::text FROM pg_statistic_ext
UNION ALL SELECT adrelid, 11, adnum, xmin::text FROM pg_attrdef"""
_ENTRY: Final = "concat(r, ':', k, ':', n, ':', x)"
_LISTED: Final = f"string_agg({_ENTRY}, ',' ORDER BY r, k, n)"
_USERS: Final = "string_agg(concat(oid, ':', xmin), ',' ORDER BY oid)"
_DOMAINS: Final = f"(SELECT {_USERS} FROM pg_constraint WHERE contypid >= 16384)"  # noqa: S608


def _rows(rows: str, condition: str) -> str:
    """Rows of the relations for which a condition, of their oid, holds."""
    return re.sub(r"\{([a-z_.]+)\}", lambda column: condition.format(column[1]), rows)


def _check(*, more: str = "", others: str = "") -> str:
    # A sub-select is evaluated once, and hides the value: one plan serves for all of them.
    asked = "{} = ANY ((SELECT $1::oid[])::oid[])"
    return f"""
SELECT CASE WHEN $4 = encode(sha256(convert_to(concat(
  (SELECT {_LISTED} FROM ({_rows(_OWN, asked)}) AS own), '|',
  (SELECT array_agg(x ORDER BY r, n) FROM ({_rows(_COLUMNS, asked)}) AS columns), '|',
  {_rows(more, asked)}
  (SELECT string_agg(concat(to_regclass(name)::oid), ',' ORDER BY place)
   FROM unnest($2::text[]) WITH ORDINALITY AS named(name, place)), '|',
  (SELECT string_agg(concat(oid, ':', xmin), ',' ORDER BY proname, oid) FROM pg_proc
   WHERE proname = ANY ((SELECT $3::name[])::name[])), '|',
  (SELECT {_USERS} FROM pg_operator WHERE oid >= 16384), '|',
  (SELECT {_USERS} FROM pg_cast WHERE oid >= 16384){others}
), 'UTF8')), 'hex') THEN 1 ELSE concat('the catalog has changed')::int END"""  # noqa: S608


PLAIN: Final = "ostiary_check_plain"
FULL: Final = "ostiary_check_full"
CHECKS: Final = {
    PLAIN: _check(),
    FULL: _check(
        more=f"(SELECT {_LISTED} FROM ({_MORE}) AS more), '|',",  # noqa: S608
        others=f", '|', {_DOMAINS}",
    ),
}
"""By the name that a connection keeps it under. The plain one is for reads of plain tables: that
they get rules, row security or children shows in pg_class, a type of users' in pg_attribute.
"""

_SHOWN: Final = """(SELECT oid FROM pg_class WHERE relpersistence <> 't'
 AND relkind IN ('r', 'v', 'm', 'p', 'f', 'S'))"""

_ALL: Final = f"{_OWN} UNION ALL {_COLUMNS.replace('a.xmin', 'a.xmin::text')} UNION ALL {_MORE}"

RELATION_STATES: Final = f"""
SELECT r, {_LISTED} FILTER (WHERE k = 1), string_agg(x, ',' ORDER BY n) FILTER (WHERE k = 2),
       {_LISTED} FILTER (WHERE k > 2)
FROM ({_rows(_ALL, "true")}) AS found WHERE r IN {_SHOWN} GROUP BY r"""  # noqa: S608

FUNCTION_STATES: Final = """
SELECT proname, string_agg(concat(oid, ':', xmin), ',' ORDER BY oid) FROM pg_proc
GROUP BY proname"""

OTHER_STATES: Final = f"""
SELECT (SELECT {_USERS} FROM pg_operator WHERE oid >= 16384),
       (SELECT {_USERS} FROM pg_cast WHERE oid >= 16384), {_DOMAINS}"""  # noqa: S608

_LASTING: Final = """(SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_')"""

MARK: Final = f"""
SELECT concat(count(*), ' ', sum(hashtextextended({_ENTRY}, 0)))
FROM ({_rows(_ALL, "{} >= 16384")} UNION ALL {_PLANNED}) AS found WHERE r IN {_SHOWN}
UNION ALL
SELECT concat(count(*), ' ', sum(hashtextextended({_ENTRY}, 0))) FROM (
SELECT oid AS r, 20 AS k, 0 AS n, xmin::text AS x FROM pg_proc WHERE oid >= 16384
UNION ALL SELECT oid, 21, 0, xmin::text FROM pg_operator WHERE oid >= 16384
UNION ALL SELECT oid, 22, 0, xmin::text FROM pg_cast WHERE oid >= 16384
UNION ALL SELECT oid, 23, 0, xmin::text FROM pg_type
          WHERE oid >= 16384 AND typnamespace IN {_LASTING}
UNION ALL SELECT oid, 24, 0, xmin::text FROM pg_namespace WHERE oid IN {_LASTING}
UNION ALL SELECT objid, 25, 0, concat(refobjid, ' ', xmin) FROM pg_depend
          WHERE deptype = 'e'
UNION ALL SELECT rngtypid, 26, 0, xmin::text FROM pg_range WHERE rngtypid >= 16384
UNION ALL SELECT oid, 27, 0, xmin::text FROM pg_language
UNION ALL SELECT oid, 28, 0, xmin::text FROM pg_constraint WHERE contypid >= 16384
UNION ALL SELECT oid, 29, 0, xmin::text FROM pg_opclass WHERE oid >= 16384
UNION ALL SELECT e.oid, 30, 0, e.xmin::text FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid
          WHERE t.typnamespace IN {_LASTING}
) AS other"""  # noqa: S608
"""A sum over everything of users' that a catalog is made of: equal while nothing has changed."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a check is asked: relations, names and functions as array literals, and their digest.

    `names` are those that the statement may have used without a schema.
    """

    check: str
    relations: str
    names: str
    functions: str
    state: str


@dataclass(frozen=True, slots=True)
class State:
    """One relation's rows: its own, its columns', and all others that say what it is.

    That its own was written to may mean only that somebody emptied the table.
    """

    own: str
    columns: str
    more: str

    @property
    def plain(self) -> bool:
        """Whether nothing but its columns says what it is to a read: triggers do not."""
        more = (entry.split(":")[1] for entry in self.more.split(",") if entry)
        return self.own.split(":")[2] == "0" and set(more) <= {"4"}


MAXIMUM_KNOWN: Final = 4096

Key = tuple[object, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """The state of everything in one catalog, as it was when that was read.

    `relations` and `functions` are by oid and by name; `others` is what any statement may use:
    operators, casts, and what domains check.
    """

    catalog: Catalog
    relations: Mapping[int, State]
    functions: Mapping[str, str]
    others: tuple[str, ...]
    _known: dict[Key, Expected] = field(default_factory=dict)

    @classmethod
    def of(cls, catalog: Catalog, states: Mapping[str, list[Row]]) -> Fingerprints:
        (others,) = states["others"]
        return cls(
            catalog=catalog,
            relations={int(oid): State(*rows) for oid, *rows in states["relations"]},
            functions={row[0]: row[1] for row in states["functions"]},
            others=others,
        )

    def expected(self, facts: SqlFacts) -> Expected:
        """What the server must find for these facts to hold."""
        key = (facts.objects, facts.functions)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MAXIMUM_KNOWN:
                self._known.clear()
            known = self._known[key] = self._expected(facts)
        return known

    def definitions(self, facts: SqlFacts) -> str:
        """A digest of what the relations of these facts are, those behind them included."""
        if not facts.objects:
            return ""
        said = "|".join(f"{state.columns},{state.more}" for state in self._states(facts))
        return hashlib.sha256(said.encode()).hexdigest()

    def _expected(self, facts: SqlFacts) -> Expected:
        visible = sorted((t.name, oid) for t, oid in facts.objects if self._is_visible(t, oid))
        functions = sorted({f.rpartition(".")[2] for f in facts.functions}, key=str.encode)
        states = self._states(facts)
        columns = _listed(state.columns for state in states)
        plain = facts.read_only and all(state.plain for state in states)
        parts = (
            _listed(state.own for state in states),
            f"{{{columns}}}" if columns else "",
            *(() if plain else (_listed(state.more for state in states),)),
            _listed(str(oid) for _, oid in visible),
            _listed(self.functions.get(name, "") for name in functions),
            *(self.others[:-1] if plain else self.others),
        )
        return Expected(
            check=PLAIN if plain else FULL,
            relations="{" + _listed(map(str, self._behind(facts))) + "}",
            names=_array(_identifier(name) for name, _ in visible),
            functions=_array(functions),
            state=hashlib.sha256("|".join(parts).encode()).hexdigest(),
        )

    def _states(self, facts: SqlFacts) -> list[State]:
        return [self.relations[oid] for oid in self._behind(facts) if oid in self.relations]

    def _is_visible(self, table: TableName, oid: int) -> bool:
        """Whether the name alone, without its schema, means this relation."""
        found = self.catalog.resolve(None, table.name)
        return found is not None and found.oid == oid

    def _behind(self, facts: SqlFacts) -> list[int]:
        """The relations of a statement and all that they reach, in order."""
        reached = {oid for _, oid in facts.objects}
        for relation in filter(None, map(self.catalog.by_oid.get, tuple(reached))):
            sources = (self.catalog.relations.get(source.name) for source in relation.behind)
            reached |= {source.oid for source in sources if source is not None}
        return sorted(reached)


def _listed(parts: Iterable[str]) -> str:
    return ",".join(filter(None, parts))


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _array(names: Iterable[str]) -> str:
    """An array literal of text elements."""
    quoted = (name.replace("\\", "\\\\").replace('"', '\\"') for name in names)
    return "{" + ",".join(f'"{name}"' for name in quoted) + "}"
