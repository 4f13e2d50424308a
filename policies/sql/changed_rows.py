"""The rows that an UPDATE or DELETE means: a SELECT of ours round the very bytes of its WHERE.

Nothing is rendered from a tree. The slice stands in parentheses in a text of ours; that text is
parsed, and is used only where its tree is, to the last node, the one that we meant with the
statement's own WHERE in it. Anything else (a slice that ends elsewhere, a comment that swallows a
parenthesis, a second table) and there is no such SELECT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from policies.sql.facts import TableName
from policies.sql.grammar import unwrap, unwrap_as
from policies.sql.not_understood import NotUnderstood
from policies.sql.parser import Tree, parse_one
from policies.sql.prescan import QUICK_BYTES, encode
from policies.sql.tokens import Kind, Token, tokens
from policies.sql.trees import same

MOST_ROWS: Final = 10_000
"""Rows that are counted; a change of more is not tried out, since it would hold so many locks."""

SAMPLE: Final = 5

LONGEST: Final = 8192
"""Bytes of a statement that is looked into here: it is parsed in the gateway itself, anew."""

_PLAIN: Final = {
    "UpdateStmt": frozenset({"relation", "targetList", "whereClause", "returningClause"}),
    "DeleteStmt": frozenset({"relation", "whereClause", "returningClause"}),
}
_PLACEHOLDER: Final = "true"


@dataclass(frozen=True, slots=True)
class ChangedRows:
    """`count` counts the rows up to one more than `MOST_ROWS`; `sample` shows `SAMPLE` of them.

    `parameters` are the numbers of the parameters that both name, from 1. `written` are the columns
    that an UPDATE sets; None for a DELETE.
    """

    table: TableName
    columns: tuple[str, ...]
    count: str
    sample: str
    parameters: frozenset[int]
    written: frozenset[str] | None

    def again(self, key: Sequence[str], rows: int) -> str | None:
        """A SELECT of the same rows by their key, whose values are its parameters, row by row.

        None where the change may move a row to another key. Holds no byte of the caller's.
        """
        if not key or not rows or self.written is None or self.written & set(key):
            return None
        names = ", ".join(map(_quoted, key))
        numbers = iter(range(1, len(key) * rows + 1))
        groups = (", ".join(f"${next(numbers)}" for _ in key) for _ in range(rows))
        found = ", ".join(f"({group})" for group in groups)
        source = f"FROM {quoted_table(self.table)} WHERE ({names}) IN ({found})"
        return f"SELECT {_list(self.columns)} {source}"


def changed_rows(text: str, table: TableName, columns: Sequence[str]) -> ChangedRows | None:
    """The rows that one plain UPDATE or DELETE on `table` changes; None for all else."""
    if len(text.encode("utf-8", "replace")) > min(LONGEST, QUICK_BYTES):
        return None
    try:
        return _changed_rows(text, table, tuple(columns))
    except (NotUnderstood, KeyError, IndexError, TypeError, RecursionError):
        return None


def writes_few_rows(text: str) -> bool:
    """Whether it can't make more rows than its own text holds: no INSERT of what a query finds."""
    try:
        kind, body = unwrap(parse_one(encode(text)))
        rows = body.get("selectStmt")
        return kind != "InsertStmt" or rows is None or "valuesLists" in rows["SelectStmt"]
    except (NotUnderstood, KeyError, TypeError, RecursionError):
        return False


def changes_once(text: str) -> bool:
    """Whether it changes rows in one place alone: no WITH of it holds another change.

    The server's count is that of the last one, whatever the others do.
    """
    try:
        _, body = unwrap(parse_one(encode(text)))
        tables = body.get("withClause", {}).get("ctes", [])
        return all(
            set(unwrap_as("CommonTableExpr", each)["ctequery"]) == {"SelectStmt"} for each in tables
        )
    except (NotUnderstood, KeyError, TypeError, RecursionError):
        return False


def _changed_rows(text: str, table: TableName, columns: tuple[str, ...]) -> ChangedRows | None:
    kind, body = unwrap(parse_one(encode(text)))
    where = body.get("whereClause")
    if where is None or not body.keys() <= _PLAIN.get(kind, frozenset()):
        return None
    slice_, used = _slice(text)
    source = _source(body["relation"], table)
    if slice_ is None or source is None or not columns:
        return None
    rows = f"FROM {source} WHERE ("
    # Names are quoted, and what comes of the slice is compared as a tree.
    sample = _meant(f"SELECT {_list(columns)} {rows}", slice_, f"\n) LIMIT {SAMPLE}", where)
    count = _meant(
        "SELECT count(*) FROM (SELECT 1 " + rows,  # noqa: S608 -- see above
        slice_,
        f'\n) LIMIT {MOST_ROWS + 1}) AS "found"',
        where,
        within=("fromClause", 0, "RangeSubselect", "subquery", "SelectStmt"),
    )
    if sample is None or count is None:
        return None
    return ChangedRows(table, columns, count, sample, used, _written(kind, body))


def _meant(
    before: str, slice_: str, after: str, where: Tree, *, within: tuple[str | int, ...] = ()
) -> str | None:
    """A text of ours with the slice in it, if that is all that the slice does to its tree."""
    text = before + slice_ + after
    meant = parse_one(encode(before + _PLACEHOLDER + after))
    select: Any = meant["SelectStmt"]
    for step in within:
        select = select[step]
    select["whereClause"] = where
    return text if same(parse_one(encode(text)), meant) else None


def _slice(text: str) -> tuple[str | None, frozenset[int]]:
    """The text of the outermost WHERE, and the parameters in it."""
    found = [t for t in tokens(text) if t.kind is not Kind.COMMENT]
    outer = _outermost(found)
    wheres = [n for n, token in outer if _is_word(token, "where")]
    if not wheres:
        return None, frozenset()
    first = wheres[0] + 1
    ends = (n for n, t in outer if n >= first and (_is_word(t, "returning") or _is_end(t, text)))
    last = next(ends, len(found))
    inside = found[first:last]
    if not inside:
        return None, frozenset()
    used = frozenset(int(t.value) for t in inside if t.kind is Kind.PARAMETER)
    return text[inside[0].start : inside[-1].end], used


def _outermost(found: Sequence[Token]) -> list[tuple[int, Token]]:
    """Tokens that stand in no brackets, with their numbers."""
    depth, outer = 0, []
    for number, token in enumerate(found):
        if token.kind is Kind.SIGN and token.value in "([":
            depth += 1
        elif token.kind is Kind.SIGN and token.value in ")]":
            depth -= 1
        elif depth == 0:
            outer.append((number, token))
    return outer


def _is_word(token: Token, word: str) -> bool:
    return token.kind is Kind.WORD and token.value == word


def _is_end(token: Token, text: str) -> bool:
    return token.kind is Kind.SIGN and text[token.start] == ";"


def _source(relation: Tree, table: TableName) -> str | None:
    """The changed table in FROM, under the name that the WHERE may call it by."""
    if relation.get("relname") != table.name or "catalogname" in relation:
        return None
    alias = relation.get("alias")
    if alias is not None and set(alias) != {"aliasname"}:
        return None
    only = "" if relation.get("inh") else "ONLY "
    named = f" AS {_quoted(alias['aliasname'])}" if alias else ""
    return f"{only}{quoted_table(table)}{named}"


def _written(kind: str, body: Tree) -> frozenset[str] | None:
    if kind == "DeleteStmt":
        return None
    return frozenset(unwrap(node)[1]["name"] for node in body["targetList"])


def quoted_table(table: TableName) -> str:
    """The table's name as PostgreSQL reads it, whatever is in it."""
    return f"{_quoted(table.schema)}.{_quoted(table.name)}"


def _list(columns: Sequence[str]) -> str:
    return ", ".join(map(_quoted, columns))


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
