"""Values to plant: cards, social security numbers, IBANs, addresses and keys, in their formats.

Written apart from the recognizers: check digits and lengths are of the standards (ISO/IEC 7812,
ISO 13616), formats those that people and vendors write.
"""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Final

_ALNUM: Final = string.ascii_letters + string.digits
_IBANS: Final = {"DE": 18, "FR": 23, "NL": 0, "ES": 20, "NO": 11, "PL": 24, "BE": 12, "GB": 0}
_CARDS: Final = (("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("34", 15), ("6011", 16))


@dataclass(frozen=True, slots=True)
class Planted:
    """One value: `kind` of entity, as it is `written`, and the `core` that must not be read."""

    kind: str
    format: str
    written: str
    core: str


def _digits(chance: random.Random, number: int) -> str:
    return "".join(chance.choice(string.digits) for _ in range(number))


def _some(chance: random.Random, number: int, of: str = _ALNUM) -> str:
    return "".join(chance.choice(of) for _ in range(number))


def card_number(chance: random.Random) -> str:
    """A number with a check digit (Luhn)."""
    prefix, length = chance.choice(_CARDS)
    body = prefix + _digits(chance, length - len(prefix) - 1)
    doubled = [int(d) * (2 if i % 2 == 0 else 1) for i, d in enumerate(reversed(body))]
    return body + str(-sum(d - 9 if d > 9 else d for d in doubled) % 10)


def iban(chance: random.Random) -> str:
    """A number with check digits (ISO 7064, MOD 97-10)."""
    country = chance.choice(sorted(_IBANS))
    if country == "NL":
        body = _some(chance, 4, string.ascii_uppercase) + _digits(chance, 10)
    elif country == "GB":
        body = _some(chance, 4, string.ascii_uppercase) + _digits(chance, 14)
    else:
        body = _digits(chance, _IBANS[country])
    number = int("".join(str(int(c, 36)) for c in f"{body}{country}00"))
    return f"{country}{98 - number % 97:02}{body}"


def ssn(chance: random.Random) -> tuple[str, str, str]:
    """Area, group and serial number, none of them all zeros, no area that was never given."""
    area = chance.choice([n for n in range(101, 899) if n != 666])
    return str(area), f"{chance.randint(1, 99):02}", f"{chance.randint(1, 9999):04}"


def _grouped(text: str, separator: str) -> str:
    return separator.join(text[i : i + 4] for i in range(0, len(text), 4))


def _card(chance: random.Random, form: str) -> tuple[str, str]:
    number = card_number(chance)
    if len(number) == 15 and form in ("dashes", "spaces"):
        separator = "-" if form == "dashes" else " "
        return separator.join((number[:4], number[4:10], number[10:])), number
    written = {
        "plain": number,
        "dashes": _grouped(number, "-"),
        "spaces": _grouped(number, " "),
        "in a sentence": f"charged {number}, thanks",
    }
    return written[form], number


def _ssn(chance: random.Random, form: str) -> tuple[str, str]:
    parts = ssn(chance)
    written = {
        "dashes": "-".join(parts),
        "spaces": " ".join(parts),
        "dots": ".".join(parts),
        "bare beside a word": f"ssn {''.join(parts)}",
    }
    return written[form], "".join(parts)


def _iban(chance: random.Random, form: str) -> tuple[str, str]:
    number = iban(chance)
    written = {
        "plain": number,
        "grouped": _grouped(number, " "),
        "small letters": number.lower(),
        "in a sentence": f"pay to {number}.",
    }
    return written[form], number.lower()


def _mail(chance: random.Random, form: str) -> tuple[str, str]:
    name = _some(chance, 1, string.ascii_lowercase) + _some(chance, 8, string.ascii_lowercase)
    written = {
        "plain": f"{name}@example.com",
        "plus tag": f"{name}+news@mail.example.co.uk",
        "capitals": f"{name}@Example.ORG".upper(),
        "punycode": f"{name}@xn--bcher-kva.example",
        "intranet": f"{name}@corp.local",
        "in angle brackets": f"Ann <{name}@example.net>",
        "other letters": f"{name}@b\u00fccher.example",
    }
    return written[form], name


def _token(chance: random.Random, form: str) -> tuple[str, str]:
    body = _some(chance, 36)
    wide = _some(chance, 40, _ALNUM + "/+")
    claims = base64.urlsafe_b64encode(json.dumps({"sub": body}).encode()).decode().rstrip("=")
    signature = _some(chance, 43, _ALNUM + "-_")
    key = _some(chance, 16, string.ascii_uppercase + "234567")
    written = {
        "aws key id": (f"AKIA{key}", key),
        "aws secret": (f"aws_secret_access_key = {wide}", wide),
        "github": (f"ghp_{body}", body),
        "stripe": (f"sk_live_{body[:24]}", body[:24]),
        "slack": (f"xoxb-{_digits(chance, 12)}-{_digits(chance, 12)}-{body[:24]}", body[:24]),
        "google": (f"AIza{body[:35]}", body[:35]),
        "jwt": (f"eyJhbGciOiJIUzI1NiJ9.{claims}.{signature}", signature),
        "dsn": (f"postgres://app:{body[:16]}@db.internal:5432/shop", body[:16]),
        "assignment": (f"password={body[:16]}", body[:16]),
        "bearer": (f"Authorization: Bearer {body}", body),
    }
    return written[form]


_Maker = Callable[[random.Random, str], tuple[str, str]]
_KINDS: Final[Mapping[str, tuple[_Maker, Sequence[str]]]] = {
    "card": (_card, ("plain", "dashes", "spaces", "in a sentence")),
    "ssn": (_ssn, ("dashes", "spaces", "dots", "bare beside a word")),
    "iban": (_iban, ("plain", "grouped", "small letters", "in a sentence")),
    "mail": (
        _mail,
        ("plain", "plus tag", "capitals", "punycode", "intranet", "in angle brackets",
         "other letters"),
    ),
    "key": (
        _token,
        ("aws key id", "aws secret", "github", "stripe", "slack", "google", "jwt", "dsn",
         "assignment", "bearer"),
    ),
}  # fmt: skip


def planted(seed: int) -> Iterator[Planted]:
    """Values without an end: every kind in turn, and of each kind every format in turn."""
    chance = random.Random(seed)
    for turn in count():
        for kind, (make, formats) in _KINDS.items():
            form = formats[turn % len(formats)]
            written, core = make(chance, form)
            yield Planted(kind, form, written, core)


_HEX: Final = "0123456789abcdef"
_HARMLESS: Final[Sequence[Callable[[random.Random], str]]] = (
    lambda r: f"2026-11-{r.randint(1, 28):02}T12:{r.randint(0, 59):02}:07.123456Z GET /health 200",
    lambda r: f"pod/web-{_some(r, 10, _HEX)}-{_some(r, 5)} Running 0 {r.randint(1, 99)}d",
    lambda r: f"sha256:{_some(r, 64, _HEX)}",
    lambda r: f"commit {_some(r, 40, _HEX)}",
    lambda r: f"10.{r.randint(0, 255)}.{r.randint(0, 255)}.7:{r.randint(1024, 65535)}",
    lambda r: f"order {_digits(r, 8)} shipped, total {r.randint(1, 999)}.50 EUR",
    lambda r: f"nginx/1.{r.randint(10, 27)}.{r.randint(0, 9)} (Debian) build {_digits(r, 4)}",
    lambda r: f"{_some(r, 8, _HEX)}-1f2e-4a5b-8c7d-{_some(r, 12, _HEX)}",
    lambda r: f"epoch 17{_digits(r, 8)} pid {r.randint(1, 99999)} rss {r.randint(1, 9999999)}kB",
    lambda r: f"arn:aws:iam::{_digits(r, 12)}:role/deploy-{r.randint(1, 99)}",
    lambda r: f"ami-{_some(r, 17, _HEX)} in eu-central-1{r.choice('abc')}",
    lambda r: f"span {r.randint(1, 9999999)} took {r.random():.16f} s",
    lambda r: f"refs/heads/feature/ABC-{r.randint(1, 9999)} -> origin/main",
    lambda r: f"disk 8:{r.randint(0, 15)} read {r.randint(10**9, 10**11)} bytes",
    lambda r: f"image registry.example/team/app:{r.randint(1, 9)}.{r.randint(0, 99)}.7-rc2",
    lambda r: f"password must have {r.randint(8, 20)} characters; token expired",
)


def harmless(seed: int, number: int) -> list[str]:
    """Lines of infrastructure in which nothing is anybody's."""
    chance = random.Random(seed)
    return [_HARMLESS[i % len(_HARMLESS)](chance) for i in range(number)]


def some_planted(seed: int, number: int) -> list[Planted]:
    """The first of them."""
    return list(islice(planted(seed), number))
