"""DDL: which objects it makes, changes and drops."""

from __future__ import annotations

import pytest

from policies.sql.facts import SqlEffect
from tests.policies.mysql.catalogs import facts, refusal, uses


@pytest.mark.parametrize(
    ("sql", "kind", "expected"),
    [
        ("CREATE TABLE IF NOT EXISTS t (id INT PRIMARY KEY, a ENUM('x','y') DEFAULT '',"
         " b DECIMAL(10,2) CHECK (b > 0), c TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE NOW(),"
         " KEY k (a(3) DESC)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT='x'",
         "create_table", {"app.t"}),
        ("CREATE TABLE hr.t (id INT, FOREIGN KEY (id) REFERENCES app.users (id))", "create_table",
         {"hr.t", "app.users"}),
        ("CREATE TABLE t LIKE users", "create_table", {"app.t", "app.users"}),
        ("CREATE OR REPLACE VIEW v_users AS SELECT 1", "create_view", {"app.v_users"}),
        ("CREATE UNIQUE INDEX i ON users (name, (lower(name)))", "create_index", {"app.users"}),
        ("CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
         "create_schema", {"shop."}),
        ("ALTER TABLE orders ADD z INT, DROP note, MODIFY id BIGINT, RENAME COLUMN total TO sum",
         "alter_table", {"app.orders"}),
        ("ALTER TABLE orders RENAME TO hr.o2", "alter_table", {"app.orders", "hr.o2"}),
        ("RENAME TABLE orders TO o2, hr.salaries TO hr.s2", "rename",
         {"app.orders", "app.o2", "hr.salaries", "hr.s2"}),
        ("DROP TABLE IF EXISTS orders, hr.salaries", "drop_table", {"app.orders", "hr.salaries"}),
        ("DROP VIEW v_users", "drop_view", {"app.v_users"}),
        ("DROP INDEX i ON orders", "drop_index", {"app.orders"}),
        ("DROP SCHEMA hr", "drop_schema", {"hr.", "hr.salaries"}),
        ("TRUNCATE orders", "truncate", {"app.orders"}),
    ],
)  # fmt: skip
def test_a_definition_names_its_objects(sql: str, kind: str, expected: set[str]) -> None:
    found = facts(sql)
    assert found.effect is SqlEffect.DDL, found.opaque
    assert kind in found.kinds
    assert {name for name, verbs in uses(found).items() if verbs - {"select"}} == expected


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE t (id INT) ENGINE=FEDERATED CONNECTION='mysql://h/d/t'",
        "CREATE TABLE t (id INT) DATA DIRECTORY='/x'",
        "CREATE TABLE t (id INT) UNION=(users)",
        "CREATE OR REPLACE TABLE users (id INT)",
        "CREATE TEMPORARY TABLE users (id INT)",
        "CREATE DEFINER=root VIEW v AS SELECT 1",
        "CREATE SQL SECURITY DEFINER VIEW v AS SELECT 1",
        "CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = 'x'",
        "CREATE FUNCTION f RETURNS STRING SONAME 'x.so'",
        "CREATE PROCEDURE p() SELECT 1",
        "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
        "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'x')",
        "CREATE SEQUENCE s2",
        "ALTER TABLE orders EXCHANGE PARTITION p WITH TABLE users",
        "ALTER TABLE orders DISCARD TABLESPACE",
        "ALTER TABLE orders ENGINE=FEDERATED",
        "ALTER DATABASE app CHARACTER SET gbk",
        "DROP USER x",
        "DROP TRIGGER t",
        "DROP DATABASE mysql",
        "DROP TABLE mysql.user",
        "TRUNCATE TABLE mysql.user",
        "CREATE TABLE mysql.t (id INT)",
        "RENAME TABLE orders TO mysql.user",
        "RENAME USER a TO b",
        "CREATE TABLE t (id INT DEFAULT (sleep(1)))",
    ],
)
def test_a_definition_that_reaches_further_is_refused(sql: str) -> None:
    refusal(sql)
