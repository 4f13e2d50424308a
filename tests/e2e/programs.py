"""Real MCP clients on Node: MCP Inspector's two command lines, as a person runs them."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.world import World

INSPECTOR: Final = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
MCPDO: Final = "node_modules/@modelcontextprotocol/inspector/clients/mcpdo/build/mcp-bin.js"
WITHIN: Final = 60.0  # seconds


def folder_of_programs() -> Path:
    """Where `make test-all` has put the programs; a test that needs them is skipped without."""
    folder = os.environ.get("OSTIARY_PROGRAMS", "")
    if not folder or not shutil.which("node"):
        pytest.skip("MCP Inspector on Node is not here; `make test-all` installs and runs it")
    return Path(folder)


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended. `output` is its JSON, if it is."""

    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> dict[str, Any]:
        document = json.loads(self.stdout)
        assert isinstance(document, dict)
        return document


@dataclass(frozen=True, slots=True)
class Inspector:
    """The programs, with a home and a daemon of their own: they write to both."""

    folder: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "HOME": str(self.home),
            "MCP_CATALOG_PATH": str(self.home / "catalog.json"),
            "MCP_INSPECTOR_SECRET_STORE": "memory",
            "MCP_INSPECTOR_DAEMON_DIR": str(self.home / "daemon"),
            "MCP_INSPECTOR_DAEMON_TOKEN": "of-this-test-only-0123456789abcdef",
        }

    def run(self, program: str, *arguments: str) -> Ran:
        ended = subprocess.run(
            ["node", str(self.folder / program), *arguments],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=WITHIN,
        )
        return Ran(ended.returncode, ended.stdout, ended.stderr)

    def cli(self, world: World, era: str, *arguments: str, account: str = "rita") -> Ran:
        """One request with Inspector's own command line, which shows no forms."""
        where = [*("--server-url", f"{world.url}/mcp"), "--transport", "http"]
        token = ["--header", f"Authorization: Bearer {world.token(account)}"]
        options = [*where, *token, "--protocol-era", era, "--format", "json", "-q"]
        return self.run(INSPECTOR, "--cli", *options, *arguments)

    def call(self, world: World, era: str, tool: str, **arguments: str) -> Ran:
        pairs = [f"{name}={value}" for name, value in arguments.items()]
        named = [word for pair in pairs for word in ("--tool-arg", pair)]
        return self.cli(world, era, "--method", "tools/call", "--tool-name", tool, *named)

    def do(self, connection: str, *arguments: str) -> Ran:
        """One command of `mcpdo`, which keeps connections and answers forms."""
        return self.run(MCPDO, "--format", "json", "--connection", connection, *arguments)

    def connect(self, world: World, era: str, *, elicit: str = "form") -> str:
        """Open a connection that shows forms, pages or both; its name."""
        name = f"c{secrets.token_hex(4)}"
        where = ["--transport", "http", "--server-url", f"{world.url}/mcp"]
        token = ["--header", f"Authorization: Bearer {world.token('rita')}"]
        opened = self.do(name, "connect", "--era", era, "--elicit", elicit, *where, *token)
        assert opened.code == 0, opened.stderr
        return name


def said(result: Mapping[str, Any]) -> str:
    """The text of a tool's result."""
    return "".join(part["text"] for part in result["content"])
