"""What a MySQL statement reads, calls and touches."""

from __future__ import annotations

import pytest

from policies.sql.facts import SqlEffect
from policies.sql.mysql import analyse
from tests.policies.mysql.catalogs import facts, in_any_case, refusal, uses


def columns(sql: str, table: str) -> set[str]:
    found = facts(sql)
    assert found.opaque is None, found.opaque
    return set().union(*(use.columns for use in found.tables if str(use.table) == table))


def test_columns_count_in_every_position() -> None:
    sql = (
        "SELECT name FROM users WHERE email = 'x' GROUP BY dept_id HAVING max(ssn) > 1 ORDER BY id"
    )
    assert columns(sql, "app.users") == {"name", "email", "dept_id", "ssn", "id"}


def test_a_column_is_found_in_any_case() -> None:
    assert columns("SELECT SSN FROM users WHERE `Name` = 'x'", "app.users") == {"ssn", "name"}


@pytest.mark.parametrize(
    "sql",
    ["SELECT * FROM users", "SELECT u.* FROM users u", "TABLE users", "SELECT users.* FROM users"],
)
def test_a_star_touches_all_columns(sql: str) -> None:
    assert columns(sql, "app.users") == {"*"}


def test_a_table_in_another_database_is_named_with_it() -> None:
    assert uses(facts("SELECT 1 FROM hr.salaries")) == {"hr.salaries": {"select"}}


def test_names_of_tables_are_told_apart_by_case() -> None:
    assert uses(facts("SELECT id FROM Users")) == {"app.Users": {"select"}}
    assert refusal("SELECT id FROM USERS") == "RELATION_UNKNOWN"
    assert refusal("SELECT u.id FROM users U") == "COLUMN_UNKNOWN"


def test_where_the_server_folds_names_so_do_the_facts() -> None:
    found = analyse("SELECT O.id FROM APP.ORDERS o", in_any_case())
    assert uses(found) == {"app.orders": {"select"}}


def test_a_name_that_differs_from_a_cte_in_case_is_refused() -> None:
    assert refusal("WITH a AS (SELECT 1 x) SELECT x FROM A") == "SQL_NOT_UNDERSTOOD"


def test_a_cte_hides_a_table_and_still_reads_it() -> None:
    found = facts("WITH users AS (SELECT * FROM users) SELECT ssn FROM users")
    assert uses(found) == {"app.users": {"select"}}
    assert facts("WITH users AS (SELECT 1 AS id) SELECT id FROM users").tables == ()


def test_a_cte_does_not_hide_a_table_that_is_named_with_its_database() -> None:
    found = facts("WITH users AS (SELECT 1 AS id) SELECT id FROM app.users")
    assert uses(found) == {"app.users": {"select"}}


def test_a_cte_may_not_name_a_later_one() -> None:
    sql = "WITH RECURSIVE a AS (SELECT id FROM orders), orders AS (SELECT 1 AS id) SELECT id FROM a"
    assert refusal(sql) == "SQL_NOT_UNDERSTOOD"


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT 1 FROM nowhere", "RELATION_UNKNOWN"),
        ("SELECT 1 FROM nodb.users", "RELATION_UNKNOWN"),
        ("SELECT nothing FROM users", "COLUMN_UNKNOWN"),
        ("SELECT u.id FROM users", "COLUMN_UNKNOWN"),
        ("SELECT 1 FROM mysql.user", "RELATION_SENSITIVE"),
        ("SELECT 1 FROM MYSQL.user", "RELATION_SENSITIVE"),
        ("SELECT 1 FROM performance_schema.threads", "RELATION_SENSITIVE"),
        ("SELECT 1 FROM sys.processlist", "RELATION_SENSITIVE"),
        ("SELECT 1 FROM information_schema.processlist", "RELATION_SENSITIVE"),
        ("SELECT 1 FROM INFORMATION_SCHEMA.COLUMN_STATISTICS", "RELATION_SENSITIVE"),
        ("SELECT 1 FROM information_schema.user_privileges", "RELATION_SENSITIVE"),
        ("SELECT 1 FROM v_evil", "FUNCTION_NOT_ALLOWED"),
        ("SELECT f_del()", "FUNCTION_NOT_ALLOWED"),
        ("SELECT app.f_del()", "FUNCTION_NOT_ALLOWED"),
        ("SELECT `f_del`()", "FUNCTION_NOT_ALLOWED"),
        ("SELECT f_del ()", "FUNCTION_NOT_ALLOWED"),
        ("SELECT app.count(1)", "FUNCTION_NOT_ALLOWED"),
        ("SELECT count (1)", "FUNCTION_NOT_ALLOWED"),
        ("SELECT nvl(1, 2)", "FUNCTION_NOT_ALLOWED"),
        ("SELECT last_insert_id(5)", "FUNCTION_NOT_ALLOWED"),
        ("SELECT id FROM users PROCEDURE ANALYSE()", "SQL_NOT_UNDERSTOOD"),
        ("SELECT NEXT VALUE FOR s1", "SQL_NOT_UNDERSTOOD"),
        ("SELECT @@report_password", "SETTING_NOT_ALLOWED"),
        ("SELECT _gbk'x'", "SQL_CHARSET"),
        ("SELECT id FROM users u NATURAL RIGHT JOIN orders o", "SQL_NOT_UNDERSTOOD"),
        ("SELECT 1 FROM users FOR SYSTEM_TIME ALL", "SQL_NOT_UNDERSTOOD"),
        ("SELECT 1 FROM .users", "SQL_NOT_UNDERSTOOD"),
        ("SELECT * FROM veiled JOIN users USING (id)", "SQL_NOT_UNDERSTOOD"),
    ],
)
def test_what_is_unknown_or_withheld_is_refused(sql: str, code: str) -> None:
    assert refusal(sql) == code


@pytest.mark.parametrize("name", ["tables", "COLUMNS", "views", "Statistics"])
def test_definitions_in_the_information_schema_are_shown(name: str) -> None:
    found = facts(f"SELECT * FROM INFORMATION_SCHEMA.{name}")
    assert found.effect is SqlEffect.READ
    assert {use.table.schema for use in found.tables} == {"information_schema"}


def test_functions_are_named_as_they_stand_in_the_text() -> None:
    sql = "SELECT IFNULL(name, 'x'), SUBSTR(name, 1), `lower`(name), NOW(), CURRENT_DATE FROM users"
    assert facts(sql).functions == {"ifnull", "substr", "lower", "now", "current_date"}


def test_a_function_is_found_wherever_it_stands() -> None:
    for sql in (
        "SELECT 1 FROM users WHERE sleep(1)",
        "SELECT 1 FROM users ORDER BY sleep(1)",
        "SELECT 1 FROM users GROUP BY 1 HAVING sleep(1)",
        "SELECT 1 LIMIT 1 OFFSET sleep(1)",
        "SELECT count(sleep(1)) OVER (ORDER BY sleep(1))",
        "SELECT DATE_ADD(now(), INTERVAL sleep(1) DAY)",
        "SELECT CAST(sleep(1) AS CHAR(3))",
        "SELECT MATCH (name) AGAINST (sleep(1)) FROM users",
        "SELECT * FROM users JOIN orders ON sleep(1)",
        "VALUES ROW(sleep(1))",
        "SELECT * FROM JSON_TABLE(sleep(1), '$' COLUMNS (a INT PATH '$')) t",
        "INSERT INTO departments VALUES (1, sleep(1))",
        "UPDATE departments SET name = sleep(1) WHERE id = 1",
        "DELETE FROM departments WHERE id = 1 ORDER BY sleep(1)",
    ):
        assert refusal(sql) == "FUNCTION_NOT_ALLOWED", sql


def test_a_function_that_the_administrator_allows_may_read_anything() -> None:
    found = facts("SELECT f_pure(1), app.f_pure(id) FROM departments")
    assert found.functions == {"app.f_pure"}
    assert found.labels_read == {"pii", "secret", "salary"}
    assert not found.clean_outputs


def test_row_locks_are_no_read() -> None:
    for lock in ("FOR UPDATE", "FOR SHARE SKIP LOCKED", "FOR UPDATE NOWAIT", "LOCK IN SHARE MODE"):
        found = facts(f"SELECT id FROM (SELECT id FROM departments {lock}) d")
        assert found.effect is SqlEffect.WRITE
        assert uses(found) == {"app.departments": {"select", "update"}}


def test_names_that_differ_in_accents_are_refused() -> None:
    sql = "SELECT `résumé` FROM (SELECT 1 AS `résumé`) a, (SELECT 2 AS `resume`) b"
    assert refusal(sql) == "COLUMN_UNKNOWN"


def test_objects_are_bound_by_their_ids() -> None:
    found = facts("SELECT 1 FROM users JOIN orders ON users.id = orders.user_id")
    assert {str(name) for name, _ in found.objects} == {"app.users", "app.orders"}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT DATE '2020-01-01' + INTERVAL 1 DAY, EXTRACT(YEAR FROM now()) day",
        "SELECT TRIM(BOTH 'x' FROM name), SUBSTRING(name FROM 2 FOR 3) FROM users",
        "SELECT GROUP_CONCAT(DISTINCT name ORDER BY id DESC SEPARATOR ',') FROM users",
        "SELECT name SOUNDS LIKE 'x', name RLIKE 'a', name LIKE 'b' ESCAPE '!' FROM users",
        "SELECT SUM(total) OVER (PARTITION BY user_id ORDER BY id ROWS 2 PRECEDING) FROM orders",
        "SELECT SQL_CALC_FOUND_ROWS STRAIGHT_JOIN name FROM users USE INDEX (PRIMARY) LIMIT 5, 10",
        "SELECT name FROM users GROUP BY name WITH ROLLUP",
        "SELECT 1 FROM DUAL WHERE 1 IS NOT UNKNOWN",
        "SELECT d.id FROM departments d, LATERAL (SELECT 1 FROM orders o WHERE o.id = d.id) x",
        "SELECT a FROM JSON_TABLE('[1]', '$[*]' COLUMNS (a INT PATH '$')) t",
        "SELECT CASE dept_id WHEN 1 THEN 'x' ELSE 'y' END FROM users WHERE (id, name) = (1, 'x')",
        "SELECT id FROM users WHERE id = ANY (SELECT id FROM orders) AND NOT EXISTS (SELECT 1)",
        "(SELECT id FROM users) UNION ALL (SELECT id FROM orders) ORDER BY id LIMIT 3",
        "SELECT id FROM users EXCEPT SELECT user_id FROM orders INTERSECT SELECT 1",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION SELECT n + 1 FROM t WHERE n < 5) SELECT n FROM t",
        "SELECT ?, _utf8mb4'x' COLLATE utf8mb4_bin, BINARY name, name -> '$.a' FROM users LIMIT ?",
        "SELECT ((a.id)) FROM (users a JOIN orders b ON a.id = b.id) CROSS JOIN docs c",
    ],
)
def test_what_people_write_is_understood(sql: str) -> None:
    found = facts(sql)
    assert found.effect is SqlEffect.READ, found.opaque


@pytest.mark.parametrize(
    ("sql", "limit"),
    [
        ("SELECT id FROM users LIMIT 7", 7),
        ("SELECT id FROM users LIMIT 5, 10", 10),
        ("SELECT id FROM users LIMIT 10 OFFSET 5", 10),
        ("SELECT id FROM users LIMIT 3 FOR UPDATE", 3),
        ("SELECT 1 UNION SELECT 2 LIMIT 4", 4),
        ("(SELECT 1 LIMIT 2) UNION ALL (SELECT 2 LIMIT 2)", None),
        ("SELECT id FROM (SELECT id FROM users LIMIT 5) d", None),
        ("SELECT id FROM users LIMIT ?", None),
        ("SELECT id FROM users LIMIT 99999999999999999999", None),
        ("DELETE FROM orders WHERE id = 1 LIMIT 1", 1),
        ("EXPLAIN SELECT id FROM users LIMIT 7", None),
        ("SELECT id FROM users /*!50000 LIMIT 5 */", None),
    ],
)
def test_a_limit_is_the_outermost_constant_one(sql: str, limit: int | None) -> None:
    found = facts(sql)
    assert found.opaque is None
    assert found.limit == limit


def test_locks_are_told_by_name() -> None:
    assert facts("SELECT id FROM users FOR UPDATE SKIP LOCKED").locks == {"for_update"}
    assert facts("SELECT id FROM users FOR SHARE").locks == {"for_share"}
    assert facts("SELECT id FROM users LOCK IN SHARE MODE").locks == {"for_share"}
    assert facts("SELECT id FROM users").locks == frozenset()


def test_operators_and_casts_are_told_as_they_are_written() -> None:
    found = facts(
        "SELECT count(*), users.*, id * 2, CAST(name AS CHAR(4)), CONVERT(id, UNSIGNED INTEGER),"
        " CONVERT(name USING utf8mb4) FROM users WHERE name NOT LIKE 'a' AND id DIV 2 <=> 3 || id"
    )
    assert found.operators == {"*", "like", "div", "<=>"}
    assert found.casts == {"char", "unsigned integer"}
    assert facts("SELECT *, t.* FROM users t").operators == frozenset()


@pytest.mark.parametrize(
    ("sql", "count"),
    [("SELECT 1;", 1), ("", 0), ("-- c", 0), ("SELECT 1; SELECT 2;", 2), ("BEGIN;;SELECT 1", 3)],
)
def test_statements_are_counted(sql: str, count: int) -> None:
    assert facts(sql).statement_count == count
