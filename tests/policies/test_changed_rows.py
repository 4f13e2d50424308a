"""The rows of an UPDATE or DELETE: only where our SELECT's tree is the one that we meant."""

from __future__ import annotations

import pytest

from policies.sql.changed_rows import changed_rows
from policies.sql.facts import TableName
from policies.sql.parser import parse_one
from policies.sql.trees import same

ORDERS = TableName("public", "orders")
COLUMNS = ("id", "status")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("UPDATE orders SET status = 'x' WHERE id = 1", "id = 1"),
        ("DELETE FROM orders WHERE id = 1;", "id = 1"),
        ("UPDATE orders SET status = 'x' WHERE id = 1 OR true RETURNING *", "id = 1 OR true"),
        ("UPDATE orders AS o SET status = 'x' WHERE o.id = 1", "o.id = 1"),
        (
            "UPDATE public.orders SET status = 'x' WHERE public.orders.id = 1",
            "public.orders.id = 1",
        ),
        ("UPDATE orders SET status = 'x' WHERE id = 1 -- ) OR (true", "id = 1"),
        ("UPDATE orders SET status = 'x' WHERE id = 1 /* ) */", "id = 1"),
        ("UPDATE orders SET status = 'x' WHERE id = 1 -- a\n AND total > 2", None),
        ("UPDATE orders SET status = ' WHERE ' WHERE status = 'RETURNING'", "status = 'RETURNING'"),
        ('UPDATE orders SET status = $$ WHERE $$ WHERE "where" = 1', '"where" = 1'),
        (
            "UPDATE orders SET status = (SELECT 'x' WHERE true) WHERE id IN (SELECT 1 WHERE true)",
            "id IN (SELECT 1 WHERE true)",
        ),
        ("DELETE FROM orders WHERE id = ANY (ARRAY[1, 2])", "id = ANY (ARRAY[1, 2])"),
        ("DELETE FROM orders WHERE status = U&'d\\0061t' AND E'\\'' <> ')'", None),
        ("DELETE FROM orders WHERE \u00e4 = 'ä'", None),
    ],
)
def test_the_where_is_taken_as_it_was_written(text: str, where: str | None) -> None:
    found = changed_rows(text, ORDERS, COLUMNS)
    assert found is not None
    own = next(iter(parse_one(text.encode()).values()))["whereClause"]
    assert same(parse_one(found.sample.encode())["SelectStmt"]["whereClause"], own)
    if where is not None:
        assert f"WHERE ({where}\n) LIMIT 5" in found.sample


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO orders VALUES (1)",
        "SELECT id FROM orders WHERE id = 1",
        "UPDATE orders SET status = 'x'",
        "UPDATE orders SET status = 'x' FROM customers WHERE orders.id = customers.id",
        "DELETE FROM orders USING customers WHERE orders.id = customers.id",
        "WITH gone AS (DELETE FROM orders WHERE id = 1) DELETE FROM orders WHERE id = 2",
        "WITH x AS (SELECT 1) UPDATE orders SET status = 'x' WHERE id = 1",
        "UPDATE orders SET status = 'x' WHERE CURRENT OF c",
        "UPDATE orders SET status = 'x' WHERE orders.returning = 1",
        "UPDATE other SET status = 'x' WHERE id = 1",
        "UPDATE orders SET status = 'x' WHERE id = 1; DROP TABLE orders",
        "UPDATE orders SET status = 'x' WHERE",
        "",
        "\0",
        "DELETE FROM orders WHERE " + "(" * 79 + "true" + ")" * 79,
    ],
)
def test_whatever_else_it_is_has_no_rows_of_its_own(text: str) -> None:
    assert changed_rows(text, ORDERS, COLUMNS) is None


HOSTILE = [
    "true) UNION SELECT 1, 'x' --",
    "true) ; DELETE FROM orders --",
    "true) LIMIT ALL --",
    "true\n) OR (true",
    "id = 1) AND (true",
    "/* */ true /* ( */",
    "true /* unclosed",
    "'unclosed",
    "$$unclosed",
    "true --",
    "(SELECT true FROM orders WHERE true) RETURNING id",
]


@pytest.mark.parametrize("where", HOSTILE)
@pytest.mark.parametrize("start", ["DELETE FROM orders WHERE ", "UPDATE orders SET a = 1 WHERE "])
def test_no_where_gets_out_of_its_parentheses(start: str, where: str) -> None:
    found = changed_rows(start + where, ORDERS, COLUMNS)
    if found is None:
        return
    for text in (found.sample, found.count):
        tree = parse_one(text.encode())
        assert set(tree) == {"SelectStmt"}
        assert not tree["SelectStmt"].keys() & {"larg", "rarg", "withClause", "lockingClause"}
    assert parse_one(found.sample.encode())["SelectStmt"]["limitCount"]["A_Const"]["ival"] == {
        "ival": 5
    }


def test_only_the_parameters_of_the_where_are_named() -> None:
    text = "UPDATE orders SET status = $1, total = $3 WHERE id = $2 AND status <> '$4'"
    found = changed_rows(text, ORDERS, COLUMNS)
    assert found is not None
    assert found.parameters == {2}


def test_an_alias_and_odd_names_are_quoted() -> None:
    table = TableName('od"d', "Orders")
    text = 'UPDATE ONLY "od""d"."Orders" AS "A b" SET x = 1 WHERE "A b".x = 2'
    found = changed_rows(text, table, ('co"l',))
    assert found is not None
    assert found.sample.startswith('SELECT "co""l" FROM ONLY "od""d"."Orders" AS "A b" WHERE (')


def test_rows_are_found_again_by_a_key_that_the_change_leaves_alone() -> None:
    found = changed_rows("UPDATE orders SET status = 'x' WHERE id < 3", ORDERS, COLUMNS)
    assert found is not None
    assert found.again(("id",), 2) == (
        'SELECT "id", "status" FROM "public"."orders" WHERE ("id") IN (($1), ($2))'
    )
    assert found.again(("status",), 2) is None
    assert found.again((), 2) is None
    gone = changed_rows("DELETE FROM orders WHERE id < 3", ORDERS, COLUMNS)
    assert gone is not None
    assert gone.again(("id",), 2) is None
