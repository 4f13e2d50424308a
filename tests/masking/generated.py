"""Generated cells for tests that compare two ways to find the same: seeded, endless, as real data
repeats itself or at random.

`cells` is what result sets hold, with what is nearly an entity; `fuzzed` is what nobody stores.
"""

from __future__ import annotations

import base64
import string
import uuid
from collections.abc import Callable, Iterator
from random import Random
from typing import Final

import phonenumbers

Cell = tuple[str, str]
"""The column's name, and the text."""

COLUMNS: Final = (
    "", "", "", "note", "id", "status", "order_number", "home_phone", "mobilePhones", "ssn",
    "customer_ssn", "card_no", "iban", "wallet", "description", "calling_code", "t\u00e9l_phone",
)  # fmt: skip

_SEPARATORS: Final = (
    "", "", " ", "-", ".", "/", " - ", ") ", "(", "x", " ext ", "~", "\n", "\r\n", "\u2011",
    "\u00a0", "\u3000", "  ", "+", ",", ";", "#", "_", ":", "\t", "\x1c", "\x00", "\u200b", "\\",
)  # fmt: skip
_WORDS: Final = (
    "phone", "Telephone:", "tel", "mobile", "CELL", "fax", "sms", "msisdn", "whatsapp", "calls",
    "ssn", "social", "security", "ssid", "card", "iban", "bank", "wallet", "btc", "bitcoin",
    "order", "number", "id", "user", "paid", "the", "caf\u00e9", "\u65e5\u672c",
    "\u041c\u0418\u0420",
    "ph\u00f6ne", "\u017fsn", "\u212aey", "Pa\u017f\u017fword", "p\u0430ssword", "\u202ephone",
    "\u0661\u0662\u0663", "\U0001f600", "na\u0308h", "\u0130d", "GET", "error", "timeout", "at",
)  # fmt: skip
_KEYS: Final = (
    "password", "passwd", "PWD", "api_key", "apiKey", "token", "secret", "client_secret",
    "DB_PASSWORD", "private_key", "session_id", "access_token", "aws_secret_access_key", "user",
    "Pa\u017fsword", "to\u212aen",
)  # fmt: skip
_HOSTS: Final = (
    "example.com", "corp.internal", "localhost", "b\u00fccher.example", "xn--80ak6.com",
    "a.b.c.example.org", "sub-domain.example.co.uk", "10.0.0.1",
)  # fmt: skip
_REGIONS: Final = ("US", "GB", "DE", "FR", "IL", "IN", "BR", "CA", "ES", "JP", "AT", "AU", "IT")


def cells(seed: int) -> Iterator[Cell]:
    """Cells as result sets hold them; some come again."""
    random = Random(seed)
    kinds = _ORDINARY + _SENSITIVE
    recent: list[Cell] = [("", "")]
    while True:
        if random.random() < 0.1:  # as a column of few values does
            yield random.choice(recent)
            continue
        text = random.choice(kinds)(random)
        cell = (random.choice(COLUMNS), _placed(random, text))
        recent[len(recent) % 512 :] = [cell]
        yield cell


def repeating(seed: int) -> Iterator[Cell]:
    """`cells` as the columns of a result set repeat them: each some five times in all."""
    random = Random(-1 - seed)
    fresh, recent = cells(seed), list[Cell]()
    for cell in fresh:
        recent.append(cell)
        yield cell
        for _ in range(4):
            yield random.choice(recent)


def fuzzed(seed: int) -> Iterator[Cell]:
    """Entities that are cut, changed, glued together and filled with strange characters."""
    random = Random(seed)
    kinds = _ORDINARY + _SENSITIVE
    while True:
        parts = [random.choice(kinds)(random) for _ in range(random.randint(1, 3))]
        text = random.choice(_SEPARATORS).join(parts)
        for _ in range(random.randint(0, 3)):
            text = _changed(random, text)
        yield random.choice(COLUMNS), text


def _placed(random: Random, text: str) -> str:
    """The value alone, or among words."""
    if random.random() < 0.5:
        return text
    before = " ".join(random.choices(_WORDS, k=random.randint(0, 4)))
    between = random.choice((" ", ": ", "=", "\n", '"', "", " is ", "\t"))
    after = random.choice(("", " ", ".", "\n", " and more", '"', ",", "\u00e9", "x", ")"))
    return before + between + text + after


def _changed(random: Random, text: str) -> str:
    place = random.randint(0, len(text))
    match random.randrange(8):
        case 0:
            return text[:place] + text[place + 1 :]
        case 1:
            return text[:place] + random.choice(_SEPARATORS) + text[place:]
        case 2:
            return text[:place] + chr(
                random.choice((random.randrange(0x250), random.randrange(0xD7FF)))
            )
        case 3:
            return text.upper()
        case 4:
            return text.swapcase()
        case 5:
            return text[:place] + random.choice(_WORDS) + text[place:]
        case 6:
            return text[place:] + text[:place]
        case _:
            return text[:place] + random.choice(string.printable) + text[place:]


def _digits(random: Random, count: int) -> str:
    return "".join(random.choices(string.digits, k=count))


def _of(random: Random, alphabet: str, count: int) -> str:
    return "".join(random.choices(alphabet, k=count))


_TOKEN: Final = string.ascii_letters + string.digits


def _grouped(random: Random) -> str:
    """Digits with separators: nearly phones, cards, social security numbers, timestamps."""
    groups = [_digits(random, random.randint(1, 7)) for _ in range(random.randint(1, 6))]
    if random.random() < 0.6:
        return random.choice(_SEPARATORS).join(groups)
    return "".join(g + random.choice(_SEPARATORS) for g in groups)


def _phone(random: Random) -> str:
    region = random.choice(_REGIONS)
    number = phonenumbers.example_number_for_type(region, random.choice((0, 1, 2, 3, 4, 6)))
    if number is None:
        return _digits(random, 10)
    written = phonenumbers.format_number(number, random.choice((0, 1, 2, 3)))
    kept = random.randint(3, len(written))
    changed = "".join(
        random.choice(string.digits) if c.isdigit() and random.random() < 0.5 else c
        for c in written[kept:]
    )
    return (
        random.choice(("", "", "", "(", "00", "011 ", "0", "+", "tel:")) + written[:kept] + changed
    )


def _card(random: Random) -> str:
    prefix = random.choice(
        ("4", "51", "2221", "34", "36", "35", "6011", "50", "62", "1800", "9", "0")
    )
    body = prefix + _digits(random, random.randint(11, 18) - len(prefix))
    total = sum(
        sum(divmod(2 * int(d), 10)) if n % 2 == 0 else int(d) for n, d in enumerate(reversed(body))
    )
    digits = body + str((random.choice((10, 10, 10, 11)) - total % 10) % 10)
    separator = random.choice(("", "", " ", "-", ".", "\u2011", "  ", "/"))
    return separator.join(digits[i : i + 4] for i in range(0, len(digits), 4))


def _ssn(random: Random) -> str:
    separator = random.choice(("", "-", " ", ".", "--"))
    return separator.join((_digits(random, 3), _digits(random, 2), _digits(random, 4)))


def _iban(random: Random) -> str:
    country, length = random.choice((("DE", 18), ("GB", 18), ("FR", 23), ("NO", 11), ("XX", 16)))
    body = _digits(random, length) if country != "GB" else "WEST" + _digits(random, 14)
    moved = body + country + "00"
    check = 98 - int("".join(str(int(c, 36)) for c in moved)) % 97
    iban = f"{country}{check:02}{body}"
    separator = random.choice(("", " ", "-"))
    return separator.join(iban[i : i + 4] for i in range(0, len(iban), 4))


def _email(random: Random) -> str:
    local = random.choice(
        ("bob", "o'brien", "jos\u00e9", "a.b+tag", "x_y", "\u0438\u043c\u044f", "root")
    )
    sign = random.choice(("@", "@", "@", "@", "%40", " at ", "@@", "\uff20"))
    return local + _digits(random, random.randint(0, 3)) + sign + random.choice(_HOSTS)


def _assigned(random: Random) -> str:
    key, value = random.choice(_KEYS), _of(random, _TOKEN + "/+=-_!@#$%", random.randint(2, 40))
    form = random.choice(
        ("{}={}", "{}: {}", '"{}": "{}"', "{} => '{}'", '\\"{}\\":\\"{}\\"', "--{} {}", "{}={};")
    )
    return form.format(key, value)


def _token(random: Random) -> str:
    form = random.choice(
        (
            "ghp_{}", "AKIA{}", "sk-ant-{}", "glpat-{}", "xoxb-{}", "eyJ{0}.{0}.x", "hf_{}",
            "md5{}", "$2b$12${}", "$6$salt${}", "SG.{0}.{0}", "npm_{}", "bearer {}",
            "Authorization: Basic {}", "Cookie: sid={}", "{{SSHA}}{}", "*{}",
            "SCRAM-SHA-256$4096:{0}${0}:{0}", "pypi-AgE{}",
        )
    )  # fmt: skip
    alphabet = random.choice((_TOKEN, "0123456789abcdef", "0123456789ABCDEF", "ABCDEFGHIJ234567"))
    return form.format(_of(random, alphabet, random.choice((8, 16, 20, 32, 36, 40, 53, 64))))


def _uri(random: Random) -> str:
    user, password = random.choice(("app", "", "j\u00f6", "a%20b")), _assigned(random)
    scheme = random.choice(("postgres", "https", "redis", "amqp", "h\u0442tp"))
    return f"{scheme}://{user}:{password}@{random.choice(_HOSTS)}:{random.randint(1, 65535)}/x"


def _pem(random: Random) -> str:
    kind = random.choice(("RSA ", "", "EC ", "OPENSSH ", "PUBLIC "))
    body = "\n".join(_of(random, _TOKEN, 64) for _ in range(3))
    end = random.choice((f"\n-----END {kind}PRIVATE KEY-----", "", "\n-----END"))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}{end}"


def _encoded(random: Random) -> str:
    plain = random.choice(_SENSITIVE_PLAIN)(random).encode("utf-8", "replace")
    match random.randrange(3):
        case 0:
            return base64.b64encode(plain).decode()
        case 1:
            return plain.hex()
        case _:
            return "".join(f"%{byte:02x}" for byte in plain)


def _timestamp(random: Random) -> str:
    date = f"20{_digits(random, 2)}-{random.randint(1, 12):02}-{random.randint(1, 28):02}"
    time = f"{random.randint(0, 23):02}:{random.randint(0, 59):02}:{random.randint(0, 59):02}"
    form = random.choice(
        ("{}T{}Z", "{} {}", "{} {}.123456", "{} {},123", "[{} {}+00:00]", "{}", "{1}")
    )
    return form.format(date.replace("-", random.choice("-/.")), time)


def _log_line(random: Random) -> str:
    address = ".".join(str(random.randint(0, 255)) for _ in range(4))
    words = " ".join(random.choices(_WORDS, k=random.randint(2, 6)))
    more = random.choice((_phone, _email, _assigned, _grouped, _token, _word))(random)
    return (
        f"{_timestamp(random)} INFO [{_of(random, _TOKEN, 8)}] {address} "
        f"{words} id={_uuid(random)} took={random.randint(1, 9999)}ms {more}"
    )


def _json(random: Random) -> str:
    kind = random.choice((_number, _email, _phone, _word, _timestamp, _card))
    value = kind(random).replace('"', "")
    return f'{{"{random.choice(_KEYS)}": "{value}", "n": {_digits(random, 5)}, "ok": true}}'


def _number(random: Random) -> str:
    form = random.choice(("{}", "{}.{}", "-{}", "{},{}", "0x{}", "{}e{}", "#{}", "v{}.{}.0"))
    return form.format(
        _digits(random, random.randint(1, 19)), _digits(random, random.randint(1, 6))
    )


def _address(random: Random) -> str:
    parts = ".".join(str(random.randint(0, 255)) for _ in range(4))
    return parts + random.choice(("", "/24", ":5432", " -", ".1"))


def _uuid(random: Random) -> str:
    return str(uuid.UUID(int=random.getrandbits(128)))


def _word(random: Random) -> str:
    return random.choice(_WORDS)


def _words(random: Random) -> str:
    return " ".join(random.choices(_WORDS, k=random.randint(2, 12)))


def _strange(random: Random) -> str:
    return "".join(chr(random.choice((random.randrange(0x300), random.randrange(0x3000), 0x1F600)))
                   for _ in range(random.randint(0, 12)))  # fmt: skip


Kind = Callable[[Random], str]

_SENSITIVE_PLAIN: Final[tuple[Kind, ...]] = (
    _phone, _card, _ssn, _iban, _email, _assigned, _token, _uri, _pem, _grouped
)  # fmt: skip
_SENSITIVE: Final[tuple[Kind, ...]] = (*_SENSITIVE_PLAIN, _encoded, _phone, _grouped)
_ORDINARY: Final[tuple[Kind, ...]] = (
    _timestamp, _log_line, _json, _number, _number, _address, _uuid, _word, _words, _strange
)  # fmt: skip
