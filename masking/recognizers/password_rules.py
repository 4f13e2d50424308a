"""Rules for passwords, where texts have them, and for the hashes that are stored of them.

Rules are written as in `masking.recognizers.token_rules`.

Sources: RFC 3986 (userinfo); PostgreSQL libpq "Connection Strings" and "The Password File",
"CREATE ROLE", pg_authid; MySQL "End-User Guidelines for Password Security", "CREATE USER", "Native
Pluggable Authentication", "Caching SHA-2 Pluggable Authentication"; inetutils "The .netrc file";
manual pages of curl, sshpass, redis-cli, docker login; Docker's config.json; Terraform "output";
crypt(5); the PHC string format and passlib (Argon2, scrypt, PBKDF2); Apache "Password Formats";
Django and Werkzeug on password hashing; OpenLDAP "Password Storage"; phpass (WordPress, Drupal);
SQL Server PWDENCRYPT; Redis "ACL"; the format of pwdump (LM and NT hashes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import regex

from masking.recognizers.token_rules import Rule

_I: Final = regex.IGNORECASE

_LONG_WORD: Final = (
    r"(?:pass(?:word|wd|phrase|code)|secret(?:[_-]?(?:access[_-]?)?key)?|api[_-]?key|"
    r"(?:auth|access|refresh|id|bearer)?[_-]?token|client[_-]?secret|"
    r"(?:private|encryption)[_-]?key|credentials?|session[_-]?id|connect\.sid)"
)
"""Words that say secret also at the end of another: dbPassword, PGPASSWORD. No word ends so."""

_KEY: Final = (
    r"(?<![A-Za-z0-9])(?:"
    rf"[A-Za-z0-9_.\-]{{0,40}}{_LONG_WORD}"
    r"|(?:[A-Za-z0-9_.\-]{0,40}[_.\-])?pass"
    r"|(?:[A-Za-z0-9_.\-]{0,40}[_.\-])?pwd(?=[^/~]{0,9}[:=>\s]{1,9}[^/~\s])"  # else a directory
    r")"
)

_ASSIGNED: Final = (
    r"(?:"
    r'\\+"([^"\\\r\n]{4,4096}+)'  # JSON in a JSON string
    r'|"((?:[^"\\\r\n]|\\.){4,4096}+)'
    r"|'((?:[^'\\\r\n]|\\.){4,4096}+)"
    r"|([^\s\"',;&}{\])\\]{4,4096}+)"
    r")"
)

_COMMAND: Final = r"[^\r\n|;]{0,200}?\s"
_ARGUMENT: Final = r"[\"']?([^\s\"']{4,})"

RULES: Final[Mapping[str, Sequence[Rule]]] = {
    "URI_CREDENTIALS": (
        # The password may hold "@" itself: it goes on to the last one before the host.
        (
            _I,
            1.0,
            r"[a-z0-9]://[^\s/@:\"'<>]{0,80}:([^\s/\"'<>?#]{1,200})@(?=[A-Za-z0-9\[.])",
        ),
    ),
    "PASSWORD": (
        (_I, 0.85, rf"{_KEY}\\*[\"']?\s{{0,3}}(?:=>|:=|[:=])\s{{0,3}}{_ASSIGNED}"),
        (
            _I,
            0.9,
            rf"<(?:[A-Za-z0-9_.:\-]{{0,40}})?{_LONG_WORD}(?:\s[^<>]{{0,200}})?>([^<>]{{4,}})</",
        ),
        (
            0,
            0.9,
            rf"\b(?:mysql|mysqldump|mariadb|mysqladmin)\b{_COMMAND}-p([^\s\-][^\s]{{3,}})",
        ),
        (_I, 0.9, r"--(?:password|token|secret|api-key)[= ]([^\s]{4,})"),
        (0, 0.9, rf"\bredis-cli\b{_COMMAND}(?:-a|--pass)\s+{_ARGUMENT}"),
        (0, 0.9, rf"\bsshpass\s+-p\s*{_ARGUMENT}"),
        (0, 0.9, rf"\b(?:docker|podman|helm|az|oc)\b{_COMMAND}login\b{_COMMAND}-p\s*{_ARGUMENT}"),
        (
            0,
            0.9,
            r"\bcurl\b[^\r\n|;]{0,200}?\s(?:-u|--user)\s{0,3}[\"']?[^\s:\"']{1,80}:([^\s\"']{4,})",
        ),
        (_I, 0.9, r"\blogin\s+\S{1,80}\s+password\s+(\S{4,})"),
        # host:port:database:user:password; the line's last field. No IPv6 address is a host here.
        (
            0,
            0.8,
            r"^(?=[^\s:]{0,99}[.*g-zG-Z])[A-Za-z0-9.*\-]{1,253}:(?:[0-9]{4,5}|\*):[^\s:]{1,63}:[^\s:]{1,63}:(\S{4,})$",
        ),
        (
            _I,
            0.9,
            r"\b(?:password|identified\s+(?:with\s+\S{1,40}\s+)?(?:by|as))\s+(?:password\s+)?"
            r"'((?:[^'\\\r\n]|\\.|''){4,4096}+)'",
        ),
        (0, 1.0, r'\\*"auth\\*"\s*:\s*\\*"([A-Za-z0-9+/=]{8,})'),
        (
            _I,
            0.9,
            r'"[a-z0-9_]{0,60}(?:password|secret|token)[a-z0-9_]{0,60}"\s*:\s*\{[^{}]{0,200}?'
            r'"value"\s*:\s*"([^"]+)"',
        ),
    ),
    "PASSWORD_HASH": (
        (0, 1.0, r"\$2[abxy]?\$\d\d\$[./A-Za-z0-9]{53}"),
        (
            0,
            1.0,
            r"\$argon2(?:id?|d)\$v=\d+\$m=\d+,t=\d+,p=\d+"
            r"\$[A-Za-z0-9+/_\-=]+\$[A-Za-z0-9+/_\-=]+",
        ),
        (0, 1.0, r"(?<![\w$])\$(?:1|5|6|y|gy|7|apr1|sha1|md5|scrypt)\$[^\s:\"',]{8,}"),
        (
            0,
            1.0,
            r"\$(?:scrypt|pbkdf2(?:-sha(?:1|224|256|384|512))?)\$[A-Za-z0-9=,]{1,60}"
            r"\$[A-Za-z0-9./+=]+\$[A-Za-z0-9./+=]+",
        ),
        (
            0,
            1.0,
            r"SCRAM-SHA-(?:1|256|512)\$\d+:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+",
        ),
        (0, 0.9, r"(?<![A-Za-z0-9])md5[0-9a-f]{32}(?![A-Za-z0-9])"),
        (0, 1.0, r"(?<![A-Za-z0-9*])\*[0-9A-F]{40}(?![A-Za-z0-9])"),
        (0, 1.0, r"\$A\$[0-9A-F]{3}\$[^\r\n]{20,}"),
        (
            0,
            1.0,
            r"\b(?:pbkdf2_sha(?:1|256|512)|bcrypt_sha256|scrypt)\$[\w=,]+"
            r"\$[A-Za-z0-9./+=]+\$[A-Za-z0-9+/=$]+",
        ),
        (0, 1.0, r"\{S?(?:SHA|MD5|SHA256|SHA512|CRYPT)\}[A-Za-z0-9+/=$.]{20,}"),
        (0, 1.0, r"\bpbkdf2:[a-z0-9]+:\d+\$[A-Za-z0-9]+\$[0-9a-f]{32,}"),
        (0, 1.0, r"\bscrypt:\d+:\d+:\d+\$[A-Za-z0-9]+\$[0-9a-f]{32,}"),
        (0, 1.0, r"\$[PH]\$[./A-Za-z0-9]{31}(?![./A-Za-z0-9])"),
        (0, 1.0, r"\$S\$[./A-Za-z0-9]{52}(?![./A-Za-z0-9])"),
        (_I, 1.0, r"\b0x0(?:100[0-9A-F]{48}|200[0-9A-F]{136})"),
        (0, 0.9, r"(?<![A-Za-z0-9&])#[0-9a-f]{64}(?![0-9a-f])"),
        (_I, 1.0, r":([0-9A-F]{32}:[0-9A-F]{32}):::"),
    ),
}
