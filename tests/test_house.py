"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("server", "tools", "policies", "masking", "recordings")


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def data_files() -> Iterator[Path]:
    """What the policies' code reads at run time: packs with their cases, the schema, built-ins."""
    for suffix in ("*.cedar", "*.cedarschema", "*.yaml", "*.json"):
        yield from sorted((ROOT / "policies").rglob(suffix))


def calls(path: Path, names: set[str]) -> list[str]:
    tree = ast.parse(path.read_text())
    return [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
    ]


def test_only_the_gate_makes_grants_and_substitutes() -> None:
    makers = [c for path in sources() for c in calls(path, {"Grant", "Substitute"})]
    assert {c.split(":")[0] for c in makers} == {"server/gate.py"}


def test_only_the_gate_asks_whether_something_may_run() -> None:
    asked = [
        str(path.relative_to(ROOT))
        for path in sources()
        if "decision_point.decide(" in path.read_text()
    ]
    assert asked == ["server/gate.py"]


def test_the_architecture_quotes_perform_as_it_is() -> None:
    quoted = (ROOT / "ARCHITECTURE.md").read_text().split("```python\n")[1].split("```")[0]
    assert quoted in (ROOT / "server/gate.py").read_text()


def test_every_module_says_what_it_is() -> None:
    silent = [p for p in sources() if not ast.get_docstring(ast.parse(p.read_text()))]
    assert silent == []


def test_no_file_names_a_path_of_one_machine_or_a_registry() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    words = ("/" + "work/main", "/" + "root/", "pypi" + ".org", "registry." + "npmjs")
    found = [
        (name, word)
        for name in filter(None, tracked)
        if (ROOT / name).is_file()
        for word in words
        if word in (ROOT / name).read_text(errors="replace")
    ]
    assert found == []


@pytest.mark.full
def test_the_wheel_holds_exactly_the_five_packages(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path)]
    subprocess.run([*command, str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == set(PACKAGES)
    files = {f"policies/{p.relative_to(ROOT / 'policies')}" for p in data_files()}
    assert files <= names


def test_no_dependency_ships_one_of_our_package_names() -> None:
    site = next(p for p in map(Path, sys.path) if p.name == "site-packages")
    assert [name for name in PACKAGES if (site / name).exists()] == []
