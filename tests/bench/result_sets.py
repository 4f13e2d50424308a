"""Result sets as a database would return them, made from a seed: mostly clean, and dense.

`orders` has a note that now and then holds something; in `users` each row holds a name, an e-mail
address and a phone number. Columns have the types that such tables have.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from recordings.events import Column

TABLE: Final = 100
"""The relation that all columns are of."""

_INT4, _TEXT, _BPCHAR, _DATE, _TIMESTAMPTZ, _NUMERIC, _UUID = 23, 25, 1042, 1082, 1184, 1700, 2950

_FIRST: Final = (
    "Ada", "Bela", "Carla", "Dmitri", "Emil", "Farah", "Gita", "Henrik", "Ines", "Jonas",
    "Kofi", "Lena", "Mateo", "Nadia", "Oscar", "Priya", "Quentin", "Rosa", "Stefan", "Tariq",
    "Uma", "Viktor", "Wanda", "Ximena", "Yusuf", "Zoe",
)  # fmt: skip
_SECOND: Final = (
    "Abbott", "Bauer", "Castillo", "Dubois", "Eriksen", "Fischer", "Garcia", "Haddad",
    "Ivanov", "Jansen", "Kim", "Larsen", "Moreau", "Nguyen", "Okafor", "Petrov", "Quinn",
    "Rossi", "Silva", "Tanaka", "Ueda", "Vargas", "Weber", "Xu", "Yilmaz", "Zimmer",
)  # fmt: skip
_HOSTS: Final = ("example.com", "acme.io", "mail.example.org", "contoso.co.uk")
_WORDS: Final = (
    "order", "shipped", "invoice", "customer", "called", "about", "refund", "late", "delivery",
    "please", "check", "account", "see", "ticket", "priority", "resolved", "waiting", "for",
    "the", "payment", "deploy", "failed", "retry", "node", "pod", "restart",
)  # fmt: skip
_BEGIN: Final = datetime(2024, 1, 1)


@dataclass(frozen=True, slots=True)
class Bound:
    """What a second of processor time must carry at least."""

    megabytes: float = 0.0
    rows: float = 0.0

    def __str__(self) -> str:
        return (
            f"at least {self.rows:,.0f} rows/s"
            if self.rows
            else f"at least {self.megabytes:g} MB/s"
        )


@dataclass(frozen=True, slots=True)
class ResultSet:
    """Rows in text format, and the operators of the columns that go under a rule."""

    name: str
    columns: tuple[Column, ...]
    operators: Mapping[str, str]
    rows: Sequence[Sequence[bytes | None]]


def orders(count: int, seed: int, held: float = 0.07) -> ResultSet:
    """Mostly clean: no column rule, everything is searched that its type lets be searched.

    `held`: the part of the rows whose note holds something.
    """
    columns = (
        Column("id", _UUID, TABLE, 1),
        Column("user_id", _INT4, TABLE, 2),
        Column("total", _NUMERIC, TABLE, 3),
        Column("currency", _BPCHAR, TABLE, 4, modifier=7),
        Column("placed", _DATE, TABLE, 5),
        Column("note", _TEXT, TABLE, 6),
    )
    chance = random.Random(seed)
    rows = [_order(chance, held) for _ in range(count)]
    return ResultSet(f"orders, {held:.0%} of rows hold something", columns, {}, rows)


def users(count: int, seed: int) -> ResultSet:
    """Dense: three of six columns go under a rule."""
    columns = (
        Column("id", _INT4, TABLE, 1),
        Column("name", _TEXT, TABLE, 2),
        Column("email", _TEXT, TABLE, 3),
        Column("phone", _TEXT, TABLE, 4),
        Column("created", _TIMESTAMPTZ, TABLE, 5),
        Column("status", _TEXT, TABLE, 6),
    )
    operators = {"name": "pseudonym(people)", "email": "email", "phone": "keep_last(4)"}
    chance = random.Random(seed)
    rows = [_user(chance, number) for number in range(count)]
    return ResultSet("users, dense, 3 of 6 columns masked", columns, operators, rows)


def _order(chance: random.Random, held: float) -> list[bytes | None]:
    note = " ".join(chance.choice(_WORDS) for _ in range(chance.randrange(4, 12)))
    if chance.random() < held:
        note += chance.choice(_HELD)(chance)
    cells = (
        str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        str(chance.randrange(1, 200_000)),
        f"{chance.randrange(5000)}.{chance.randrange(100):02}",
        chance.choice(("USD", "EUR", "GBP")),
        f"{_moment(chance):%Y-%m-%d}",
        note,
    )
    return [cell.encode() for cell in cells]


def _user(chance: random.Random, number: int) -> list[bytes | None]:
    first, second = chance.choice(_FIRST), chance.choice(_SECOND)
    unique = f"{chance.randrange(100_000):05}"
    cells = (
        str(100_000 + number),
        f"{first} {second} {unique}",
        f"{first}.{second}{unique}@{chance.choice(_HOSTS)}".lower(),
        _phone(chance),
        f"{_moment(chance).isoformat(sep=' ')}+00",
        chance.choice(("active", "disabled", "pending", "invited")),
    )
    return [cell.encode() for cell in cells]


def _moment(chance: random.Random) -> datetime:
    return _BEGIN + timedelta(seconds=chance.randrange(60_000_000))


def _phone(chance: random.Random) -> str:
    area, exchange = chance.randrange(201, 990), chance.randrange(201, 990)
    return f"+1-{area}-{exchange}-{chance.randrange(10_000):04}"


def _card(chance: random.Random) -> str:
    """A number of 16 digits with its check digit (ISO/IEC 7812-1)."""
    digits = [4, *(chance.randrange(10) for _ in range(14))]
    doubled = (2 * d - 9 * (d > 4) for d in digits[::2])
    check = -(sum(doubled) + sum(digits[1::2])) % 10
    return "".join(map(str, [*digits, check]))


def _iban(chance: random.Random) -> str:
    """A German one with its check digits (ISO 13616)."""
    account = f"{chance.randrange(10**18):018}"
    check = 98 - int(f"{account}131400") % 97
    return f"DE{check:02}{account}"


def _social(chance: random.Random) -> str:
    area, group = chance.randrange(100, 665), chance.randrange(1, 99)
    return f"{area}-{group:02}-{chance.randrange(1, 9999):04}"


_HELD: Final[Sequence[Callable[[random.Random], str]]] = (
    lambda chance: f" call {_phone(chance)}",
    lambda chance: f" call {_phone(chance)}",
    lambda chance: f" mail {chance.choice(_FIRST).lower()}@{chance.choice(_HOSTS)}",
    lambda chance: f" mail {chance.choice(_SECOND).lower()}@{chance.choice(_HOSTS)}",
    lambda chance: f" card {_card(chance)}",
    lambda chance: f" iban {_iban(chance)}",
    lambda chance: f" ssn {_social(chance)}",
)
