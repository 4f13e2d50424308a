"""Users' code that the server may call when it plans or runs a statement, asked of its catalogs.

Nothing of it need stand in the statement: defaults, generated columns, constraints, indexes, keys
of partitions, statistics, what domains check, casts that are put in unasked, policies of rows, and
views and rules behind them. What planning folds into a constant is called, too. Objects below 16384
(FirstNormalObjectId) came with the server; the search path begins with pg_catalog.
"""

from __future__ import annotations

from typing import Final

from server.protocols.postgres.catalog_queries import OF_EXTENSION

# Needs `seed(oid)`: the relations that the statement names. `users_code(words, object)` is empty
# where nothing is called. From each relation to its kin, and to what its rules and policies read.
USERS_CODE: Final = f"""
reached(oid) AS (
  SELECT oid FROM seed
  UNION
  SELECT further.oid FROM reached, LATERAL (
    SELECT inhrelid FROM pg_inherits WHERE inhparent = reached.oid
    UNION ALL SELECT inhparent FROM pg_inherits WHERE inhrelid = reached.oid
    UNION ALL
    SELECT d.refobjid FROM pg_rewrite r JOIN pg_depend d
      ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
    WHERE r.ev_class = reached.oid AND d.refclassid = 'pg_class'::regclass
    UNION ALL
    SELECT d.refobjid FROM pg_policy p JOIN pg_depend d
      ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid
    WHERE p.polrelid = reached.oid AND d.refclassid = 'pg_class'::regclass
  ) AS further(oid)
), written(class, object) AS (
  SELECT 'pg_class'::regclass::oid, oid FROM reached
  UNION ALL SELECT 'pg_class'::regclass, i.indexrelid
    FROM reached JOIN pg_index i ON i.indrelid = reached.oid
  UNION ALL SELECT 'pg_attrdef'::regclass, d.oid
    FROM reached JOIN pg_attrdef d ON d.adrelid = reached.oid
  UNION ALL SELECT 'pg_constraint'::regclass, c.oid
    FROM reached JOIN pg_constraint c ON c.conrelid = reached.oid
  UNION ALL SELECT 'pg_statistic_ext'::regclass, s.oid
    FROM reached JOIN pg_statistic_ext s ON s.stxrelid = reached.oid
  UNION ALL SELECT 'pg_policy'::regclass, p.oid
    FROM reached JOIN pg_policy p ON p.polrelid = reached.oid
  UNION ALL SELECT 'pg_rewrite'::regclass, r.oid
    FROM reached JOIN pg_rewrite r ON r.ev_class = reached.oid
), typed(oid) AS (
  SELECT d.refobjid FROM written JOIN pg_depend d
    ON d.classid = written.class AND d.objid = written.object
    WHERE d.refclassid = 'pg_type'::regclass
  UNION
  SELECT further.oid FROM typed JOIN pg_type t ON t.oid = typed.oid, LATERAL (
    VALUES (t.typbasetype), (t.typelem)
    UNION ALL SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0
    UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)
  ) AS further(oid) WHERE further.oid >= 16384
), calling(class, object) AS (
  SELECT class, object FROM written
  UNION ALL SELECT 'pg_constraint'::regclass::oid, c.oid
    FROM typed JOIN pg_constraint c ON c.contypid = typed.oid
  UNION ALL SELECT 'pg_cast'::regclass, c.oid FROM pg_cast c
    WHERE c.castcontext <> 'e' AND c.castfunc >= 16384
      AND (c.castsource < 16384 AND c.casttarget < 16384
           OR EXISTS (SELECT FROM typed WHERE typed.oid IN (c.castsource, c.casttarget)))
), users_code(words, object) AS (
  SELECT 'is on another server', c.oid::regclass::text
    FROM reached JOIN pg_class c ON c.oid = reached.oid WHERE c.relkind = 'f'
  UNION ALL
  SELECT 'would be called, and may do what a rollback does not undo',
         coalesce(p.oid::regproc::text, 'an operator class')
  FROM calling JOIN pg_depend d ON d.classid = calling.class AND d.objid = calling.object
    AND d.refobjid >= 16384
  LEFT JOIN pg_operator o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
  LEFT JOIN pg_proc p ON p.oid = CASE WHEN d.refclassid = 'pg_proc'::regclass THEN d.refobjid
                                      ELSE o.oprcode::oid END
  LEFT JOIN pg_language l ON l.oid = p.prolang
  WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
        AND {OF_EXTENSION} IS NOT TRUE
     OR d.refclassid = 'pg_opclass'::regclass
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.refclassid
                        AND e.objid = d.refobjid AND e.deptype = 'e')
)"""  # noqa: S608

# Its parameter is an array of oids.
WHEN_PLANNED: Final = f"""
WITH RECURSIVE seed(oid) AS (SELECT unnest($1::oid[])), {USERS_CODE}
SELECT object, words FROM users_code ORDER BY words, object LIMIT 1"""  # noqa: S608
