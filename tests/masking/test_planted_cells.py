"""Planted values in cells of every type as PostgreSQL writes them, in text and in binary format."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import psycopg
import pytest

from masking.engine import Scanner
from masking.forms import form_of
from masking.shapes import ColumnShape
from tests.e2e.test_planted import COLUMNS, TYPES, leaks, plant, rows_of
from tests.fixtures.postgres import PostgresServer, execute
from tests.masking.planting import some_planted

pytestmark = pytest.mark.anyio

LONGEST = 5000  # characters


@dataclass(frozen=True, slots=True)
class Database:
    dsn: str

    @asynccontextmanager
    async def direct(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        connection = await asyncpg.connect(self.dsn, timeout=10)
        try:
            yield connection
        finally:
            await connection.close()


@pytest.fixture
async def database(postgres: PostgresServer) -> AsyncIterator[Database]:
    name = f"planted_{secrets.token_hex(4)}"
    await execute(postgres.dsn("postgres"), f"CREATE DATABASE {name}")
    made = Database(postgres.dsn(name))
    await execute(made.dsn, TYPES)
    yield made
    await execute(postgres.dsn("postgres"), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize(
    "number", [300, pytest.param(5000, marks=pytest.mark.full)], ids=["a slice", "all"]
)
async def test_no_cell_of_any_type_shows_what_was_planted_in_it(
    database: Database, scanner: Scanner, number: int
) -> None:
    """What can't be read in binary format is withheld, and counts as hidden."""
    rows = {row.id: row for row in rows_of(some_planted(number, number)) if len(row.text) < LONGEST}
    await plant(database, list(rows.values()), ["x"])
    shown = [
        (shape.name, shape.binary, rows[row].value, cell)
        for shape, row, cell in _cells(database.dsn)
        if _shows(scanner, shape, cell, rows[row].value.core)
    ]
    assert shown == []


def _cells(dsn: str) -> Iterator[tuple[ColumnShape, int, bytes]]:
    with psycopg.connect(dsn) as connection:
        for column in COLUMNS:
            for binary in (False, True):
                cursor = connection.cursor(binary=binary)
                where = f"WHERE {column.name} IS NOT NULL"
                cursor.execute(f"SELECT id::text, {column.name} FROM planted {where}".encode())
                result = cursor.pgresult
                assert result is not None
                shape = ColumnShape(column.name, result.ftype(1), result.fmod(1), binary)
                for number in range(result.ntuples):
                    key, cell = result.get_value(number, 0), result.get_value(number, 1)
                    assert key is not None
                    assert cell is not None
                    yield shape, int(key), cell


def _shows(scanner: Scanner, shape: ColumnShape, cell: bytes, core: str) -> bool:
    form = form_of(shape)
    if form is None:
        return True
    try:
        found = scanner.spans(form.texts(cell), shape.name)
    except ValueError:
        return False  # the masker makes it NULL
    if not any(found):
        return True
    left = form.rewrite(cell, found)
    return left is not None and leaks(left.decode("utf-8", "replace"), core)
