"""Stops on files and functions that grew past what a reader can hold: 600 lines, 60 lines."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

FILE_LINES = 600
FUNCTION_LINES = 60
PACKAGES = ("server", "tools", "policies", "masking", "recordings", "tests")


def oversized(path: Path) -> Iterator[str]:
    text = path.read_text()
    if (lines := text.count("\n")) > FILE_LINES:
        yield f"{path}:1: {lines} lines, at most {FILE_LINES}: split it by what changes together"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"{path}:{node.lineno}: {node.name} has {length} lines, at most 60"


def main() -> int:
    found = [
        line
        for package in PACKAGES
        for path in sorted(Path(package).rglob("*.py"))
        for line in oversized(path)
    ]
    print("\n".join(found) or "sizes: every file and function is within bounds")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
