"""The `ostiary` command as a person in another terminal would run it: a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from typing import Final

_PROGRAM: Final = "import sys; from server.cli import main; sys.exit(main())"
_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended; `text` is all that it printed."""

    good: bool
    text: str

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


@dataclass(frozen=True, slots=True)
class CommandLine:
    """Runs commands against one gateway with one person's token."""

    gateway: str
    token: str

    async def run(self, *arguments: str) -> Ended:
        """Run one command to its end. Raises `TimeoutError`."""
        process = await asyncio.create_subprocess_exec(
            *program(*arguments),
            env={**os.environ, "OSTIARY_GATEWAY": self.gateway, "OSTIARY_TOKEN": self.token},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(_SECONDS):
                printed, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        return Ended(process.returncode == 0, printed.decode(errors="replace"))


def program(*arguments: str) -> list[str]:
    """The command's argv, in the environment that this process runs in."""
    return [sys.executable, "-c", _PROGRAM, *arguments]
