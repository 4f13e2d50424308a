"""Rules for keys and tokens: what clouds and vendors hand out, private keys, JWTs, HTTP's headers.

A rule is (flags, score, pattern); its one capture group is what is reported, or the whole match.
Every repetition is bounded or possessive, so that a search takes linear time.

Sources, in the order of the rules: GitHub "Behind GitHub's new authentication token formats";
GitLab "Token prefixes"; Slack "Tokens"; Stripe "API keys"; Google Cloud "Token types"; OpenAI and
Anthropic API references; Hugging Face "User access tokens"; npm "New access token format"; PyPI
"API tokens"; HashiCorp Vault "Token prefixes" and Terraform Cloud "API tokens"; SendGrid and Twilio
"API keys"; DigitalOcean API; Databricks "Personal access tokens"; Grafana "Service accounts";
Telegram Bot API; age-encryption.org/v1; Shopify "Access tokens"; AWS IAM "Unique identifiers";
Azure "Storage connection strings" and "Service SAS"; RFC 7468, 9580 (PEM, OpenPGP), PuTTY's
appendix C, Kubernetes kubeconfig v1; RFC 7519 and 7516 (JWT, JWE); RFC 7617, 6750, 7616, AWS
"Signature Version 4", RFC 6265.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import regex

Rule = tuple[int, float, str]
_I: Final = regex.IGNORECASE

_TOKENS: Final = "|".join(
    (
        r"gh[pousr]_[A-Za-z0-9]{36,}",
        r"github_pat_[A-Za-z0-9_]{50,}",
        r"gl(?:pat|oas|dt|rtr?|ptt|cbt|ft|imt|agent|wt|soat|ffct)-[A-Za-z0-9_\-]{20,}",
        r"xox[abeoprs]-[A-Za-z0-9-]{10,}",
        r"xapp-[0-9]-[A-Za-z0-9-]{20,}",
        r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}",
        r"whsec_[A-Za-z0-9+/=]{24,}",
        r"AIza[A-Za-z0-9_\-]{35,}",
        r"ya29\.[A-Za-z0-9_\-]{20,}",
        r"GOCSPX-[A-Za-z0-9_\-]{20,}",
        r"sk-(?:proj|svcacct|admin|ant)-[A-Za-z0-9_\-]{20,}",
        r"sk-[A-Za-z0-9]{40,}",
        r"hf_[A-Za-z0-9]{30,}",
        r"npm_[A-Za-z0-9]{36,}",
        r"pypi-AgE[A-Za-z0-9_\-]{50,}",
        r"hv[sbr]\.[A-Za-z0-9_\-]{24,}",
        r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_\-]{60,}",
        r"SG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}",
        r"SK[0-9a-f]{32}",
        r"do[opr]_v1_[0-9a-f]{64}",
        r"dapi[0-9a-f]{32}",
        r"eyJrIjoi[A-Za-z0-9=]{40,}",
        r"glsa_[A-Za-z0-9_]{32,}",
        r"[0-9]{8,10}:AA[A-Za-z0-9_\-]{32,}",
        r"AGE-SECRET-KEY-1[0-9A-Z]{58}",
        r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",
    )
)

_SCHEMES: Final = "bearer|basic|token|digest|negotiate|apikey"

RULES: Final[Mapping[str, Sequence[Rule]]] = {
    "PRIVATE_KEY": (
        # Borders of OpenSSL and of SSH2 (RFC 4716). A key that is cut off goes to the text's end.
        (
            0,
            1.0,
            r"----[- ]?BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)? ?----"
            r"(?:[^-]|-(?!---[- ]?END))*+"
            r"(?:----[- ]?END (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)? ?-----?)?",
        ),
        (
            0,
            1.0,
            r"(?:client[-_]key[-_]data|private_key_data)\\*\"?\s*[:=]\s*\\*\"?"
            r"([A-Za-z0-9+/=]{40,})",
        ),
        (0, 1.0, r"\bPrivate-Lines:\s*\d+\s+([A-Za-z0-9+/=]+(?:\r?\n[A-Za-z0-9+/=]+)*+)"),
        (0, 1.0, r"\b(?:PrivateKey|PresharedKey)\s*=\s*([A-Za-z0-9+/]{43}=)"),
    ),
    "AWS_KEY": (
        (0, 1.0, r"(?<![A-Z0-9])A(?:KIA|SIA|ROA|IDA|BIA|CCA)[A-Z2-7]{16}(?![A-Z0-9])"),
        (
            _I,
            1.0,
            r"secret[_-]?(?:access[_-]?)?key\\*[\"']?\s*[:=]\s*\\*[\"']?"
            r"([A-Za-z0-9/+=]{40})(?![A-Za-z0-9/+=])",
        ),
    ),
    "CLOUD_TOKEN": (
        (0, 1.0, rf"(?<![A-Za-z0-9])(?:{_TOKENS})"),
        (0, 1.0, r"hooks\.slack\.com/(?:services|workflows)/([A-Za-z0-9+/]{40,})"),
        (
            _I,
            1.0,
            r"(?:AccountKey|SharedAccessKey|SharedAccessSignature)=([A-Za-z0-9+/%=]{20,})",
        ),
        (_I, 0.9, r"[?&]sig=([A-Za-z0-9%+/=]{30,})"),
        (_I, 0.9, r"\bX-Amz-Signature=([0-9a-f]{64})"),
    ),
    "JWT": (
        (
            0,
            1.0,
            r"(?<![A-Za-z0-9_\-])eyJ[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]*){1,4}",
        ),
    ),
    "AUTH_HEADER": (
        (
            _I,
            1.0,
            rf"\b(?:proxy-)?authorization\\*[\"']?\s*[:=]\s*\\*[\"']?(?:{_SCHEMES})"
            r"\s+([^\s\"',;\\]{8,})",
        ),
        # Schemes with parameters: all of them go.
        (
            _I,
            1.0,
            r"\b(?:proxy-)?authorization\\*[\"']?\s*[:=]\s*\\*[\"']?"
            r"(?:digest\s|aws4-)([^\r\n]{8,})",
        ),
        (_I, 0.8, r"\bbearer\s+([A-Za-z0-9_\-.=+/]{20,})"),
        (_I, 0.9, r"\b(?:set-)?cookie\\*[\"']?\s*:\s*([^\r\n\"]{8,})"),
        (_I, 0.9, r"\bcurl\b[^\r\n|;]{0,200}?\s(?:-b|--cookie)\s{0,3}[\"']?([^\s\"'=]+=[^\s\"']+)"),
    ),
}
