"""Compiles the hottest modules into a wheel: `OSTIARY_COMPILE=1 pip install .`.

mypyc takes the same sources that run uncompiled everywhere else. It needs a C compiler and
Python's headers.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MODULES = (
    "masking/cells.py",
    "masking/columns.py",
    "masking/fast/clearing.py",
    "masking/fast/memory.py",
    "masking/fast/scanner.py",
    "masking/pseudonyms.py",
    "masking/recognizers/card.py",
    "masking/recognizers/iban.py",
    "masking/recognizers/phone_plans.py",
    "masking/recognizers/phone_shapes.py",
    "masking/scanning.py",
    "masking/text_masks.py",
    "masking/values/guards.py",
    "masking/values/plain.py",
    "masking/values/postgres.py",
    "masking/values/postgres_texts.py",
    "policies/memory.py",
    "policies/model.py",
    "recordings/chain.py",
    "recordings/clock.py",
    "recordings/copied_rows.py",
    "recordings/cuts.py",
    "recordings/decisions.py",
    "recordings/events.py",
    "recordings/journal.py",
    "recordings/mysql_rows.py",
    "recordings/mysql_splice.py",
    "recordings/mysql_walk.py",
    "recordings/outlet.py",
    "recordings/results.py",
    "recordings/row_walk.py",
    "recordings/rows.py",
    "server/admission/accounts.py",
    "server/mcp/boundary.py",
    "server/mcp/messages.py",
    "server/mcp/strict_json.py",
    "server/protocols/mysql/answers.py",
    "server/protocols/mysql/codec.py",
    "server/protocols/mysql/columns.py",
    "server/protocols/mysql/conversation.py",
    "server/protocols/mysql/fields.py",
    "server/protocols/mysql/packets.py",
    "server/protocols/mysql/parameters.py",
    "server/protocols/mysql/statements.py",
    "server/protocols/postgres/codec.py",
    "server/protocols/postgres/conversation.py",
    "server/protocols/postgres/fields.py",
    "server/protocols/postgres/names.py",
    "server/protocols/postgres/own.py",
    "server/records.py",
    "tools/cells.py",
    "tools/escaping.py",
    "tools/table.py",
)
"""What a call spends its time in. Modules with asynchronous generators can't be compiled."""


class CompiledWheel(BuildHookInterface[Any]):
    """Adds the compiled modules to a wheel, where that was asked for."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What the build needs besides; nothing for a wheel of sources."""
        return ["mypy>=2.4", "setuptools>=80"] if _asked() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the wheel is written. An editable installation stays with its sources."""
        if not _asked() or version == "editable":
            return
        directory = Path(tempfile.mkdtemp(prefix="ostiary-compiled-"))
        for library in compiled(Path(self.root), directory):
            build_data["force_include"][str(library)] = str(library.relative_to(directory / "lib"))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True


def _asked() -> bool:
    return os.environ.get("OSTIARY_COMPILE", "") not in ("", "0")


def compiled(root: Path, directory: Path) -> list[Path]:
    """The libraries made of `MODULES`, in `directory`/lib as the sources stand in `root`."""
    from mypyc.build import mypycify  # noqa: PLC0415 -- there only where it was asked for
    from setuptools import Distribution  # noqa: PLC0415

    before = Path.cwd()
    os.chdir(root)
    try:
        options = ["--ignore-missing-imports", "--no-error-summary"]
        extensions = mypycify([*options, *MODULES], opt_level="3", target_dir=str(directory / "c"))
        command: Any = Distribution({"ext_modules": extensions}).get_command_obj("build_ext")
        command.build_lib, command.build_temp = str(directory / "lib"), str(directory / "temp")
        command.ensure_finalized()
        command.run()
    finally:
        os.chdir(before)
    return sorted((directory / "lib").rglob("*.so"))
