"""The policy sets that come with the gateway, by the name that a configuration calls them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Pack:
    """`groups` are those of the identity provider that its policies know."""

    name: str
    sentence: str
    groups: tuple[str, ...]
    directory: Path


PACKS: Final = (
    Pack(
        "starter",
        "developers change what a DBA approves, analysts read, personal values are masked",
        ("developers", "analysts", "dba", "auditors", "security"),
        _HERE.parent / "starter",
    ),
    Pack(
        "analytics",
        "reading only: nothing is changed by anybody, personal values are masked",
        ("analysts", "stewards", "auditors", "security"),
        _HERE / "analytics",
    ),
    Pack(
        "product-team",
        "a team that owns its development databases, with production behind approvals",
        ("developers", "leads", "support", "dba", "auditors", "security"),
        _HERE / "product-team",
    ),
    Pack(
        "compliance",
        "a reason for everything, two people for each change, little read at a time",
        ("operators", "approvers", "owners", "auditors", "security"),
        _HERE / "compliance",
    ),
)


def names() -> tuple[str, ...]:
    """What `policies:` may say instead of a directory."""
    return tuple(pack.name for pack in PACKS)


def directory_of(source: Path | str) -> Path:
    """Where a pack's files are, or the directory that was named; `./NAME` is never a pack."""
    found = next((p.directory for p in PACKS if p.name == source), None)
    return found if found is not None else Path(source)
