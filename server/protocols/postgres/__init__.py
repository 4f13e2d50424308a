"""PostgreSQL: codec (bytes <-> messages, no I/O), connector, listener."""
