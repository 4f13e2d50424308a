"""People who don't exist: names, addresses and numbers of the right form, from a seeded generator.

E-mail addresses are in domains reserved for examples (RFC 2606) and telephone numbers in ranges
reserved for fiction; SSNs and cards have valid formats and belong to nobody known to us.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import Final

GIVEN_AND_FAMILY: Final = (
    ("James Mary Robert Patricia Olivia Ethan Grace", "Smith Johnson Brown Davis Miller Clark"),
    ("María José Lucía Alejandro Sofía Mateo Ximena", "García Núñez Hernández Muñoz Peña Ibáñez"),
    ("Adaeze Chinua Ngozi Emeka Folake Tunde Yewande", "Okafor Adeyemi Balogun Eze Nwosu Obi"),
    ("Wei Xiu Jing Hao Mei Jun Lan", "Li Wang Zhang Chen Liu Zhao"),
    ("Aarav Priya Ananya Rohan Kavya Arjun Meera", "Sharma Patel Iyer Reddy Banerjee Kaur"),
    ("Yuki Haruto Sakura Ren Aoi Sota Hina", "Tanaka Suzuki Sato Watanabe Ito Kobayashi"),
    ("Minh Linh Tuan Thao Quang Huong Duc", "Nguyễn Trần Lê Phạm Hoàng Đặng"),
    ("Fatima Omar Layla Yusuf Amina Karim Noor", "Haddad Khalil Mansour Rahman Aziz Saleh"),
    ("Jürgen Anneliese Björn Käthe Sören Ingrid Åsa", "Müller Schäfer Lindström Østergård Weiß"),
    ("Siobhán Cian Aoife Pádraig Niamh Oisín", "O'Brien O'Connor Murphy Byrne Ní-Dhálaigh"),
    ("Élodie François Chloé Étienne Zoé Maël", "Lefèvre Dubois Moreau Bérenger D'Aubigné"),
    ("Katarzyna Łukasz Zofia Paweł Małgorzata", "Wiśniewski Kowalczyk Wójcik Zieliński"),
    ("Olga Dmitri Anastasia Sergei Irina", "Ivanova Petrov Volkov Sokolova Kuznetsov"),
    ("Kealoha Leilani Kai Makoa Nalani", "Kahananui Kamaka Akana Kealoha"),
    ("Ji-woo Seo-yeon Min-jun Ha-eun Do-yun", "Kim Park Choi Jung Kang"),
    ("Thandiwe Sipho Lindiwe Themba Nomvula", "Dlamini Khumalo Nkosi Ndlovu"),
)
"""Given names and family names by culture; a family keeps to one, as most do."""

CITIES: Final = (
    ("New York", "212"), ("Los Angeles", "213"), ("Chicago", "312"), ("Houston", "713"),
    ("Phoenix", "602"), ("Philadelphia", "215"), ("San Antonio", "210"), ("San Diego", "619"),
    ("Dallas", "214"), ("Austin", "512"), ("Seattle", "206"), ("Denver", "303"),
    ("Boston", "617"), ("Portland", "503"), ("Atlanta", "404"), ("Miami", "305"),
    ("Minneapolis", "612"), ("Honolulu", "808"), ("Detroit", "313"), ("New Orleans", "504"),
)  # fmt: skip
"""With their area codes; 555-0100 to 555-0199 of each is reserved for fiction."""

_PHONE_FORMS: Final = ("({0}) 555-{1}", "{0}-555-{1}", "+1 {0} 555 {1}", "+1-{0}-555-{1}")
_DOMAINS: Final = ("example.com", "example.org", "example.net", "mail.example.com")
_CARD_BEGINNINGS: Final = (("4", 16), ("51", 16), ("55", 16), ("34", 15), ("37", 15), ("6011", 16))
_LETTERS_WITHOUT_PARTS: Final = str.maketrans(
    {"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ß": "ss"}
)
_FIRST_BIRTH: Final = date(1940, 1, 1)
_LAST_BIRTH: Final = date(2006, 12, 31)


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    email: str
    phone: str
    ssn: str
    card: str
    birth_date: date
    city: str


def person(random: Random, number: int) -> Person:
    """Somebody; `number` keeps the e-mail addresses apart."""
    given, family = (random.choice(names.split()) for names in random.choice(GIVEN_AND_FAMILY))
    city, area = random.choice(CITIES)
    return Person(
        name=f"{given} {family}",
        email=f"{_ascii(given)}.{_ascii(family)}{number}@{random.choice(_DOMAINS)}",
        phone=random.choice(_PHONE_FORMS).format(area, f"01{random.randrange(100):02}"),
        ssn=ssn(random),
        card=card(random),
        birth_date=_FIRST_BIRTH + timedelta(random.randrange((_LAST_BIRTH - _FIRST_BIRTH).days)),
        city=city,
    )


def ssn(random: Random) -> str:
    """A number that could be given: no part all zeros, no 666, nothing from 900 on."""
    area = random.choice([*range(1, 666), *range(667, 900)])
    return f"{area:03}-{random.randrange(1, 100):02}-{random.randrange(1, 10_000):04}"


def card(random: Random) -> str:
    """A card number with a known beginning, the length that goes with it and a check digit."""
    beginning, length = random.choice(_CARD_BEGINNINGS)
    missing = length - len(beginning) - 1
    digits = beginning + "".join(str(random.randrange(10)) for _ in range(missing))
    return digits + check_digit(digits)


def check_digit(digits: str) -> str:
    """The digit after these that makes them a number by Luhn's formula (ISO/IEC 7812-1)."""
    doubled = [int(d) * (2 - i % 2) for i, d in enumerate(reversed(digits))]
    total = sum(d - 9 if d > 9 else d for d in doubled)
    return str(-total % 10)


def _ascii(name: str) -> str:
    parts = unicodedata.normalize("NFKD", name.translate(_LETTERS_WITHOUT_PARTS))
    return "".join(c for c in parts.lower() if c.isascii() and c.isalnum())
