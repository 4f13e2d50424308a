"""Notes of the shop's support: free text, into which people write what they should not."""

from __future__ import annotations

import re
import string
from random import Random
from typing import Final

from server.demo.people import Person

_HARMLESS: Final = (
    "Asked when the parcel arrives. Sent the tracking link.",
    "Parcel came damaged, replacement sent the same day.",
    "Wants an invoice for the second half of the year.",
    "Praised the packaging. No action needed.",
    "Asked whether the lamp takes E27 bulbs. It does.",
    "Returned the jacket, size too small, refund booked.",
)

_PERSONAL: Final = (
    "{name} called, wants the parcel left with the neighbour. Call back on {phone}.",
    "Mail bounced. New address is {email}, old one to be deleted.",
    "Identity checked: born {birth}, SSN {ssn}.",
    "Customer read out card {card}, told them never to do that again.",
    "Spoke with {name} ({phone}); confirmation goes to {email}.",
    "{name} moved to {city}. Letters to the new address, mail to {email} as before.",
    "Double charge on {card}, refunded one. Confirmed by phone, {phone}.",
)

_SECRET: Final = (
    'Could not log in. Gave us the password by mail: "{password}". Asked them to change it.',
    "{name} pasted an access key into the chat: {access_key}. Reported to security.",
    "Integration partner, contact {email}. Their API key is {api_key}, stored here for now.",
    "Reset done. Temporary password: {password}",
)

_WORDS: Final = ("Sunny", "Tiger", "Marble", "Harbor", "Velvet", "Comet")


_SECRETS: Final = re.compile(
    r"\d{3}-\d{2}-\d{4}|\d{4} \d{4,6} \d{4,5}(?: \d{1,4})?|\S+@\S+?\.(?:com|org|net)\b"
    r"|AKIA\w{16}|sk_live_\w{24}|555.01\d\d|(?<=[Pp]assword: )\S+"
)


def secrets_in(body: str) -> list[str]:
    """What one of these notes holds that should not leave: numbers, addresses, keys, passwords."""
    return _SECRETS.findall(body)


def note(random: Random, about: Person) -> str:
    """One note; most say something personal, some hold a password or a key."""
    share = random.random()
    if share < 0.25:
        return random.choice(_HARMLESS)
    template = random.choice(_PERSONAL if share < 0.85 else _SECRET)
    return template.format(
        name=about.name,
        email=about.email,
        phone=about.phone,
        ssn=about.ssn,
        card=_spaced(about.card),
        city=about.city,
        birth=about.birth_date.isoformat(),
        password=f"{random.choice(_WORDS)}{random.randrange(1000, 9999)}!",
        access_key="AKIA" + _letters(random, 16, string.ascii_uppercase + "234567"),
        api_key="sk_live_" + _letters(random, 24, string.ascii_letters + string.digits),
    )


def _letters(random: Random, count: int, alphabet: str) -> str:
    return "".join(random.choice(alphabet) for _ in range(count))


def _spaced(card: str) -> str:
    return " ".join(card[i : i + 4] for i in range(0, len(card), 4))
