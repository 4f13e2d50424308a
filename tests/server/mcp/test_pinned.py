"""What tools/list shows is what was written down when it was last looked at."""

from __future__ import annotations

import json

from tests.server.mcp.pin_tools import FILE, pinned


def test_no_tool_has_changed_by_the_way() -> None:
    """A change that is meant: `python -m tests.server.mcp.pin_tools`, and look at the diff."""
    assert pinned() == json.loads(FILE.read_text())
