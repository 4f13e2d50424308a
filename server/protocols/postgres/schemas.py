"""Which schemas a session may put on its search path: what in them stands beside built-in names.

Called without a schema, a function or an operator is the one that fits the types at hand best,
whichever schema it lies in. Relations and types are the first of their name, and pg_catalog comes
first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from policies.sql.search_path import UNEVEN
from server.protocols.postgres.catalog_queries import Row

# Each schema with the users' functions and operators of a built-in name; "" for one without any.
# Those that a role may not use are passed over on its search path as if they were not there.
SCHEMAS: Final = """
SELECT n.nspname, coalesce(shadowing.name, '')
FROM pg_namespace n LEFT JOIN (
  SELECT p.pronamespace, p.proname FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
  WHERE p.oid >= 16384 AND p.prokind <> 'p' AND NOT {of_extension}
    AND EXISTS (SELECT FROM pg_proc b WHERE b.proname = p.proname AND b.oid < 16384)
  UNION
  SELECT o.oprnamespace, o.oprname FROM pg_operator o
  LEFT JOIN pg_proc p ON p.oid = o.oprcode LEFT JOIN pg_language l ON l.oid = p.prolang
  WHERE o.oid >= 16384 AND {of_extension} IS NOT TRUE
    AND EXISTS (SELECT FROM pg_operator b WHERE b.oprname = o.oprname AND b.oid < 16384)
) AS shadowing(schema, name) ON shadowing.schema = n.oid
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND EXISTS ({users} AND has_schema_privilege(u.oid, n.oid, 'USAGE'))
UNION
SELECT n.nspname, '{uneven}' FROM pg_namespace n
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND EXISTS ({users} AND has_schema_privilege(u.oid, n.oid, 'USAGE'))
  AND EXISTS ({users} AND NOT has_schema_privilege(u.oid, n.oid, 'USAGE'))
ORDER BY 1, 2"""

# Whether a role may use a schema hangs on what it is a member of, which the mark does not know.
USABLE: Final = """
SELECT n.oid, u.oid FROM pg_namespace n, pg_roles u
WHERE u.rolname IN (current_user{users}) AND n.nspname !~ '^pg_'
  AND has_schema_privilege(u.oid, n.oid, 'USAGE') ORDER BY 1, 2"""


def schemas_query(of_extension: str, users: str) -> str:
    """`SCHEMAS` for roles written as in `USABLE`."""
    roles = f"SELECT FROM pg_roles u WHERE u.rolname IN (current_user{users})"
    return SCHEMAS.format(of_extension=of_extension, users=roles, uneven=UNEVEN)


def shadowing_names(rows: Iterable[Row], path: tuple[str, ...]) -> Mapping[str, frozenset[str]]:
    """What `Catalog.schemas` wants. The configured path is accounted for elsewhere."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for schema, name in rows:
        found[schema] |= {name} if name and (schema not in path or name == UNEVEN) else set()
    return {schema: frozenset(names) for schema, names in found.items()}
