"""PostgreSQL's own grammar: libpg_query's JSON syntax tree, through the library postgast carries.

postgast's Python API is not used: its protobuf path fails on 47 chained operators.
"""

from __future__ import annotations

import ctypes
import json
from typing import Any

from postgast import native

from policies.sql.not_understood import NotUnderstood, SeveralStatements

# A node of the JSON tree. Its shape is checked field by field in grammar.py.
Tree = dict[str, Any]


def parse_one(encoded: bytes) -> Tree:
    """The one statement in the text; an empty tree when there is none.

    Raises NotUnderstood when there are several, or it is no SQL.
    """
    statements = _statements(encoded)
    if not statements:
        return {}
    if len(statements) > 1:
        raise SeveralStatements(len(statements), _first_location(encoded, statements[1]))
    statement: Tree = statements[0]["stmt"]
    return statement


def _statements(encoded: bytes) -> list[Tree]:
    result = native.lib.pg_query_parse(encoded)
    try:
        if result.error:
            error = result.error.contents
            raise _syntax_error(encoded, error.message or b"", error.cursorpos)
        tree = _decoded(ctypes.string_at(result.parse_tree))
    finally:
        native.lib.pg_query_free_parse_result(result)
    found: list[Tree] = tree.get("stmts", [])
    return found


def _decoded(document: bytes) -> Tree:
    try:
        tree: Tree = json.loads(document)
    except ValueError as error:
        raise NotUnderstood("SQL_NOT_UNDERSTOOD", "the syntax tree can't be read") from error
    return tree


def _syntax_error(encoded: bytes, message: bytes, cursor: int) -> NotUnderstood:
    # cursorpos counts characters from 1; 0 says that the place is not known.
    text = encoded.decode()
    location = len(text[: cursor - 1].encode()) if cursor > 0 else None
    return NotUnderstood("SQL_SYNTAX", message.decode(errors="replace"), location)


def _first_location(encoded: bytes, statement: Tree) -> int:
    start = int(statement.get("stmt_location", 0))
    rest = encoded[start:]
    return start + len(rest) - len(rest.lstrip())
