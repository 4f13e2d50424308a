"""The configuration: one YAML file -> frozen models, or an error with file, line and advice.

Not in here: YAML and the wording of errors (`server.config_source`), single values such as
addresses and durations (`server.config_values`), what secrets hold (`server.references`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from server.admission.settings import Limits
from server.config_schema import schema_text
from server.config_source import Tree, read, worded
from server.config_targets import (
    Account,
    ColumnRule,
    MysqlTarget,
    PostgresTarget,
    Target,
    check_no_duplicates,
)
from server.config_values import (
    Address,
    ColumnName,
    Directory,
    Duration,
    FileReference,
    Listen,
    Name,
    Policies,
    SecretReference,
    Url,
    read_host_and_port,
)
from server.console.settings import Console, ConsoleClient
from server.masking_settings import Masking
from server.native.settings import Tokens
from server.recordings_settings import Recordings
from server.recordings_settings import completed as completed_recordings
from server.references import Secret
from server.webhooks.settings import Notifications

__all__ = [
    "Account",
    "Address",
    "Approvals",
    "ColumnName",
    "ColumnRule",
    "Configuration",
    "Gateway",
    "Identity",
    "Issuer",
    "MysqlListener",
    "MysqlTarget",
    "PostgresListener",
    "PostgresTarget",
    "Secret",
    "Store",
    "Target",
    "Tls",
    "example",
    "json_schema",
    "load",
]

_DEFAULT_LISTEN: Final = "127.0.0.1:8000"


class _Model(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(
        strict=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )


class Tls(_Model):
    """Files in PEM; the key's is read only by the gateway."""

    certificate: FileReference = Field(examples=["file:tls/certificate.pem"])
    key: FileReference = Field(examples=["file:tls/key.pem"])


class Gateway(_Model):
    """The MCP door. Empty `allowed_hosts` and `allowed_origins` mean those of `public_url`."""

    listen: Listen = Field(default=Address("127.0.0.1", 8000), examples=["127.0.0.1:8000"])
    public_url: Url = Field(default="", examples=["https://ostiary.example.com"])
    tls: Tls | None = None
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _encrypted_beyond_loopback(self) -> Self:
        _check_encrypted(self.listen, self.tls)
        return self

    @model_validator(mode="after")
    def _public_url_can_be_connected_to(self) -> Self:
        if urlsplit(self.public_url).hostname in ("0.0.0.0", "::"):  # noqa: S104 - refused here
            raise ValueError(
                "`public_url` is what clients connect to, and nobody connects to "
                "0.0.0.0; write `public_url: https://HOST:PORT`"
            )
        return self


class Store(_Model):
    """The store's PostgreSQL; without a URL an embedded one in `state`."""

    url: SecretReference | None = Field(default=None, examples=["env:OSTIARY_STORE_URL"])


class Issuer(_Model):
    """An OIDC issuer whose tokens are accepted; `name` begins the ids of its principals."""

    name: Name = Field(examples=["corp"])
    issuer: Url = Field(examples=["https://idp.example.com"])
    audience: str = Field(default="", examples=["https://ostiary.example.com/mcp"])
    """What `aud` must hold; empty in the file: the MCP address below `public_url`."""
    groups_claim: str = "groups"
    agent_claim: str = "azp"
    name_claim: str = "preferred_username"
    algorithms: tuple[
        Literal[
            "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
        ],
        ...,
    ] = Field(default=("RS256", "ES256"), min_length=1)
    client_id: str = Field(default="ostiary-cli")
    """The client that `ostiary login` uses."""
    console: ConsoleClient | None = Field(default=None, examples=["{client_id: ostiary-console}"])
    """The client of the approval page; without one, nobody signs in there through this issuer."""


class Certificates(_Model):
    """Client certificates that native doors take; `name` begins the ids of their principals.

    Who it is, is a certificate's subject alternative name; its groups are the subject's
    organisations.
    """

    name: Name = Field(examples=["machines"])
    authority: FileReference = Field(examples=["file:tls/clients.pem"])
    """Those who issue them, in PEM."""
    revoked: FileReference | None = Field(default=None, examples=["file:tls/revoked.pem"])
    """What they have revoked: a current list of each, in PEM. Read again when it changes."""


class Identity(_Model):
    certificates: Certificates | None = Field(
        default=None, examples=["{name: machines, authority: file:tls/clients.pem}"]
    )
    issuers: tuple[Issuer, ...] = Field(min_length=1, examples=["[{name: corp, issuer: …}]"])

    @model_validator(mode="after")
    def _no_name_twice(self) -> Self:
        names = [issuer.name for issuer in self.issuers]
        if self.certificates is not None:
            names.append(self.certificates.name)
        check_no_duplicates("issuer name", names)
        check_no_duplicates("issuer", [issuer.issuer for issuer in self.issuers])
        return self


class Approvals(_Model):
    """Seconds: how long a ticket may wait for a decision, and a call for a ticket."""

    expire_after: Duration = Field(default=900.0, examples=["15m"])
    hold: Duration = Field(default=25.0, examples=["25s"])
    native: Duration = Field(default=300.0, examples=["5m"])
    """How long a statement waits at a native door, where it can."""


class _Listener(_Model):
    listen: Listen = Field(examples=["127.0.0.1:6432"])
    tls: Tls | None = None

    @model_validator(mode="after")
    def _encrypted_beyond_loopback(self) -> Self:
        _check_encrypted(self.listen, self.tls)
        return self


class PostgresListener(_Listener):
    """A door that speaks PostgreSQL's own protocol."""

    protocol: Literal["postgres"] = Field(examples=["postgres"])


class MysqlListener(_Listener):
    """A door that speaks the protocol of MySQL and MariaDB; with a `target`, to that one alone."""

    protocol: Literal["mysql"] = Field(examples=["mysql"])
    listen: Listen = Field(examples=["127.0.0.1:3307"])
    target: Name | None = Field(default=None, examples=["shop"])


Listener = Annotated[PostgresListener | MysqlListener, Field(discriminator="protocol")]


class Configuration(_Model):
    """Everything that an administrator decides about a gateway."""

    gateway: Gateway = Field(default_factory=Gateway)
    state: Directory = Field(default=Path("state"), examples=["./state"])
    store: Store = Field(default_factory=Store)
    keys: SecretReference = Field(
        default_factory=lambda: Secret("file", "state/keys.json"),
        examples=["file:./state/keys.json"],
    )
    identity: Identity = Field(examples=["{issuers: […]}"])
    policies: Policies = Field(default="starter", examples=["starter"])
    groups: tuple[str, ...] = ()
    """Groups that policies may name, for `ostiary policy check`; empty: any."""
    approvals: Approvals = Field(default_factory=Approvals)
    tokens: Tokens = Field(default_factory=Tokens)
    limits: Limits = Field(default_factory=Limits)
    recordings: Recordings = Field(default_factory=Recordings)
    console: Console = Field(default_factory=Console)
    notifications: Notifications = Field(default_factory=Notifications)
    masking: Masking = Field(default_factory=Masking)
    targets: Mapping[Name, Target] = Field(min_length=1, examples=["{shop: {…}}"])
    listeners: tuple[Listener, ...] = ()

    @model_validator(mode="after")
    def _listeners_have_targets(self) -> Self:
        for listener in self.listeners:
            name = listener.target if isinstance(listener, MysqlListener) else None
            target = self.targets.get(name) if name else None
            if name and not isinstance(target, MysqlTarget):
                raise ValueError(f"the listener's `target: {name}` is no mysql or mariadb target")
        return self


def _check_encrypted(listen: Address, tls: Tls | None) -> None:
    if tls is None and not listen.is_loopback:
        raise ValueError(
            f"listening on {listen}, beyond loopback, needs TLS; "
            "write `tls: {certificate: file:PATH, key: file:PATH}`, or listen on 127.0.0.1"
        )


# --- loading -------------------------------------------------------------------------------------


def load(path: Path) -> Configuration:
    """Read and check a file. Raises `ConfigError`: a line for each error, with file and line."""
    source = read(path)
    base = path.absolute().parent
    try:
        return Configuration.model_validate(_completed(source.tree), context={"base": base})
    except ValidationError as error:
        raise worded(source, error, Configuration) from None


def example(path: Path) -> str:
    """A file to begin with, as `ostiary init` writes it to `path`."""
    text = (Path(__file__).parent / "example.yaml").read_text()
    return text.replace("@PATH@", str(path))


def json_schema() -> str:
    """The JSON Schema of the file, for editors; published as `configuration.schema.json`."""
    return schema_text(Configuration, "Ostiary's configuration")


def _completed(tree: Tree) -> Tree:
    """Write out what follows from other settings. What has the wrong type is left to the check."""
    if not isinstance(tree, dict):
        return tree
    gateway = _with_public_url(tree.get("gateway", {}))
    state = tree.get("state", "state")
    return {
        "keys": f"file:{state}/keys.json",
        **tree,
        "state": state,
        "gateway": gateway,
        "identity": _with_audiences(tree.get("identity", {}), gateway),
        "recordings": completed_recordings(tree.get("recordings", {}), state),
    }


def _with_public_url(gateway: Tree) -> Tree:
    if not isinstance(gateway, dict) or "public_url" in gateway:
        return gateway
    try:
        listen = read_host_and_port(gateway.get("listen", _DEFAULT_LISTEN))
    except ValueError:
        return gateway
    scheme = "http" if listen.is_loopback and not gateway.get("tls") else "https"
    return {**gateway, "public_url": f"{scheme}://{listen}"}


def _with_audiences(identity: Tree, gateway: Tree) -> Tree:
    if not isinstance(identity, dict) or not isinstance(gateway, dict):
        return identity
    issuers = identity.get("issuers")
    if not isinstance(issuers, tuple):
        return identity
    audience = f"{str(gateway.get('public_url')).rstrip('/')}/mcp"
    named = tuple({"audience": audience, **i} if isinstance(i, dict) else i for i in issuers)
    return {**identity, "issuers": named}
