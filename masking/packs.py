"""Recognizers for the entities of `masking.entities`, as Presidio's classes or around them.

Imported only where Presidio is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Final

from presidio_analyzer import EntityRecognizer, Pattern, PatternRecognizer
from presidio_analyzer import predefined_recognizers as presidio

from masking.entities import CustomRecognizer, Recognition
from masking.recognizers.card import PaymentCardRecognizer
from masking.recognizers.email import EmailAddressRecognizer
from masking.recognizers.encoded import EncodedTextRecognizer
from masking.recognizers.iban import WrittenIbanRecognizer
from masking.recognizers.national import NationalRecognizer
from masking.recognizers.phone import WrittenPhoneRecognizer
from masking.recognizers.secrets import secret_recognizers
from masking.recognizers.ssn import SocialSecurityRecognizer

_Build = Callable[[], EntityRecognizer]

_COMMON: Final[Mapping[str, _Build]] = {
    "EMAIL_ADDRESS": EmailAddressRecognizer,
    "PHONE_NUMBER": WrittenPhoneRecognizer,
    "CREDIT_CARD": PaymentCardRecognizer,
    "IBAN_CODE": WrittenIbanRecognizer,
    "US_SSN": SocialSecurityRecognizer,
    "CRYPTO": presidio.CryptoRecognizer,
    "IP_ADDRESS": presidio.IpRecognizer,
    "MAC_ADDRESS": presidio.MacAddressRecognizer,
}

# Shapes that are nobody else's: a match counts by itself.
_SHAPED: Final[Mapping[str, Callable[[], PatternRecognizer]]] = {
    "US_ITIN": presidio.UsItinRecognizer,
    "US_MBI": presidio.UsMbiRecognizer,
    "UK_NINO": presidio.UkNinoRecognizer,
    "UK_DRIVING_LICENCE": presidio.UkDrivingLicenceRecognizer,
    "DE_SOCIAL_SECURITY": presidio.DeSocialSecurityRecognizer,
    "DE_VAT_ID": presidio.DeVatIdRecognizer,
    "ES_NIF": presidio.EsNifRecognizer,
    "ES_NIE": presidio.EsNieRecognizer,
    "IT_FISCAL_CODE": presidio.ItFiscalCodeRecognizer,
    "FI_PERSONAL_IDENTITY_CODE": presidio.FiPersonalIdentityCodeRecognizer,
    "IN_PAN": presidio.InPanRecognizer,
    "IN_GSTIN": presidio.InGstinRecognizer,
    "SG_NRIC_FIN": presidio.SgFinRecognizer,
}

# Numbers whose check digits one in ten, eleven or a hundred others have too.
_CHECKED: Final[Mapping[str, Callable[[], PatternRecognizer]]] = {
    "US_NPI": presidio.UsNpiRecognizer,
    "ABA_ROUTING_NUMBER": presidio.AbaRoutingRecognizer,
    "MEDICAL_LICENSE": presidio.MedicalLicenseRecognizer,
    "UK_NHS": presidio.NhsRecognizer,
    "DE_TAX_ID": presidio.DeTaxIdRecognizer,
    "DE_ID_CARD": presidio.DeIdCardRecognizer,
    "DE_HEALTH_INSURANCE": presidio.DeHealthInsuranceRecognizer,
    "IT_VAT_CODE": presidio.ItVatCodeRecognizer,
    "PL_PESEL": presidio.PlPeselRecognizer,
    "SE_PERSONNUMMER": presidio.SePersonnummerRecognizer,
    "SE_ORGANISATIONSNUMMER": presidio.SeOrganisationsnummerRecognizer,
    "AU_TFN": presidio.AuTfnRecognizer,
    "AU_ABN": presidio.AuAbnRecognizer,
    "AU_ACN": presidio.AuAcnRecognizer,
    "AU_MEDICARE": presidio.AuMedicareRecognizer,
    "CA_SIN": presidio.CaSinRecognizer,
    "IN_AADHAAR": presidio.InAadhaarRecognizer,
    "KR_RRN": presidio.KrRrnRecognizer,
    "TR_NATIONAL_ID": presidio.TrNationalIdRecognizer,
    "TH_TNIN": presidio.ThTninRecognizer,
    "ZA_ID_NUMBER": presidio.ZaIdNumberRecognizer,
    "NG_NIN": presidio.NgNinRecognizer,
}

# Single words, as the enhancer compares them; Presidio's own lists hold phrases.
WORDS: Final[Mapping[str, str]] = {
    "US_ITIN": "itin taxpayer tin",
    "US_MBI": "mbi medicare beneficiary",
    "US_NPI": "npi provider",
    "ABA_ROUTING_NUMBER": "aba routing rtn",
    "MEDICAL_LICENSE": "dea medical license licence",
    "UK_NHS": "nhs",
    "UK_NINO": "nino insurance",
    "UK_DRIVING_LICENCE": "driving licence dvla",
    "DE_TAX_ID": "steuer steuerid steuernummer idnr tin",
    "DE_ID_CARD": "ausweis personalausweis ausweisnummer passport pass",
    "DE_SOCIAL_SECURITY": "rentenversicherung rvnr svnr sozialversicherung",
    "DE_HEALTH_INSURANCE": "krankenversicherung kvnr krankenkasse versicherung",
    "DE_VAT_ID": "ust ustid vat",
    "ES_NIF": "dni nif",
    "ES_NIE": "nie",
    "IT_FISCAL_CODE": "fiscale cf",
    "IT_VAT_CODE": "piva iva vat",
    "PL_PESEL": "pesel",
    "FI_PERSONAL_IDENTITY_CODE": "hetu",
    "SE_PERSONNUMMER": "personnummer pnr",
    "SE_ORGANISATIONSNUMMER": "organisationsnummer orgnr",
    "AU_TFN": "tfn tax",
    "AU_ABN": "abn business",
    "AU_ACN": "acn company",
    "AU_MEDICARE": "medicare",
    "CA_SIN": "sin insurance nas",
    "IN_AADHAAR": "aadhaar aadhar uidai",
    "IN_PAN": "pan",
    "IN_GSTIN": "gst gstin",
    "SG_NRIC_FIN": "nric fin",
    "KR_RRN": "rrn resident",
    "TR_NATIONAL_ID": "tckn kimlik tc",
    "TH_TNIN": "tnin thai citizen",
    "ZA_ID_NUMBER": "rsa identity idnumber",
    "NG_NIN": "nin nimc",
}

MAY_COUNT_ALONE: Final = 1.0
NEEDS_A_WORD: Final = 0.4
"""The most that a checked number scores by itself; a word adds 0.35."""


def recognizers(recognition: Recognition) -> list[EntityRecognizer]:
    """Recognizers for what the configuration wants, each with its entity's threshold."""
    if recognition.names:
        return _names(recognition.names)
    wanted = [entity.name for entity in recognition.chosen()]
    built = [
        *(_COMMON[name]() for name in wanted if name in _COMMON),
        *(r for r in secret_recognizers() if r.supported_entities[0] in wanted),
        *(_national(name) for name in wanted if name in WORDS),
        *(_custom(each) for each in recognition.custom if recognition.wants(each.entity)),
    ]
    _set_thresholds(built, recognition)
    return [*built, EncodedTextRecognizer(built)]


def _names(entities: Sequence[str]) -> list[EntityRecognizer]:
    """By name: spaCy's models are loaded only where somebody wants them."""
    return [import_module("masking.recognizers.names").NameRecognizer(entities)]


def _set_thresholds(built: Sequence[EntityRecognizer], recognition: Recognition) -> None:
    for recognizer in built:
        recognizer.score_thresholds = {
            entity: recognition.threshold(entity) for entity in recognizer.supported_entities
        }


def _national(entity: str) -> NationalRecognizer:
    words = WORDS[entity].split()
    if entity in _SHAPED:
        return NationalRecognizer(_SHAPED[entity](), words, at_most=MAY_COUNT_ALONE)
    return NationalRecognizer(_CHECKED[entity](), words, at_most=NEEDS_A_WORD)


def _custom(custom: CustomRecognizer) -> PatternRecognizer:
    return PatternRecognizer(
        supported_entity=custom.entity,
        name=custom.name,
        patterns=[
            Pattern(f"{custom.name} {number}", pattern.regex, pattern.score)
            for number, pattern in enumerate(custom.patterns, 1)
        ],
        context=[word.lower() for word in custom.context],
    )
