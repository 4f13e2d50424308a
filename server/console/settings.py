"""What an administrator says about the approval page: its client at the issuer, its sessions."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from server.config_values import Duration, SecretReference

MOST_SESSION: Final = 8 * 3600.0
MOST_IDLE: Final = 30 * 60.0


def _at_most_eight_hours(seconds: float) -> float:
    if seconds > MOST_SESSION:
        raise ValueError("a session of the page lasts at most 8h")
    return seconds


def _at_most_half_an_hour(seconds: float) -> float:
    if seconds > MOST_IDLE:
        raise ValueError("a session of the page may be left alone for at most 30m")
    return seconds


class _Model(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(
        strict=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )


class ConsoleClient(_Model):
    """The page's own OAuth client at an issuer. A public client, with PKCE, has no secret."""

    client_id: Annotated[str, StringConstraints(min_length=1, max_length=255)] = Field(
        examples=["ostiary-console"]
    )
    client_secret: SecretReference | None = Field(
        default=None, examples=["env:OSTIARY_CONSOLE_SECRET"]
    )


class Console(_Model):
    """Seconds: how long somebody stays signed in, and how long without doing anything.

    Groups are read at sign-in: whoever loses one keeps it on the page for `session` at most.
    """

    session: Annotated[Duration, AfterValidator(_at_most_eight_hours)] = Field(
        default=3600.0, examples=["1h"]
    )
    idle: Annotated[Duration, AfterValidator(_at_most_half_an_hour)] = Field(
        default=1800.0, examples=["30m"]
    )
