"""What an approved change may still not do: copy labelled values to where they are shown (M18)."""

from __future__ import annotations

import pytest

from tests.attacks_sql.doors import Doors, approved, found
from tests.e2e.world import World

pytestmark = pytest.mark.anyio

COPIES = [
    "INSERT INTO copies SELECT id, ssn FROM customers",
    "INSERT INTO copies SELECT id, reverse(ssn) FROM customers",
    "INSERT INTO copies SELECT * FROM (SELECT id, to_jsonb(c)::text FROM customers c) q",
    "INSERT INTO copies VALUES (1, (SELECT ssn FROM customers WHERE id = 1))",
    "INSERT INTO copies TABLE m_copies",
    "INSERT INTO copies (t) WITH a AS (SELECT ssn FROM customers) SELECT * FROM a",
    "WITH a AS (SELECT ssn FROM customers) INSERT INTO copies (t) SELECT ssn FROM a",
    "UPDATE customers SET notes = ssn WHERE id = 1",
    "UPDATE customers SET name = left(ssn, 5) WHERE id = 1",
    "UPDATE customers SET (name, notes) = (ssn, email) WHERE id = 1",
    "UPDATE copies SET t = c.ssn FROM customers c WHERE copies.id = c.id",
    "INSERT INTO customers (id, name) SELECT id + 50, ssn FROM customers",
    "INSERT INTO customers (id, name, ssn) VALUES (1, 'x', 'y')"
    " ON CONFLICT (id) DO UPDATE SET name = customers.ssn",
    "WITH d AS (DELETE FROM customers WHERE id = 1 RETURNING ssn)"
    " INSERT INTO copies (t) SELECT ssn FROM d",
    # The mask of one column shows what that of another hides.
    "UPDATE customers SET email = 'x@' || replace(ssn, '-', '') || '.com' WHERE id = 1",
    "UPDATE customers SET email = 'x@' || replace(email, '@', '.') WHERE id = 1",
    "UPDATE customers SET ssn = 'xxxxxxxxxx' || left(ssn, 4) WHERE id = 1",
    "UPDATE customers SET ssn = phone WHERE id = 1",
    "INSERT INTO customers (id, name, ssn) SELECT id + 50, name, phone FROM customers",
]


@pytest.mark.parametrize("sql", COPIES)
async def test_a_labelled_value_is_not_copied_elsewhere(doors: Doors, sql: str) -> None:
    before = await doors.state()
    said = await doors.mcp(sql)
    assert (said.code, "no-copies-of-labelled-values" in said.text) == ("FORBIDDEN", True)
    assert (await doors.listener(sql)).code == "42501"
    assert await doors.state() == before


KEPT = [
    "UPDATE customers SET email = lower(email) WHERE id = 1",
    "UPDATE customers SET ssn = '000-00-0000' WHERE ssn = '457-55-5462'",
    "INSERT INTO customers (id, name, ssn) VALUES (1, 'x', 'y')"
    " ON CONFLICT (id) DO UPDATE SET ssn = excluded.ssn",
]


@pytest.mark.parametrize("sql", KEPT)
async def test_a_value_that_stays_in_its_column_is_no_copy_but_is_seen_masked(
    doors: Doors, sql: str
) -> None:
    assert (await doors.mcp(sql)).code == "WRITE_BACK"


async def test_a_labelled_value_may_say_which_rows_change(doors: Doors) -> None:
    sql = "UPDATE orders SET customer_id = (SELECT id FROM customers WHERE email = 'x')"
    assert (await doors.mcp(f"{sql} WHERE id = 1")).code == "APPROVAL_PENDING"


async def test_an_approved_change_returns_masked_rows(world: World, doors: Doors) -> None:
    said = await approved(
        world,
        "UPDATE customers SET balance = balance + 1 WHERE id = 1"
        " RETURNING ssn, reverse(ssn), customers, to_jsonb(customers), email AS name",
    )
    assert not said.refused, said.text
    assert found(said.text) == set()


async def test_the_servers_words_about_an_approved_change_are_withheld(world: World) -> None:
    """DETAIL of a constraint shows the whole row, and a key its value."""
    said = await approved(
        world, "INSERT INTO checked (id, ssn) SELECT 1, 'x' FROM customers WHERE id = 1"
    )
    assert "23514" in said.text
    assert found(said.text) == set()
    said = await approved(world, "UPDATE customers SET id = 2 WHERE ssn = '219-09-9991'")
    assert "23505" in said.text
    assert "withheld" in said.text


async def test_a_table_with_a_trigger_may_say_anything_so_its_words_are_withheld(
    world: World, doors: Doors
) -> None:
    await doors.direct.execute(
        "CREATE TABLE talks (id int); CREATE FUNCTION talk() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION '%', (SELECT reverse(ssn) FROM customers WHERE id = 1); END$$;"
        "CREATE TRIGGER talk BEFORE INSERT ON talks FOR EACH ROW EXECUTE FUNCTION talk()"
    )
    sql = "INSERT INTO talks VALUES (1)"
    while (await doors.mcp(sql)).code == "RELATION_UNKNOWN":
        pass
    said = await approved(world, sql)
    assert "P0001" in said.text
    assert found(said.text) == set()
