"""Where the server says that a result's columns are from: names -> the catalog's numbers.

It is the server's word alone, in which aliases of the statement may stand: masks are added by it,
and none is left out.
"""

from __future__ import annotations

from dataclasses import replace

from policies.sql.catalog import Catalog, Relation
from policies.sql.facts import TableName
from recordings.events import Column, Columns


def with_numbers(event: Columns, catalog: Catalog | None) -> Columns:
    """The columns with the numbers of their relations, 0 where the names mean none."""
    if catalog is None:
        return event
    return replace(event, columns=tuple(_numbered(column, catalog) for column in event.columns))


def _numbered(column: Column, catalog: Catalog) -> Column:
    origin = column.origin
    if origin is None or not origin.org_table:
        return column
    relation = _relation(origin.schema, origin.org_table, catalog)
    if relation is None:
        return column
    name = origin.org_name.lower()
    number = next((c.number for c in relation.columns if c.name.lower() == name), 0)
    return replace(column, table=relation.oid if number else 0, number=number)


def _relation(schema: str, name: str, catalog: Catalog) -> Relation | None:
    found = catalog.relations.get(TableName(schema, name))
    if found is None and catalog.ignores_case:
        return catalog.relations.get(TableName(schema.lower(), name.lower()))
    return found
