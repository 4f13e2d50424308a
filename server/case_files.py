"""Files of policy tests: YAML with its lines -> cases, and the targets that they speak about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
from pydantic import ValidationError

from policies.case_catalogs import Offline, written
from policies.cases import CaseCatalog, CaseFile, CaseTarget
from policies.errors import ConfigError
from policies.model import Target
from policies.packs import names
from policies.sql.catalog import Catalog
from policies.sql.snapshot import NoSnapshot, catalog_of
from server.config import Configuration
from server.config_source import Source, read, worded

_SUFFIXES: Final = frozenset({".yaml", ".yml"})


@dataclass(frozen=True, slots=True)
class CaseSource:
    """A file of cases that knows its lines."""

    source: Source
    file: CaseFile

    @property
    def path(self) -> Path:
        return self.source.path

    def place(self, number: int) -> str:
        """`file:line` of a case, counted from 0."""
        return self.source.place(("cases", number))


def case_files(directory: Path) -> list[Path]:
    """The files of cases in a directory and those below it."""
    return sorted(path for path in directory.rglob("*") if path.suffix in _SUFFIXES)


def read_cases(path: Path) -> CaseSource:
    """Raises `ConfigError`: a line for each error, with file and line."""
    source = read(path)
    try:
        return CaseSource(source, CaseFile.model_validate(source.tree))
    except ValidationError as error:
        raise worded(source, error, CaseFile) from None


def read_catalog(path: Path) -> tuple[str, Catalog]:
    """A snapshot's kind of target, and its catalog. Raises `ConfigError`."""
    try:
        document = orjson.loads(path.read_bytes())
        return str(document["kind"]), catalog_of(document)
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from None
    except (NoSnapshot, ValueError, KeyError, TypeError) as error:
        why = error if isinstance(error, NoSnapshot) else "it is no catalog"
        raise ConfigError(f"{path}: {why}; write one with `ostiary facts --snapshot`") from None


def configured_targets(configuration: Configuration) -> Mapping[str, Target]:
    """Targets as policies see them."""
    return {
        name: Target(name, target.kind, target.environment, frozenset(target.groups))
        for name, target in configuration.targets.items()
    }


def offline(cases: CaseSource, configured: Mapping[str, Target]) -> Offline:
    """The file's own targets and catalogs, and configured targets beside them."""
    file = cases.file
    own = {name: _target(name, said) for name, said in file.targets.items()}
    targets = {**configured, **own}
    chosen = {name: _said(file, name) or file.catalog for name in targets}
    base = cases.path.parent
    catalogs = {
        name: _catalog(said, base, targets[name])
        for name, said in chosen.items()
        if said is not None
    }
    return Offline(targets, catalogs)


def _said(file: CaseFile, target: str) -> str | CaseCatalog | None:
    return file.targets[target].catalog if target in file.targets else None


def _target(name: str, said: CaseTarget) -> Target:
    return Target(name, said.kind, said.environment, frozenset(said.groups))


def _catalog(said: str | CaseCatalog, base: Path, target: Target) -> Catalog:
    match said:
        case str():
            kind, catalog = read_catalog(base / said)
        case CaseCatalog():
            kind, catalog = "postgres", written(said)
    if kind != target.kind:
        raise ConfigError(
            f"target {target.name} is of the kind {target.kind}, and its catalog of {kind}; name a "
            "snapshot that `ostiary facts --snapshot` wrote of it"
        )
    return catalog


def named_policies(cases: CaseSource) -> Path | str | None:
    """What the file says it is about: a pack, or a directory counted from the file's."""
    said = cases.file.policies
    if said is None:
        return None
    return said if said in names() else cases.path.parent / said
