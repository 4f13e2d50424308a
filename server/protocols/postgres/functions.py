"""What of a target's functions, and what stands for one, a read may use: operators, casts, views.

Which functions are safe is decided in `policies.sql.safe_functions`; here that is carried over to
what calls a function without its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from policies.sql.safe_functions import FunctionRow, allow_list, computes_only
from server.protocols.postgres.catalog_queries import CatalogRows
from server.protocols.postgres.target import PostgresTarget

# FirstNormalObjectId: what lies below came with the server.
FIRST_USER_OID: Final = 16384


@dataclass(frozen=True, slots=True)
class UserCasts:
    """Types that a user's cast needs at hand, and those with a value of such a type inside."""

    direct: frozenset[int]
    holding: frozenset[int]


@dataclass(frozen=True, slots=True)
class Functions:
    """Functions that reads may call, by name and by oid; oids are text, as the rows have them.

    `plain`: built in or of an extension, so that it reads no table unless it is told to.
    """

    names: Mapping[str, frozenset[str]]
    safe: frozenset[str]
    plain: frozenset[str]
    of_extensions: frozenset[str]

    @classmethod
    def of(cls, target: PostgresTarget, rows: CatalogRows) -> Functions:
        listed = {
            oid: FunctionRow(schema, name, volatility, builtin == "t", extension == "t")
            for schema, name, volatility, builtin, oid, extension in rows.functions
        }
        names = allow_list(listed.values(), search_path=target.path, named=target.functions)
        return cls(
            names=names,
            safe=frozenset(o for o, f in listed.items() if f.name in names.get(f.schema, ())),
            plain=frozenset(o for o, f in listed.items() if f.is_builtin or computes_only(f)),
            of_extensions=frozenset(o for o, f in listed.items() if computes_only(f)),
        )

    @property
    def unasked(self) -> frozenset[str]:
        """What may be called where nobody wrote a name: by operators, casts and views."""
        return self.safe | self.of_extensions

    def operators(self, rows: CatalogRows) -> frozenset[str]:
        """Names of built-in operators that stand for no user's function, by any types at hand."""
        shadowed = {
            name
            for name, builtin, on_path, function in rows.operators
            if builtin != "t" and on_path == "t" and function not in self.unasked
        }
        return frozenset(r[0] for r in rows.operators if r[1] == "t") - shadowed

    def types(self, rows: CatalogRows) -> frozenset[str]:
        """Built-in types, without those that a user's cast goes from or to."""
        cast = {name for function, name in rows.cast_types if function not in self.unasked}
        return frozenset(name for (name,) in rows.types) - cast

    def types_with_user_casts(self, rows: CatalogRows) -> UserCasts:
        """The types whose values the server may hand to a user's function without being asked."""
        found = [(int(t), d) for f, t, d in rows.casts if f not in self.unasked]
        return UserCasts(
            direct=frozenset(t for t, distance in found if distance == "0"),
            holding=frozenset(t for t, _ in found),
        )

    def unsafe_views(self, rows: CatalogRows, withheld: frozenset[int]) -> set[int]:
        """Views whose own query calls or reads what no read may."""
        calling = {int(view) for view, f in rows.view_functions if f not in self.unasked}
        reading = {int(view) for view, relation in rows.view_relations if int(relation) in withheld}
        return calling | reading | {int(view) for (view,) in rows.view_objects}

    def hidden_readers(self, rows: CatalogRows, withheld: frozenset[int]) -> set[int]:
        """Views whose query may show more than the columns it names: a function reads for it."""
        by_function = {int(view) for view, f in rows.view_functions if f not in self.plain}
        unsafe = by_function | self.unsafe_views(rows, withheld)
        return {view for view in unsafe if view >= FIRST_USER_OID}
