from __future__ import annotations

import pytest

from masking.engine import Scanner
from masking.recognizers.card import is_card
from masking.recognizers.secrets import RULES
from masking.spans import substitute

HEX = "0123456789abcdef"
BASE64 = "dGhpcyBpcyBub3QgYSBzZWNyZXQgYXQgYWxsISEhISE"

FOUND = [
    # e-mail
    ("mail bob.smith+tag@example.co.uk now", "mail <EMAIL_ADDRESS> now"),
    ("GET /users/bob@example.com HTTP/1.1", "GET /users/<EMAIL_ADDRESS> HTTP/1.1"),
    ("user=bob@example.com&x=1", "user=<EMAIL_ADDRESS>&x=1"),
    ("bob@corp.local, bob@db.internal", "<EMAIL_ADDRESS>, <EMAIL_ADDRESS>"),
    ("root@localhost", "<EMAIL_ADDRESS>"),
    ("email=bob%40example.com", "email=<EMAIL_ADDRESS>"),
    ("o'brien@example.ie", "<EMAIL_ADDRESS>"),
    ("josé@exämple.de", "<EMAIL_ADDRESS>"),
    ("<bob@xn--80ak6aa92e.com>", "<<EMAIL_ADDRESS>>"),
    ("bob@example.com_old", "<EMAIL_ADDRESS>_old"),
    # phone
    ("call me at (415) 555-0134", "call me at <PHONE_NUMBER>"),
    ("reach us: +1 415 555 0134.", "reach us: <PHONE_NUMBER>."),
    ("415-555-0134 / 415.555.0134", "<PHONE_NUMBER> / <PHONE_NUMBER>"),
    ("+14155550134", "<PHONE_NUMBER>"),
    ("London 020 7946 0958", "London <PHONE_NUMBER>"),
    ("+49 30 901820", "<PHONE_NUMBER>"),
    ("call 4155550134 today", "call <PHONE_NUMBER> today"),
    ('{"phone": 4155550134}', '{"phone": <PHONE_NUMBER>}'),
    # card
    ("4111111111111111", "<CREDIT_CARD>"),
    ("4111-1111-1111-1111 exp 12/29", "<CREDIT_CARD> exp 12/29"),
    ("2221000000000009", "<CREDIT_CARD>"),
    ("2223 0031 2200 3222 cvv", "<CREDIT_CARD> cvv"),
    ("378282246310005, 3782 822463 10005", "<CREDIT_CARD>, <CREDIT_CARD>"),
    ("4111111111111111 5500000000000004", "<CREDIT_CARD> <CREDIT_CARD>"),
    ("4111 1111 1111 1111 123", "<CREDIT_CARD> 123"),
    ("id,card\n17,4111111111111111", "id,card\n17,<CREDIT_CARD>"),
    # other identifiers
    ("ssn 123-45-6789", "ssn <US_SSN>"),
    ("219 09 9999", "<US_SSN>"),
    ("her social security number: 219099999", "her social security number: <US_SSN>"),
    ("DE89 3704 0044 0532 0130 00", "<IBAN_CODE>"),
    ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "<CRYPTO>"),
    # secrets
    ("postgres://app:s3cr3t@db:5432/x", "postgres://app:<URI_CREDENTIALS>@db:5432/x"),
    ("password: hunter2", "password: <PASSWORD>"),
    ("DB_PASSWORD='correct horse battery'", "DB_PASSWORD='<PASSWORD>'"),
    ('{"api_key": "abcd\\"efgh"}', '{"api_key": "<PASSWORD>"}'),
    ('{\\"password\\":\\"hunter2\\"}', '{\\"password\\":\\"<PASSWORD>\\"}'),
    ("mysql -u root -phunter2 shop", "mysql -u root -p<PASSWORD> shop"),
    ("deploy --token abcd1234", "deploy --token <PASSWORD>"),
    (
        "Authorization: Basic dXNlcjpwYXNzd29yZA==",
        "Authorization: Basic <AUTH_HEADER>",
    ),
    ("Set-Cookie: sid=abcdef123456; Path=/", "Set-Cookie: <AUTH_HEADER>"),
    (f"AKIA{'ABCD2345' * 2}", "<AWS_KEY>"),
    (f"ghp_{'a1B2' * 9}", "<CLOUD_TOKEN>"),
    (f"sk-ant-{'a1B2' * 9}", "<CLOUD_TOKEN>"),
    (f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{BASE64}", "<JWT>"),
    (f"md5{HEX * 2}", "<PASSWORD_HASH>"),
    (f"*{HEX.upper() * 2}01234567", "<PASSWORD_HASH>"),
    (f"$2b$12${'a' * 53}", "<PASSWORD_HASH>"),
    (f"SCRAM-SHA-256$4096:{BASE64}=${BASE64}=:{BASE64}=", "<PASSWORD_HASH>"),
    (f"$6$saltsalt${'x' * 40}", "<PASSWORD_HASH>"),
    (
        f"-----BEGIN RSA PRIVATE KEY-----\n{BASE64}\n-----END RSA PRIVATE KEY-----\nend",
        "<PRIVATE_KEY>\nend",
    ),
    (f"-----BEGIN PRIVATE KEY-----\n{BASE64} cut off", "<PRIVATE_KEY>"),
    (
        f'---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nComment: "a--b"\n{BASE64}\n'
        "---- END SSH2 ENCRYPTED PRIVATE KEY ----\nend",
        "<PRIVATE_KEY>\nend",
    ),
    (f"client-key-data: {BASE64}", "client-key-data: <PRIVATE_KEY>"),
]

HARMLESS = [
    "4155550134",
    "order number 4155550134",
    "1712345678",
    "1712345678901",
    "2024-01-01 12:34:56.789012+00",
    "09.03.2015 22:37",
    "192.168.100.200",
    "10.20.30.0/24",
    "0.4111111111111111",
    "37.774929,-122.419416",
    "d3ac94af-0f21-4db6-acad-4a268d116ece",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "ORD-00012345",
    "react@18.2.0",
    "v1.2.3",
    "password reset requested",
    "password: ****",
    "token=${TOKEN}",
    "https://example.com:8080/path",
    "db.internal.example.com",
    "Steel Garden Hose",
    "123456789",
]


@pytest.mark.parametrize(("text", "masked"), FOUND)
def test_an_entity_is_found_where_it_stands(scanner: Scanner, text: str, masked: str) -> None:
    assert substitute(text, scanner.spans([text], "")[0]) == masked


@pytest.mark.parametrize("text", HARMLESS)
def test_a_harmless_value_is_left_alone(scanner: Scanner, text: str) -> None:
    assert scanner.spans([text], "") == [[]]


def test_every_secret_entity_is_shown_by_a_case() -> None:
    shown = {entity for entity in RULES for _, masked in FOUND if f"<{entity}>" in masked}
    assert shown == set(RULES)


@pytest.mark.parametrize(
    ("column", "text"),
    [("home_phone", "4155550134"), ("mobilePhones", "4155550134"), ("customer_ssn", "123456789")],
)
def test_bare_digits_count_in_a_column_named_after_them(
    scanner: Scanner, column: str, text: str
) -> None:
    assert [len(spans) for spans in scanner.spans([text], column)] == [1]


@pytest.mark.parametrize("column", ["order_number", "calling_code", "description", "cellar_id"])
def test_a_part_of_a_word_in_a_column_name_is_no_context(scanner: Scanner, column: str) -> None:
    assert scanner.spans(["4155550134", "123456789"], column) == [[], []]


# Test numbers that the networks publish.
CARDS = [
    "4111111111111111",
    "4222222222222",
    "5555555555554444",
    "2223003122003222",
    "378282246310005",
    "6011111111111117",
    "30569309025904",
    "3530111333300000",
    "6759649826438453",
    "6200000000000005",
    "6304000000000000",
]


@pytest.mark.parametrize("digits", CARDS)
def test_a_published_test_card_is_a_card(digits: str) -> None:
    assert is_card(digits)


@pytest.mark.parametrize("digits", CARDS)
def test_a_wrong_check_digit_makes_no_card(digits: str) -> None:
    assert not is_card(digits[:-1] + str((int(digits[-1]) + 1) % 10))
