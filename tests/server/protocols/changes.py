"""Changes of a target's schema, each with a statement whose meaning it changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Change:
    """`before` makes the table that `statement` names; `change` happens when it was judged."""

    about: str
    before: str
    statement: str
    change: str
    table: str


TWO_COLUMNS: Final = "(a text, b text); INSERT INTO {0} VALUES ('a', 'b')"


def table(name: str, columns: str = TWO_COLUMNS) -> str:
    return f"CREATE TABLE {name} " + columns.format(name)


# Understood as well after the change: what runs then runs by new facts.
UNDERSTOOD: Final = (
    Change(
        "columns change their names",
        table("c1"),
        "SELECT a FROM c1",
        "ALTER TABLE c1 RENAME a TO x; ALTER TABLE c1 RENAME b TO a; ALTER TABLE c1 RENAME x TO b",
        "c1",
    ),
    Change(
        "a column's type",
        table("c2"),
        "SELECT a FROM c2",
        "ALTER TABLE c2 ALTER a TYPE varchar(10)",
        "c2",
    ),
    Change(
        "another table of the name",
        table("c3"),
        "SELECT a FROM c3",
        "DROP TABLE c3; " + table("c3"),
        "c3",
    ),
    Change(
        "a table of the name in an earlier schema",
        table("c4"),
        "SELECT a FROM c4",
        table("first.c4"),
        "c4",
    ),
    Change(
        "another schema of the name",
        "CREATE SCHEMA moving; " + table("moving.c5"),
        "SELECT a FROM moving.c5",
        "ALTER SCHEMA moving RENAME TO gone; CREATE SCHEMA moving; " + table("moving.c5"),
        "moving.c5",
    ),
    Change(
        "a view behind a view",
        table("c6") + "; CREATE VIEW c6v AS SELECT a FROM c6; CREATE VIEW c6w AS SELECT a FROM c6v",
        "SELECT a FROM c6w",
        "CREATE OR REPLACE VIEW c6v AS SELECT b AS a FROM c6",
        "c6w",
    ),
    Change(
        "the table behind a view",
        table("c7") + "; CREATE VIEW c7v AS SELECT a FROM c7",
        "SELECT a FROM c7v",
        "ALTER TABLE c7 RENAME a TO x; ALTER TABLE c7 RENAME b TO a",
        "c7v",
    ),
    Change(
        "a type's name",
        "CREATE TYPE size AS ENUM ('s'); CREATE TABLE c8 (a size)",
        "SELECT a FROM c8",
        "ALTER TYPE size RENAME TO extent",
        "c8",
    ),
    Change(
        "a child by inheritance",
        table("c9"),
        "SELECT a FROM c9",
        "CREATE TABLE c9c () INHERITS (c9)",
        "c9",
    ),
    Change(
        "a partition",
        "CREATE TABLE c10 (a int, b text) PARTITION BY LIST (a);"
        "CREATE TABLE c10a PARTITION OF c10 FOR VALUES IN (1)",
        "SELECT b FROM c10",
        "CREATE TABLE c10b PARTITION OF c10 FOR VALUES IN (2)",
        "c10",
    ),
    Change(
        "row security",
        table("c11"),
        "SELECT a FROM c11",
        "ALTER TABLE c11 ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON c11 USING (true)",
        "c11",
    ),
    Change(
        "a second row policy",
        table("c12")
        + "; ALTER TABLE c12 ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON c12 USING (true)",
        "SELECT a FROM c12",
        "CREATE POLICY q ON c12 USING (false)",
        "c12",
    ),
    Change(
        "a trigger",
        table("c13"),
        "INSERT INTO c13 VALUES ('c', 'd')",
        "CREATE TRIGGER t BEFORE INSERT ON c13 FOR EACH ROW EXECUTE FUNCTION noted()",
        "c13",
    ),
    Change(
        "a second trigger",
        table("c14")
        + "; CREATE TRIGGER t BEFORE INSERT ON c14 FOR EACH ROW EXECUTE FUNCTION noted()",
        "INSERT INTO c14 VALUES ('c', 'd')",
        "CREATE TRIGGER u BEFORE INSERT ON c14 FOR EACH ROW EXECUTE FUNCTION noted()",
        "c14",
    ),
    Change(
        "a rule",
        table("c15") + "; " + table("c15x"),
        "INSERT INTO c15 VALUES ('c', 'd')",
        "CREATE RULE r AS ON INSERT TO c15 DO ALSO INSERT INTO c15x VALUES (NEW.a, NEW.b)",
        "c15",
    ),
    Change(
        "a foreign key that changes others along",
        "CREATE TABLE c17 (a text PRIMARY KEY)",
        "UPDATE c17 SET a = 'z' WHERE a = 'y'",
        "CREATE TABLE c17x (a text REFERENCES c17 ON UPDATE CASCADE)",
        "c17",
    ),
    Change(
        "an overload that is no better",
        table("c16"),
        "SELECT upper(a) FROM c16",
        "CREATE FUNCTION apart.upper(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "c16",
    ),
)

# Not understood after the change, and refused.
REFUSED: Final = (
    Change(
        "a function that fits better",
        "CREATE TABLE d1 (n int)",
        "SELECT sqrt(n) FROM d1",
        "CREATE FUNCTION sqrt(int) RETURNS text LANGUAGE sql"
        " AS 'SELECT ssn FROM customers WHERE id = $1'",
        "d1",
    ),
    Change(
        "an operator that fits better",
        "CREATE TABLE d2 (n numeric)",
        "SELECT n FROM d2 WHERE n % 3 = 1",
        "CREATE FUNCTION rest(numeric, int) RETURNS numeric LANGUAGE sql AS 'SELECT $1';"
        "CREATE OPERATOR % (LEFTARG = numeric, RIGHTARG = int, FUNCTION = rest)",
        "d2",
    ),
    Change(
        "a cast to a user's type",
        "CREATE TABLE d3 (p place)",
        "SELECT p FROM d3",
        "CREATE FUNCTION shown(place) RETURNS text LANGUAGE sql AS 'SELECT $1.town';"
        "CREATE CAST (place AS text) WITH FUNCTION shown AS IMPLICIT",
        "d3",
    ),
    Change(
        "a view that calls a user's function",
        table("d4") + "; CREATE VIEW d4v AS SELECT a FROM d4;"
        "CREATE FUNCTION bad() RETURNS text LANGUAGE sql AS 'SELECT ssn FROM customers LIMIT 1'",
        "SELECT a FROM d4v",
        "CREATE OR REPLACE VIEW d4v AS SELECT bad() AS a",
        "d4v",
    ),
)
