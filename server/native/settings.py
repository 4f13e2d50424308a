"""`tokens`, and `sessions` of a target, in the configuration: how long what lasts. In seconds."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from server.config_values import Duration


class _Model(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(
        strict=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )


class Tokens(_Model):
    """Tokens for native doors (`ostiary token --target`): how long, and how many at a time."""

    ttl: Duration = Field(default=3600.0, examples=["1h"])
    longest: Duration = Field(default=43200.0, examples=["12h"])
    most: Annotated[int, Field(ge=1, le=10_000)] = 50
    """That one principal may have, of those that have not expired."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.ttl > self.longest:
            raise ValueError("`ttl` is longer than `longest`; write a shorter one")
        return self


class SessionLimits(_Model):
    """Of a target's native sessions. Empty `idle` and `session`: as long as the token lasts."""

    statement: Duration = Field(default=60.0, examples=["1m"])
    """How long one statement may run there, over any door."""
    idle: Duration | None = Field(default=None, examples=["1h"])
    """How long a session may say nothing, outside a transaction."""
    idle_in_transaction: Duration = Field(default=600.0, examples=["10m"])
    session: Duration | None = Field(default=None, examples=["12h"])
