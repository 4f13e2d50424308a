"""Ways to read a labelled value off an answer that holds none: each was once taken for harmless."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.sql.facts import SqlFacts, TableName
from policies.sql.lineage import CLEAN, Lineage, of_rows
from policies.sql.postgres import analyse
from tests.policies.catalogs import catalog


def facts(text: str) -> SqlFacts:
    found = analyse(text, catalog())
    assert found.opaque is None, found.opaque
    return found


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id FROM departments"
        " WHERE JSON_ARRAY(SELECT ssn FROM users WHERE id = 1)::text LIKE '[\"1%'",
        "SELECT id FROM departments d"
        " ORDER BY JSON_ARRAY(SELECT ssn FROM users u WHERE u.id = d.id)::text",
        "SELECT id FROM departments GROUP BY id, JSON_ARRAY(SELECT max(ssn) FROM users)::text",
    ],
)
def test_an_array_made_of_a_query_decides_by_what_the_query_gives(text: str) -> None:
    assert facts(text).labels_filtered == {"pii"}


def test_an_array_of_labelled_values_that_meets_other_data_is_a_comparison() -> None:
    text = "SELECT name FROM departments d WHERE JSON_ARRAY(SELECT ssn FROM users)::text = d.name"
    assert facts(text).labels_compared == {"pii"}


def test_the_order_inside_of_one_aggregate_is_that_of_the_others() -> None:
    found = facts("SELECT JSON_ARRAYAGG(id ORDER BY ssn), array_agg(id) FROM users")
    assert found.labels_filtered == {"pii"}


def test_a_count_of_subqueries_that_labels_decide_about_is_masked() -> None:
    found = facts(
        "SELECT count((SELECT 1 FROM users u WHERE u.id = d.id AND u.ssn LIKE '1%'))"
        " FROM departments d"
    )
    assert found.clean_outputs == set()


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id FROM users WHERE ssn = ANY (ARRAY['{1,2,3,4,5,6,7,8,9,10,11}'::text[]])",
        "SELECT id FROM users WHERE ssn = ANY (ARRAY[$1])",
        "SELECT id FROM users WHERE ssn = ANY (ARRAY[$1::text[], $2::text[]])",
    ],
)
def test_one_constant_that_holds_any_number_of_guesses_is_no_match(text: str) -> None:
    found = facts(text)
    assert (found.labels_filtered, found.labels_matched) == ({"pii"}, frozenset())


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id FROM users WHERE ssn = ANY (ARRAY['1', '2']::text[])",
        "SELECT id FROM users WHERE ssn = ANY (ARRAY[$1::text, $2::text])",
        "SELECT id FROM users WHERE ssn IN ($1, $2)",
    ],
)
def test_a_few_constants_in_an_array_are_matched(text: str) -> None:
    found = facts(text)
    assert (found.labels_filtered, found.labels_matched) == (frozenset(), {"pii"})


@pytest.mark.parametrize(
    "rows",
    [
        "SELECT id, email FROM users WHERE false UNION ALL VALUES (1, '111'), (2, '112')",
        "SELECT id, email FROM users WHERE false"
        " UNION ALL SELECT n, n::text FROM generate_series(1, 9999) n",
        "VALUES (0, (SELECT email FROM users LIMIT 0)), (1, lower(current_user))",
        "WITH RECURSIVE g(n, x) AS (SELECT 0, max(email) FROM users"
        " UNION ALL SELECT n + 1, (n + 1)::text FROM g WHERE n < 9) SELECT n, x FROM g",
    ],
)
def test_guesses_put_under_a_labelled_column_stay_other_data(rows: str) -> None:
    """`n` is clean: it tells which of the guesses was right."""
    joined = f"SELECT g.n FROM ({rows}) AS g(n, x) JOIN users u ON u.ssn = g.x"
    assert facts(joined).labels_compared == {"pii"}
    guesses = f"FROM ({rows}) AS g(n, ssn)"
    assert facts(f"SELECT n {guesses} ORDER BY ssn").labels_compared == {"pii"}
    assert facts(f"SELECT n {guesses} JOIN users USING (ssn)").labels_compared == {"pii"}
    windowed = f"SELECT n, row_number() OVER (ORDER BY ssn) {guesses}"
    assert facts(windowed).labels_compared == {"pii"}


def test_rows_of_labelled_and_of_other_values_may_be_shown_in_another_order() -> None:
    found = facts(
        "SELECT x, n FROM (SELECT ssn, id FROM users UNION ALL SELECT name, id FROM departments)"
        " AS q(x, n) ORDER BY n"
    )
    assert (found.labels_compared, found.labels_filtered) == (frozenset(), frozenset())
    assert found.clean_outputs == {1}


def test_a_column_of_constants_and_labelled_values_is_no_whole_value() -> None:
    labelled = Lineage(frozenset({(TableName("public", "users"), "pii")}))
    mixed = of_rows(((labelled, False), (CLEAN, True)))
    assert (mixed.whole, mixed.blended, mixed.carried) == (False, False, labelled.carried)
    assert of_rows(((labelled, False), (CLEAN, False))).blended


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE users SET email = c.email FROM (SELECT id, ssn AS email FROM users) c"
        " WHERE c.id = users.id",
        "WITH c AS (SELECT id, ssn AS email FROM users)"
        " UPDATE users SET email = lower(c.email) FROM c WHERE c.id = users.id",
        "INSERT INTO users (id) VALUES (1) ON CONFLICT (id) DO UPDATE"
        " SET email = (SELECT ssn AS email FROM users LIMIT 1)",
    ],
)
def test_another_column_under_a_columns_own_name_is_copied(text: str) -> None:
    assert facts(text).labels_copied == {"pii"}


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE users SET ssn = btrim(u.ssn) FROM users u WHERE u.id = users.id",
        "INSERT INTO users (id, ssn) VALUES (1, '2') ON CONFLICT (id) DO UPDATE"
        " SET ssn = excluded.ssn",
    ],
)
def test_a_value_that_stays_in_its_column_is_not_copied(text: str) -> None:
    assert facts(text).labels_copied == frozenset()


def test_the_partition_that_a_row_is_in_tells_of_its_key() -> None:
    plain = catalog()
    name = TableName("public", "users")
    partitioned = replace(plain.relations[name], kind="p")
    known = replace(plain, relations={**plain.relations, name: partitioned})
    found = analyse("SELECT tableoid::regclass, ctid, id FROM users", known)
    assert found.clean_outputs == {1, 2}
    assert "pii" in analyse("SELECT id FROM users WHERE tableoid = 5", known).labels_filtered
    assert analyse("SELECT tableoid, id FROM users", plain).clean_outputs == {0, 1}


def test_a_row_is_not_taken_for_one_where_an_unknown_column_may_have_its_name() -> None:
    text = "SELECT (c).id FROM departments c, unnest((SELECT array_agg(u) FROM users u)) f"
    found = analyse(text, catalog())
    assert found.opaque is not None


@pytest.mark.parametrize(
    "condition",
    [
        "id IN (SELECT id FROM users)",
        "id = ANY (SELECT u.id FROM users u)",
        "EXISTS (SELECT 1 FROM users u WHERE u.id = users.id)",
        "id = 1 OR id IN (SELECT id FROM users)",
        "id < 0 OR id = 0 OR id > 0",
        "id <= 0 OR 0 < id",
        "name ~ '.*'",
        "name ~ ''",
    ],
)
def test_a_predicate_that_every_row_meets_names_none(condition: str) -> None:
    assert not facts(f"DELETE FROM users WHERE {condition}").has_where


@pytest.mark.parametrize(
    "condition",
    [
        "id IN (SELECT id FROM users WHERE name = 'x')",
        "id IN (SELECT dept_id FROM users)",
        "id IN (SELECT id FROM departments)",
        "EXISTS (SELECT 1 FROM users u WHERE u.id = users.dept_id)",
        "id < 5 OR id > 7",
        "id <= 0 OR id = 3",
        "name ~ '^a'",
    ],
)
def test_a_predicate_that_tells_rows_apart_names_them(condition: str) -> None:
    assert facts(f"DELETE FROM users WHERE {condition}").has_where


@pytest.mark.parametrize(
    "text",
    [
        "CREATE UNIQUE INDEX i ON users (ssn)",
        "ALTER TABLE users ALTER COLUMN ssn TYPE regclass",
        "ALTER TABLE users ADD CONSTRAINT u UNIQUE (ssn)",
        "ALTER TABLE departments ADD CONSTRAINT f FOREIGN KEY (name) REFERENCES users (ssn)",
    ],
)
def test_a_new_definition_reads_the_rows_that_its_error_would_show(text: str) -> None:
    assert "pii" in facts(text).labels_read


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("ALTER TABLE users RENAME COLUMN ssn TO zip", {"pii"}),
        ("ALTER TABLE users RENAME TO people", {"pii", "secret"}),
        ("ALTER TABLE users RENAME COLUMN name TO title", set()),
        ("ALTER TABLE departments RENAME TO teams", set()),
    ],
)
def test_a_new_name_takes_values_away_from_their_label(text: str, labels: set[str]) -> None:
    assert facts(text).labels_copied == labels
