"""Writes down what tools/list shows, after a change of a description that is meant:

    python -m tests.server.mcp.pin_tools

Agents obey descriptions: a change of one must not come in by the way (a "rug pull").
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

from server.mcp.results import tool_listing
from tools.registry import TOOLS

FILE: Final = Path(__file__).with_name("tools.json")


def pinned() -> dict[str, dict[str, str]]:
    """Each tool's description, and a digest of all that tools/list shows of it."""
    return {tool.name: _entry(tool_listing(tool).model_dump(mode="json")) for tool in TOOLS}


def _entry(listing: dict[str, object]) -> dict[str, str]:
    canonical = json.dumps(listing, sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(canonical).hexdigest()
    return {"description": str(listing["description"]), "sha256": digest}


if __name__ == "__main__":
    FILE.write_text(json.dumps(pinned(), indent=2) + "\n")
