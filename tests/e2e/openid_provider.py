"""A real OpenID provider as a process: `oidc-provider` from npm, that is not ours."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SCRIPT: Final = Path(__file__).with_suffix(".mjs")
SECRET: Final = "canary-console-client-secret-5c1d"
ACCOUNTS: Final = {
    "rita": {"email": "rita@corp.example", "groups": ["developers"]},
    "victor": {"email": "victor@corp.example", "groups": ["dba", "auditors"]},
    "vera": {"email": "vera@corp.example", "groups": ["dba"]},
}


@dataclass(frozen=True, slots=True)
class OpenIdProvider:
    """Where it listens. Whoever names an account there is signed in as it."""

    issuer: str

    def in_configuration(self, gateway: str) -> dict[str, Any]:
        """The issuer in a gateway's configuration; the page's client is a confidential one."""
        return {
            "name": "corp",
            "issuer": self.issuer,
            "audience": f"{gateway}/mcp",
            "algorithms": ["ES256"],
            "client_id": "ostiary-cli",
            "console": {
                "client_id": "ostiary-console",
                "client_secret": "env:E2E_CONSOLE_SECRET",
            },
        }


def _clients(gateway: str) -> list[Mapping[str, Any]]:
    return [
        {
            "client_id": "ostiary-console",
            "client_secret": SECRET,
            "redirect_uris": [f"{gateway}/approvals/callback"],
            "grant_types": ["authorization_code"],
            "response_types": ["code"],
            "id_token_signed_response_alg": "ES256",
        },
        {
            "client_id": "ostiary-cli",
            "application_type": "native",
            "token_endpoint_auth_method": "none",
            "redirect_uris": ["http://127.0.0.1/callback"],
            "grant_types": [
                "authorization_code",
                "urn:ietf:params:oauth:grant-type:device_code",
            ],
            "response_types": ["code"],
            "id_token_signed_response_alg": "ES256",
        },
    ]


@contextmanager
def openid_provider(
    programs: Path, log: Path, *, port: int, gateway: str
) -> Iterator[OpenIdProvider]:
    """Run it while open. `gateway` is the public URL that its tokens and codes are for."""
    provider = OpenIdProvider(f"http://127.0.0.1:{port}")
    settings = {
        "programs": str(programs),
        "issuer": provider.issuer,
        "port": port,
        "audience": f"{gateway}/mcp",
        "accounts": ACCOUNTS,
        "clients": _clients(gateway),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["node", str(SCRIPT)],
            env={**os.environ, "OPENID_PROVIDER": json.dumps(settings)},
            stdout=subprocess.PIPE,
            stderr=output,
        )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n", log.read_text()
        yield provider
    finally:
        process.terminate()
        process.wait(timeout=10)
        if process.stdout is not None:
            process.stdout.close()
