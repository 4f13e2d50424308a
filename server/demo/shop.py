"""The sample database `shop`: the same customers, orders and notes each time it is made.

Two roles with passwords that only the gateway's state directory holds: the reader may SELECT, the
writer owns the tables, so that in the database itself nothing stands between it and DROP TABLE.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Final

import asyncpg

from server.demo.people import Person, person
from server.demo.support_notes import note
from server.system_account import write_private

DATABASE: Final = "shop"
SEED: Final = 20260101
CUSTOMERS: Final = 3_000
ORDERS: Final = 9_000
NOTES: Final = 2_500

_SCHEMA: Final = Path(__file__).parent / "shop.sql"
_OPENED: Final = datetime(2023, 1, 2, 9, tzinfo=UTC)
_MINUTES: Final = 3 * 365 * 24 * 60
_STATES: Final = ("new", "paid", "paid", "shipped", "shipped", "shipped", "returned", "cancelled")
_AUTHORS: Final = ("dana", "kofi", "mirela", "sanjay", "yara")
_RELATIONS: Final = (
    "customers", "products", "orders", "order_items", "support_notes",
    "customer_contacts", "revenue_by_city",
)  # fmt: skip
_THINGS: Final = ("Kettle", "Lamp", "Chair", "Backpack", "Notebook", "Headphones", "Jacket", "Mug")
_KINDS: Final = ("Classic", "Compact", "Travel", "Studio", "Outdoor")

Cell = int | str | Decimal | date | datetime


@dataclass(frozen=True, slots=True)
class Table:
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]]


@dataclass(frozen=True, slots=True)
class Role:
    """A login of the shop's; `create` makes it."""

    user: str
    password: str


@dataclass(frozen=True, slots=True)
class Roles:
    reader: Role
    writer: Role


def tables() -> Mapping[str, Table]:
    """Every row of the shop, in the order in which tables refer to each other."""
    random = Random(SEED)  # noqa: S311 - the same each time is what it is for
    people = [person(random, number) for number in range(1, CUSTOMERS + 1)]
    products = _products(random)
    orders, items = _orders(random, products)
    return {
        "customers": _customers(random, people),
        "products": products,
        "orders": orders,
        "order_items": items,
        "support_notes": _notes(random, people),
    }


def _moment(random: Random) -> datetime:
    return _OPENED + timedelta(minutes=random.randrange(_MINUTES))


def _customers(random: Random, people: list[Person]) -> Table:
    columns = "id name email phone ssn card birth_date city joined_at"
    rows: list[tuple[Cell, ...]] = [
        (n, p.name, p.email, p.phone, p.ssn, p.card, p.birth_date, p.city, _moment(random))
        for n, p in enumerate(people, 1)
    ]
    return Table(tuple(columns.split()), rows)


def _products(random: Random) -> Table:
    names = [f"{kind} {thing}" for thing in _THINGS for kind in _KINDS]
    prices = [Decimal(random.randrange(495, 29_995)) / 100 for _ in names]
    rows: list[tuple[Cell, ...]] = list(zip(range(1, len(names) + 1), names, prices, strict=True))
    return Table(("id", "name", "price"), rows)


def _orders(random: Random, products: Table) -> tuple[Table, Table]:
    prices = {row[0]: row[2] for row in products.rows}
    orders = Table(("id", "customer_id", "placed_at", "status", "total"), [])
    items = Table(("order_id", "line", "product_id", "quantity", "unit_price"), [])
    for number in range(1, ORDERS + 1):
        bought = list(_bought(random, number, prices))
        total = sum((price * quantity for *_, quantity, price in bought), Decimal())
        customer, status = random.randint(1, CUSTOMERS), random.choice(_STATES)
        orders.rows.append((number, customer, _moment(random), status, total))
        items.rows.extend(bought)
    return orders, items


def _bought(
    random: Random, order: int, prices: Mapping[Cell, Cell]
) -> Iterator[tuple[int, int, int, int, Decimal]]:
    for line in range(1, random.randint(1, 3) + 1):
        product = random.randint(1, len(prices))
        price = prices[product]
        assert isinstance(price, Decimal)  # noqa: S101 - narrows the type
        yield order, line, product, random.randint(1, 3), price


def _notes(random: Random, people: list[Person]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for number in range(1, NOTES + 1):
        customer = random.randint(1, CUSTOMERS)
        author = random.choice(_AUTHORS)
        body = note(random, people[customer - 1])
        rows.append((number, customer, _moment(random), author, body))
    return Table(("id", "customer_id", "written_at", "author", "body"), rows)


# --- into a database -----------------------------------------------------------------------------


def roles_in(directory: Path) -> Roles:
    """The two roles with their passwords from files of `directory`, made at first use (0600)."""
    reader, writer = "ostiary_reader", "ostiary_writer"
    return Roles(
        Role(reader, _password(directory / f"{reader}.password")),
        Role(writer, _password(directory / f"{writer}.password")),
    )


def _password(path: Path) -> str:
    if not path.exists():
        write_private(path, secrets.token_urlsafe(24))
    return path.read_text().strip()


async def create(superuser: asyncpg.Connection, roles: Roles) -> None:
    """Fill an empty database over a connection to it, and let the roles in; all or nothing."""
    async with superuser.transaction():
        await superuser.execute(_SCHEMA.read_text())
        for name, table in tables().items():
            await superuser.copy_records_to_table(name, records=table.rows, columns=table.columns)
        await superuser.execute(await _grants(superuser, roles))
    await superuser.execute("ANALYZE")


async def _grants(superuser: asyncpg.Connection, roles: Roles) -> str:
    reader, writer = roles.reader.user, roles.writer.user
    owned = (f"ALTER TABLE {name} OWNER TO {writer}" for name in _RELATIONS)
    statements = [
        *[await _role(superuser, role) for role in (roles.reader, roles.writer)],
        f"GRANT USAGE ON SCHEMA public TO {reader}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader}",
        f"GRANT USAGE, CREATE ON SCHEMA public TO {writer}",
        *owned,
    ]
    return ";".join(statements)


async def _role(superuser: asyncpg.Connection, role: Role) -> str:
    """Roles belong to the whole server: one that an earlier shop had is used, with our password."""
    known = await superuser.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role.user)
    statement: str = await superuser.fetchval(
        "SELECT format('%s ROLE %I LOGIN PASSWORD %L', $1::text, $2::text, $3::text)",
        "ALTER" if known else "CREATE",
        role.user,
        role.password,
    )
    return statement
