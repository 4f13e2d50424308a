"""Single values of the configuration: what is written -> what it means, or what to write instead.

The readers raise `ValueError` with advice and never repeat the value: it may be a secret.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import Field, PlainValidator, ValidationInfo, WithJsonSchema

from masking.operators import EXPLAINED, OPERATORS, parse_operator
from policies import packs
from policies.errors import ConfigError
from server.references import WHY_BY_REFERENCE, Secret

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NAME: Final = r"^[a-z0-9][a-z0-9_-]{0,62}$"
_ROLE: Final = r"^[^\x00]{1,63}$"
_IDENTIFIER: Final = r'(?:"(?:[^"\x00]|"")+"|[^".\s]+)'
_COLUMN: Final = re.compile(rf"({_IDENTIFIER})\.({_IDENTIFIER})\.({_IDENTIFIER})")


@dataclass(frozen=True, slots=True)
class Address:
    """Where something listens. `host` is the directory of the socket where `port` is `None`."""

    host: str
    port: int | None

    @property
    def is_unix(self) -> bool:
        return self.port is None

    @property
    def is_loopback(self) -> bool:
        return self.host == "localhost" or _is_loopback_address(self.host)

    def __str__(self) -> str:
        if self.port is None:
            return f"unix:{self.host}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ColumnName:
    schema: str
    table: str
    column: str


def _is_loopback_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _text(value: object, advice: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(advice)
    return value


def _base(info: ValidationInfo) -> Path:
    base: Path = (info.context or {}).get("base", Path())
    return base


def _read_secret(value: object, info: ValidationInfo) -> Secret:
    try:
        return Secret.parse(_text(value, WHY_BY_REFERENCE), _base(info))
    except ConfigError as error:
        raise ValueError(str(error)) from None


def _read_file(value: object, info: ValidationInfo) -> Path:
    text = _text(value, "write file:PATH")
    if not text.startswith("file:") or text == "file:":
        raise ValueError("write file:PATH")
    return _base(info) / text.removeprefix("file:")


def _read_path(value: object, info: ValidationInfo) -> Path:
    return _base(info) / _text(value, "write the path of a directory")


def _read_policies(value: object, info: ValidationInfo) -> Path | str:
    known = ", ".join(packs.names())
    text = _text(value, f"write one of {known}, or the path of a directory with *.cedar files")
    return text if text in packs.names() else _base(info) / text


def _read_duration(value: object) -> float:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None or float(match[1]) == 0:
        raise ValueError("write a time with its unit, such as 25s, 15m or 12h")
    return float(match[1]) * _SECONDS[match[2]]


def read_host_and_port(value: object) -> Address:
    """`127.0.0.1:8000` or `[::1]:8000`. Raises `ValueError`."""
    advice = "write host:port, such as 127.0.0.1:8000"
    host, _, port = _text(value, advice).rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not re.fullmatch(r"[\w.:-]+", host) or not port.isascii() or not port.isdecimal():
        raise ValueError(advice)
    if int(port) > 65535:
        raise ValueError("a port is at most 65535")
    return Address(host, int(port))


def _read_address(value: object, info: ValidationInfo) -> Address:
    advice = "write host:port, such as db.internal:5432, or unix:/run/postgresql"
    text = _text(value, advice)
    if text.startswith("unix:"):
        return Address(str(_base(info) / _text(text.removeprefix("unix:"), advice)), None)
    try:
        return read_host_and_port(text)
    except ValueError:
        raise ValueError(advice) from None


def _read_column(value: object) -> ColumnName:
    advice = "write schema.table.column, such as public.customers.ssn"
    match = _COLUMN.fullmatch(_text(value, advice))
    if match is None:
        raise ValueError(advice)
    return ColumnName(*(_identifier(part) for part in match.groups()))


def _identifier(text: str) -> str:
    return text[1:-1].replace('""', '"') if text.startswith('"') else text


def _read_mask(value: object) -> str:
    advice = f"write {', '.join(OPERATORS)}"
    text = "null" if value is None else _text(value, advice)  # YAML reads `null` as no value
    parse_operator(text)
    return text


def _read_url(value: object) -> str:
    parts = urlsplit(_text(value, "write an https URL"))
    host = parts.hostname or ""
    if parts.scheme == "http" and not Address(host, 0).is_loopback:
        raise ValueError("write https: plain http is only for loopback addresses")
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise ValueError("write an https URL without a query, such as https://idp.example.com")
    return str(value)


_STRING: Final = WithJsonSchema({"type": "string"})
SecretReference = Annotated[
    Secret,
    PlainValidator(_read_secret),
    WithJsonSchema({"type": "string", "pattern": "^(env|file):.+"}),
]
FileReference = Annotated[
    Path, PlainValidator(_read_file), WithJsonSchema({"type": "string", "pattern": "^file:.+"})
]
Directory = Annotated[Path, PlainValidator(_read_path), _STRING]
Policies = Annotated[Path | str, PlainValidator(_read_policies), _STRING]
Duration = Annotated[
    float,
    PlainValidator(_read_duration),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION.pattern}$"}),
]
Listen = Annotated[Address, PlainValidator(read_host_and_port), _STRING]
BackendAddress = Annotated[Address, PlainValidator(_read_address), _STRING]
Column = Annotated[ColumnName, PlainValidator(_read_column), _STRING]
MaskOperator = Annotated[
    str,
    PlainValidator(_read_mask),
    WithJsonSchema({"type": ["string", "null"], "description": f"One of: {EXPLAINED}."}),
]
Url = Annotated[str, PlainValidator(_read_url), WithJsonSchema({"type": "string", "format": "uri"})]
Name = Annotated[str, Field(pattern=_NAME)]
RoleName = Annotated[str, Field(pattern=_ROLE)]
