"""SHOW, SET, USE and transactions."""

from __future__ import annotations

import pytest

from policies.sql.facts import SqlEffect
from tests.policies.mysql.catalogs import facts, refusal, uses


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SHOW TABLES", set()),
        ("SHOW FULL TABLES FROM hr LIKE 'a%'", set()),
        ("SHOW TABLE STATUS IN information_schema", set()),
        ("SHOW DATABASES LIKE 'a%'", set()),
        ("SHOW FULL COLUMNS FROM users", {"app.users"}),
        ("SHOW INDEX FROM salaries IN hr", {"hr.salaries"}),
        ("SHOW CREATE TABLE hr.salaries", {"hr.salaries"}),
        ("SHOW CREATE VIEW v_users", {"app.v_users"}),
        ("SHOW VARIABLES LIKE 'sql\\_mode'", set()),
        ("SHOW GLOBAL STATUS LIKE 'Threads%'", set()),
        ("SHOW CHARACTER SET", set()),
        ("SHOW COLLATION LIKE 'utf8%'", set()),
        ("SHOW ENGINES", set()),
        ("DESCRIBE users", {"app.users"}),
        ("DESC users ssn", {"app.users"}),
        ("EXPLAIN hr.salaries", {"hr.salaries"}),
    ],
)
def test_what_shows_definitions_is_a_read(sql: str, tables: set[str]) -> None:
    found = facts(sql)
    assert found.effect is SqlEffect.READ, found.opaque
    assert set(uses(found)) == tables
    assert 0 in found.clean_outputs


@pytest.mark.parametrize(
    "sql",
    [
        "SHOW TABLES WHERE sleep(1)",
        "SHOW VARIABLES",
        "SHOW VARIABLES WHERE f_del() = 1",
        "SHOW VARIABLES LIKE '%'",
        "SHOW VARIABLES LIKE 'report_pass%'",
        "SHOW GRANTS",
        "SHOW GRANTS FOR root",
        "SHOW PROCESSLIST",
        "SHOW FULL PROCESSLIST",
        "SHOW WARNINGS",
        "SHOW ERRORS",
        "SHOW COUNT(*) WARNINGS",
        "SHOW BINLOG EVENTS",
        "SHOW MASTER STATUS",
        "SHOW ENGINE INNODB STATUS",
        "SHOW CREATE PROCEDURE p_del",
        "SHOW CREATE USER root",
        "SHOW TRIGGERS",
        "SHOW EVENTS",
        "SHOW PROFILES",
        "SHOW TABLES FROM mysql",
        "SHOW COLUMNS FROM mysql.user",
        "SHOW COLUMNS FROM user FROM mysql",
        "DESC mysql.user",
        "GET DIAGNOSTICS @n = NUMBER",
    ],
)
def test_what_shows_more_than_definitions_is_refused(sql: str) -> None:
    refusal(sql)


@pytest.mark.parametrize(
    ("sql", "effect"),
    [
        ("SET NAMES utf8mb4", SqlEffect.SESSION),
        ("SET NAMES 'utf8mb4' COLLATE 'utf8mb4_general_ci'", SqlEffect.SESSION),
        ("SET time_zone = '+00:00', SESSION wait_timeout = 60", SqlEffect.SESSION),
        ("SET @@session.net_read_timeout = 60", SqlEffect.SESSION),
        ("SET TRANSACTION READ ONLY", SqlEffect.SESSION),
        ("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", SqlEffect.SESSION),
        ("SET autocommit = 1", SqlEffect.TRANSACTION),
        ("USE hr", SqlEffect.SESSION),
        ("BEGIN", SqlEffect.TRANSACTION),
        ("BEGIN WORK", SqlEffect.TRANSACTION),
        ("START TRANSACTION", SqlEffect.TRANSACTION),
        ("START TRANSACTION READ ONLY", SqlEffect.TRANSACTION),
        ("COMMIT", SqlEffect.TRANSACTION),
        ("ROLLBACK AND NO CHAIN NO RELEASE", SqlEffect.TRANSACTION),
        ("SAVEPOINT s", SqlEffect.TRANSACTION),
        ("ROLLBACK TO SAVEPOINT s", SqlEffect.TRANSACTION),
        ("RELEASE SAVEPOINT s", SqlEffect.TRANSACTION),
    ],
)
def test_sessions_and_transactions_are_told_from_reads(sql: str, effect: SqlEffect) -> None:
    assert facts(sql).effect is effect


@pytest.mark.parametrize(
    "sql",
    [
        "SET NAMES gbk",
        "SET NAMES utf8mb4 COLLATE gbk_bin",
        "SET NAMES DEFAULT",
        "SET CHARACTER SET utf8mb4",
        "SET character_set_client = gbk",
        "SET character_set_results = NULL",
        "SET sql_mode = ''",
        "SET SESSION sql_mode = DEFAULT",
        "SET @@sql_mode = 'ANSI_QUOTES'",
        "SET time_zone = '+00:00', sql_mode = 'ANSI_QUOTES'",
        "SET time_zone = '+00:00', @@autocommit = 0",
        "SET GLOBAL wait_timeout = 1",
        "SET @@global.wait_timeout = 1",
        "SET PERSIST wait_timeout = 1",
        "SET max_statement_time = 0",
        "SET max_execution_time = 0",
        "SET TRANSACTION READ WRITE",
        "SET SESSION TRANSACTION READ WRITE",
        "SET GLOBAL TRANSACTION READ ONLY",
        "SET transaction_read_only = 0",
        "SET @@session.tx_read_only = 0",
        "SET time_zone = (SELECT ssn FROM users LIMIT 1)",
        "SET time_zone = f_del()",
        "SET time_zone = concat('a', 'b')",
        "SET @x = 1",
        "SET @x := 1",
        "SET PASSWORD = 'x'",
        "SET PASSWORD FOR root = 'x'",
        "SET ROLE ALL",
        "SET DEFAULT ROLE ALL TO x",
        "SET STATEMENT max_statement_time = 0 FOR SELECT 1",
        "SET RESOURCE GROUP x",
        "SET",
        "USE mysql",
        "USE",
        "START TRANSACTION READ WRITE",
        "BEGIN NOT ATOMIC DELETE FROM orders",
        "COMMIT AND CHAIN",
        "COMMIT RELEASE",
        "START SLAVE",
        "RELEASE x",
    ],
)
def test_other_settings_are_refused(sql: str) -> None:
    refusal(sql)
