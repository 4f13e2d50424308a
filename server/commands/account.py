"""`ostiary login`, `token` and `whoami`: who you are to a gateway."""

from __future__ import annotations

import asyncio
import os
import webbrowser
from argparse import Namespace

from policies.errors import ConfigError
from server.commands.gateway_client import current_token, gateway_url, open_gateway
from server.commands.native import issue
from server.commands.terminal import say, show_fields
from server.identity.fetch import open_http
from server.identity.login import (
    SignedIn,
    read_offer,
    sign_in_with_browser,
    sign_in_with_device,
)
from server.identity.token_store import StoredToken, TokenStore


def login(arguments: Namespace) -> int:
    """Sign in and keep the token for this gateway."""
    gateway = gateway_url(arguments.gateway, os.environ)
    signed_in = asyncio.run(_sign_in(gateway, arguments))
    store = TokenStore.of_user(os.environ)
    store.save(StoredToken(gateway, signed_in.token, signed_in.expires_at))
    say(f"Signed in to {gateway}. The token is in {store.directory}, for you alone.")
    return 0


async def _sign_in(gateway: str, arguments: Namespace) -> SignedIn:
    async with open_http() as http:
        offer = await read_offer(http, gateway, arguments.issuer)
        if arguments.device:
            return await sign_in_with_device(http, offer, tell=say)
        opener = webbrowser.open if arguments.browser else _leave_closed
        return await sign_in_with_browser(http, offer, tell=say, open_browser=opener)


def _leave_closed(_url: str) -> None:
    """The person opens the page that was shown."""


def token(arguments: Namespace) -> int:
    """Print the token, for a client's configuration, or a new one for a target's native door."""
    if arguments.target is not None:
        print(issue(arguments))
        return 0
    if arguments.ttl is not None:
        raise ConfigError("--ttl goes with --target: your own token lasts as its issuer says")
    print(current_token(gateway_url(arguments.gateway, os.environ), os.environ))
    return 0


def whoami(arguments: Namespace) -> int:
    """Print who the gateway takes you for."""
    with open_gateway(arguments.gateway, os.environ) as gateway:
        who = gateway.get("whoami")
    groups = who.get("groups")
    show_fields(
        [
            ("id", str(who.get("id"))),
            ("name", str(who.get("name"))),
            ("agent", str(who.get("agent"))),
            ("groups", ", ".join(map(str, groups)) if isinstance(groups, list) else ""),
        ]
    )
    return 0
