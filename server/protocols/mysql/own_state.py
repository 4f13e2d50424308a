"""What a session of MySQL's has that statements are judged by, beside the target's names. No I/O.

A definition commits at once on MySQL: the names are read again before the next statement. Nothing
in a statement's text stands for another statement: SQL's own PREPARE is not understood.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from policies.sql.facts import Named, Opaque, SqlEffect, SqlFacts
from server.meant import Meant

_UNNAMED: Final = Opaque(
    "STATEMENT_NAMED",
    "A statement by a name of the session's is not understood on MySQL.",
    "Send the statement itself.",
)
_HIDDEN: Final = Opaque(
    "DEFINED_BEFORE",
    "A statement before this one may have made temporary tables, which hide tables of their names.",
    "Reset the connection or open another one, then repeat the statement.",
)
_MAY_HIDE: Final = re.compile("temporary|call|execute|prepare", re.IGNORECASE)
_WEAKER_CHARSET: Final = re.compile(
    r"\s*SET\s+(?:NAMES\s|(?:SESSION\s+|@@)?character_set_results\s*=)\s*"
    r"(?P<q>['\"]?)utf8(?:mb3)?(?P=q)\s*;?\s*",
    re.IGNORECASE,
)


class NoNames:
    """`NamedInSession` where no statement has a name."""

    def stands_for(self, named: Named, text: str, path: tuple[str, ...] | None) -> str | Opaque:
        return _UNNAMED

    def facts(self, named: Named, text: str, inner: SqlFacts) -> SqlFacts:
        return inner

    def meant(self, named: Named) -> Meant | None:
        return None

    def announced(self, statements: Collection[str], portals: Collection[str]) -> None:
        """Messages of this protocol number statements, and name none."""

    def users_code_runs(self) -> None:
        """It changes no name."""

    def fetched(self, named: Named) -> int:
        return 0


@dataclass(slots=True)
class OwnDefinitions:
    """`stale`: something was defined, and no catalog was read since.

    `hidden`: tables may stand behind temporary ones, which the catalog does not know.
    """

    stale: bool = False
    hidden: bool = False

    def note(self, facts: SqlFacts | None, text: str) -> None:
        """A statement will be sent."""
        unknown = facts is None or facts.opaque is not None
        if unknown or (facts is not None and facts.effect is SqlEffect.DDL):
            self.stale = True
        if unknown or (facts is not None and "call" in facts.kinds):
            self.hidden = self.hidden or _MAY_HIDE.search(text) is not None

    def judged(self, facts: SqlFacts) -> SqlFacts:
        """The facts, or opaque where its tables may be others than the catalog's."""
        if self.hidden and facts.tables:
            return replace(facts, effect=SqlEffect.OPAQUE, opaque=_HIDDEN)
        return facts


def is_kept(text: str) -> bool:
    """Whether a statement asks for utf8, of which utf8mb4 is more: the gateway keeps that one."""
    return _WEAKER_CHARSET.fullmatch(text) is not None
