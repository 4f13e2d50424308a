"""Which PostgreSQL functions a read may call: an allow-list made of rules, pure, without a server.

The connector asks it for every row of pg_proc and puts the answer into `Catalog.functions`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

BUILTIN_SCHEMAS = frozenset({"pg_catalog", "information_schema"})

# Volatile by declaration, but they change nothing and tell nothing about others.
_HARMLESS_VOLATILE = frozenset(
    {
        "array_sample",
        "array_shuffle",
        "clock_timestamp",
        # Of this session alone; the sequence is one that policy is asked about.
        "currval",
        "gen_random_uuid",
        "lastval",
        "pg_advisory_unlock_all",
        "pg_database_size",
        # Of a sequence no more than pg_sequences shows.
        "pg_get_sequence_data",
        "pg_indexes_size",
        "pg_is_in_recovery",
        "pg_partition_ancestors",
        "pg_partition_tree",
        "pg_relation_size",
        "pg_table_size",
        "pg_tablespace_size",
        "pg_total_relation_size",
        "random",
        "random_normal",
        "timeofday",
        "uuidv4",
        "uuidv7",
    }
)

# Declared stable or immutable, and still not for a read: they run SQL held in a string, read a
# whole table by name, show what other sessions do, call a type's input or check function by its
# oid, hold up the session, or take a transaction id.
_DENIED = re.compile(
    r"""
      .*_to_xml | .*_to_xmlschema | .*_to_xml_and_xmlschema | query_to_.* | cursor_to_.*
    | ts_stat | ts_rewrite | crosstab.* | connectby.* | xpath_table | dblink.*
    | txid_current | pg_current_xact_id | nextval | setval | set_config
    | pg_sleep.* | pg_read_.* | pg_ls_.* | pg_stat_file | pg_current_logfile | pg_config
    | lo_.* | loread | lowrite | pg_notify | pg_export_snapshot | repeat
    | pg_stat_get_activity | pg_stat_get_backend_.* | pg_stat_get_wal_.* | pg_stat_get_progress_info
    | pg_stat_get_subscription.* | pg_get_replication_slots | pg_prepared_statement | pg_cursor
    | pg_show_all_settings | pg_mcv_list_items | satisfies_hash_partition
    | pg_input_is_valid | pg_input_error_info | .*_populate_record(set|_valid)?
    | .*_(in|out|recv|send) | .*_validator
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class FunctionRow:
    """One overload as pg_proc has it; `volatility` is pg_proc.provolatile: i, s or v.

    `of_extension`: a member of an extension that nobody but the server's owner can have put there.
    """

    schema: str
    name: str
    volatility: str
    is_builtin: bool
    of_extension: bool = False


def callable_in_reads(schema: str, name: str, volatility: str, is_builtin: bool) -> bool:
    """Whether one overload changes nothing and shows nothing that its arguments do not hold.

    `is_builtin`: it came with the server (pg_proc.oid < 16384 in a built-in schema). A function of
    a user's never passes: only the configuration can name it (see `allow_list`).
    """
    if not is_builtin or schema not in BUILTIN_SCHEMAS or _DENIED.fullmatch(name):
        return False
    return volatility in ("i", "s") or (volatility == "v" and name in _HARMLESS_VOLATILE)


def computes_only(row: FunctionRow) -> bool:
    """Whether a function of an extension gives what its arguments hold, as a built-in one would.

    Enough for what calls it without its name: an operator, a cast, an overload of a built-in name.
    """
    return row.of_extension and row.volatility != "v" and not _DENIED.fullmatch(row.name)


def allow_list(
    rows: Iterable[FunctionRow], *, search_path: tuple[str, ...], named: frozenset[str]
) -> Mapping[str, frozenset[str]]:
    """Schema -> names of which every overload is safe: what `Catalog.functions` wants.

    `named` are `schema.name` of users' functions that the administrator lets reads call. A name is
    left out everywhere when a function on the search path has it too and is not safe: called
    without a schema, the server takes whichever fits the types at hand. Overloads of an extension
    (citext's `replace`) are as good as the built-in one; names of its own are not let in by that.
    """
    overloads: dict[tuple[str, str], list[bool]] = {}
    shadowing: set[str] = set()
    for row in rows:
        safe = _is_safe(row, named)
        overloads.setdefault((row.schema, row.name), []).append(safe)
        harmless = row.is_builtin or safe or computes_only(row)
        if not harmless and row.schema in search_path:
            shadowing.add(row.name)
    return _by_schema(
        key for key, safe in overloads.items() if all(safe) and key[1] not in shadowing
    )


def _is_safe(row: FunctionRow, named: frozenset[str]) -> bool:
    if not row.is_builtin:
        return f"{row.schema}.{row.name}" in named
    return callable_in_reads(row.schema, row.name, row.volatility, row.is_builtin)


def _by_schema(keys: Iterable[tuple[str, str]]) -> Mapping[str, frozenset[str]]:
    names: dict[str, set[str]] = {}
    for schema, name in keys:
        names.setdefault(schema, set()).add(name)
    return {schema: frozenset(found) for schema, found in names.items()}
