"""Commands as a person in another terminal would run them, each a process of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from server import embedded

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
        variables = {"OSTIARY_GATEWAY": self.gateway, "OSTIARY_TOKEN": self.token}
        return await _ended(program(*arguments), variables)


@dataclass(frozen=True, slots=True)
class Psql:
    """PostgreSQL's own client: this machine's, or the one that comes with the embedded server."""

    host: str
    port: int
    database: str

    @property
    def words(self) -> tuple[str, ...]:
        """What a person types before the statement."""
        return ("psql", "-h", self.host, "-p", str(self.port), "-U", "rita", self.database)

    async def run(self, password: str, sql: str) -> Ended:
        """Run one statement. Raises `TimeoutError`, and `OSError` where there is no psql."""
        found = shutil.which("psql") or str(embedded.program("psql"))
        options = ("--no-psqlrc", "--no-password", "-A", "-F", " | ", "-P", "footer=off", "-c", sql)
        variables = {"PGPASSWORD": password, "PGCONNECT_TIMEOUT": "20"}
        return await _ended([found, *self.words[1:], *options], variables)


async def _ended(command: Sequence[str], variables: Mapping[str, str]) -> Ended:
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **variables},
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
    """The command's argv, in the environment that this process runs in; not its directory."""
    return [sys.executable, "-P", "-c", _PROGRAM, *arguments]
