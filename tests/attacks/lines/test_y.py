"""Lines Y01 to Y24 on what MySQL statements are understood as.

What the wire adds is the listener's: capabilities, COM_SET_OPTION (Y01), the server's request for
a file (Y09), the handshake's character set (Y16), COM_INIT_DB and resets (Y21).
"""

from __future__ import annotations

import pytest

from policies.sql.facts import SqlEffect
from policies.sql.mysql import analyse
from policies.sql.server_secrets import SERVER_SECRET
from tests.policies.mysql.catalogs import catalog, facts, in_any_case, uses


def codes(*statements: str) -> dict[str, str]:
    """The code of each statement's refusal, or its effect where it was understood."""
    found = {sql: facts(sql) for sql in statements}
    return {sql: f.opaque.code if f.opaque else f.effect.value for sql, f in found.items()}


def check_refused(*statements: str) -> None:
    understood = {sql for sql in statements if facts(sql).opaque is None}
    assert understood == set()


def check_code(code: str, *statements: str) -> None:
    assert set(codes(*statements).items()) == {(sql, code) for sql in statements}


def test_y01_several_statements_are_refused() -> None:
    check_code(
        "SQL_MULTIPLE_STATEMENTS",
        "SELECT 1; DELETE FROM orders",
        "SELECT 1;DELETE FROM orders;",
        "SELECT 1;\n-- c\nDELETE FROM orders",
        "BEGIN; DELETE FROM orders; COMMIT",
    )
    assert facts("SELECT ';DELETE FROM orders'").effect is SqlEffect.READ


def test_y02_comments_that_the_server_runs_are_refused() -> None:
    check_code(
        "SQL_COMMENT",
        "/*!50000 DELETE FROM orders */",
        "/*! INSERT INTO orders (id) VALUES (1) */",
        "/*M!100000 DELETE FROM orders */",
        "/*m! DELETE FROM orders */",
        "SELECT 1 /*!50000 INTO OUTFILE '/tmp/x' */",
        "SELECT /*+ SET_VAR(sql_mode='') */ 1",
    )


@pytest.mark.parametrize("opening", ["/*!", "/*!50000", "/*!99999", "/*M!", "/*M!100000"])
def test_y03_a_read_with_such_a_comment_is_all_that_any_server_makes_of_it(opening: str) -> None:
    """Which server runs it, nobody here knows: the facts are those of both ways to read it."""
    found = facts(f"SELECT name {opening} , ssn */ FROM users")
    assert (found.effect, found.labels_read) == (SqlEffect.READ, {"pii"})
    assert found.clean_outputs == {0}
    renamed = facts(f"SELECT name {opening} , ssn AS x */ , id FROM users")
    assert renamed.clean_outputs == {0}
    check_code("SQL_COMMENT", f"SELECT name {opening} , f_del() */ FROM users")


def test_y03_forms_that_differ_between_servers_are_refused() -> None:
    check_refused(
        "SELECT 1 /*!999 , ssn */ FROM users",
        "SELECT 1 /*!9999999 , ssn */ FROM users",
        "SELECT 1 /*!50000, ssn */ FROM users",
        "SELECT 1 /*!, ssn */ FROM users",
        "SELECT 1 /*!M , ssn */ FROM users",
        "SELECT 1 /*m! , ssn */ FROM users",
        "SELECT 1 /*! , '*/' , ssn */ FROM users",
        "SELECT 1 /*! -- */ , ssn */ FROM users",
        "SELECT 1 /*! # */ , ssn */ FROM users",
        "SELECT 1 /*!50000 , ssn",
        "SELECT " + "/*! */" * 4 + " 1",
        "/*! /* */ DELETE FROM orders */",
        "SELECT 1 /*!50000 /* inner */ , ssn */ FROM users",
        "SELECT 1 /* /*! */ , ssn FROM users",
        "SELECT 1 /* /* */ , 2 */",
    )
    assert facts("SELECT '/*! x */', `id` /* ! */ FROM users").effect is SqlEffect.READ


def test_y04_definitions_are_told_from_reads_and_writes() -> None:
    """They end the read-only transaction themselves: that transaction is no backstop."""
    definitions = (
        "CREATE TABLE t (id INT)",
        "DROP TABLE orders",
        "TRUNCATE TABLE orders",
        "RENAME TABLE orders TO o2",
        "ALTER TABLE orders ADD x INT",
        "CREATE INDEX i ON orders (id)",
    )
    assert set(codes(*definitions).values()) == {"ddl"}


def test_y05_what_lifts_the_read_only_transaction_is_refused() -> None:
    check_refused(
        "SET SESSION TRANSACTION READ WRITE",
        "SET TRANSACTION READ WRITE",
        "START TRANSACTION READ WRITE",
        "SET transaction_read_only = 0",
        "SET @@session.tx_read_only = 0",
        "SET SESSION tx_read_only = OFF",
        "SET STATEMENT max_statement_time = 0 FOR DELETE FROM orders",
        "SET STATEMENT tx_read_only = 0 FOR SELECT 1",
    )
    assert facts("SET autocommit = 0").effect is SqlEffect.TRANSACTION


def test_y06_passwords_and_accounts_are_refused() -> None:
    check_refused(
        "SET PASSWORD = ''",
        "SET PASSWORD = PASSWORD('x')",
        "SET PASSWORD FOR root = 'x'",
        "ALTER USER USER() IDENTIFIED BY 'x'",
        "ALTER USER root IDENTIFIED BY 'x'",
        "CREATE USER evil",
        "GRANT ALL ON *.* TO evil",
        "SET ROLE ALL",
    )


def test_y07_files_written_by_a_select_are_refused_in_every_position() -> None:
    check_refused(
        "SELECT ssn FROM users INTO OUTFILE '/tmp/x'",
        "SELECT ssn INTO OUTFILE '/tmp/x' FROM users",
        "SELECT ssn FROM users LIMIT 1 INTO DUMPFILE '/tmp/x'",
        "SELECT 1 UNION SELECT ssn FROM users INTO OUTFILE '/tmp/x'",
        "(SELECT ssn FROM users INTO OUTFILE '/tmp/x')",
        "SELECT * FROM (SELECT ssn FROM users INTO OUTFILE '/tmp/x') d",
        "TABLE users INTO OUTFILE '/tmp/x'",
        "SELECT ssn FROM users/**/INTO/**/OUTFILE'/tmp/x'",
    )


def test_y08_user_variables_are_refused() -> None:
    check_code(
        "SQL_VARIABLE",
        "SELECT ssn INTO @v FROM users",
        "SELECT @v",
        "SELECT @a := ssn FROM users",
        "SET @v = (SELECT ssn FROM users LIMIT 1)",
        "DO @v := (SELECT ssn FROM users LIMIT 1)",
        "SELECT @`v`",
        "SELECT @'v'",
    )
    check_refused("SELECT last_insert_id(ssn) FROM users", "SELECT ssn INTO v FROM users")


def test_y09_reading_the_servers_files_is_refused() -> None:
    check_refused(
        "LOAD DATA INFILE '/etc/passwd' INTO TABLE orders",
        "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE orders",
        "LOAD XML INFILE '/x' INTO TABLE orders",
        "SELECT LOAD_FILE('/etc/passwd')",
        "SELECT `LOAD_FILE`('/etc/passwd')",
        "IMPORT TABLE FROM '/x.sdi'",
    )


def test_y10_handlers_are_refused() -> None:
    check_refused(
        "HANDLER users OPEN", "HANDLER users READ FIRST", "HANDLER users READ `PRIMARY` = (1)"
    )


def test_y11_administration_is_refused() -> None:
    check_refused(
        "SET GLOBAL general_log_file = '/x'",
        "SET PERSIST max_connections = 1",
        "SET @@GLOBAL.init_connect = 'x'",
        "RESET QUERY CACHE",
        "PURGE BINARY LOGS TO 'x'",
        "CHANGE MASTER TO MASTER_HOST = 'x'",
        "START SLAVE",
        "STOP SLAVE",
        "KILL 1",
        "SHUTDOWN",
        "INSTALL PLUGIN x SONAME 'x'",
        "INSTALL SONAME 'x'",
        "INSTALL COMPONENT 'x'",
        "CREATE FUNCTION f RETURNS STRING SONAME 'x.so'",
        "BINLOG 'AAAA'",
        "FLUSH TABLES",
        "CACHE INDEX users IN hot",
        "CLONE LOCAL DATA DIRECTORY '/x'",
    )


def test_y12_statements_in_strings_and_routines_are_refused() -> None:
    check_refused(
        "PREPARE s FROM @q",
        "PREPARE s FROM 'DELETE FROM orders'",
        "EXECUTE s",
        "EXECUTE IMMEDIATE CONCAT('DEL', 'ETE FROM orders')",
        "CALL p_del()",
        "BEGIN NOT ATOMIC DELETE FROM orders; END",
        "DO SLEEP(10)",
        "IF 1 THEN DELETE FROM orders; END IF",
        "FOR i IN 1..2 DO DELETE FROM orders; END FOR",
    )


def test_y13_explaining_runs_nothing_but_reads() -> None:
    check_refused(
        "EXPLAIN ANALYZE DELETE FROM orders",
        "ANALYZE DELETE FROM orders",
        "ANALYZE FORMAT=JSON UPDATE orders SET note = ''",
        "EXPLAIN FORMAT=TREE ANALYZE DELETE FROM orders",
        "EXPLAIN FOR CONNECTION 1",
        "EXPLAIN INTO @v SELECT 1",
        "EXPLAIN SELECT sleep(1)",
    )
    explained = facts("EXPLAIN SELECT id FROM users WHERE ssn = '1'")
    assert (explained.effect, explained.clean_outputs) == (SqlEffect.READ, frozenset())


def test_y14_locks_and_what_burns_time_are_no_reads() -> None:
    statements = (
        "LOCK TABLES orders WRITE",
        "SELECT id FROM orders LOCK IN SHARE MODE",
        "SELECT id FROM orders FOR UPDATE",
        "SELECT GET_LOCK('x', 10)",
        "SELECT SLEEP(1)",
        "SELECT BENCHMARK(10, MD5('x'))",
        "ANALYZE TABLE orders",
        "OPTIMIZE TABLE orders",
        "REPAIR TABLE orders",
        "CHECK TABLE orders",
    )
    assert {facts(sql).effect for sql in statements} == {SqlEffect.WRITE, SqlEffect.OPAQUE}


@pytest.mark.parametrize(
    "mode",
    [
        *("NO_BACKSLASH_ESCAPES", "ANSI_QUOTES", "PIPES_AS_CONCAT", "IGNORE_SPACE"),
        *("ORACLE", "HIGH_NOT_PRECEDENCE", "POSTGRESQL", "DEFAULT", "STRICT_ALL_TABLES,ANSI"),
    ],
)
def test_y15_the_mode_of_reading_can_not_be_set(mode: str) -> None:
    for name in ("sql_mode", "SESSION sql_mode", "@@sql_mode", "@@session.sql_mode"):
        check_code("SETTING_NOT_ALLOWED", f"SET {name} = '{mode}'")
    check_refused("SET sql_quote_show_create = 0")


def test_y16_other_character_sets_are_refused() -> None:
    check_refused(
        "SET NAMES gbk",
        "SET NAMES latin1",
        "SET character_set_client = gbk",
        "SET character_set_results = NULL",
        "SET CHARACTER SET ucs2",
        "SELECT _gbk'\u00bf\\' OR 1=1 -- '",
        "SELECT _utf16 0x61",
    )
    one_string = "SELECT id FROM users WHERE name = '\u00bf\\' OR 1=1 -- '"
    assert facts(one_string).effect is SqlEffect.READ


def test_y17_comments_are_blanks_exactly_where_the_server_sees_them() -> None:
    assert facts("DELETE/**/FROM/**/orders").effect is SqlEffect.WRITE
    assert uses(facts("SELECT id #\n, ssn FROM users")) == {"app.users": {"select"}}
    assert facts("SELECT id #\n, ssn FROM users").labels_read == {"pii"}
    assert not facts("DELETE FROM orders WHERE id = 1 --1 OR 1=1").has_where
    assert facts("DELETE FROM orders WHERE id = 1 -- 1 OR 1=1").has_where
    check_refused(
        "SELECT 1 --\u00a0c", r"SELECT 1\G", r"\! id", "DELIMITER //", "source x", "SELECT 1 /*"
    )


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT'a'",
        "SELECT(1)",
        "SELECT@@version",
        "SELECT\x0b1\x0c",
        "SELECT `id` FROM `app` . `users`",
        "SELECT id FROM app . users",
        r"SELECT \N",
        "SELECT 0x41, X'41', b'1', N'x', _utf8mb4'y'",
    ],
)
def test_y18_tokens_are_read_as_the_server_reads_them(sql: str) -> None:
    assert facts(sql).effect is SqlEffect.READ


def test_y18_tokens_that_can_be_read_otherwise_are_refused() -> None:
    check_refused("SELECT 1 FROM .users", "SELECT 1e1FROM users", "SELECT id FROM users.1e1")


def test_y19_every_form_of_reading_and_changing_is_told() -> None:
    assert uses(facts("TABLE users")) == {"app.users": {"select"}}
    assert facts("VALUES ROW(1, 2)").effect is SqlEffect.READ
    for sql, expected in {
        "WITH x AS (SELECT 1 AS id) DELETE FROM orders WHERE id IN (TABLE x)": {"delete"},
        "WITH x AS (SELECT 1 AS id) UPDATE orders SET note = '' WHERE id IN (TABLE x)": {"update"},
        "INSERT INTO orders (id) SELECT id FROM users": {"insert"},
        "REPLACE INTO orders (id) VALUES (1)": {"insert", "delete"},
        "DELETE o FROM orders o JOIN users u ON u.id = o.user_id": {"delete"},
        "UPDATE orders o, users u SET o.note = '' WHERE o.id = u.id": {"update"},
    }.items():
        assert uses(facts(sql))["app.orders"] - {"select"} == expected, sql
    check_refused("SELECT * FROM users PROCEDURE ANALYSE()")


def test_y20_what_shows_others_statements_accounts_or_values_is_refused() -> None:
    check_refused(
        "SHOW GRANTS",
        "SHOW PROCESSLIST",
        "GET DIAGNOSTICS CONDITION 1 @m = MESSAGE_TEXT",
        "SHOW VARIABLES WHERE Variable_name = 'report_password' AND Value LIKE 'a%'",
        "SHOW BINLOG EVENTS",
        "SELECT * FROM information_schema.processlist",
        "SELECT * FROM performance_schema.events_statements_history",
        "SELECT * FROM mysql.user",
        "SELECT * FROM `MySQL`.`user`",
        "SELECT * FROM sys.session",
    )
    assert facts("SHOW CREATE VIEW v_users").effect is SqlEffect.READ
    # Code is shown past the recognizers, as PostgreSQL's is; settings are with their values masked.
    assert facts("SHOW CREATE PROCEDURE p_del").clean_outputs == frozenset()
    settings = facts("SHOW VARIABLES")
    assert (settings.clean_outputs, settings.labels_read) == ({0}, {SERVER_SECRET})
    # A warning quotes values of what ran before: its text counts as labelled with everything.
    warnings = facts("SHOW WARNINGS")
    assert (warnings.clean_outputs, "pii" in warnings.labels_read) == ({0, 1}, True)


def test_y21_names_are_looked_up_in_the_database_in_use() -> None:
    """`USE` is a change of the session; the facts after it come from the catalog that follows."""
    assert facts("USE hr").effect is SqlEffect.SESSION
    known = catalog()
    elsewhere = type(known)(
        known.version, "hr", ("hr",), known.relations, known.functions, frozenset(), frozenset()
    )
    found = analyse("SELECT amount FROM salaries", elsewhere)
    assert uses(found) == {"hr.salaries": {"select"}}
    assert analyse("SELECT 1 FROM users", elsewhere).opaque is not None
    nowhere = type(known)(
        known.version, "", (), known.relations, known.functions, frozenset(), frozenset()
    )
    assert analyse("SELECT 1 FROM users", nowhere).opaque is not None


def test_y22_names_are_compared_as_the_server_compares_them() -> None:
    assert uses(facts("SELECT SSN FROM users")) == {"app.users": {"select"}}
    assert facts("SELECT SSN FROM users").labels_read == {"pii"}
    check_refused(
        "SELECT 1 FROM USERS",
        "SELECT 1 FROM APP.users",
        "SELECT `ssn ` FROM users",
        "SELECT `s\u015bn` FROM users",
        "SELECT U.id FROM users u",
    )
    assert uses(analyse("SELECT U.id FROM APP.ORDERS u", in_any_case())) == {
        "app.orders": {"select"}
    }


def test_y23_code_of_users_is_called_only_where_it_is_allowed() -> None:
    check_refused(
        "SELECT sys_exec('id')",
        "SELECT f_del()",
        "SELECT app.f_del()",
        "SELECT id FROM users WHERE f_del() = 1",
        "SELECT * FROM v_evil",
        "CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = 'x'",
        "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM orders",
        "CREATE DEFINER = root SQL SECURITY DEFINER VIEW v AS SELECT ssn FROM users",
    )
    assert facts("UPDATE audited SET note = '' WHERE id = 1").labels_read >= {"pii", "salary"}


def test_y24_what_sqlglot_takes_for_something_else_is_refused() -> None:
    check_refused(
        "LISTEN x",
        "FLUSH TABLES",
        "BINLOG 'x'",
        "CHECKPOINT",
        "SAVEPOINT",
        "DISCARD ALL",
        "CLOSE ALL",
        "DESCRIBE FORMATTED users 1",
        "EXPLAIN ANALYZE DELETE FROM orders",
        "x",
        "1",
        "users",
    )
    # To the server this is a column of a table with that name, which policy is asked about.
    assert set(uses(facts("DESCRIBE FORMATTED users"))) == {"app.FORMATTED"}
