"""What a MySQL server keeps secret: masked where it is shown, and refused where it tells more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.cedar import load
from policies.model import SqlStatement
from policies.sql.catalog import Behind, Catalog, Column, Reach, Relation
from policies.sql.facts import SqlEffect, SqlFacts, TableName
from policies.sql.mysql import analyse
from policies.sql.mysql.system import guarded
from policies.sql.server_secrets import SERVER_SECRET
from tests.policies.mysql.samples import LABELS, sample
from tests.policies.requests import Asker, person

SECRET = {SERVER_SECRET}
PASSWORD = 2  # its place in mysql.user


def facts(sql: str) -> SqlFacts:
    return analyse(sql, sample("sakila"))


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("SHOW VARIABLES", {0}),
        ("SHOW GLOBAL VARIABLES", {0}),
        ("SHOW VARIABLES LIKE '%'", {0}),
        ("SHOW VARIABLES LIKE 'report_pass%'", {0}),
        ("SHOW VARIABLES LIKE '_eport\\_password'", {0}),
        ("SHOW VARIABLES LIKE 'file_key_management_filekey'", {0}),
        ("SHOW VARIABLES WHERE Variable_name LIKE 'report%'", {0}),
        ("SHOW VARIABLES WHERE Variable_name IN ('port', 'report_password')", {0}),
        ("SHOW VARIABLES WHERE Variable_name IN ('port') OR variable_name LIKE '%'", {0}),
        ("SHOW VARIABLES /*!50000 LIKE 'port' */", {0}),
        ("SELECT * FROM information_schema.GLOBAL_VARIABLES", {0}),
        ("SELECT variable_value, variable_name FROM information_schema.session_variables", {1}),
        ("SELECT n FROM (SELECT variable_value n FROM information_schema.global_variables) v", ()),
        ("WITH v (a, b) AS (TABLE information_schema.global_variables) SELECT b, a FROM v", {1}),
    ],
)
def test_values_of_settings_are_masked_where_their_names_are_not_written_out(
    sql: str, shown: set[int]
) -> None:
    found = facts(sql)
    assert found.effect is SqlEffect.READ, found.opaque
    assert found.labels_read == SECRET
    assert found.clean_outputs == set(shown)


@pytest.mark.parametrize(
    "sql",
    [
        "SHOW VARIABLES LIKE 'sql_mode'",
        "SHOW VARIABLES LIKE 'SQL\\_MODE'",
        "SHOW VARIABLES LIKE 'character\\_set\\_%'",
        "SHOW SESSION VARIABLES LIKE 'collation_%'",
        "SHOW VARIABLES WHERE Variable_name = 'port' OR Variable_name IN ('version', 'sql_mode')",
        "SELECT variable_name FROM information_schema.global_variables",
        "SELECT COUNT(*) FROM information_schema.global_variables WHERE variable_name LIKE 'a%'",
    ],
)
def test_settings_that_are_named_and_harmless_are_shown(sql: str) -> None:
    found = facts(sql)
    assert found.effect is SqlEffect.READ, found.opaque
    assert found.labels_read == frozenset()


def test_accounts_are_listed_with_their_passwords_masked() -> None:
    found = facts("SELECT * FROM mysql.user ORDER BY user")
    columns = sample("sakila").relations[TableName("mysql", "user")].columns
    masked = {c.name for i, c in enumerate(columns) if i not in found.clean_outputs}
    assert masked == {
        *("Password", "authentication_string", "ssl_cipher", "x509_issuer", "x509_subject"),
    }
    assert found.labels_read == SECRET


def test_privileges_are_shown() -> None:
    found = facts(
        "SELECT c.host, t.grantor, c.column_priv FROM mysql.columns_priv c, mysql.tables_priv t"
        " WHERE c.host = t.host AND c.table_name = 'film'"
    )
    assert found.clean_outputs == {0, 1, 2}
    assert found.labels_read == frozenset()


def test_a_column_that_a_later_version_adds_is_masked() -> None:
    added = Column("Second_factor", 99, "json")
    relation = Relation(TableName("MYSQL", "User"), 1, "r", (added, Column("Host", 1, "char")))
    assert [column.labels for column in guarded(relation).columns] == [SECRET, frozenset()]


@pytest.mark.parametrize("pack", ["analytics", "product-team", "compliance"])
def test_it_is_masked_whatever_policies_say(pack: str) -> None:
    labels = set().union(*LABELS.values())
    point = load(pack, labels=labels)
    text = "SHOW VARIABLES"
    decision = Asker(point, person("analysts")).ask(SqlStatement(text), facts(text))
    assert SERVER_SECRET in decision.masked_labels


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT user FROM mysql.user WHERE Password LIKE '*A%'",
        "SELECT user FROM mysql.user WHERE Password = ''",
        "SELECT user FROM mysql.user WHERE Password IS NULL",
        "SELECT user FROM mysql.user WHERE Password",
        "SELECT user FROM mysql.user WHERE ? = Password",
        "SELECT user FROM mysql.user ORDER BY Password",
        "SELECT * FROM mysql.user ORDER BY 3",
        "SELECT user, Password p FROM mysql.user ORDER BY p",
        "SELECT user, Password p FROM mysql.user HAVING p > 'a'",
        "SELECT user, Password FROM mysql.user GROUP BY Password",
        "SELECT COUNT(*) FROM mysql.user GROUP BY LEFT(Password, 2)",
        "SELECT DISTINCT Password FROM mysql.user",
        "SELECT DISTINCT * FROM mysql.user",
        "SELECT COUNT(DISTINCT Password) FROM mysql.user",
        "SELECT COUNT(Password) FROM mysql.user",
        "SELECT MAX(Password) FROM mysql.user",
        "SELECT GROUP_CONCAT(user ORDER BY Password) FROM mysql.user",
        "SELECT Password LIKE '*A%' FROM mysql.user",
        "SELECT Password IS NULL FROM mysql.user",
        "SELECT (Password) FROM mysql.user",
        "SELECT -Password FROM mysql.user",
        "SELECT CAST(Password AS SIGNED) FROM mysql.user",
        "SELECT CAST((SELECT Password FROM mysql.user LIMIT 1) AS SIGNED)",
        "SELECT (SELECT Password FROM mysql.user LIMIT 1)",
        "SELECT (SELECT Password) FROM mysql.user",
        "SELECT (1, 2) = (SELECT * FROM information_schema.global_variables LIMIT 1)",
        "SELECT 1 WHERE (1, 2) IN (TABLE information_schema.global_variables)",
        "SELECT 1 WHERE EXISTS (SELECT * FROM mysql.user WHERE Password > 'a')",
        "SELECT IF(u.p > 'a', 1, 0) FROM (SELECT Password p FROM mysql.user) u",
        "SELECT CASE Password WHEN 'a' THEN 1 END FROM mysql.user",
        "SELECT ROW_NUMBER() OVER (ORDER BY Password) FROM mysql.user",
        "SELECT ROW_NUMBER() OVER w FROM mysql.user WINDOW w AS (ORDER BY Password)",
        "SELECT user FROM mysql.user WINDOW w AS (ORDER BY Password)",
        "SELECT a.user FROM mysql.user a JOIN mysql.user b ON a.Password = b.Password",
        "SELECT a.user FROM mysql.user a JOIN mysql.user b USING (Password)",
        "SELECT a.user FROM mysql.user a NATURAL JOIN mysql.user b",
        "SELECT a.user FROM mysql.user a LEFT JOIN mysql.user b ON b.Password > 'a'",
        "SELECT Password FROM mysql.user UNION SELECT 'x'",
        "SELECT 1 UNION ALL SELECT Password FROM mysql.user",
        "SELECT Password FROM mysql.user INTERSECT SELECT 'x'",
        "SELECT Password FROM mysql.user EXCEPT SELECT 'x'",
        "SELECT x FROM (SELECT Password x FROM mysql.user) u WHERE x > 'a'",
        "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT Password FROM mysql.user, c)"
        " SELECT * FROM c",
        "WITH u (a) AS (SELECT Password FROM mysql.user) SELECT a FROM u WHERE a = ''",
        "SELECT t.a FROM mysql.user u, JSON_TABLE(u.Password, '$' COLUMNS (a INT PATH '$')) t",
        "SELECT t.a FROM mysql.user u, LATERAL (SELECT u.Password + 0 AS a) t",
        "SELECT v.variable_name FROM information_schema.global_variables v, film f"
        " WHERE v.variable_value = f.title",
        "SELECT variable_name FROM information_schema.global_variables"
        " WHERE variable_name = 'report_password' AND variable_value LIKE 'a%'",
        "SELECT * FROM information_schema.global_variables LIMIT 1 OFFSET variable_value",
        "SELECT * FROM mysql.user FOR UPDATE",
        "SELECT * FROM mysql.user INTO OUTFILE '/tmp/x'",
        "SELECT * FROM mysql.user PROCEDURE ANALYSE()",
        "EXPLAIN SELECT Password FROM mysql.user WHERE user = 'root' AND host = 'localhost'",
        "EXPLAIN EXTENDED SELECT * FROM mysql.user",
        "ANALYZE SELECT * FROM mysql.user",
        "INSERT INTO language (name) SELECT Password FROM mysql.user",
        "UPDATE language SET name = (SELECT Password FROM mysql.user LIMIT 1) WHERE name = ''",
        "DELETE FROM language WHERE name IN (SELECT Password FROM mysql.user)",
        "CREATE TABLE t AS SELECT * FROM mysql.user",
        "CREATE TABLE t AS SELECT Password FROM mysql.user",
        "CREATE VIEW v AS SELECT * FROM information_schema.global_variables",
        "UPDATE mysql.user SET Password = '' WHERE user = 'x'",
        "DROP TABLE mysql.tables_priv",
        "SELECT * FROM mysql.global_priv",
        "SELECT * FROM mysql.servers",
        "SELECT * FROM mysql.general_log",
        "SELECT * FROM mysql.proc",
        "DESCRIBE mysql.global_priv",
        "SHOW CREATE TABLE mysql.servers",
        "SELECT * FROM information_schema.user_variables",
        "SELECT * FROM information_schema.processlist",
    ],
)
def test_a_secret_is_not_compared_counted_computed_with_planned_or_copied(sql: str) -> None:
    found = facts(sql)
    assert found.effect is SqlEffect.OPAQUE, found


def test_a_view_of_users_does_not_show_it() -> None:
    reached = Behind(TableName("mysql", "global_priv"), frozenset({"*"}), Reach.VIEW)
    view = Relation(
        TableName("sakila", "seen"), 900, "v", (Column("x", 1, "text"),), behind=(reached,)
    )
    catalog = sample("sakila")
    known = replace(catalog, relations={**catalog.relations, view.name: view})
    found = analyse("SELECT x FROM seen", known)
    assert found.opaque is not None
    assert found.opaque.code == "FUNCTION_NOT_ALLOWED"


@pytest.mark.parametrize(
    "sql",
    [
        "SHOW CREATE TRIGGER ins_film",
        "SHOW CREATE FUNCTION sakila.inventory_held_by_customer",
        "SHOW CREATE PROCEDURE film_in_stock",
        "SHOW CREATE EVENT e",
        "SHOW FULL TRIGGERS FROM sakila LIKE 'film'",
        "SHOW TRIGGERS WHERE `Table` = 'film'",
    ],
)
def test_code_is_shown_past_the_recognizers(sql: str) -> None:
    """As PostgreSQL's is: it carries no label, and is not called clean; policy is asked."""
    found = facts(sql)
    assert {use.table.schema for use in found.tables} == {"information_schema"}
    assert all("*" not in use.columns for use in found.tables)
    assert found.effect is SqlEffect.READ, found.opaque
    assert (found.labels_read, found.clean_outputs) == (frozenset(), frozenset())


def test_the_definition_of_a_table_on_another_server_is_masked() -> None:
    catalog = sample("sakila")
    far = Relation(TableName("sakila", "far"), 901, "f", (Column("x", 1, "int"),))
    found = analyse(
        "SHOW CREATE TABLE far",
        replace(catalog, relations={**catalog.relations, far.name: far}),
    )
    assert (found.labels_read, found.clean_outputs) == (SECRET, {0})
    unknown = facts("SHOW CREATE TABLE nope")
    assert (unknown.labels_read, unknown.clean_outputs) == (SECRET, {0})


@pytest.mark.parametrize(
    "sql", ["DESCRIBE nope", "SHOW COLUMNS FROM nope", "SHOW CREATE TABLE sakila.nope"]
)
def test_policy_is_asked_about_a_relation_that_is_not_there(sql: str) -> None:
    """The server says that there is none; should it be made in between, policy had its say."""
    found = facts(sql)
    assert found.effect is SqlEffect.READ
    assert [(str(use.table), use.verb) for use in found.tables] == [("sakila.nope", "select")]


@pytest.mark.parametrize(
    "sql", ["SELECT * FROM nope", "DESCRIBE mysql.nope", "SHOW INDEX FROM sys.nope"]
)
def test_nothing_is_read_from_a_relation_that_is_not_there(sql: str) -> None:
    assert facts(sql).effect is SqlEffect.OPAQUE


TELLS_LOGINS = [
    ("SHOW TABLE STATUS", {16, 17}),
    ("SHOW TABLE STATUS FROM sakila LIKE 'rem%'", {16, 17}),
    ("SELECT table_name, table_comment FROM information_schema.tables", {1}),
    ("SELECT create_options, engine FROM INFORMATION_SCHEMA.TABLES", {0}),
    ("SELECT partition_name, partition_comment FROM information_schema.partitions", {1}),
]


def elsewhere() -> Catalog:
    """Sakila, with a table of another server, as FEDERATED, CONNECT and Spider make them."""
    catalog = sample("sakila")
    name = TableName("sakila", "remote")
    remote = Relation(name, 1, "f", (Column("a", 1, "int"),))
    return replace(catalog, relations={**catalog.relations, name: remote})


@pytest.mark.parametrize(("sql", "masked"), TELLS_LOGINS)
def test_how_tables_of_other_servers_log_in_is_masked(sql: str, masked: set[int]) -> None:
    found = analyse(sql, elsewhere())
    assert found.effect is SqlEffect.READ, found.opaque
    assert found.labels_read == SECRET
    assert not found.clean_outputs & masked
    assert facts(sql).labels_read == frozenset()


@pytest.mark.parametrize(
    "sql",
    [
        "SHOW TABLE STATUS WHERE Comment LIKE '%password%'",
        "SELECT table_name FROM information_schema.tables WHERE table_comment LIKE '%password%'",
        "SELECT table_name FROM information_schema.tables ORDER BY create_options",
    ],
)
def test_nothing_is_found_by_how_tables_of_other_servers_log_in(sql: str) -> None:
    assert analyse(sql, elsewhere()).effect is SqlEffect.OPAQUE
    assert facts(sql).effect is SqlEffect.READ
