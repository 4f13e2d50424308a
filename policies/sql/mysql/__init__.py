"""MySQL and MariaDB statements -> facts: a gate, sqlglot for the tree, and its walkers."""

from policies.sql.mysql.analysis import analyse

__all__ = ["analyse"]
