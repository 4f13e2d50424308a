"""Who says what a statement does: what the gateway asks, and what an answer is when there is none.

The workers of `pool.py` answer a gateway; `in_process.py` answers tests and tools.
"""

from __future__ import annotations

from typing import Final, Protocol

from policies.sql import prescan
from policies.sql.catalog import Catalog
from policies.sql.facts import Opaque, SqlEffect, SqlFacts
from policies.sql.not_understood import NotUnderstood


class Analyst(Protocol):
    """Turns statements into facts. What it can't find out in time is opaque; it never raises."""

    async def facts(
        self, dialect: str, text: str, catalog: Catalog, *, asker: str = ""
    ) -> SqlFacts:
        """What a statement does by a catalog, which is never changed.

        `asker` is whoever waits: what one asks for may hold up that one, and nobody else.
        """
        ...


def refused_at_sight(dialect: str, text: str) -> SqlFacts | None:
    """The refusal of a text that no parser may see, known after one linear look at it."""
    look = prescan.encode if dialect == "postgres" else prescan.check_size
    try:
        look(text)
    except NotUnderstood as unknown:
        reason = unknown.reason[:1].upper() + unknown.reason[1:] + "."
        return _opaque(Opaque(unknown.code, reason, unknown.next_step))
    return None


def _opaque(why: Opaque) -> SqlFacts:
    return SqlFacts(effect=SqlEffect.OPAQUE, has_where=False, opaque=why)


LATE: Final = _opaque(
    Opaque(
        "SQL_PARSER_LATE",
        "Understanding the statement took longer than a second.",
        "Write it simpler, or split it. The same text is refused at once for some minutes.",
    )
)
DIED: Final = _opaque(
    Opaque(
        "SQL_PARSER_DIED",
        "The parser ended while it read the statement.",
        "Write it in another way. The same text is refused at once for some minutes.",
    )
)
BUSY: Final = _opaque(
    Opaque(
        "SQL_PARSER_BUSY",
        "No parser was free for the statement in time.",
        "Repeat the call in a moment, with fewer statements at a time.",
    )
)
MISSING: Final = _opaque(
    Opaque(
        "SQL_PARSER_MISSING",
        "The parsers of the gateway are being started anew.",
        "Repeat the call in a moment; if it stays so, tell whoever administers the gateway.",
    )
)
