"""The starter policies as a directory of a test's own, with changes that the test names."""

from __future__ import annotations

import shutil
from pathlib import Path

from policies.cedar import STARTER


def starter_copy(directory: Path) -> Path:
    """The starter set, for a test that changes it."""
    return Path(shutil.copytree(STARTER, directory))


def rewrite(file: Path, old: str, new: str) -> None:
    """Put one text in place of another, which must stand there once."""
    text = file.read_text()
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file.name}"
    file.write_text(text.replace(old, new))


def with_self_confirmation(directory: Path) -> Path:
    """UPDATEs need the requester's own confirmation; all other changes still need a DBA."""
    gates = starter_copy(directory) / "gates.cedar"
    rewrite(
        gates,
        'action in Action::"change",',
        'action in [Action::"sql.insert", Action::"sql.delete"],',
    )
    gates.write_text(
        gates.read_text()
        + '\n@id("confirm-updates")\n@approve("self")\n@reason("An UPDATE is confirmed.")\n'
        'forbid (principal, action == Action::"sql.update", resource);\n'
    )
    return directory
