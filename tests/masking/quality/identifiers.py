"""Values that name a person or an account, as infrastructure's texts hold them."""

from __future__ import annotations

from hashlib import sha256
from random import Random
from urllib.parse import quote

from tests.masking.quality.samples import Kind, digits, draw, encoded, host, word

_RFC_5321 = "https://www.rfc-editor.org/rfc/rfc5321#section-4.1.2"
_ISO_7812 = "https://www.iso.org/standard/70484.html"
_ISO_13616 = "https://www.swift.com/standards/data-standards/iban-international-bank-account-number"
_E164 = "https://www.itu.int/rec/T-REC-E.123"
_SSA = "https://www.ssa.gov/employer/randomization.html"
_BITCOIN = "https://en.bitcoin.it/wiki/Base58Check_encoding"

_FIRST = "ana bob chen dara emeka farid grace hugo ines juan kofi lena marta nils olga".split()
_LAST = "garcia smith wei obi haddad jansen novak okafor rossi tanaka weber".split()
_DOMAINS = ("example.com", "example.co.uk", "mail.example.org", "corp.example", "example.museum")


def _name(random: Random) -> str:
    return f"{random.choice(_FIRST)}.{random.choice(_LAST)}{random.randint(1, 99)}"


def _email(random: Random) -> str:
    return f"{_name(random)}@{random.choice(_DOMAINS)}"


def _contact(random: Random) -> str:
    return f'{{"contact": "{_email(random)}", "id": {random.randint(1, 999)}}}'


def _internal_email(random: Random) -> str:
    return f"{_name(random)}@{host(random)}"


def _with_check_digit(number: str) -> str:
    """ISO/IEC 7812-1, annex B."""
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return number + str(-total % 10)


def _card(random: Random, prefix: str, length: int) -> str:
    return _with_check_digit(prefix + digits(random, length - len(prefix) - 1))


_NETWORKS = (  # https://en.wikipedia.org/wiki/Payment_card_number
    ("4", 16), ("4", 13), ("4", 19), ("51", 16), ("55", 16), ("2221", 16), ("2720", 16),
    ("34", 15), ("37", 15), ("6011", 16), ("36", 14), ("3530", 16), ("6304", 12), ("6759", 16),
    ("62", 16), ("2200", 16),
)  # fmt: skip


def _any_card(random: Random) -> str:
    return _card(random, *random.choice(_NETWORKS))


def _grouped(random: Random, separator: str) -> str:
    number = _card(random, random.choice(("4", "53", "2500")), 16)
    return separator.join(number[n : n + 4] for n in range(0, 16, 4))


def _over_two_lines(grouped: str) -> str:
    return f"{grouped[:9]}\n{grouped[10:]}"


def _iban(random: Random) -> str:
    country, account = random.choice(
        (
            ("DE", digits(random, 18)),
            ("GB", draw(random, "ABCDEFGHIJKLMNOPQRSTUVWXYZ", 4) + digits(random, 14)),
            ("NO", digits(random, 11)),
            ("FR", digits(random, 23)),
            ("NL", draw(random, "ABCDEFGHIJKLMNOPQRSTUVWXYZ", 4) + digits(random, 10)),
            ("ES", digits(random, 20)),
        )
    )
    numbers = "".join(str(int(c, 36)) for c in f"{account}{country}00")
    return f"{country}{98 - int(numbers) % 97:02d}{account}"


def _iban_in_groups(random: Random, separator: str) -> str:
    iban = _iban(random)
    return separator.join(iban[n : n + 4] for n in range(0, len(iban), 4))


def _ssn(random: Random, separator: str) -> str:
    area = random.choice([*range(1, 666), *range(667, 900)])
    group, serial = random.randint(1, 99), random.randint(1, 9999)
    return f"{area:03d}{separator}{group:02d}{separator}{serial:04d}"


def _us_phone(random: Random) -> tuple[str, str, str]:
    area = random.choice("212 213 305 312 415 503 617 702 917 206".split())
    return area, str(random.randint(200, 999)), f"{random.randint(0, 9999):04d}"


_PHONES = ("({}) {}-{}", "{}-{}-{}", "+1 {} {} {}", "+1-{}-{}-{}", "{}.{}.{}")


def _phone(random: Random) -> str:
    return random.choice(_PHONES).format(*_us_phone(random))


def _foreign_phone(random: Random) -> str:
    return random.choice(
        (
            f"+49 30 {digits(random, 7)}",
            f"+44 20 7946 {random.randint(0, 999):04d}",
            f"+33 1 42 68 {random.randint(10, 99)} {random.randint(10, 99)}",
            f"+5511 9{random.randint(1000, 9999)}-{random.randint(1000, 9999)}",
        )
    )


def _log_time(random: Random) -> str:
    return f"2026-0{random.randint(1, 9)}-1{random.randint(0, 9)}T1{random.randint(0, 9)}:02:03Z"


def _bitcoin(random: Random) -> str:
    payload = b"\x00" + random.randbytes(20)
    checked = payload + sha256(sha256(payload).digest()).digest()[:4]
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    number, written = int.from_bytes(checked, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        written = alphabet[rest] + written
    return "1" + written


EMAIL = "EMAIL_ADDRESS"
CARD = "CREDIT_CARD"
IBAN = "IBAN_CODE"
PHONE = "PHONE_NUMBER"
SSN = "US_SSN"

KINDS = (
    Kind("bare e-mail", EMAIL, _RFC_5321, lambda r: f"⟦{_email(r)}⟧"),
    Kind("e-mail with a tag", EMAIL, _RFC_5321,
         lambda r: f"From: ⟦{_name(r)}+{word(r)}@example.com⟧"),
    Kind("internal e-mail", EMAIL, _RFC_5321,
         lambda r: f"{_log_time(r)} login ok user=⟦{_internal_email(r)}⟧ from 10.0.0.7"),
    Kind("e-mail in a path", EMAIL, _RFC_5321,
         lambda r: f'"GET /users/⟦{_email(r)}⟧/orders HTTP/1.1" 200 512'),
    Kind("e-mail in a query", EMAIL, "https://url.spec.whatwg.org/#urlencoded-serializing",
         lambda r: f"POST /login email=⟦{_email(r).replace('@', '%40')}⟧&next=/"),
    Kind("e-mail in JSON", EMAIL, "https://www.rfc-editor.org/rfc/rfc8259",
         lambda r: f'{{"id": 7, "contact": "⟦{_email(r)}⟧"}}'),
    Kind("e-mail in JSON in base64", EMAIL, "https://www.rfc-editor.org/rfc/rfc4648",
         lambda r: f"payload=⟦{encoded(_contact(r))}⟧"),
    Kind("git author", EMAIL, "https://git-scm.com/docs/git-log",
         lambda r: f"Author: {_name(r)} <⟦{_email(r)}⟧>"),
    Kind("bare card", CARD, _ISO_7812, lambda r: f"⟦{_any_card(r)}⟧"),
    Kind("card in groups", CARD, _ISO_7812, lambda r: f"paid with ⟦{_grouped(r, ' ')}⟧ exp 12/29"),
    Kind("card with dashes", CARD, _ISO_7812, lambda r: f"card: ⟦{_grouped(r, '-')}⟧"),
    Kind("card with other separators", CARD, _ISO_7812,
         lambda r: f"⟦{_grouped(r, r.choice('._/'))}⟧"),
    Kind("card over two lines", CARD, _ISO_7812,
         lambda r: f"⟦{_over_two_lines(_grouped(r, ' '))}⟧"),
    Kind("card in a CSV line", CARD, "https://www.rfc-editor.org/rfc/rfc4180",
         lambda r: f"{r.randint(1, 9999)},{word(r)},⟦{_any_card(r)}⟧,EUR,19.99"),
    Kind("bare IBAN", IBAN, _ISO_13616, lambda r: f"⟦{_iban(r)}⟧"),
    Kind("IBAN in groups", IBAN, _ISO_13616,
         lambda r: f"transfer to ⟦{_iban_in_groups(r, ' ')}⟧ today"),
    Kind("IBAN in lower case", IBAN, _ISO_13616, lambda r: f"iban=⟦{_iban(r).lower()}⟧"),
    Kind("IBAN with dashes", IBAN, _ISO_13616, lambda r: f"⟦{_iban_in_groups(r, '-')}⟧"),
    Kind("SSN with dashes", SSN, _SSA, lambda r: f"ssn ⟦{_ssn(r, '-')}⟧"),
    Kind("bare SSN with dashes", SSN, _SSA, lambda r: f"⟦{_ssn(r, '-')}⟧"),
    Kind("SSN with blanks", SSN, _SSA, lambda r: f"social security no. ⟦{_ssn(r, ' ')}⟧"),
    Kind("SSN without separators", SSN, _SSA, lambda r: '{"ssn": "⟦' + _ssn(r, "") + '⟧"}'),
    Kind("US phone", PHONE, _E164, lambda r: f"call ⟦{_phone(r)}⟧ for access"),
    Kind("bare US phone", PHONE, _E164, lambda r: f"⟦{_phone(r)}⟧"),
    Kind("phone with extension", PHONE, _E164, lambda r: f"⟦{_phone(r)} ext. {r.randint(10, 99)}⟧"),
    Kind("foreign phone", PHONE, _E164, lambda r: f"on-call: ⟦{_foreign_phone(r)}⟧"),
    Kind("phone in a query", PHONE, "https://www.rfc-editor.org/rfc/rfc3986#section-2.1",
         lambda r: f"GET /sms?to=⟦{quote('+1 {} {} {}'.format(*_us_phone(r)), safe='')}⟧"),
    Kind("Bitcoin address", "CRYPTO", _BITCOIN, lambda r: f"wallet ⟦{_bitcoin(r)}⟧"),
)  # fmt: skip
