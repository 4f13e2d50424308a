"""`ostiary config schema`: what a configuration may say, as JSON Schema."""

from __future__ import annotations

from argparse import Namespace

from server.config import json_schema


def schema(_arguments: Namespace) -> int:
    """Print it. `server/configuration.schema.json` is this output, and a test compares them."""
    print(json_schema())
    return 0
