"""Which functions reads may call, by rule and on the functions of a real server."""

from __future__ import annotations

import pytest

from policies.sql.safe_functions import FunctionRow, allow_list, callable_in_reads
from tests.policies.catalogs import catalog


@pytest.mark.parametrize("name", ["lower", "jsonb_each", "generate_series", "to_char", "count"])
def test_builtin_functions_that_only_compute_are_callable(name: str) -> None:
    assert name in catalog().functions["pg_catalog"]


@pytest.mark.parametrize("name", ["random", "clock_timestamp", "gen_random_uuid"])
def test_some_volatile_functions_are_harmless(name: str) -> None:
    assert name in catalog().functions["pg_catalog"]


@pytest.mark.parametrize(
    "name",
    [
        "pg_read_file", "pg_read_binary_file", "pg_ls_dir", "pg_stat_file", "lo_import", "lo_get",
        "lo_from_bytea", "query_to_xml", "table_to_xml", "database_to_xml", "cursor_to_xml",
        "ts_stat", "ts_rewrite", "set_config", "nextval", "setval",
        "pg_sleep", "pg_notify", "pg_terminate_backend", "pg_cancel_backend", "pg_reload_conf",
        "pg_switch_wal", "txid_current", "pg_current_xact_id", "pg_advisory_lock",
        "pg_logical_emit_message", "pg_export_snapshot", "pg_stat_get_activity", "pg_stat_reset",
        "pg_input_is_valid", "domain_in", "record_in", "json_populate_record", "pg_mcv_list_items",
    ],
)  # fmt: skip
def test_functions_that_act_or_read_elsewhere_are_not(name: str) -> None:
    assert name not in catalog().functions["pg_catalog"]


def test_users_functions_are_not_callable_by_rule() -> None:
    assert not callable_in_reads("public", "lower", "i", is_builtin=False)
    assert not callable_in_reads("pg_catalog", "lower", "i", is_builtin=False)


def listed(*rows: FunctionRow, named: frozenset[str] = frozenset()) -> set[str]:
    found = allow_list(rows, search_path=("public",), named=named)
    return {f"{schema}.{name}" for schema, names in found.items() for name in names}


LOWER = FunctionRow("pg_catalog", "lower", "i", True)


def test_one_unsafe_overload_takes_the_name_away() -> None:
    assert listed(LOWER, FunctionRow("pg_catalog", "lower", "v", True)) == set()


def test_a_users_function_on_the_search_path_takes_the_builtin_name_away() -> None:
    assert listed(LOWER, FunctionRow("public", "lower", "i", False)) == set()


def test_a_users_function_elsewhere_leaves_the_builtin_name() -> None:
    assert listed(LOWER, FunctionRow("other", "lower", "i", False)) == {"pg_catalog.lower"}


def test_functions_that_the_administrator_names_are_callable() -> None:
    mine = FunctionRow("public", "lower", "v", False)
    assert listed(LOWER, mine, named=frozenset({"public.lower"})) == {
        "pg_catalog.lower",
        "public.lower",
    }
