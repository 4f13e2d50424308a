"""System variables: which a statement may read, and which it may set."""

from __future__ import annotations

from typing import Final

# What drivers and people ask for. None of them holds a password or another's statement.
READABLE: Final = frozenset(
    """
    auto_increment_increment auto_increment_offset autocommit basedir binlog_format
    character_set_client character_set_connection character_set_database character_set_filesystem
    character_set_results character_set_server character_set_system collation_connection
    collation_database collation_server datadir default_storage_engine default_week_format
    div_precision_increment error_count explicit_defaults_for_timestamp foreign_key_checks
    group_concat_max_len gtid_binlog_pos gtid_current_pos gtid_mode gtid_slave_pos
    have_ssl hostname init_connect innodb_buffer_pool_size
    innodb_lock_wait_timeout innodb_version interactive_timeout lc_messages lc_time_names license
    lock_wait_timeout log_bin lower_case_file_system lower_case_table_names max_allowed_packet
    max_connections max_execution_time max_statement_time net_buffer_length net_read_timeout
    net_write_timeout optimizer_switch performance_schema port protocol_version pseudo_thread_id
    query_cache_size query_cache_type read_only secure_file_priv server_id socket sql_auto_is_null
    sql_big_selects sql_mode sql_notes sql_quote_show_create sql_safe_updates sql_select_limit
    sql_warnings storage_engine super_read_only system_time_zone table_open_cache thread_cache_size
    time_zone timestamp tmp_table_size tmpdir transaction_isolation transaction_read_only
    tx_isolation tx_read_only unique_checks version version_comment version_compile_machine
    version_compile_os wait_timeout warning_count
    """.split()  # noqa: SIM905 -- a list of words to read
)

# They change no later statement's meaning, no protection and no timeout of the gateway's.
SETTABLE: Final = frozenset(
    """
    group_concat_max_len information_schema_stats_expiry innodb_lock_wait_timeout
    interactive_timeout lc_time_names lock_wait_timeout max_join_size net_read_timeout
    net_write_timeout optimizer_switch sql_safe_updates sql_select_limit time_zone wait_timeout
    """.split()  # noqa: SIM905 -- a list of words to read
)

# Parts of sql_mode about values that are stored and results that are computed; "" is none of them.
HARMLESS_MODES: Final = frozenset(
    """
    allow_invalid_dates error_for_division_by_zero no_auto_create_user no_auto_value_on_zero
    no_dir_in_create no_engine_substitution no_field_options no_key_options no_table_options
    no_unsigned_subtraction no_zero_date no_zero_in_date
    only_full_group_by strict_all_tables strict_trans_tables time_truncate_fractional traditional
    """.split()  # noqa: SIM905 -- a list of words to read
) | {""}

# How names of settings begin, none of which holds a secret: those of plug-ins begin with theirs.
HARMLESS_FAMILIES: Final = (
    *("character_set", "collation_", "lower_case_", "sql_", "transaction_", "tx_", "version"),
)
