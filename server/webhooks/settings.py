"""The part of the configuration that says who is told of approvals, how, and of what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from policies.errors import ConfigError
from server.config_values import Duration, Name, SecretReference
from server.identity.fetch import FetchFailed, check_url
from server.references import Secret

Event = Literal["asked", "approved", "denied", "withdrawn", "revoked", "expired", "void", "used"]

_TOLD: Final[tuple[Event, ...]] = (
    "asked",
    "approved",
    "denied",
    "withdrawn",
    "revoked",
    "expired",
)
_URL_ADVICE: Final = (
    "write an https URL without a query, or a reference (env:NAME, file:PATH) where the URL "
    "itself is the secret; plain http is only for loopback addresses"
)


class _Model(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(
        strict=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )


def _read_webhook_url(value: object, info: ValidationInfo) -> str | Secret:
    """A reference stays one: what it leads to is read, and checked, when something is sent."""
    if not isinstance(value, str):
        raise ValueError(_URL_ADVICE)
    if value.startswith(("env:", "file:")):
        try:
            return Secret.parse(value, (info.context or {}).get("base", Path()))
        except ConfigError as error:
            raise ValueError(str(error)) from None
    try:
        check_url(value)
    except FetchFailed:
        raise ValueError(_URL_ADVICE) from None
    if urlsplit(value).query:
        raise ValueError(_URL_ADVICE)
    return value


WebhookUrl = Annotated[
    str | Secret, PlainValidator(_read_webhook_url), WithJsonSchema({"type": "string"})
]


class Webhook(_Model):
    """One receiver. `standard` is signed as Standard Webhooks says; `slack` has Slack's shape."""

    name: Name = Field(examples=["oncall"])
    url: WebhookUrl = Field(examples=["https://hooks.example.com/ostiary"])
    format: Literal["standard", "slack"] = "standard"
    secret: SecretReference | None = Field(default=None, examples=["env:ONCALL_SECRET"])
    events: tuple[Event, ...] = Field(default=_TOLD, min_length=1, examples=["[asked, denied]"])
    groups: tuple[str, ...] = Field(default=(), examples=["[dba]"])
    """Only requests that one of these groups decides; empty: all."""
    statement: Literal["none", "full"] = "none"
    """Whether the statement and the reason given go out too: they may hold personal data."""

    @model_validator(mode="after")
    def _signed(self) -> Self:
        if self.format == "standard" and self.secret is None:
            raise ValueError(
                f"the webhook {self.name} is not signed; write `secret: env:NAME`, where NAME "
                "holds whsec_ and 24 to 64 random bytes in base64"
            )
        return self

    @model_validator(mode="after")
    def _secret_url(self) -> Self:
        """Whoever knows a Slack webhook's URL can write to its channel."""
        if self.format == "slack" and not isinstance(self.url, Secret):
            raise ValueError(
                f"the URL of the webhook {self.name} is a secret itself; write `url: env:NAME`"
            )
        return self


class Retries(_Model):
    """How long one try may take, how many there are, and the wait between them.

    The wait begins with `first_wait` and is four times longer each time, up to `longest_wait`.
    """

    timeout: Duration = Field(default=10.0, examples=["10s"])
    tries: Annotated[int, Field(ge=1, le=20)] = 8
    first_wait: Duration = Field(default=10.0, examples=["10s"])
    longest_wait: Duration = Field(default=3600.0, examples=["1h"])


class Notifications(_Model):
    """Who is told that a request waits for a person, and what came of it."""

    webhooks: tuple[Webhook, ...] = ()
    retries: Retries = Field(default_factory=Retries)

    @model_validator(mode="after")
    def _no_name_twice(self) -> Self:
        names = [webhook.name for webhook in self.webhooks]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"the webhook name {twice} stands there twice; remove one")
        return self
