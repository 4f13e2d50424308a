"""What each output column of a query depends on, as PostgreSQL says it of throw-away views.

A view is made of one output column alone, and one of none: what the first depends on and the
second does not is what flows into the column. Subqueries in FROM and CTEs become views themselves,
so that what flows into their columns is told column by column too. Whole rows, and what a subquery
inside of an expression reads, are told of the relation only: other tests look at values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import asyncpg
import postgast

Place = tuple[int, int]
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_DEPENDENCIES: Final = """
    SELECT DISTINCT d.refobjid, d.refobjsubid
    FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
    WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
      AND r.ev_class = $1::regclass AND d.refobjid <> r.ev_class
"""
_ABOUT_ROWS: Final = (
    *("where_clause", "having_clause", "sort_clause", "distinct_clause"),
    *("limit_count", "limit_offset"),
)
_AS_TEXT: Final = "SELECT x::text"
_ONE: Final = "SELECT 1"


class Unresolved(Exception):
    """The oracle can't tell: a star, or a query that no view can be made of."""


def select_of(text: str) -> Any:
    """The SelectStmt of a statement. Raises Unresolved."""
    found = postgast.parse(text)
    if len(found.stmts) != 1 or found.stmts[0].stmt.WhichOneof("node") != "select_stmt":
        raise Unresolved
    return found.stmts[0].stmt.select_stmt


@dataclass
class ThrowAwayViews:
    """Views of one statement, in a transaction that is rolled back. `made` are views by oid."""

    connection: Connection
    made: dict[int, Any] = field(default_factory=dict)
    _count: int = 0

    async def mentioned(self, text: str, columns: int) -> set[Place]:
        """Every column that a statement mentions anywhere. Raises Unresolved."""
        names = [f"c{i}" for i in range(columns)]
        shown = ", ".join(f"{name}::text" for name in names)
        whole = f"SELECT {shown} FROM ({text.rstrip('; ')}\n) AS q({', '.join(names)})"
        return await self._dependencies(f"AS {whole if columns else text}")

    async def flows(self, select: Any, position: int) -> set[Place]:
        """The columns of stored relations that flow into an output. Raises Unresolved."""
        if counts(select, position):
            raise Unresolved
        chosen = await self._of(_with_output(select, position))
        found = chosen - await self._of(_with_output(select, None))
        flowing = {place for place in found if place[0] not in self.made and place[1] > 0}
        for oid, number in found - flowing:
            if number > 0:
                flowing |= await self.flows(self.made[oid], number - 1)
        return flowing

    async def taken_apart(self, select: Any) -> Any:
        """The query with views in place of its CTEs and of the subqueries in its FROM."""
        select = _copy(select)
        for side in (select.larg, select.rarg) if select.op > 1 else ():
            side.CopyFrom(await self.taken_apart(side))
        await self._without_ctes(select)
        for node in _subqueries(select.from_clause):
            inner = await self.taken_apart(node.range_subselect.subquery.select_stmt)
            name = await self._view(inner)
            if name is not None:
                alias = node.range_subselect.alias
                replacement = _table(name, alias)
                node.CopyFrom(replacement)
        return select

    async def _without_ctes(self, select: Any) -> None:
        if not select.HasField("with_clause") or select.with_clause.recursive:
            return
        names: dict[str, str] = {}
        for node in select.with_clause.ctes:
            cte = node.common_table_expr
            if cte.ctequery.WhichOneof("node") != "select_stmt":
                return
            inner = _copy(cte.ctequery.select_stmt)
            _rename(inner, names)
            made = await self._view(
                await self.taken_apart(inner), [c.string.sval for c in cte.aliascolnames]
            )
            if made is None:
                return
            names[cte.ctename] = made
        select.ClearField("with_clause")
        _rename(select, names)

    async def _view(self, select: Any, columns: list[str] | None = None) -> str | None:
        """The name of a new view, or None where the server makes none of the query."""
        self._count += 1
        name = f"taken_apart_{self._count}"
        listed = f"({', '.join(_quoted(c) for c in columns)})" if columns else ""
        text = f"CREATE TEMP VIEW {name}{listed} AS {_text(select)}"
        try:
            async with self.connection.transaction():
                await self.connection.execute(text)
        except asyncpg.PostgresError:
            return None
        oid = await self.connection.fetchval("SELECT $1::text::regclass::oid", name)
        self.made[oid] = select
        return name

    async def _of(self, select: Any) -> set[Place]:
        return await self._dependencies(f"AS {_text(select)}")

    async def _dependencies(self, definition: str) -> set[Place]:
        try:
            async with self.connection.transaction():
                await self.connection.execute(f"CREATE OR REPLACE TEMP VIEW one_view {definition}")
                rows = await self.connection.fetch(_DEPENDENCIES, "pg_temp.one_view")
                await self.connection.execute("DROP VIEW one_view")
        except asyncpg.PostgresError as error:
            raise Unresolved from error
        return {(row[0], row[1]) for row in rows}


def outputs_of(select: Any) -> int | None:
    """How many output columns a query has; None where a star hides it."""
    if select.op > 1:
        return outputs_of(select.larg)
    if select.values_lists:
        return len(select.values_lists[0].list.items)
    starred = any(_is_star(target.res_target.val) for target in select.target_list)
    return None if starred else len(select.target_list)


def counts(select: Any, position: int) -> bool:
    """Whether an output calls `count`, which is clean: it says how many, never which."""
    if select.op > 1:
        return counts(select.larg, position) or counts(select.rarg, position)
    nodes = select.values_lists or select.target_list[position : position + 1]
    return any('sval: "count"' in str(node) for node in nodes)


def _with_output(select: Any, position: int | None) -> Any:
    """The query with one of its outputs alone, as text, or with none, and of all rows."""
    select = _copy(select)
    for part in _ABOUT_ROWS:
        select.ClearField(part)
    if select.op > 1:
        select.larg.CopyFrom(_with_output(select.larg, position))
        select.rarg.CopyFrom(_with_output(select.rarg, position))
        return select
    for row in select.values_lists:
        items = row.list.items
        kept = (
            select_of(_ONE).target_list[0].res_target.val if position is None else items[position]
        )
        chosen = _as_text(kept)
        del items[:]
        items.append(chosen)
    if not select.values_lists:
        targets = list(select.target_list)
        known = [] if position is None else targets[: position + 1]
        short = position is not None and position >= len(targets)
        if short or any(_is_star(target.res_target.val) for target in known):
            raise Unresolved
        del select.target_list[:]
        if position is not None:
            _refuse_hidden_subqueries(targets[position])
            chosen = select_of(_AS_TEXT).target_list[0]
            chosen.res_target.val.CopyFrom(_as_text(targets[position].res_target.val))
            select.target_list.append(chosen)
    return select


def _refuse_hidden_subqueries(target: Any) -> None:
    """A view depends on all columns of a subquery in FROM inside of an expression, used or not."""
    written = str(target)
    if "sub_link" in written and "range_subselect" in written:
        raise Unresolved


def _as_text(value: Any) -> Any:
    """A value cast to text: not every type may be a view's column."""
    cast = select_of(_AS_TEXT).target_list[0].res_target.val
    cast.type_cast.arg.CopyFrom(value)
    return cast


def _is_star(value: Any) -> bool:
    match value.WhichOneof("node"):
        case "column_ref":
            parts = value.column_ref.fields
        case "a_indirection":
            parts = value.a_indirection.indirection
        case _:
            return False
    return any(part.WhichOneof("node") == "a_star" for part in parts)


def _subqueries(nodes: Any) -> Iterator[Any]:
    """The subqueries of a FROM clause that see nothing of it."""
    for node in nodes:
        match node.WhichOneof("node"):
            case "range_subselect" if not node.range_subselect.lateral:
                yield node
            case "join_expr":
                yield from _subqueries((node.join_expr.larg, node.join_expr.rarg))


def _table(name: str, alias: Any) -> Any:
    node = select_of(f"SELECT FROM {name}").from_clause[0]
    node.range_var.alias.CopyFrom(alias)
    return node


def _rename(message: Any, names: dict[str, str]) -> None:
    """Puts views in place of the CTEs of these names, under the same names."""
    if message.DESCRIPTOR.name == "RangeVar":
        old = message.relname
        if old in names and not message.schemaname:
            message.relname = names[old]
            if not message.HasField("alias"):
                message.alias.aliasname = old
        return
    for descriptor, value in message.ListFields():
        if descriptor.type == descriptor.TYPE_MESSAGE:
            for part in value if descriptor.is_repeated else (value,):
                _rename(part, names)


def _copy(select: Any) -> Any:
    made = type(select)()
    made.CopyFrom(select)
    return made


def _text(select: Any) -> str:
    whole = postgast.parse(_ONE)
    whole.stmts[0].stmt.select_stmt.CopyFrom(select)
    return postgast.deparse(whole)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
