"""Which columns are searched for names of people and places, and by whom."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from masking.ner import NoNames, name_worker
from masking.scanning import SpanFinder
from policies.sql.facts import TableName
from server.config import Configuration, Target


def names_of(target: Target) -> Mapping[tuple[TableName, str], tuple[str, ...]]:
    """The target's columns of free text and what is looked for in each."""
    return {
        (TableName(each.column.schema, each.column.table), each.column.column): each.entities
        for each in target.ner
    }


def wanted_names(configuration: Configuration) -> frozenset[str]:
    """What any column is searched for."""
    return frozenset(
        entity
        for target in configuration.targets.values()
        for each in target.ner
        for entity in each.entities
    )


@asynccontextmanager
async def searching_names(configuration: Configuration) -> AsyncIterator[SpanFinder]:
    """A worker for the names that any column wants; none where no column wants any."""
    wanted = wanted_names(configuration)
    if not wanted:
        yield NoNames()
        return
    async with name_worker(sorted(wanted)) as worker:
        yield worker
