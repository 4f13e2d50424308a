"""MySQL and MariaDB: codec (bytes <-> messages, no I/O), connector, listener."""
