"""Line M24 of the attacks: personal data and secrets in every format that it names."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest

from masking.engine import Scanner
from masking.spans import substitute


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


SECRET = "kind: Secret\ndata:\n  db: {}\n  pem: |\n    {}\nmetadata:\n  name: x"
ESCAPED = '{\\"data\\":{\\"db\\":\\"%s\\"},\\"kind\\":\\"Secret\\"}'
NOISE = "Z7hT0qk2mPv9"

FOUND = [
    # numbers
    ("4111 - 1111 - 1111 - 1111", "<CREDIT_CARD>"),
    ("4111_1111_1111_1111", "<CREDIT_CARD>"),
    ("4111/1111/1111/1111", "<CREDIT_CARD>"),
    ("4111-1111 1111.1111", "<CREDIT_CARD>"),
    ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "<CREDIT_CARD>"),
    ("41-11-11-11-11-11-11-11", "<CREDIT_CARD>"),
    ("4111 1111\n1111 1111", "<CREDIT_CARD>"),
    ("4111-1111-\n1111-1111", "<CREDIT_CARD>"),
    ("de89370400440532013000", "<IBAN_CODE>"),
    ("DE89.3704.0044.0532.0130.00", "<IBAN_CODE>"),
    ("de89 3704 0044\n0532 0130 00", "<IBAN_CODE>"),
    ("GB82 WEST 1234 5698 7654 32 today", "<IBAN_CODE> today"),
    ("NO9386011117947", "<IBAN_CODE>"),
    ("219 - 09 - 9999", "<US_SSN>"),
    ("219\u201309\u20139999", "<US_SSN>"),
    ("219-09-\n9999", "<US_SSN>"),
    ("(415) 555-0134 ext. 23", "<PHONE_NUMBER>"),
    ("+44 20 7946 0958 #12", "<PHONE_NUMBER>"),
    ("(415) 555-\n0134", "<PHONE_NUMBER>"),
    # encoded once
    (_base64("bob@example.com"), "<EMAIL_ADDRESS>"),
    ("data:text/plain;base64," + _base64("card 4111111111111111"),
     "data:text/plain;base64,<CREDIT_CARD>"),
    ("x" * 3 + " " + _base64("mail bob@example.com").rstrip("="), "xxx <EMAIL_ADDRESS>"),
    ("\\x" + b"bob@example.com card".hex(), "\\x<EMAIL_ADDRESS>"),
    (quote('{"card":"4111111111111111"}', safe=""), "%7B%22card%22%3A%22<CREDIT_CARD>%22%7D"),
    (r"paid by\n4111111111111111\tok", r"paid by\n<CREDIT_CARD>\tok"),
    (r"bob\u0040example.com", "<EMAIL_ADDRESS>"),
    ("q=%2B1%20415%20555%200134", "q=<PHONE_NUMBER>"),
    # secrets
    (SECRET.format("aGk=", NOISE), SECRET.format("<PASSWORD>", "<PASSWORD>")),
    (ESCAPED % NOISE, ESCAPED % "<PASSWORD>"),
    ("postgres://app:p@ss@db.example.com/x", "postgres://app:<URI_CREDENTIALS>@db.example.com/x"),
    ("PGPASSWORD=hunter2 psql", "PGPASSWORD=<PASSWORD> psql"),
    ('{"dbPassword":"hunter2"}', '{"dbPassword":"<PASSWORD>"}'),
    ("<password>hunter2</password>", "<password><PASSWORD></password>"),
    ("db.internal:5432:shop:app:hunter2", "db.internal:5432:shop:app:<PASSWORD>"),
    ("ALTER ROLE app PASSWORD 'it''s me'", "ALTER ROLE app PASSWORD '<PASSWORD>'"),
    ("curl -u app:hunter2 https://x.internal", "curl -u app:<PASSWORD> https://x.internal"),
]  # fmt: skip

LEFT_ALONE = [
    "arn:aws:iam::501800000009:role/x",  # an account that is a valid Maestro number
    "PWD=/home/app OLDPWD=/home/app/src",
    "compass: north, bypass: allowed",
    "secretKeyRef:\n  name: db\n  key: password",
    "kind: ConfigMap\ndata:\n  LOG_LEVEL: debug",
    "max_tokens=4096 prompt_tokens=1024",
    "7124:1352:9f8c:ce78:347f:1675:8ea8:d09f",
    " 41060 244546   6424   2194  23353   9723     14",
    "ssl_certificate: /etc/tls/tls.crt",
    "2026-11-22 10:11:12.123456+00",
    _base64("the mail queue is served by three workers"),
]


@pytest.mark.parametrize(("text", "masked"), FOUND)
def test_a_value_is_found_in_its_format(scanner: Scanner, text: str, masked: str) -> None:
    assert substitute(text, scanner.spans([text], "")[0]) == masked


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_a_look_alike_is_left_alone(scanner: Scanner, text: str) -> None:
    assert scanner.spans([text], "") == [[]]


def test_numbers_without_separators_count_in_a_column_of_theirs(scanner: Scanner) -> None:
    assert [s.entity for s in scanner.spans(["219099999"], "ssn")[0]] == ["US_SSN"]


def test_an_encoding_in_an_encoding_is_not_looked_into(scanner: Scanner) -> None:
    """The bound that SECURITY.md names: texts are decoded once."""
    text = _base64(_base64("bob@example.com and others"))
    assert scanner.spans([text], "") == [[]]
