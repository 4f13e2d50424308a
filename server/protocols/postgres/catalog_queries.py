"""The queries that a catalog snapshot is read with, and their rows as values.

The search path of a pooled connection begins with pg_catalog, so names here need no schema.
Objects below 16384 (FirstNormalObjectId) came with the server.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from policies.sql.settings import SECRET_SETTINGS

RELATIONS: Final = """
SELECT n.nspname, c.relname, c.oid, c.relkind, c.reltype,
       EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
       OR EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN')
       OR EXISTS (SELECT FROM pg_policy p JOIN pg_depend d ON d.classid = 'pg_policy'::regclass
                  AND d.objid = p.oid AND d.refclassid IN ('pg_proc'::regclass,
                                                           'pg_operator'::regclass)
                  WHERE p.polrelid = c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f', 'S') AND n.nspname !~ '^pg_(toast|temp)'
ORDER BY c.oid"""

COLUMNS: Final = """
SELECT a.attrelid, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), a.atttypid,
       a.attgenerated
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE a.attnum > 0 AND NOT a.attisdropped
  AND c.relkind IN ('r', 'v', 'm', 'p', 'f', 'S') AND n.nspname !~ '^pg_(toast|temp)'
ORDER BY a.attrelid, a.attnum"""

# The owner of a trusted extension can add functions of their own to it; but only superusers write
# C, and a function in SQL that belongs to the first superuser (10) is from the extension's script.
OF_EXTENSION: Final = """(p.provolatile <> 'v'
       AND (l.lanname IN ('c', 'internal') OR l.lanname = 'sql' AND p.proowner = 10)
       AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
                   AND d.objid = p.oid AND d.refclassid = 'pg_extension'::regclass
                   AND d.deptype = 'e'))"""

FUNCTIONS: Final = """
SELECT n.nspname, p.proname, p.provolatile, p.oid < 16384, p.oid, {of_extension}
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_language l ON l.oid = p.prolang
WHERE p.prokind <> 'p' ORDER BY p.oid"""

# A name that a schema on the search path has too may mean the other one, by the types at hand.
OPERATORS: Final = """
SELECT o.oprname, o.oid < 16384, n.nspname = ANY (current_schemas(true)), o.oprcode::oid
FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
ORDER BY o.oprname, o.oid"""

# Dependencies on users' functions, operators and operator classes, without extensions' classes.
FOREIGN: Final = """(d.refobjid >= 16384
       AND (d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
            OR d.refclassid = 'pg_opclass'::regclass
            AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.refclassid
                            AND e.objid = d.refobjid AND e.deptype = 'e')))"""

# The function that such a dependency stands for; 0, which nothing allows, for an operator class.
USED: Final = """CASE d.refclassid WHEN 'pg_proc'::regclass THEN d.refobjid
       WHEN 'pg_operator'::regclass
       THEN (SELECT o.oprcode::oid FROM pg_operator o WHERE o.oid = d.refobjid)
       ELSE 0 END"""

# What the server may call when it plans a read of a table; see planned.py.
PLANNED: Final = """
WITH parts(relation, class, object, tree) AS (
  SELECT partrelid, 'pg_class'::regclass, partrelid, partexprs::text FROM pg_partitioned_table
  UNION ALL SELECT indrelid, 'pg_class'::regclass, indexrelid,
                   concat(indexprs::text, indpred::text) FROM pg_index
  UNION ALL SELECT stxrelid, 'pg_statistic_ext'::regclass, oid, stxexprs::text
            FROM pg_statistic_ext
  UNION ALL SELECT conrelid, 'pg_constraint'::regclass, oid, conbin::text FROM pg_constraint
            WHERE contype = 'c' AND conrelid <> 0
), used(relation, function, tree) AS (
  SELECT p.relation, {used}, p.tree FROM parts p
  JOIN pg_depend d ON d.classid = p.class AND d.objid = p.object WHERE {foreign}
)
SELECT u.relation, u.function, coalesce(l.lanname = 'sql', true), u.tree
FROM used u LEFT JOIN pg_proc p ON p.oid = u.function LEFT JOIN pg_language l ON l.oid = p.prolang
ORDER BY 1, 2, 3, 4"""

# What the server calls for each row that it reads of a table with row security; a domain may check
# its values with anything. Whom a policy is for, and who gets round it, may change.
POLICIES: Final = """
SELECT p.polrelid, {used}, true, ''
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid AND c.relrowsecurity
JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid
LEFT JOIN pg_type t ON d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid
WHERE p.polcmd IN ('r', '*') AND p.polqual IS NOT NULL
  AND ({foreign} OR t.oid >= 16384 AND t.typtype = 'd')
ORDER BY 1, 2"""

# The relations that such policies read.
POLICY_RELATIONS: Final = """
SELECT DISTINCT p.polrelid, d.refobjid
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid AND c.relrowsecurity
JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid <> p.polrelid
  AND p.polcmd IN ('r', '*') AND p.polqual IS NOT NULL
ORDER BY 1, 2"""

# Casts that users wrote, and what domains check values with, each with the type of theirs that must
# be at hand for it, or, between two built-in types, the source; then the types that hold such
# values: arrays, domains, rows, ranges.
CASTS: Final = """
WITH RECURSIVE cast_type(function, type, distance) AS (
  SELECT c.castfunc, CASE WHEN c.castsource >= 16384 OR c.casttarget < 16384
                     THEN c.castsource ELSE c.casttarget END, 0
  FROM pg_cast c JOIN pg_proc p ON p.oid = c.castfunc JOIN pg_language l ON l.oid = p.prolang
  WHERE c.castfunc >= 16384 AND NOT {of_extension}
    -- An explicit one to a user's type must name that type, which is refused.
    AND (c.castcontext <> 'e' OR c.castsource >= 16384 OR c.casttarget < 16384)
  UNION
  SELECT {used}, c.contypid, 1 FROM pg_constraint c
  JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = c.oid
  WHERE c.contypid <> 0 AND {foreign}
  UNION
  SELECT s.function, holder.type, 1 FROM cast_type s, LATERAL (
    SELECT t.oid FROM pg_type t WHERE t.typelem = s.type OR t.typbasetype = s.type
    UNION ALL
    SELECT t.oid FROM pg_attribute a JOIN pg_type t ON t.typrelid = a.attrelid
    WHERE a.atttypid = s.type AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT r.rngtypid FROM pg_range r WHERE r.rngsubtype = s.type
  ) AS holder(type) WHERE s.type >= 16384
)
SELECT function, type, distance FROM cast_type ORDER BY 1, 2, 3"""

# Built-in types that such a cast goes from and to: naming one may call it.
CAST_TYPES: Final = """
SELECT c.castfunc, t.typname FROM pg_cast c
JOIN pg_type t ON t.oid IN (c.castsource, c.casttarget)
WHERE c.castfunc >= 16384 AND c.castsource < 16384 AND c.casttarget < 16384
ORDER BY 1, 2"""

TYPES: Final = """
SELECT t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE t.typelem = 0 OR t.typtype <> 'b' OR t.typcategory <> 'A'
GROUP BY t.typname
HAVING bool_and(t.oid < 16384 OR n.nspname <> ALL (current_schemas(true)))
   AND bool_or(t.oid < 16384 AND t.typtype IN ('b', 'r', 'm'))
ORDER BY t.typname"""

# Labels in their order, and the oid of arrays of the enum. One without labels has no values.
ENUMS: Final = """
SELECT t.oid, t.typarray, e.enumlabel
FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid
JOIN pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname !~ '^pg_temp'
ORDER BY t.oid, e.enumsortorder"""

# Foreign keys by which a change of rows changes others: the table referred to and its columns, the
# table that refers and its columns, and what becomes of rows on DELETE and on UPDATE.
CASCADES: Final = """
SELECT c.confrelid, c.conrelid, c.confdeltype, c.confupdtype,
       array_to_json(ARRAY(SELECT attname FROM pg_attribute
                           WHERE attrelid = c.confrelid AND attnum = ANY (c.confkey) ORDER BY 1)),
       array_to_json(ARRAY(SELECT attname FROM pg_attribute
                           WHERE attrelid = c.conrelid AND attnum = ANY (c.conkey) ORDER BY 1))
FROM pg_constraint c
WHERE c.contype = 'f' AND (c.confdeltype IN ('c', 'n', 'd') OR c.confupdtype IN ('c', 'n', 'd'))
ORDER BY c.oid"""

INHERITANCE: Final = "SELECT inhparent, inhrelid FROM pg_inherits ORDER BY 1, 2"

# A whole-row reference (`:varattno 0`) leaves no dependency on any column: the view touches all.
VIEW_COLUMNS: Final = r"""
SELECT DISTINCT r.ev_class, d.refobjid,
       CASE WHEN r.ev_action::text ~ ':varattno 0 ' THEN 0 ELSE d.refobjsubid END
FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
     AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
WHERE r.rulename = '_RETURN' AND r.ev_class >= 16384
-- On a relation that the server can't do without there are no dependencies; a view's text names all
-- columns, but where it takes rows as a whole.
UNION
SELECT r.ev_class, a.attrelid, a.attnum
FROM pg_rewrite r JOIN pg_attribute a ON a.attrelid = 'pg_attribute'::regclass
     AND a.attname = 'attmissingval'
WHERE r.rulename = '_RETURN' AND r.ev_class >= 16384
  AND r.ev_action::text ~ concat(':relid ', a.attrelid, ' ')
  AND pg_get_viewdef(r.ev_class) ~ concat('(', a.attname, '|\.\*)')
ORDER BY 1, 2, 3"""

# Every function in a view's expressions, built-in ones too, which pg_depend does not list.
VIEW_FUNCTIONS: Final = r"""
SELECT DISTINCT r.ev_class, found.part[1]::oid
FROM pg_rewrite r, regexp_matches(
  r.ev_action::text, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)', 'g') AS found(part)
WHERE r.rulename = '_RETURN' AND {which}
ORDER BY 1, 2"""

# Every relation in a view's query; pg_depend leaves out those that the server can't do without.
VIEW_RELATIONS: Final = r"""
SELECT DISTINCT r.ev_class, found.part[1]::oid
FROM pg_rewrite r, regexp_matches(r.ev_action::text, ':relid (\d+)', 'g') AS found(part)
WHERE r.rulename = '_RETURN' AND r.ev_class >= 16384
ORDER BY 1, 2"""

# Other users' objects that a view's meaning hangs on: types but enums, operator classes, ...
VIEW_OBJECTS: Final = """
SELECT DISTINCT r.ev_class
FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
LEFT JOIN pg_type t ON d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid
WHERE r.rulename = '_RETURN' AND d.refobjid >= 16384 AND t.typtype IS DISTINCT FROM 'e'
  AND d.refclassid NOT IN ('pg_class'::regclass, 'pg_namespace'::regclass,
      'pg_collation'::regclass, 'pg_constraint'::regclass, 'pg_proc'::regclass,
      'pg_operator'::regclass)
ORDER BY 1"""

GENERATED: Final = """
SELECT DISTINCT a.attrelid, a.attnum, d.refobjsubid
FROM pg_attribute a
JOIN pg_attrdef ad ON ad.adrelid = a.attrelid AND ad.adnum = a.attnum
JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid
     AND d.refobjsubid > 0 AND d.refobjsubid <> a.attnum
     AND (d.classid = 'pg_attrdef'::regclass AND d.objid = ad.oid
          OR d.classid = 'pg_class'::regclass AND d.objid = a.attrelid
             AND d.objsubid = a.attnum)
WHERE a.attgenerated <> '' ORDER BY 1, 2, 3"""

VIEW_TEXTS: Final = "SELECT oid, pg_get_viewdef(oid) FROM pg_class WHERE oid IN ({oids})"

# Whether the server shows the gateway's roles settings that hold secrets: to these it shows all of
# them, and to everybody the commands of its archive.
SETTINGS: Final = """
SELECT EXISTS (
  SELECT FROM unnest(ARRAY[current_user, session_user{users}]::text[]) AS own(name)
  LEFT JOIN pg_roles r ON r.rolname = own.name
  WHERE r.oid IS NULL OR r.rolsuper OR pg_has_role(r.oid, 'pg_read_all_settings', 'MEMBER')
) OR EXISTS (
  SELECT FROM pg_settings
  WHERE name IN ({names})
    AND (setting NOT IN ('', '(disabled)') OR reset_val <> '' OR boot_val <> '')
)"""


def settings_query(users: Iterable[str]) -> str:
    """`SETTINGS` for these roles and its own."""
    return SETTINGS.format(
        users=listed(users), names=", ".join(map(_literal, sorted(SECRET_SETTINGS)))
    )


def listed(users: Iterable[str]) -> str:
    """Names as literals that go on with a list."""
    return "".join(f", {_literal(user)}" for user in sorted(users))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


# They hold what other sessions run, samples of column values, or secrets.
WITHHELD: Final = frozenset(
    {
        *("pg_authid", "pg_shadow", "pg_user_mapping", "pg_user_mappings", "pg_subscription"),
        *("pg_statistic", "pg_statistic_ext_data", "pg_stats", "pg_stats_ext"),
        *("pg_stats_ext_exprs", "pg_largeobject", "pg_largeobject_metadata"),
        *("pg_stat_activity", "pg_stat_replication", "pg_stat_wal_receiver", "pg_stat_ssl"),
        *("pg_stat_gssapi", "pg_stat_subscription", "pg_replication_slots", "pg_locks"),
        *("pg_cursors", "pg_prepared_statements", "pg_prepared_xacts", "pg_hba_file_rules"),
        *("pg_ident_file_mappings", "pg_file_settings", "pg_config", "pg_foreign_server"),
        *("pg_foreign_data_wrapper", "pg_db_role_setting"),
        *("_pg_user_mappings", "user_mapping_options", "_pg_foreign_servers"),
    }
)

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CatalogRows:
    """The answers, as text."""

    relations: list[Row]
    columns: list[Row]
    functions: list[Row]
    operators: list[Row]
    casts: list[Row]
    cast_types: list[Row]
    types: list[Row]
    enums: list[Row]
    inheritance: list[Row]
    cascades: list[Row]
    view_columns: list[Row]
    view_functions: list[Row]
    view_relations: list[Row]
    view_objects: list[Row]
    planned: list[Row]
    policies: list[Row]
    policy_relations: list[Row]
    generated: list[Row]
    schemas: list[Row]
    settings: list[Row]
