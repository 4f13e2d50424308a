"""SQL statements: what one reads, writes and calls, by the server's own grammar and catalog."""
