"""What the types of a statement's parameters add to its facts: Bind makes values into them."""

from __future__ import annotations

from typing import Final

from policies.model import SqlPlan, SqlPrepare, SqlStatement
from policies.sql.catalog import Catalog
from policies.sql.facts import Opaque, SqlEffect, SqlFacts

_TYPE_OF_A_USER: Final = Opaque(
    "TYPE_UNKNOWN",
    "A parameter is declared with a type that runs a user's function.",
    "Declare no type for the parameter, so that the server infers it.",
)


def with_parameters(
    facts: SqlFacts, action: SqlStatement | SqlPrepare | SqlPlan, catalog: Catalog
) -> SqlFacts:
    """The facts, opaque where the check of a domain, say, would run with a parameter's value."""
    types = action.types if isinstance(action, SqlPrepare) else ()
    if catalog.code_types.isdisjoint(types):
        return facts
    return SqlFacts(effect=SqlEffect.OPAQUE, opaque=_TYPE_OF_A_USER)
