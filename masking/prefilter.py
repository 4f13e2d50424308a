"""What can be told of a text without Presidio: whether there may be anything in it at all.

Only the standard library: this runs in the gateway's own process, on every cell.

Why nothing is missed. `may_hold` is a disjunction of necessary conditions, one for each
recognizer of `masking.engine`, and each is monotone (true of a text if true of a part of it):

- our own recognizers (e-mail, card, phone, secrets) ask the same condition of the text, or of the
  part that they report, and stay silent without it;
- US_SSN: each of Presidio's patterns is nine ASCII digits with at most one of "- ." after the
  third and after the fifth: a PHONE_RUN;
- IBAN_CODE: our own recognizer looks only where the condition matches;
- CRYPTO: the pattern is `(bc1|[13])` and 25 or more of a class that is ASCII letters and digits.
  Case folding adds two non-ASCII letters to it, but neither passes the checksum.

`tests/masking/test_prefilter.py` compares with the plain engine on generated text.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from typing import Final

from masking.encodings import may_hold_encoded

_PHONE_PUNCTUATION: Final = (
    r"[-xX\u2010-\u2015\u2212\u30FC\uFF0D-\uFF0F "
    r"\u00A0\u00AD\u200B\u2060\u3000()\uFF08\uFF09\uFF3B\uFF3D.\[\]/~\u2053\u223C\uFF5E]"
)
"""What python-phonenumbers takes for punctuation in a number. No line break is in it."""

PHONE_RUN: Final = re.compile(rf"\d(?:{_PHONE_PUNCTUATION}{{0,4}}\d){{6}}")
"""Seven digits that could be a phone number; a shorter one is nobody's secret."""

CARD_RUN: Final = re.compile(r"[0-9](?:[ \-._/\u00A0\u2010-\u2015]{0,3}[0-9]){11,}")
"""Twelve or more digits, at most three separators between two of them."""

IBAN_COUNTRIES: Final = (
    "AD|AE|AL|AT|AZ|BA|BE|BG|BH|BI|BR|BY|CH|CR|CY|CZ|DE|DJ|DK|DO|EE|EG|ES|FI|FK|FO|FR|GB|GE|GI|GL|"
    "GR|GT|HN|HR|HU|IE|IL|IQ|IS|IT|JO|KW|KZ|LB|LC|LI|LT|LU|LV|LY|MC|MD|ME|MK|MN|MR|MT|MU|NI|NL|NO|"
    "OM|PK|PL|PS|PT|QA|RO|RS|RU|SA|SC|SD|SE|SI|SK|SM|SO|ST|SV|TL|TN|TR|UA|VA|VG|XK|YE"
)
IBAN_HEAD: Final = re.compile(
    rf"(?<![A-Z0-9])(?:{IBAN_COUNTRIES})[0-9]{{2}}"
    r"(?:[ \-._/\u00A0\u2010-\u2015]?(?:\r?\n)?[ ]?[A-Z0-9]){11}",
    re.IGNORECASE | re.ASCII,
)
"""A country that has IBANs, and as many characters as the shortest of them (Norway's)."""
_CRYPTO_HEAD: Final = re.compile(r"(?:[bB][cC]1|[13])[a-zA-Z0-9]{25}")
_DIGIT: Final = re.compile(r"\d")

_KEY_WORDS: Final = (
    "pass", "pwd", "secret", "token", "credential", "connect.sid", "sessionid", "session_id",
    "session-id", "apikey", "api_key", "api-key", "privatekey", "private_key", "private-key",
    "encryptionkey", "encryption_key", "encryption-key",
)  # fmt: skip
_SHORT: Final = 200  # characters

_SECRET_MARKS: Final = (
    "----begin", "---- begin", "key-data", "key_data",
    "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_",
    "glpat-", "gloas-", "gldt-", "glrt-", "glrtr-", "glptt-", "glcbt-", "glft-", "glimt-",
    "glagent-", "glwt-", "glsoat-", "glffct-", ".atlasv1.", "shpat_", "shpca_", "shppa_", "shpss_",
    "xox", "xapp-", "sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_",
    "aiza", "ya29.", "gocspx-",
    "sk-proj-", "sk-svcacct-", "sk-admin-", "sk-ant-", "hf_", "npm_", "pypi-",
    "hvs.", "hvb.", "hvr.", "dop_v1_", "doo_v1_", "dor_v1_", "dapi", "eyj",
    "glsa_", "age-secret-key-",
    "private-lines", "privatekey", "presharedkey", "x-amz-signature=",
    "redis-cli", "sshpass", "curl", "login", "identified",
    "hooks.slack.com", "accountkey=", "sharedaccess", "sig=",
    "authorization", "bearer", "cookie", '"auth"', "mysql", "mariadb",
    "$2", "$argon2", "$1$", "$5$", "$6$", "$7$", "$p$", "$h$", "$s$", "$y$",
    "$gy$", "$apr1$", "$sha1$", "$md5$", "$a$",
    "scram-sha-", "pbkdf2", "scrypt", "bcrypt_sha256",
    "{sha", "{ssha", "{md5", "{smd5", "{crypt",
)  # fmt: skip

_ANY_KEY_WORD: Final = re.compile("|".join(map(re.escape, _KEY_WORDS)))
_ANY_SECRET_MARK: Final = re.compile("|".join(map(re.escape, _SECRET_MARKS)))
_ANY_SECRET_SHAPE: Final = re.compile(
    r"A(?:KIA|SIA|ROA|IDA|BIA|CCA)[A-Z2-7]{16}"
    r"|SK[0-9a-f]{32}"
    r"|sk-[A-Za-z0-9]{40}"
    r"|SG\.[A-Za-z0-9_\-]{16}"
    r"|[0-9]:AA[A-Za-z0-9_\-]{32}"
    r"|md5[0-9a-f]{32}"
    r"|\*[0-9A-F]{40}"
    r"|0[xX]0[12]00[0-9A-Fa-f]{48}"
    r"|#[0-9a-f]{64}"
    r"|:[0-9A-Fa-f]{32}:[0-9A-Fa-f]{32}:::"
    r"|:(?:[0-9]{4,5}|\*):[^\s:]{1,63}:[^\s:]{1,63}:\S{4}"
)


PHONE_WORDS: Final = (
    "phone", "telephone", "tel", "mobile", "cell", "cellphone", "call", "fax", "sms", "whatsapp",
    "msisdn",
)  # fmt: skip
"""Presidio's context words without "number", which stands before every order number."""

SOCIAL_SECURITY_WORDS: Final = ("social", "security", "ssn", "ssid")
_CARD_WORDS: Final = ("card", "credit", "pan", "cc")

_IDENTIFIER_WORDS: Final = frozenset((*PHONE_WORDS, *SOCIAL_SECURITY_WORDS, *_CARD_WORDS))
_SHORTEST_CARD: Final = 12


def may_hold_in(column: str, text: str) -> bool:
    """`may_hold` for a cell of a column with this name; sharper, and not monotone.

    A cell of fewer than twelve digits and nothing else is too short for a card; as a phone or
    social security number it needs a context word to count, and only the column's name can say it.
    """
    if len(text) < _SHORTEST_CARD and text.isdecimal() and not names_an_identifier(column):
        return False
    return may_hold(text)


def may_hold_anything(column: str, text: str) -> bool:
    """What is known before of recognizers that are not the curated ones: nothing."""
    return True


def may_hold(text: str) -> bool:
    """False only where no recognizer of the engine would report anything, in any column."""
    return (
        may_hold_email(text)
        or _may_hold_number(text)
        or may_hold_secret(text)
        or may_hold_encoded(text)
    )


def may_hold_email(text: str) -> bool:
    return "@" in text or "%40" in text


def may_hold_secret(text: str) -> bool:
    """The necessary condition of every rule in `masking.recognizers.secrets`.

    Lower-casing keeps ASCII letters apart from all others but the Kelvin sign, so a mark in the
    text is always found; what is found too often is only looked at in vain.
    """
    lower = text.lower()
    return (
        _holds_any(lower, _SECRET_MARKS, _ANY_SECRET_MARK)
        or _may_assign_secret(lower)
        or ("://" in lower and "@" in lower)
        or (_ANY_SECRET_SHAPE.search(text) is not None)
    )


def _may_assign_secret(lower: str) -> bool:
    assigns = any(sign in lower for sign in ("=", ":", "--", "'", "</"))
    return assigns and _holds_any(lower, _KEY_WORDS, _ANY_KEY_WORD)


def _holds_any(lower: str, words: Sequence[str], any_word: re.Pattern[str]) -> bool:
    """Whether one of the words is in the text; `any_word` is all of them in one pattern.

    Most cells are short, and for those one pattern is cheaper than sixty searches; a long text is
    searched faster word by word.
    """
    if len(lower) <= _SHORT:
        return any_word.search(lower) is not None
    return any(word in lower for word in words)


def _may_hold_number(text: str) -> bool:
    return _DIGIT.search(text) is not None and (
        PHONE_RUN.search(text) is not None
        or CARD_RUN.search(text) is not None
        or IBAN_HEAD.search(text) is not None
        or _CRYPTO_HEAD.search(text) is not None
    )


_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_]+")


def name_words(name: str) -> list[str]:
    """The words of a column name in lower case: `homePhone_no` is home, phone, no."""
    return [word.lower() for word in _WORD.findall(name)]


def says(wanted: Container[str], word: str) -> bool:
    """Whether a word in lower case is one of the wanted ones, or the plural of one."""
    return word in wanted or word.removesuffix("s") in wanted


def names_an_identifier(name: str) -> bool:
    """Whether numbers in a column of this name may be cards, phones or social security numbers."""
    return any(says(_IDENTIFIER_WORDS, word) for word in name_words(name))
