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
        ("SHOW EVENTS FROM hr", set()),
        ("SHOW TABLES FROM mysql", set()),
        ("SHOW FUNCTION STATUS WHERE Db = 'app' AND Name LIKE '%'", set()),
        ("SHOW COLUMNS FROM users WHERE Extra LIKE '%x%' OR NOT (Field IN ('a'))", {"app.users"}),
        ("SHOW VARIABLES WHERE Variable_name IN ('sql_mode') OR variable_name = 'port'", set()),
        ("HELP 'contents'", set()),
        ("HELP select", set()),
        ("SELECT ROUTINE_NAME FROM information_schema.ROUTINES", {"information_schema.ROUTINES"}),
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
        "SHOW VARIABLES WHERE f_del() = 1",
        "SHOW VARIABLES WHERE Variable_name = 'x' OR f_del() = 1",
        "SHOW VARIABLES WHERE Variable_name = 'x' OR Value LIKE '%'",
        "SHOW VARIABLES WHERE NOT Variable_name = 'x'",
        "SHOW VARIABLES WHERE Variable_name IN (SELECT 'x')",
        "SHOW VARIABLES WHERE Variable_name IN (Variable_name)",
        "SHOW VARIABLES WHERE Variable_name IN (0x7265706f72745f70617373776f7264)",
        "SHOW VARIABLES WHERE Variable_name = 'report_' 'password'",
        "SHOW VARIABLES WHERE Value LIKE 'a%'",
        "SHOW VARIABLES WHERE Variable_name = 'x' AND Value LIKE 'a%'",
        "SHOW VARIABLES LIKE 'sql_mode' 'x'",
        "SHOW TABLES WHERE Tables_in_app = f_del ()",
        "SHOW TABLES WHERE Tables_in_app = app.f_del()",
        "SHOW TABLES WHERE Tables_in_app = @@version",
        "SHOW TABLES WHERE EXISTS (SELECT 1)",
        "SHOW TABLES WHERE",
        "HELP",
        "HELP 'a' 'b'",
        "SHOW GRANTS",
        "SHOW GRANTS FOR root",
        "SHOW PROCESSLIST",
        "SHOW FULL PROCESSLIST",
        "SHOW COUNT(*) WARNINGS",
        "SHOW BINLOG EVENTS",
        "SHOW MASTER STATUS",
        "SHOW ENGINE INNODB STATUS",
        "SHOW CREATE PROCEDURE sys.execute_prepared_stmt",
        "SHOW CREATE PROCEDURE p_del extra",
        "SHOW CREATE PACKAGE p",
        "SHOW CREATE TRIGGER mysql.x",
        "SHOW CREATE USER root",
        "SHOW TRIGGERS WHERE sleep(1)",
        "SHOW TRIGGERS WHERE EXISTS (SELECT 1)",
        "SHOW PROFILES",
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
        ("SET sql_mode = ''", SqlEffect.SESSION),
        ("SET sql_mode = 'STRICT_TRANS_TABLES,NO_ZERO_DATE'", SqlEffect.SESSION),
        ("SET sql_mode = CONCAT(@@sql_mode, ',NO_ZERO_DATE'), NAMES utf8mb4", SqlEffect.SESSION),
        ("SET character_set_results = utf8mb4", SqlEffect.SESSION),
        ("SET sql_quote_show_create = 1", SqlEffect.SESSION),
        ("SET SESSION optimizer_switch = 'semijoin=off'", SqlEffect.SESSION),
        ("/*!40103 SET TIME_ZONE='+00:00' */", SqlEffect.SESSION),
        ("START TRANSACTION /*!40100 WITH CONSISTENT SNAPSHOT */", SqlEffect.TRANSACTION),
        ("UNLOCK TABLES", SqlEffect.SESSION),
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
        "SET character_set_results = 'binary'",
        "SET sql_mode = 'STRICT_TRANS_TABLES,ANSI_QUOTES'",
        "SET sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')",
        # How the server reads text for others: the gateway's session reads it as it is judged.
        "SET sql_mode = CONCAT(@@global.sql_mode, ',NO_ZERO_DATE')",
        "SET @@session.sql_mode = CONCAT(@@GLOBAL.sql_mode, ',NO_ZERO_DATE')",
        "SET sql_mode = CONCAT(@@sql_mode, '_QUOTES')",
        "SET sql_mode = CONCAT(@@version, ',NO_ZERO_DATE')",
        "SET sql_mode = CONCAT(f_del(), ',NO_ZERO_DATE')",
        "SET sql_mode = @@sql_mode",
        "SET session_track_system_variables = '*'",
        "SET @@global.sql_mode = ''",
        "SET @@GLOBAL.sql_mode = ''",
        "SET sql_quote_show_create = 0",
        "START TRANSACTION /*!50605 READ ONLY */, READ WRITE",
        "ROLLBACK /*!40100 TO SAVEPOINT a */",
        "/*!40100 USE hr */",
        "SET time_zone = '+00:00' /*!50000 , autocommit = 0 */",
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


@pytest.mark.parametrize("sql", ["SHOW WARNINGS", "show errors"])
def test_a_warning_may_quote_any_value(sql: str) -> None:
    found = facts(sql)
    assert found.effect is SqlEffect.READ
    assert found.clean_outputs == {0, 1}
    assert found.labels_read == {"pii", "salary", "secret"}
