"""Which native functions a read may call: allow-lists of names as they stand in the text.

The server looks for a native function first, so a name that it has can't be a user's. A name that
only one of the two servers has counts once the connector says so in `Catalog.functions[NATIVE]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

NATIVE: Final = ""
"""The key of `Catalog.functions` for `native_functions` of the server at hand."""

# DEFAULT(column) is not among them: a default of MariaDB's may take the next value of a sequence.
# In MySQL from 8.0.22 on and in MariaDB from 10.6 on.
COMMON: Final = frozenset(
    """
    abs acos adddate addtime aes_decrypt aes_encrypt ascii asin atan atan2 avg bin bit_and bit_count
    bit_length bit_or bit_xor cast ceil ceiling char char_length character_length charset coalesce
    coercibility collation compress concat concat_ws connection_id conv convert convert_tz cos cot
    count crc32 cume_dist curdate current_date current_role current_time current_timestamp
    current_user curtime database date date_add date_format date_sub datediff day dayname dayofmonth
    dayofweek dayofyear degrees dense_rank elt exp export_set extract field find_in_set
    first_value floor format found_rows from_base64 from_days from_unixtime get_format greatest
    group_concat hex hour if ifnull inet6_aton inet6_ntoa inet_aton inet_ntoa insert instr interval
    is_ipv4 is_ipv4_compat is_ipv4_mapped is_ipv6 isnull json_array json_array_append
    json_array_insert json_arrayagg json_contains json_contains_path json_depth json_extract
    json_insert json_keys json_length json_merge_patch json_merge_preserve json_object
    json_objectagg json_quote json_remove json_replace json_search json_set json_table json_type
    json_unquote json_valid json_value lag last_day last_insert_id last_value lcase lead least left
    length ln localtime localtimestamp locate log log10 log2 lower lpad ltrim make_set makedate
    maketime match max md5 microsecond mid min minute mod month monthname now nth_value ntile nullif
    oct octet_length ord percent_rank period_add period_diff pi position pow power quarter quote
    radians rand rank regexp_instr regexp_replace regexp_substr repeat replace reverse right round
    row_count row_number rpad rtrim schema sec_to_time second session_user sha sha1 sha2 sign sin
    soundex space sqrt st_area st_asgeojson st_astext st_aswkt st_buffer st_centroid st_contains
    st_crosses st_difference st_dimension st_disjoint st_distance st_distance_sphere st_envelope
    st_equals st_geometrytype st_geomfromgeojson st_geomfromtext st_intersection st_intersects
    st_isempty st_length st_numpoints st_overlaps st_pointfromtext st_srid
    st_touches st_union st_within st_x st_y std stddev stddev_pop stddev_samp str_to_date strcmp
    subdate substr substring substring_index subtime sum sysdate system_user tan time time_format
    time_to_sec timediff timestamp timestampadd timestampdiff to_base64 to_days to_seconds trim
    truncate ucase uncompress uncompressed_length unhex unix_timestamp upper user utc_date utc_time
    utc_timestamp uuid values var_pop var_samp variance version week weekday weekofyear year
    yearweek
    """.split()  # noqa: SIM905 -- a list of words to read
)

_MYSQL: Final = frozenset(
    """
    any_value bin_to_uuid format_bytes format_pico_time grouping is_uuid json_overlaps json_pretty
    json_schema_valid json_storage_size random_bytes regexp_like uuid_to_bin
    """.split()  # noqa: SIM905 -- a list of words to read
)

_MARIADB: Final = frozenset(
    """
    add_months chr json_compact json_detailed json_equals json_exists json_loose
    json_normalize json_query lengthb median nvl nvl2 to_char
    """.split()  # noqa: SIM905 -- a list of words to read
)

# With a blank before the bracket the server takes these names for a user's function.
TOUCHING: Final = frozenset(
    """
    adddate bit_and bit_or bit_xor cast count curdate curtime date_add date_sub extract group_concat
    json_arrayagg json_objectagg max mid min now position session_user std stddev stddev_pop
    stddev_samp subdate substr substring sum sysdate system_user trim var_pop var_samp variance
    """.split()  # noqa: SIM905 -- a list of words to read
)

# Reserved words that are functions when a bracket follows.
RESERVED_FUNCTIONS: Final = frozenset(
    """
    CHAR CONVERT CUME_DIST DATABASE DEFAULT DENSE_RANK FIRST_VALUE GROUPING IF INSERT JSON_TABLE LAG
    LAST_VALUE LEAD LEFT MATCH MOD NTH_VALUE NTILE PERCENT_RANK RANK REPEAT REPLACE RIGHT ROW_NUMBER
    SCHEMA
    """.split()  # noqa: SIM905 -- a list of words to read
)

# Functions that need no brackets.
NILADIC: Final = frozenset(
    """
    CURRENT_DATE CURRENT_ROLE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER LOCALTIME LOCALTIMESTAMP
    UTC_DATE UTC_TIME UTC_TIMESTAMP
    """.split()  # noqa: SIM905 -- a list of words to read
)

_FLAVOURS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"mariadb": _MARIADB, "mysql": _MYSQL}
)


def native_functions(version: str) -> frozenset[str]:
    """Those of the server that says this for `@@version`, past the common ones."""
    return _FLAVOURS["mariadb" if "mariadb" in version.lower() else "mysql"]
