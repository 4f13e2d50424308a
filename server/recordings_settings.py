"""The configuration's section `recordings`: where heads are anchored, and how long bodies stay."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from server.config_source import Tree
from server.config_values import Directory, Duration

LONGEST_INTERVAL = 300.0  # seconds: as long as intents may go on without an anchor


class Recordings(BaseModel):
    """Keep copies of the file of anchors on another machine; without `retention` bodies stay."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        strict=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    anchors: Directory = Field(
        default=Path("state/anchors.jsonl"), examples=["./state/anchors.jsonl"]
    )
    every: Duration = Field(default=60.0, examples=["60s"])
    retention: Duration | None = Field(default=None, examples=["90d"])

    @model_validator(mode="after")
    def _anchored_soon(self) -> Self:
        if self.every > LONGEST_INTERVAL:
            raise ValueError("`every` is at most 5m: what is not anchored yet can be cut off")
        return self


def completed(section: Tree, state: Tree) -> Tree:
    """With the file of anchors in the state directory, where it is not said."""
    return (
        {"anchors": f"{state}/anchors.jsonl", **section} if isinstance(section, dict) else section
    )
