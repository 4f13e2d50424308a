"""Every class of statement that is not on the list of what is understood is refused."""

from __future__ import annotations

from contextlib import closing
from typing import Final

import pytest
from sqlglot.dialects.mysql import MySQL

from policies.sql.facts import SqlEffect
from policies.sql.mysql.words import RESERVED
from tests.fixtures.mariadb import MariaDbServer
from tests.policies.mysql.catalogs import facts
from tests.policies.mysql.watch import fetch

# The words that a statement may begin with, and what such a one may be at most.
READS: Final = frozenset(
    {"SELECT", "TABLE", "VALUES", "WITH", "SHOW", "EXPLAIN", "DESCRIBE", "DESC", "ANALYZE", "HELP"}
)
WRITES: Final = frozenset({"INSERT", "REPLACE", "UPDATE", "DELETE"})
DEFINITIONS: Final = frozenset({"CREATE", "DROP", "ALTER", "TRUNCATE", "RENAME"})
SESSIONS: Final = frozenset(
    {"SET", "USE", "UNLOCK", "BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"}
)
UNDERSTOOD: Final = READS | WRITES | DEFINITIONS | SESSIONS

# One statement of each class that is not understood, from the help tables of MariaDB 10.11 and the
# reference manual of MySQL 8.4 (chapters 15.1 to 15.8).
REFUSED: Final = (
    "ALTER DATABASE app CHARACTER SET latin1",
    "ALTER EVENT e DISABLE",
    "ALTER FUNCTION f_pure SQL SECURITY INVOKER",
    "ALTER INSTANCE ROTATE INNODB MASTER KEY",
    "ALTER LOGFILE GROUP g ADD UNDOFILE 'x' ENGINE NDB",
    "ALTER PROCEDURE p_del SQL SECURITY INVOKER",
    "ALTER RESOURCE GROUP g DISABLE",
    "ALTER SEQUENCE s1 RESTART 1",
    "ALTER SERVER s OPTIONS (HOST 'x')",
    "ALTER TABLESPACE t DROP DATAFILE 'x'",
    "ALTER USER root IDENTIFIED BY 'x'",
    "ALTER VIEW v_users AS SELECT 1",
    "ANALYZE TABLE users",
    "ANALYZE LOCAL TABLE users UPDATE HISTOGRAM ON ssn",
    "ANALYZE DELETE FROM orders",
    "ANALYZE UPDATE orders SET note = ''",
    "BACKUP LOCK users",
    "BACKUP STAGE START",
    "BEGIN NOT ATOMIC DELETE FROM orders",
    "BINLOG 'x'",
    "CACHE INDEX users IN hot",
    "CALL p_del()",
    "CASE WHEN 1 THEN DELETE FROM orders",
    "CHANGE MASTER TO MASTER_HOST = 'x'",
    "CHANGE REPLICATION SOURCE TO SOURCE_HOST = 'x'",
    "CHANGE REPLICATION FILTER REPLICATE_DO_DB = (app)",
    "CHECK TABLE users",
    "CHECK VIEW v_users",
    "CHECKSUM TABLE users",
    "CLONE LOCAL DATA DIRECTORY = '/tmp/x'",
    "CLOSE c",
    "CREATE AGGREGATE FUNCTION f RETURNS INT SONAME 'x.so'",
    "CREATE DEFINER = root VIEW v AS SELECT 1",
    "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM orders",
    "CREATE FUNCTION f() RETURNS INT RETURN 1",
    "CREATE FUNCTION f RETURNS INT SONAME 'x.so'",
    "CREATE LOGFILE GROUP g ADD UNDOFILE 'x' ENGINE NDB",
    "CREATE OR REPLACE TABLE orders (id INT)",
    "CREATE PACKAGE p AS END",
    "CREATE PROCEDURE p() DELETE FROM orders",
    "CREATE RESOURCE GROUP g TYPE = USER",
    "CREATE ROLE r",
    "CREATE SEQUENCE s",
    "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'x')",
    "CREATE SPATIAL REFERENCE SYSTEM 4120 NAME 'x'",
    "CREATE TABLESPACE t ADD DATAFILE 'x'",
    "CREATE TEMPORARY TABLE t (id INT)",
    "CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = ''",
    "CREATE USER evil",
    "DEALLOCATE PREPARE s",
    "DECLARE x INT",
    "DELIMITER //",
    "DO SLEEP(1)",
    "DO f_del()",
    "DROP EVENT e",
    "DROP FUNCTION f_pure",
    "DROP PACKAGE p",
    "DROP PREPARE s",
    "DROP PROCEDURE p_del",
    "DROP ROLE r",
    "DROP SEQUENCE s1",
    "DROP SERVER s",
    "DROP TABLESPACE t",
    "DROP TRIGGER audited_change",
    "DROP USER root",
    "EXECUTE s",
    "EXECUTE IMMEDIATE 'DELETE FROM orders'",
    "EXPLAIN ANALYZE DELETE FROM orders",
    "EXPLAIN FOR CONNECTION 1",
    "EXPLAIN FORMAT = JSON INTO @v SELECT 1",
    "FETCH c INTO x",
    "FLUSH TABLES",
    "FLUSH PRIVILEGES",
    "FLUSH TABLES users FOR EXPORT",
    "FOR i IN 1..2 DO DELETE FROM orders",
    "GET DIAGNOSTICS @n = NUMBER",
    "GET STACKED DIAGNOSTICS @n = NUMBER",
    "GOTO x",
    "GRANT ALL ON *.* TO evil",
    "HANDLER users OPEN",
    "HANDLER users READ FIRST",
    "HANDLER users CLOSE",
    "IF 1 THEN DELETE FROM orders",
    "IMPORT TABLE FROM 'x.sdi'",
    "INSTALL COMPONENT 'file://x'",
    "INSTALL PLUGIN p SONAME 'x.so'",
    "INSTALL SONAME 'x'",
    "ITERATE x",
    "KILL 1",
    "KILL QUERY 1",
    "LEAVE x",
    "LOAD DATA INFILE '/etc/passwd' INTO TABLE docs",
    "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE docs",
    "LOAD INDEX INTO CACHE users",
    "LOAD XML INFILE 'x' INTO TABLE docs",
    "LOCK INSTANCE FOR BACKUP",
    "LOCK TABLES users READ",
    "LOOP DELETE FROM orders",
    "OPEN c",
    "OPTIMIZE TABLE users",
    "PREPARE s FROM 'DELETE FROM orders'",
    "PURGE BINARY LOGS TO 'x'",
    "RAISE x",
    "RENAME USER root TO evil",
    "REPAIR TABLE users",
    "REPEAT DELETE FROM orders",
    "RESET MASTER",
    "RESET PERSIST",
    "RESET QUERY CACHE",
    "RESIGNAL",
    "RESTART",
    "RETURN 1",
    "REVOKE ALL ON *.* FROM root",
    "SET @v = 1",
    "SET DEFAULT ROLE ALL TO root",
    "SET GLOBAL general_log = 1",
    "SET PASSWORD = 'x'",
    "SET PERSIST max_connections = 1",
    "SET RESOURCE GROUP g",
    "SET ROLE ALL",
    "SET STATEMENT max_statement_time = 0 FOR SELECT 1",
    "SHOW BINARY LOGS",
    "SHOW BINLOG EVENTS",
    "SHOW CREATE PACKAGE p",
    "SHOW CREATE SERVER s",
    "SHOW CREATE USER root",
    "SHOW ENGINE INNODB STATUS",
    "SHOW EXPLAIN FOR 1",
    "SHOW FUNCTION CODE f_pure",
    "SHOW GRANTS",
    "SHOW MASTER STATUS",
    "SHOW OPEN TABLES WHERE f_del()",
    "SHOW PROCESSLIST",
    "SHOW PROFILE",
    "SHOW RELAYLOG EVENTS",
    "SHOW REPLICA STATUS",
    "SHOW USER_STATISTICS",
    "SHUTDOWN",
    "SIGNAL SQLSTATE '45000'",
    "START GROUP_REPLICATION",
    "START REPLICA",
    "START SLAVE",
    "START TRANSACTION READ WRITE",
    "STOP GROUP_REPLICATION",
    "STOP SLAVE",
    "TRUNCATE TABLE mysql.user",
    "UNINSTALL COMPONENT 'file://x'",
    "UNINSTALL PLUGIN p",
    "UNINSTALL SONAME 'x'",
    "UNLOCK INSTANCE",
    "USE mysql",
    "WHILE 1 DO DELETE FROM orders",
    "XA START 'x'",
    "XA COMMIT 'x'",
    "XA RECOVER",
)
_TAILS: Final = (
    "", "x", "users", "1", "'x'", "TABLE users", "TABLES", "ALL", "DATA", "x FROM users",
    "(SELECT 1)", "SELECT 1", "users (id)", "INTO users VALUES (1)", "STATUS", "x = 1",
)  # fmt: skip


@pytest.mark.parametrize("sql", REFUSED)
def test_a_class_of_statement_that_is_not_listed_is_refused(sql: str) -> None:
    assert facts(sql).opaque is not None


def beginnings(words: set[str]) -> dict[str, set[SqlEffect]]:
    """What statements with each word at their beginning are at most, where one is understood."""
    found: dict[str, set[SqlEffect]] = {}
    for word in words:
        effects = {facts(f"{word} {tail}").effect for tail in _TAILS} - {SqlEffect.OPAQUE}
        if effects:
            found[word] = effects
    return found


def check_beginnings(words: set[str]) -> None:
    found = beginnings(words)
    assert found.keys() <= UNDERSTOOD
    assert {word for word, effects in found.items() if SqlEffect.READ in effects} <= READS


def test_no_statement_begins_with_another_reserved_word() -> None:
    check_beginnings(set(RESERVED))


def test_no_statement_begins_with_another_word_that_sqlglot_has_a_parser_for() -> None:
    parser = MySQL.Parser
    kinds = {*parser.STATEMENT_PARSERS, *parser.EXPRESSION_PARSERS, *parser.FUNCTIONS}
    words = {str(getattr(kind, "name", kind)).replace("_", " ") for kind in kinds}
    assert len(words) > 300
    check_beginnings({word.upper() for word in words})


def test_every_class_has_an_example_and_none_is_for_what_is_understood_alone() -> None:
    first = {sql.split()[0] for sql in REFUSED}
    assert len(first - UNDERSTOOD) >= 45
    assert first & UNDERSTOOD >= {"ALTER", "CREATE", "DROP", "SET", "SHOW", "ANALYZE", "EXPLAIN"}


@pytest.mark.programs
def test_no_statement_begins_with_another_word_of_the_server(mariadb: MariaDbServer) -> None:
    """The server's own list of keywords, and the topics of its own help."""
    with closing(mariadb.connect()) as connection:
        words = {
            row[0] for row in fetch(connection, "SELECT word FROM information_schema.keywords")
        }
        topics = {row[0] for row in fetch(connection, "SELECT name FROM mysql.help_topic")}
    assert len(words) > 600
    assert len(topics) > 600
    check_beginnings({word for word in words if word.isidentifier()})
    # A topic that is a statement's name begins one, if anything does.
    begun = beginnings({topic for topic in topics if topic.isupper()})
    assert {topic.split()[0] for topic in begun} <= UNDERSTOOD
