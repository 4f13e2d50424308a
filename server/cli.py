"""The `ostiary` command: parses, runs one subcommand, words the exceptions, sets the exit code."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from policies.errors import (
    BackendUnavailable,
    ConfigError,
    Denied,
    ProtocolError,
    Unauthenticated,
)
from server.commands.arguments import build_parser
from server.commands.parsers import Command
from server.commands.terminal import complain, complain_refusal

DONE: Final = 0
FAILED: Final = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; 0 done, 1 refused or failed, 2 not understood (by argparse)."""
    parsed = build_parser(_version()).parse_args(arguments)
    try:
        return _run(parsed)
    except Denied as denied:
        complain_refusal(denied.refusal)
    except (Unauthenticated, BackendUnavailable, ProtocolError, ConfigError) as error:
        for line in str(error).splitlines():
            complain(f"ostiary: {line}")
    except KeyboardInterrupt:
        complain("ostiary: interrupted")
    except BrokenPipeError:
        # Whoever read the output has had enough. Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED


def _run(parsed: Namespace) -> int:
    command: Command = parsed.command
    # Imported by name: `--help` must not wait for the whole gateway to load. What it makes stays,
    # and collections that look for garbage in it meanwhile take a seventh of the time.
    gc.disable()
    module = importlib.import_module(f"server.commands.{command.module}")
    gc.freeze()
    gc.enable()
    result: int = getattr(module, command.function)(parsed)
    return result


def _version() -> str:
    try:
        return version("ostiary")
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
