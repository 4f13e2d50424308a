"""The sample database: what is in it, and who may do what with it."""

from __future__ import annotations

import asyncio
import re
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path

import asyncpg
import pytest

from server.demo import shop
from server.demo.people import check_digit
from tests.fixtures.postgres import PostgresDatabase, execute

REPOSITORY = Path(__file__).parents[2]
DIGEST = """
import hashlib
from server.demo import shop
print(hashlib.sha256(repr(shop.tables()).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def customers() -> list[dict[str, shop.Cell]]:
    table = shop.tables()["customers"]
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


@pytest.fixture
def roles(tmp_path: Path, database: PostgresDatabase) -> Iterator[shop.Roles]:
    """Under names of this test's own, because roles belong to the whole server."""
    made = shop.roles_in(tmp_path)
    suffix = database.name.removeprefix("test_")
    reader = shop.Role(f"reader_{suffix}", made.reader.password)
    writer = shop.Role(f"writer_{suffix}", made.writer.password)
    yield shop.Roles(reader, writer)
    drop = (f"DROP OWNED BY {r.user} CASCADE; DROP ROLE {r.user}" for r in (reader, writer))
    asyncio.run(execute(database.dsn, *drop))


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn, timeout=30)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def connected_to_shop(
    database: PostgresDatabase, roles: shop.Roles, role: shop.Role
) -> AsyncIterator[asyncpg.Connection]:
    async with connected(database.dsn) as superuser:
        await shop.create(superuser, roles)
    async with connected(database.dsn_of(role.user, role.password)) as connection:
        yield connection


def test_two_processes_make_the_same_shop() -> None:
    command = [sys.executable, "-c", DIGEST]
    runs = [subprocess.run(command, cwd=REPOSITORY, capture_output=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout
    assert len(runs[0].stdout.strip()) == 64


def test_the_shop_has_twenty_thousand_rows_and_each_table_some() -> None:
    counts = {name: len(table.rows) for name, table in shop.tables().items()}
    assert sum(counts.values()) >= 20_000
    assert min(counts.values()) >= 30


def test_social_security_numbers_could_have_been_given(
    customers: list[dict[str, shop.Cell]],
) -> None:
    given = re.compile(r"(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}")
    assert all(given.fullmatch(str(c["ssn"])) for c in customers)


@pytest.mark.parametrize(
    ("digits", "check"), [("411111111111111", "1"), ("37828224631000", "5"), ("7992739871", "3")]
)
def test_the_check_digit_is_luhns(digits: str, check: str) -> None:
    assert check_digit(digits) == check


def test_cards_have_valid_check_digits_and_lengths(customers: list[dict[str, shop.Cell]]) -> None:
    cards = [str(c["card"]) for c in customers]
    assert all(check_digit(card[:-1]) == card[-1] for card in cards)
    assert {len(card) for card in cards} == {15, 16}


def test_mail_addresses_are_unique_and_in_domains_for_examples(
    customers: list[dict[str, shop.Cell]],
) -> None:
    addresses = [str(c["email"]) for c in customers]
    reserved = re.compile(r"[a-z0-9.]+@(?:[a-z]+\.)?example\.(?:com|net|org)")
    assert all(reserved.fullmatch(address) for address in addresses)
    assert len(set(addresses)) == len(addresses)


def test_telephone_numbers_are_from_the_range_for_fiction(
    customers: list[dict[str, shop.Cell]],
) -> None:
    fictional = re.compile(r"\D*1?\D*\d{3}\D+555\D01\d\d")
    assert all(fictional.fullmatch(str(c["phone"])) for c in customers)


def test_names_come_from_many_cultures(customers: list[dict[str, shop.Cell]]) -> None:
    names = {str(c["name"]) for c in customers}
    assert len(names) > 400
    assert sum(not name.isascii() for name in names) > 50
    assert any("'" in name for name in names)


def test_everybody_was_born_before_they_could_order(
    customers: list[dict[str, shop.Cell]],
) -> None:
    births = [c["birth_date"] for c in customers]
    assert all(isinstance(b, date) and date(1940, 1, 1) <= b < date(2007, 1, 1) for b in births)


@pytest.mark.parametrize(
    "pattern",
    [
        r"\d{3}-\d{2}-\d{4}",
        r"@\S*example\.",
        r"555\D01\d\d",
        r"\d{4} \d{4} \d{4}",
        r"AKIA[A-Z2-7]{16}",
        r"sk_live_\w{24}",
        r"password",
    ],
)
def test_some_notes_hold_what_should_not_be_there(pattern: str) -> None:
    bodies = [str(row[-1]) for row in shop.tables()["support_notes"].rows]
    found = sum(re.search(pattern, body) is not None for body in bodies)
    assert 10 < found < len(bodies) / 2


def test_passwords_are_made_once_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    first = shop.roles_in(tmp_path)
    assert shop.roles_in(tmp_path) == first
    assert first.reader.password != first.writer.password
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.anyio
async def test_every_row_arrives_in_a_real_database(
    database: PostgresDatabase, roles: shop.Roles
) -> None:
    async with connected_to_shop(database, roles, roles.reader) as reader:
        for name, table in shop.tables().items():
            assert await reader.fetchval(f"SELECT count(*) FROM {name}") == len(table.rows)
        assert await reader.fetchval("SELECT count(*) FROM customer_contacts") == shop.CUSTOMERS


@pytest.mark.anyio
async def test_the_total_of_an_order_is_that_of_its_items(
    database: PostgresDatabase, roles: shop.Roles
) -> None:
    wrong = (
        "SELECT count(*) FROM orders WHERE total <> (SELECT sum(quantity * unit_price)"
        " FROM order_items WHERE order_id = orders.id)"
    )
    async with connected_to_shop(database, roles, roles.reader) as reader:
        assert await reader.fetchval(wrong) == 0


@pytest.mark.anyio
async def test_the_reader_can_not_write(database: PostgresDatabase, roles: shop.Roles) -> None:
    async with connected_to_shop(database, roles, roles.reader) as reader:
        for statement in ("DELETE FROM support_notes", "CREATE TABLE mine ()", "DROP TABLE orders"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await reader.execute(statement)


@pytest.mark.anyio
async def test_in_the_database_nothing_keeps_the_writer_from_dropping_a_table(
    database: PostgresDatabase, roles: shop.Roles
) -> None:
    async with connected_to_shop(database, roles, roles.writer) as writer:
        await writer.execute("UPDATE orders SET status = 'paid' WHERE id = 1")
        await writer.execute("DROP TABLE customers CASCADE")
        assert await writer.fetchval("SELECT to_regclass('customers')") is None


@pytest.mark.anyio
async def test_a_role_that_is_there_gets_the_new_password(
    database: PostgresDatabase, roles: shop.Roles
) -> None:
    async with connected(database.dsn) as superuser:
        await superuser.execute(f"CREATE ROLE {roles.reader.user} LOGIN PASSWORD 'an older one'")
    async with connected_to_shop(database, roles, roles.reader) as reader:
        assert await reader.fetchval("SELECT current_user") == roles.reader.user
