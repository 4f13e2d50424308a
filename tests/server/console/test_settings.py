"""The page's settings in the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.errors import ConfigError
from server.config import Configuration, load
from server.console.console import console_url

BASE = """
gateway: {{listen: 127.0.0.1:8000, public_url: "https://ostiary.example.com/"}}
identity: {{issuers: [{{name: corp, issuer: https://idp.example.com{console}}}]}}
targets:
  shop: {{kind: postgres, environment: production, address: "unix:/run", database: shop,
         reader: {{user: r, password: env:P}}}}
{more}
"""


def loaded(directory: Path, console: str = "", more: str = "") -> Configuration:
    path = directory / "ostiary.yaml"
    path.write_text(BASE.format(console=console, more=more))
    return load(path)


def test_there_is_a_page_where_an_issuer_has_a_client_for_it(tmp_path: Path) -> None:
    without, having = loaded(tmp_path), loaded(tmp_path, ", console: {client_id: web}")
    assert console_url(without) == ""
    assert console_url(having) == "https://ostiary.example.com"


def test_a_clients_secret_stands_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="client_secret"):
        loaded(tmp_path, ", console: {client_id: web, client_secret: hunter2}")
    console = ", console: {client_id: web, client_secret: env:SECRET}"
    (issuer,) = loaded(tmp_path, console).identity.issuers
    assert issuer.console is not None
    assert str(issuer.console.client_secret) == "env:SECRET"


@pytest.mark.parametrize("console", ["{session: 481m}", "{session: 9h}", "{idle: 31m}"])
def test_a_session_ends_the_same_day(tmp_path: Path, console: str) -> None:
    with pytest.raises(ConfigError, match="at most"):
        loaded(tmp_path, more=f"console: {console}")


def test_a_session_may_be_shorter(tmp_path: Path) -> None:
    console = loaded(tmp_path, more="console: {session: 8h, idle: 5m}").console
    assert (console.session, console.idle) == (8 * 3600, 300)
