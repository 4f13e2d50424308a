"""`ostiary serve` and `mcp`: the gateway itself. Only these read its secrets and its store."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import uvloop

from server import app


def serve(arguments: Namespace) -> int:
    """Run every door until interrupted."""
    uvloop.run(app.serve(Path(arguments.config)))
    return 0


def mcp(arguments: Namespace) -> int:
    """Serve one MCP client on standard input and output."""
    uvloop.run(app.stdio(Path(arguments.config)))
    return 0
