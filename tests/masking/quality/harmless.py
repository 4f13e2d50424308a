"""Infrastructure's texts that hold nothing to hide, but look as if they did.

A database, a log or a cluster consists of them: what is found here is a false alarm.
"""

from __future__ import annotations

import string
import uuid
from collections.abc import Callable, Mapping
from random import Random

from tests.masking.quality.samples import (
    BASE64URL,
    LETTERS_AND_DIGITS,
    base64_of,
    digits,
    draw,
    encoded,
    hexadecimal,
    host,
    word,
)


def _uuid(random: Random) -> str:
    return str(uuid.UUID(bytes=random.randbytes(16), version=4))


def _ip(random: Random) -> str:
    return ".".join(str(random.randint(1, 254)) for _ in range(4))


def _time(random: Random) -> str:
    return (
        f"2026-{random.randint(1, 12):02d}-{random.randint(1, 28):02d}"
        f"T{random.randint(0, 23):02d}:{random.randint(0, 59):02d}:{random.randint(0, 59):02d}"
        f".{random.randint(0, 999999):06d}Z"
    )


def _pod(random: Random) -> str:
    return f"{word(random)}-{draw(random, 'bcdfghjklmnpqrstvwxz2456789', 10)}-{draw(random, 'bcdfghjklmnpqrstvwxz2456789', 5)}"


def _image(random: Random) -> str:
    return (
        f"registry.example.com/{word(random)}:v{random.randint(0, 9)}.{random.randint(0, 40)}."
        f"{random.randint(0, 9)}@sha256:{hexadecimal(random, 64)}"
    )


def _access_log(random: Random) -> str:
    return (
        f"{_ip(random)} - - [{random.randint(1, 28):02d}/Nov/2026:10:{random.randint(10, 59)}:07 +0000] "
        f'"GET /{word(random)}/{random.randint(1, 99999)}?page={random.randint(1, 9)}&sort=name HTTP/1.1" '
        f'{random.choice((200, 304, 404))} {random.randint(100, 99999)} "-" "curl/8.5.0"'
    )


def _kubernetes_log(random: Random) -> str:
    return (
        f"I{random.randint(1, 12):02d}{random.randint(1, 28):02d} 10:11:12.{digits(random, 6)} "
        f"{random.randint(1, 9999)} controller.go:{random.randint(1, 900)}] "
        f'"Reconciling" namespace="{word(random)}" pod="{_pod(random)}" generation={random.randint(1, 99)}'
    )


def _certificate(random: Random) -> str:
    body = base64_of(random, 600)
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----"


def _vmstat(random: Random) -> str:
    return " ".join(f"{random.randint(0, 10 ** random.randint(1, 6)):>6}" for _ in range(12))


def _public_key(random: Random) -> str:
    return f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{draw(random, LETTERS_AND_DIGITS + '+/', 43)} {word(random)}"


HARMLESS: Mapping[str, Callable[[Random], str]] = {
    "uuid": _uuid,
    "uuid in a path": lambda r: f"/api/v2/{word(r)}/{_uuid(r)}/status",
    "git commit": lambda r: hexadecimal(r, 40),
    "short commit": lambda r: f"commit {hexadecimal(r, 7)} fixes #{r.randint(1, 9999)}",
    "md5 checksum": lambda r: f"{hexadecimal(r, 32)}  {word(r)}.tar.gz",
    "sha256 checksum": lambda r: f"sha256:{hexadecimal(r, 64)}",
    "etag": lambda r: f'ETag: "{hexadecimal(r, 32)}"',
    "epoch seconds": lambda r: str(r.randint(1_500_000_000, 1_900_000_000)),
    "epoch milliseconds": lambda r: str(r.randint(1_500_000_000_000, 1_900_000_000_000)),
    "epoch microseconds": lambda r: str(r.randint(1_500_000_000_000_000, 1_900_000_000_000_000)),
    "timestamp": _time,
    "timestamp with blanks": lambda r: _time(r).replace("T", " ").replace("Z", "+00"),
    "date": lambda r: f"{r.randint(1, 28):02d}/{r.randint(1, 12):02d}/20{r.randint(10, 29)}",
    "small number": lambda r: digits(r, r.randint(1, 6)),
    "row id": lambda r: str(r.randint(10**7, 10**9)),
    "ten digits": lambda r: str(r.randint(10**9, 10**10 - 1)),
    "order number": lambda r: f"ORD-{digits(r, 10)}",
    "order sentence": lambda r: f"order number {digits(r, 8)} shipped in {r.randint(1, 9)} days",
    "invoice": lambda r: f"INV/{r.randint(2020, 2026)}/{digits(r, 6)}",
    "tracking number": lambda r: f"1Z{draw(r, string.ascii_uppercase + string.digits, 16)}",
    "snowflake id": lambda r: str(r.randint(10**17, 10**18 - 1)),
    "trace id": lambda r: f"traceparent: 00-{hexadecimal(r, 32)}-{hexadecimal(r, 16)}-01",
    "money": lambda r: f"EUR {r.randint(1, 99999):,}.{r.randint(0, 99):02d}",
    "float": lambda r: repr(r.random() * 10 ** r.randint(0, 6)),
    "coordinates": lambda r: f"{r.uniform(-90, 90):.6f},{r.uniform(-180, 180):.6f}",
    "IPv4": _ip,
    "network": lambda r: f"10.{r.randint(0, 255)}.{r.randint(0, 255)}.0/{r.randint(8, 30)}",
    "IPv6": lambda r: ":".join(hexadecimal(r, 4) for _ in range(8)),
    "MAC address": lambda r: ":".join(hexadecimal(r, 2) for _ in range(6)),
    "host name": host,
    "host and port": lambda r: f"{host(r)}:{r.choice((5432, 3306, 6379, 8443))}",
    "URL": lambda r: f"https://{host(r)}:8443/{word(r)}?page={r.randint(1, 99)}&limit=50",
    "pod": _pod,
    "pod in a listing": lambda r: f"{_pod(r)}   1/1   Running   0   {r.randint(1, 99)}d",
    "image": _image,
    "version": lambda r: f"v{r.randint(0, 20)}.{r.randint(0, 99)}.{r.randint(0, 99)}-rc.{r.randint(1, 9)}",
    "package": lambda r: f"{word(r)}@{r.randint(1, 20)}.{r.randint(0, 99)}.{r.randint(0, 9)}",
    "access log": _access_log,
    "Kubernetes log": _kubernetes_log,
    "application log": lambda r: f"{_time(r)} INFO [{word(r)}] request_id={_uuid(r)} took {r.randint(1, 999)}ms",
    "JSON": lambda r: f'{{"id": {r.randint(1, 10**9)}, "name": "{word(r)}", "created": "{_time(r)}"}}',
    "ARN": lambda r: f"arn:aws:iam::{digits(r, 12)}:role/{word(r)}",
    "S3 path": lambda r: f"s3://{word(r)}-logs/2026/11/{r.randint(1, 28):02d}/{hexadecimal(r, 16)}.gz",
    "volume": lambda r: f"/dev/disk/by-id/nvme-eui.{hexadecimal(r, 16)}",
    "query plan": lambda r: f"Index Scan using {word(r)}_pkey on {word(r)}  (cost=0.{r.randint(10, 99)}..{r.randint(1, 999)}.{r.randint(10, 99)} rows={r.randint(1, 9999)} width={r.randint(4, 400)})",
    "table of numbers": _vmstat,
    "certificate": _certificate,
    "public key": _public_key,
    "random base64": lambda r: base64_of(r, r.randint(12, 96)),
    "words in base64": lambda r: encoded(f"the {word(r)} queue is served by {word(r)} workers"),
    "random identifier": lambda r: draw(r, BASE64URL, r.randint(11, 32)),
    "SQL": lambda r: f"SELECT id, password_changed_at FROM {word(r)} WHERE id = {r.randint(1, 9999)}",
    "talk of passwords": lambda r: f"{word(r)}: password reset requested, token expired",
    "policy of passwords": lambda r: f"password must have {r.randint(8, 20)} characters and no blanks",
    "reference to a secret": lambda r: f"password: ${{{word(r).upper()}_PASSWORD}}",
    "reference in Kubernetes": lambda r: f"secretKeyRef:\n  name: {word(r)}-db\n  key: password",
    "masked password": lambda r: f"password={'*' * r.randint(4, 12)}",
    "no password": lambda r: f'{{"user": "{word(r)}", "password": null}}',
    "secret listing": lambda r: f"{word(r)}-tls   kubernetes.io/tls   2   {r.randint(1, 99)}d",
    "ConfigMap": lambda r: f"kind: ConfigMap\napiVersion: v1\ndata:\n  LOG_LEVEL: info\n  WORKERS: \"{r.randint(1, 9)}\"",
    "tokens counted": lambda r: f"max_tokens={r.randint(100, 9999)} prompt_tokens={r.randint(100, 9999)}",
    "cookie banner": lambda r: f"cookie consent {r.choice(('accepted', 'declined'))} by {_uuid(r)}",
    "product": lambda r: f"{r.choice(('Steel', 'Oak', 'Linen'))} Garden {r.choice(('Hose', 'Chair', 'Lamp'))}",
    "SSH command": lambda r: f"ssh -p {r.randint(2000, 9999)} -i ~/.ssh/id_ed25519 {_ip(r)}",
    "cron": lambda r: f"*/{r.randint(2, 30)} * * * * /usr/local/bin/{word(r)} --verbose",
    "percent-encoded path": lambda r: f"/files/{word(r)}%20{word(r)}%2F{digits(r, 5)}.csv",
    "semantic diff": lambda r: f"@@ -{r.randint(1, 900)},7 +{r.randint(1, 900)},9 @@ def {word(r)}():",
    "environment": lambda r: f"{word(r).upper()}_TIMEOUT={r.randint(1, 99)}s {word(r).upper()}_HOST={host(r)}",
}  # fmt: skip
