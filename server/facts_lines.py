"""The facts of a statement as `ostiary facts` and `POST /api/facts` give them, a line each."""

from __future__ import annotations

from typing import Final

from policies.sql.facts import SqlEffect, SqlFacts, TableName
from recordings.chain import Json
from server.records import facts_document

_EFFECTS: Final = {SqlEffect.TRANSACTION: "session"}


def facts_line(identifier: Json, facts: SqlFacts) -> dict[str, Json]:
    """What policy sees, as flat lists of names; under `facts` it is as the recording has it."""
    opaque = facts.opaque
    reads = {_name(use.table) for use in facts.tables if use.verb == "select"}
    writes = {_name(use.table) for use in facts.tables if use.verb != "select"}
    columns = {f"{_name(use.table)}.{c}" for use in facts.tables for c in use.columns}
    return {
        "id": identifier,
        "effect": _EFFECTS.get(facts.effect, facts.effect.value),
        "reads": sorted(reads),
        "writes": sorted(writes),
        "columns": sorted(columns),
        "functions": sorted(facts.functions),
        "has_where": facts.has_where,
        "reason": opaque.reason if opaque else None,
        "facts": facts_document(facts),
    }


def _name(table: TableName) -> str:
    """A change of a schema names no table in it."""
    return str(table) if table.name else table.schema
