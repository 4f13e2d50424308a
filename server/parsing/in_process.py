"""Analysis where it is called, for tools and tests: nobody else waits there."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from policies.sql import mysql, postgres
from policies.sql.catalog import Catalog
from policies.sql.facts import SqlFacts
from server.parsing.wire import Analyse

DIALECTS: Final[Mapping[str, Analyse]] = MappingProxyType(
    {"postgres": postgres.analyse, "mysql": mysql.analyse, "mariadb": mysql.analyse}
)


class InProcess:
    """An `Analyst` that a statement can hold up, or end."""

    async def facts(
        self, dialect: str, text: str, catalog: Catalog, *, asker: str = ""
    ) -> SqlFacts:
        return DIALECTS[dialect](text, catalog)
