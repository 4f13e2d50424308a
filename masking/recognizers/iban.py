"""IBANs as people write them: in either case, with spaces, dashes, dots or a line break inside.

Presidio's recognizer reads upper case alone and asks for groups of four. Here the country says how
long the number is and where it has digits (ISO 13616; Presidio's table of countries), and both
that and the check digits must fit.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from typing import Final

import regex
from presidio_analyzer import LocalRecognizer, RecognizerResult
from presidio_analyzer.nlp_engine import NlpArtifacts
from presidio_analyzer.predefined_recognizers.generic.iban_patterns import regex_per_country

from masking.fast.declared import Necessary
from masking.prefilter import IBAN_COUNTRIES, IBAN_HEAD

_SEPARATOR: Final = regex.compile(r"[ \-._/\u00a0\u2010-\u2015]?(?:\r?\n)?[ ]?")
_VALUES: Final = {
    character: str(value) for value, character in enumerate(string.digits + string.ascii_uppercase)
}
_NOT_IN_PRESIDIO: Final = {  # SWIFT's registry
    "BI": r"BI\d{25}",
    "DJ": r"DJ\d{25}",
    "FK": r"FK\d{2}[A-Z]{2}\d{12}",
    "HN": r"HN\d{2}[A-Z]{4}\d{20}",
    "MN": r"MN\d{18}",
    "NI": r"NI\d{2}[A-Z]{4}\d{20}",
    "OM": r"OM\d{5}[A-Z0-9]{16}",
    "RU": r"RU\d{16}[A-Z0-9]{15}",
    "SD": r"SD\d{16}",
    "SO": r"SO\d{21}",
    "ST": r"ST\d{23}",
    "SV": r"SV\d{2}[A-Z]{4}\d{20}",
    "YE": r"YE\d{2}[A-Z]{4}\d{4}[A-Z0-9]{18}",
}
_LONGEST: Final = 34  # ISO 13616
_WORD: Final = re.compile(r"[A-Za-z0-9]+")
# Behind no letter or digit, which is looked at last: few places come so far.
_BEGIN: Final = re.compile(r"[A-Za-z]{2}[0-9]{2}(?<![A-Za-z0-9].{4})", re.DOTALL)
"""How each `IBAN_HEAD` begins, and no other begins inside; that one is slow to look for alone."""


def _either_case(letters: str) -> str:
    return f"[{letters}{letters.lower()}]"


def _countries() -> str:
    """Their codes as classes of characters, which Hyperscan reads many times as fast as a list."""
    by_first: dict[str, str] = {}
    for country in IBAN_COUNTRIES.split("|"):
        by_first[country[0]] = by_first.get(country[0], "") + country[1]
    return "|".join(_either_case(a) + _either_case(b) for a, b in by_first.items())


_AT_LEAST: Final = (
    rf"(?:^|[^A-Za-z0-9])(?:{_countries()})[0-9]{{2}}"
    r"(?:[ \-._/\u00A0\u2010-\u2015]?(?:\r?\n)?[ ]?[A-Za-z0-9]){11}"
)
"""`IBAN_HEAD`."""


class WrittenIbanRecognizer(LocalRecognizer):
    """Reports IBAN_CODE; all that it reports has its check digits."""

    necessary: Final = (Necessary(_AT_LEAST, re.MULTILINE),)

    def __init__(self) -> None:
        super().__init__(supported_entities=["IBAN_CODE"], name="WrittenIbanRecognizer")
        self._countries = {
            country: regex.compile(pattern)
            for country, pattern in {**regex_per_country, **_NOT_IN_PRESIDIO}.items()
        }

    def load(self) -> None:
        """Nothing to load."""

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None
    ) -> list[RecognizerResult]:
        begins = (m.start() for m in _BEGIN.finditer(text) if IBAN_HEAD.match(text, m.start()))
        found = ((start, self._end(text, start)) for start in begins)
        return [RecognizerResult("IBAN_CODE", start, end, 1.0) for start, end in found if end]

    def _end(self, text: str, start: int) -> int | None:
        """Where the longest valid number that begins here ends."""
        country = self._countries.get(text[start : start + 2].upper())
        if country is None:
            return None
        written = _written(text, start)
        ends = [end for number, end in written if country.fullmatch(number) and _checked(number)]
        return ends[-1] if ends else None


def _written(text: str, start: int) -> Iterator[tuple[str, int]]:
    """Letters and digits from here on in upper case, up to each place where a word ends."""
    characters, position = "", start
    while word := _WORD.match(text, position, position + _LONGEST - len(characters)):
        characters += word[0].upper()
        position = word.end()
        if not _WORD.match(text, position):
            yield characters, position
            gap = _SEPARATOR.match(text, position)
            position = gap.end() if gap else position


def _checked(iban: str) -> bool:
    """ISO 7064, MOD 97-10."""
    return int("".join(_VALUES[c] for c in iban[4:] + iban[:4])) % 97 == 1
