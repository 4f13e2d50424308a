"""`ostiary serve` and `mcp`: the gateway itself. Only these read its secrets and its store."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

import uvloop

from server import allocator, app, workers
from server.commands.terminal import complain


def serve(arguments: Namespace) -> int:
    """Run every door until interrupted; 1 where workers can't start."""
    path = Path(arguments.config)
    worker = workers.Worker.of(os.environ)
    if worker is None and arguments.workers != 1:
        return uvloop.run(workers.serve(path, arguments.workers))
    allocator.prepare()
    first = worker is None or worker.number == 0
    uvloop.run(app.serve(path, complain if first else _quiet, worker))
    return 0


def _quiet(_line: str) -> None:
    """Another worker has said it."""


def mcp(arguments: Namespace) -> int:
    """Serve one MCP client on standard input and output."""
    uvloop.run(app.stdio(Path(arguments.config)))
    return 0
