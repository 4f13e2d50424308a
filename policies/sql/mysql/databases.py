"""The catalog as a session of MySQL's sees it that has chosen another database by USE."""

from __future__ import annotations

from dataclasses import replace

from policies.sql.catalog import Catalog


def in_database(catalog: Catalog, path: tuple[str, ...]) -> Catalog:
    """Names without a database mean the one of `path`; none, where it is empty."""
    return replace(catalog, version=f"{catalog.version} {path!r}", search_path=path)
