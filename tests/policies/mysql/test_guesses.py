"""Ways to read a labelled value off an answer that holds none: each was once taken for harmless."""

from __future__ import annotations

import pytest

from policies.sql.facts import SqlFacts
from tests.policies.mysql import catalogs
from tests.policies.mysql.catalogs import refusal


def facts(sql: str) -> SqlFacts:
    found = catalogs.facts(sql)
    assert found.opaque is None, found.opaque
    return found


@pytest.mark.parametrize(
    "counted",
    [
        "CASE WHEN ssn LIKE '1%' THEN 1 END",
        "NULLIF(LEFT(ssn, 1), '1')",
        "ssn LIKE '1%' OR NULL",
        "DISTINCT LEFT(ssn, 1)",
        "(SELECT 1 FROM departments d WHERE d.id = users.id AND users.ssn > '5')",
    ],
)
def test_a_count_of_what_was_computed_of_labelled_values_is_masked(counted: str) -> None:
    assert facts(f"SELECT COUNT({counted}), COUNT(ssn), id FROM users").clean_outputs == {1, 2}


def test_a_count_of_different_values_hangs_on_which_are_alike() -> None:
    assert facts("SELECT COUNT(DISTINCT ssn) FROM users").labels_filtered == {"pii"}


def test_an_exclamation_mark_binds_tighter_than_a_comparison() -> None:
    """`! ssn = '0'` asks whether the number that it begins with is zero; NOT asks for equality."""
    tight, loose = (facts(f"SELECT id FROM users WHERE {no} ssn = '0'") for no in ("!", "NOT"))
    assert (tight.labels_filtered, tight.labels_matched) == ({"pii"}, frozenset())
    assert (loose.labels_filtered, loose.labels_matched) == (frozenset(), {"pii"})


def test_a_document_that_holds_any_number_of_guesses_is_no_match() -> None:
    found = facts('SELECT id FROM users WHERE ssn MEMBER OF(\'["1", "2"]\')')
    assert (found.labels_filtered, found.labels_matched) == ({"pii"}, frozenset())


@pytest.mark.parametrize(
    "rows",
    [
        "SELECT id AS n, email AS x FROM users WHERE FALSE UNION ALL VALUES (1, '111'), (2, '2')",
        "SELECT id AS n, email AS x FROM users WHERE FALSE UNION ALL SELECT id, note FROM orders",
    ],
)
def test_guesses_put_under_a_labelled_column_stay_other_data(rows: str) -> None:
    """`n` is clean: it tells which of the guesses was right."""
    joined = f"SELECT g.n FROM ({rows}) g JOIN users u ON u.ssn = g.x"
    assert facts(joined).labels_compared == {"pii"}
    assert facts(f"SELECT g.n FROM ({rows}) g ORDER BY g.x").labels_compared == {"pii"}


def test_rows_of_labelled_and_of_other_values_may_be_shown_in_another_order() -> None:
    found = facts(
        "SELECT x, n FROM (SELECT ssn AS x, id AS n FROM users"
        " UNION ALL SELECT name, id FROM departments) q ORDER BY n"
    )
    assert (found.labels_compared, found.labels_filtered) == (frozenset(), frozenset())
    assert found.clean_outputs == {1}


def test_another_column_under_a_columns_own_name_is_copied() -> None:
    found = facts(
        "UPDATE users u JOIN (SELECT id, ssn AS email FROM users) c ON c.id = u.id"
        " SET u.email = c.email WHERE u.id = 1"
    )
    assert found.labels_copied == {"pii"}


def test_a_columns_default_may_take_the_next_value_of_a_sequence() -> None:
    """MariaDB: `CREATE TABLE t (id INT DEFAULT (NEXT VALUE FOR s))`, and a SELECT moves it on."""
    assert refusal("SELECT DEFAULT(id) FROM users") == "FUNCTION_NOT_ALLOWED"


@pytest.mark.parametrize(
    "condition",
    [
        "id = 1 OR id <> 1",
        "id = 1 XOR id <> 1",
        "id = 1 OR !(id = 1)",
        "!(id <> id)",
        "!(id = 1 AND 1 = 0)",
        "id < 5 OR (5 <= id)",
        "id BETWEEN id AND id",
        "id = (id)",
        "id - id = 0",
        "CASE WHEN id = 1 THEN 1 ELSE 1 END",
        "id IN (SELECT id FROM users)",
        "id IN (SELECT u.id FROM app.users u)",
    ],
)
def test_a_predicate_that_every_row_meets_names_none(condition: str) -> None:
    assert not facts(f"DELETE FROM users WHERE {condition}").has_where


@pytest.mark.parametrize(
    "condition",
    [
        "id = 1 OR id = 2",
        "id < 5 OR id > 7",
        "CASE WHEN id = 1 THEN 1 END",
        "CASE WHEN id = 1 THEN 1 ELSE 0 END",
        "id BETWEEN 1 AND 5",
        "id IN (SELECT id FROM users WHERE name = 'x')",
        "id IN (SELECT dept_id FROM users)",
        "id IN (SELECT id FROM departments)",
        "id IN (SELECT id FROM users LIMIT 1)",
    ],
)
def test_a_predicate_that_tells_rows_apart_names_them(condition: str) -> None:
    assert facts(f"DELETE FROM users WHERE {condition}").has_where


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE UNIQUE INDEX i ON users (ssn)",
        "ALTER TABLE users ADD UNIQUE (ssn)",
        "ALTER TABLE users MODIFY ssn INT",
        "ALTER TABLE departments ADD FOREIGN KEY (name) REFERENCES users (ssn)",
    ],
)
def test_a_new_definition_reads_the_rows_that_its_error_would_show(sql: str) -> None:
    assert "pii" in facts(sql).labels_read


@pytest.mark.parametrize(
    ("sql", "labels"),
    [
        ("ALTER TABLE users RENAME COLUMN ssn TO zip", {"pii"}),
        ("ALTER TABLE users CHANGE ssn zip VARCHAR(20)", {"pii"}),
        ("ALTER TABLE users CHANGE COLUMN name title VARCHAR(20)", set()),
        ("ALTER TABLE users RENAME TO people", {"pii", "secret"}),
        ("RENAME TABLE users TO people", {"pii", "secret"}),
        ("RENAME TABLE departments TO teams", set()),
    ],
)
def test_a_new_name_takes_values_away_from_their_label(sql: str, labels: set[str]) -> None:
    assert facts(sql).labels_copied == labels
