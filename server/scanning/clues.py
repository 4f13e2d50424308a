"""What a column's name says about what is in it: a clue, and no proof."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Rule:
    """A label, and the mask that leaves of such values what may be left."""

    label: str
    mask: str


@dataclass(frozen=True, slots=True)
class Clue:
    """`kinds` are the kinds of types that such a column has: text, number, date, address."""

    what: str
    rule: Rule
    pattern: re.Pattern[str]
    kinds: frozenset[str] = frozenset({"text"})


_BOTH: Final = frozenset({"text", "number"})


def _clue(
    what: str, words: str, label: str, mask: str, kinds: frozenset[str] = frozenset({"text"})
) -> Clue:
    return Clue(what, Rule(label, mask), re.compile(rf"(?:^|_)(?:{words})$"), kinds)


CLUES: Final = (
    _clue("an e-mail address", "e_?mails?|mail|e?_?mail_addr(?:ess)?", "pii", "email"),
    _clue("a social security number", "ssn|social_security(?:_n(?:umber|o))?", "pii",
          "keep_last(4)", _BOTH),
    _clue("a passport or tax number", "passport(?:_n(?:umber|o))?|tax_(?:id|number)|national_id",
          "pii", "keep_last(2)", _BOTH),
    _clue("a phone number", "(?:phone|mobile|telephone|fax|msisdn)(?:_n(?:umber|o|r))?", "pii",
          "keep_last(2)", _BOTH),
    _clue("a payment card", "(?:credit_)?card(?:_n(?:umber|o|um))?|cc_n(?:umber|um|o)|pan",
          "financial", "keep_last(4)", _BOTH),
    _clue("a card's check number", "cv[vc]2?", "secret", "redact", _BOTH),
    _clue("a bank account", "iban|bank_account(?:_n(?:umber|o))?", "financial", "keep_last(4)",
          _BOTH),
    _clue("a date of birth", "birth_?da(?:te|y)|dob|date_of_birth|born_on", "pii", "year",
          frozenset({"text", "date"})),
    _clue("a person's name", "(?:first|last|middle|given|family|full|maiden|sur)_?name", "pii",
          "redact"),
    _clue("a postal address", "street|(?:street|postal|home|billing|shipping)_address"
          "|address_?(?:line)?_?[12]?|zip(?:_?code)?|post(?:al_)?code", "pii", "redact", _BOTH),
    _clue("a network address", "(?:client_|remote_|source_)?ip(?:_addr(?:ess)?)?|remote_addr",
          "pii", "redact", frozenset({"text", "address"})),
    _clue("a secret", "pass(?:word|wd|phrase)|pwd|password_hash|secret|api_?key|access_?key"
          "|private_?key|(?:access_|refresh_|auth_|api_|session_)?token|credentials?|otp",
          "secret", "redact"),
    _clue("pay", "salary|wages?|income", "financial", "redact", _BOTH),
    _clue("health", "diagnos[ie]s|blood_type|icd(?:_?10)?(?:_code)?|allerg(?:y|ies)|medications?",
          "health", "redact"),
)  # fmt: skip

_CAPITAL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_OTHER: Final = re.compile(r"[^a-z0-9]+")

_KINDS: Final = (
    ("text", re.compile(r"text|character varying|character|\"char\"|citext|name|jsonb?|xml")),
    ("number", re.compile(r"smallint|integer|bigint|numeric|double precision|real")),
    ("date", re.compile(r"date|timestamp")),
    ("address", re.compile(r"inet|cidr")),
    ("other", re.compile(r"boolean|time|interval|uuid|bytea|oid|bit|money|macaddr|tsvector|tsquery"
                         r"|int4range|int8range|point|line|box|path|polygon|circle|reg\w+|pg_\w+")),
)  # fmt: skip


def kind_of_type(type_name: str) -> str:
    """What kind of values a type holds; a type of the database's own may hold text."""
    plain = type_name.removesuffix("[]")
    found = (kind for kind, pattern in _KINDS if pattern.match(plain))
    return next(found, "text")


def clue_of(column: str, type_name: str) -> Clue | None:
    """The clue that a column's name gives, if its type can hold such values."""
    words = _OTHER.sub("_", _CAPITAL.sub("_", column).lower()).strip("_")
    kind = kind_of_type(type_name)
    found = (clue for clue in CLUES if kind in clue.kinds and clue.pattern.search(words))
    return next(found, None)
