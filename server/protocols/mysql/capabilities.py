"""What the two sides of a MySQL connection can agree on, and a server's state, as bits.

Source: MySQL's protocol documentation, "Capabilities Flags" and "SERVER_STATUS_flags_enum".
"""

from __future__ import annotations

from typing import Final

# Its absence in a greeting says that MariaDB's own capabilities follow; we always set it.
LONG_PASSWORD: Final = 1
FOUND_ROWS: Final = 1 << 1
LONG_FLAG: Final = 1 << 2
CONNECT_WITH_DB: Final = 1 << 3
NO_SCHEMA: Final = 1 << 4
COMPRESS: Final = 1 << 5
ODBC: Final = 1 << 6
LOCAL_FILES: Final = 1 << 7
IGNORE_SPACE: Final = 1 << 8
PROTOCOL_41: Final = 1 << 9
INTERACTIVE: Final = 1 << 10
SSL: Final = 1 << 11
IGNORE_SIGPIPE: Final = 1 << 12
TRANSACTIONS: Final = 1 << 13
SECURE_CONNECTION: Final = 1 << 15
MULTI_STATEMENTS: Final = 1 << 16
MULTI_RESULTS: Final = 1 << 17
PS_MULTI_RESULTS: Final = 1 << 18
PLUGIN_AUTH: Final = 1 << 19
CONNECT_ATTRS: Final = 1 << 20
PLUGIN_AUTH_LENENC: Final = 1 << 21
CAN_HANDLE_EXPIRED_PASSWORDS: Final = 1 << 22
SESSION_TRACK: Final = 1 << 23
DEPRECATE_EOF: Final = 1 << 24
OPTIONAL_RESULTSET_METADATA: Final = 1 << 25
ZSTD: Final = 1 << 26
QUERY_ATTRIBUTES: Final = 1 << 27

REQUIRED: Final = PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH
"""Without these neither side is younger than MySQL 5.5.7, and is not spoken to."""

OFFERED: Final = (
    LONG_PASSWORD
    | FOUND_ROWS
    | LONG_FLAG
    | CONNECT_WITH_DB
    | ODBC
    | PROTOCOL_41
    | INTERACTIVE
    | IGNORE_SIGPIPE
    | TRANSACTIONS
    | SECURE_CONNECTION
    | MULTI_RESULTS
    | PS_MULTI_RESULTS
    | PLUGIN_AUTH
    | CONNECT_ATTRS
    | PLUGIN_AUTH_LENENC
    | SESSION_TRACK
    | DEPRECATE_EOF
    | QUERY_ATTRIBUTES
)
"""What this codec reads. Absent: what packs, reads files of the client's, sends several statements
in one text, leaves column definitions out, or changes how a text is read (IGNORE_SPACE)."""

OWN: Final = OFFERED & ~(QUERY_ATTRIBUTES | FOUND_ROWS | INTERACTIVE | ODBC)
"""What the gateway's own connections ask for: rows that changed are counted, not those found."""

# What changes the shape of packets after the login, and so is the same on both legs.
SHAPING: Final = SESSION_TRACK | DEPRECATE_EOF | QUERY_ATTRIBUTES
# What only concerns the login of one leg.
LOGIN: Final = (
    SSL | CONNECT_WITH_DB | PLUGIN_AUTH | CONNECT_ATTRS | PLUGIN_AUTH_LENENC | SECURE_CONNECTION
)


def offered(backend: int, *, tls: bool) -> int:
    """What to offer a client whose backend has these: what is read here, and the backend has too.

    The login is ours, and needs nothing of the backend.
    """
    login = LONG_PASSWORD | PROTOCOL_41 | LOGIN
    return OFFERED & (backend | login) | (SSL if tls else 0)


# A server's state, in OK and EOF packets.
IN_TRANSACTION: Final = 1
AUTOCOMMIT: Final = 2
MORE_RESULTS: Final = 8
CURSOR_EXISTS: Final = 64
LAST_ROW_SENT: Final = 128
SESSION_STATE_CHANGED: Final = 1 << 14


def utf8mb4(collation: int) -> bool:
    """Whether the number of a collation is one of utf8mb4, the only charset that is spoken.

    Source: information_schema.COLLATIONS of MySQL 8.4 and MariaDB 11.8.
    """
    return (
        collation in (45, 46)
        or 224 <= collation <= 247
        or 255 <= collation <= 323
        or 608 <= collation <= 623
        or collation in (1069, 1070)
        or 1248 <= collation <= 1271
        or 2304 <= collation <= 2559
    )
