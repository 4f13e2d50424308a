"""What the target itself says about a change before it is tried out: whether a rollback undoes it.

A transaction that is rolled back takes back the rows, and nothing else: not what triggers, rules
and users' functions did elsewhere, not numbers taken from sequences, not rows on other servers.
"""

from __future__ import annotations

from typing import Final

from server.protocols.postgres.users_code import USERS_CODE

# One JSON document as its parameter: `table` (quoted), `written` and `used` (oids), `verbs`, `set`
# (columns that an UPDATE sets), `defaults`, `functions` ("schema.name"), `harmless`.
# Objects below 16384 (FirstNormalObjectId) came with the server. The search path begins with
# pg_catalog.
CHECK: Final = rf"""
WITH RECURSIVE asked AS MATERIALIZED (SELECT $1::jsonb AS a),
part(oid) AS (
  SELECT (a ->> 'written')::oid FROM asked
  UNION SELECT i.inhrelid FROM pg_inherits i JOIN part ON i.inhparent = part.oid
), used(oid) AS (
  SELECT named::oid FROM asked, jsonb_array_elements_text(a -> 'used') AS named
  UNION SELECT i.inhrelid FROM pg_inherits i JOIN used ON i.inhparent = used.oid
), expression(node) AS (
  SELECT d.adbin::text FROM part JOIN pg_attrdef d ON d.adrelid = part.oid
    JOIN pg_attribute t ON t.attrelid = d.adrelid AND t.attnum = d.adnum
    WHERE t.attgenerated <> '' OR (SELECT (a ->> 'defaults')::bool FROM asked)
  UNION ALL
  SELECT c.conbin::text FROM part JOIN pg_constraint c ON c.conrelid = part.oid
  UNION ALL
  SELECT concat(i.indexprs::text, i.indpred::text)
    FROM part JOIN pg_index i ON i.indrelid = part.oid
  UNION ALL
  SELECT p.partexprs::text FROM part JOIN pg_partitioned_table p ON p.partrelid = part.oid
  UNION ALL
  SELECT concat(p.polqual::text, p.polwithcheck::text)
    FROM used JOIN pg_policy p ON p.polrelid = used.oid
), called(oid) AS (
  SELECT DISTINCT found.part[1]::oid FROM expression, regexp_matches(
    node, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)', 'g') AS found(part)
  UNION
  SELECT p.oid FROM asked, pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE a -> 'functions' ? (n.nspname || '.' || p.proname)
), seed(oid) AS (
  SELECT oid FROM used UNION SELECT oid FROM part
  UNION SELECT c.conrelid FROM part JOIN pg_constraint c
    ON c.contype = 'f' AND c.confrelid = part.oid
  UNION SELECT c.confrelid FROM part JOIN pg_constraint c
    ON c.contype = 'f' AND c.conrelid = part.oid
), {USERS_CODE}, flaw(rank, words, object) AS (
  SELECT 1, 'is not the table that was judged', a ->> 'table' FROM asked
    WHERE to_regclass(a ->> 'table')::oid IS DISTINCT FROM (a ->> 'written')::oid
  UNION ALL
  SELECT 2, 'is gone', used.oid::text FROM used
    WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = used.oid)
  UNION ALL
  SELECT 2, 'is no plain table of this database', c.oid::regclass::text FROM pg_class c
    WHERE c.oid IN (SELECT oid FROM part UNION SELECT oid FROM used)
      AND (c.relkind NOT IN ('r', 'p') OR c.relpersistence = 't' OR c.relam >= 16384)
  UNION ALL
  SELECT 3, 'has triggers', t.tgrelid::regclass::text FROM part
    JOIN pg_trigger t ON t.tgrelid = part.oid AND NOT t.tgisinternal
  UNION ALL
  SELECT 4, 'has rules', r.ev_class::regclass::text
    FROM part JOIN pg_rewrite r ON r.ev_class = part.oid
  UNION ALL
  SELECT 5, 'would change along, by a foreign key', c.conrelid::regclass::text
    FROM asked, part JOIN pg_constraint c ON c.contype = 'f' AND c.confrelid = part.oid
    WHERE a -> 'verbs' ? 'delete' AND c.confdeltype IN ('c', 'n', 'd')
       OR a -> 'verbs' ? 'update' AND c.confupdtype IN ('c', 'n', 'd') AND EXISTS (
            SELECT FROM pg_attribute t WHERE t.attrelid = c.confrelid
              AND t.attnum = ANY (c.confkey) AND a -> 'set' ?| ARRAY['*', t.attname::text])
  UNION ALL
  SELECT 6, 'takes numbers from a sequence', t.attrelid::regclass::text
    FROM asked, part JOIN pg_attribute t ON t.attrelid = part.oid
    WHERE t.attidentity <> '' AND (a ->> 'defaults')::bool
  UNION ALL
  SELECT 7, 'has a column of a type that users made', t.attrelid::regclass::text
    FROM part JOIN pg_attribute t ON t.attrelid = part.oid AND t.attnum > 0 AND NOT t.attisdropped
    JOIN pg_type y ON y.oid = t.atttypid LEFT JOIN pg_type e ON e.oid = y.typelem
    WHERE y.oid >= 16384 AND y.typtype <> 'e'
      AND NOT (y.typcategory = 'A' AND e.typtype IS NOT DISTINCT FROM 'e')
  UNION ALL
  SELECT 8, 'would be called, and may do what a rollback does not undo', p.oid::regproc::text
    FROM asked, called JOIN pg_proc p ON p.oid = called.oid
    JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE (p.oid >= 16384 OR p.provolatile = 'v')
      AND NOT (p.oid < 16384 AND a -> 'harmless' ? p.proname::text)
  UNION ALL
  SELECT 8, words, object FROM users_code
  UNION ALL
  SELECT 9, 'has a policy that reads other tables', p.polrelid::regclass::text
    FROM used JOIN pg_policy p ON p.polrelid = used.oid
    WHERE concat(p.polqual::text, p.polwithcheck::text) LIKE '%{{SUBLINK %'
  UNION ALL
  SELECT 9, 'makes rows by itself', p.oid::regproc::text
    FROM asked, called JOIN pg_proc p ON p.oid = called.oid
    WHERE p.proretset AND a -> 'verbs' ? 'insert'
)
SELECT words, object FROM flaw ORDER BY rank, object LIMIT 1
"""  # noqa: S608

KEY: Final = """
SELECT t.attname FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k(number, place)
JOIN pg_attribute t ON t.attnum = k.number
WHERE i.indisprimary AND i.indrelid = $1::oid AND t.attrelid = i.indrelid ORDER BY k.place
"""

HARMLESS: Final = ("clock_timestamp", "gen_random_uuid", "random", "timeofday")
"""Volatile functions that leave no trace."""

VARYING: Final = frozenset(f"pg_catalog.{name}" for name in HARMLESS)
"""By them a statement finds other rows each time."""

SESSIONS: Final = frozenset(
    f"pg_catalog.{name}"
    for name in (
        *("current_setting", "pg_backend_pid", "statement_timestamp", "pg_trigger_depth"),
        *("inet_client_addr", "inet_client_port", "inet_server_addr", "inet_server_port"),
        *("pg_current_xact_id_if_assigned", "txid_current_if_assigned", "pg_my_temp_schema"),
        *("current_query", "pg_current_snapshot", "txid_current_snapshot"),
    )
)
"""By them a statement could tell a preview from the run that is approved, and do something else."""
