"""`ostiary serve` and `mcp`: the gateway itself. Only these read its secrets and its store."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from pathlib import Path

from server import app


def serve(arguments: Namespace) -> int:
    """Run every door until interrupted."""
    asyncio.run(app.serve(Path(arguments.config)))
    return 0


def mcp(arguments: Namespace) -> int:
    """Serve one MCP client on standard input and output."""
    asyncio.run(app.stdio(Path(arguments.config)))
    return 0
