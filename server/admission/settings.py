"""`limits` of the configuration: how much one principal, and one agent, may ask at a time."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

PerMinute = Annotated[int, Field(ge=1, le=100_000_000)]
AtOnce = Annotated[int, Field(ge=1, le=100_000)]


class _Model(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(
        strict=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )


class PrincipalLimits(_Model):
    """Of one principal, over all their agents, doors and sessions, in one gateway process.

    A call opens a session on a target: a tool call over MCP, a login at a native listener. A
    statement is what is asked in a session. Requests that open none (lists, waits, the API) are
    counted apart, against `calls_per_minute`. A minute's worth may come at once; what follows
    comes at the rate.
    """

    calls_per_minute: PerMinute = 600
    statements_per_minute: PerMinute = 60_000
    concurrent: AtOnce = 32


class AgentLimits(PrincipalLimits):
    """Of one agent, over everybody for whom it acts, in one gateway process."""

    calls_per_minute: PerMinute = 6_000
    statements_per_minute: PerMinute = 600_000
    concurrent: AtOnce = 320


class Limits(_Model):
    """For 700 calls a second of one principal: `calls_per_minute: 50000` in both parts."""

    per_principal: PrincipalLimits = Field(default_factory=PrincipalLimits)
    per_agent: AgentLimits = Field(default_factory=AgentLimits)
