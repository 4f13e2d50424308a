"""What a preview or a plan reaches that the statement does not name: users' code, other tables."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import pytest

from policies.sql.postgres import analyse
from recordings.events import Done, Failed
from server.connections import CatalogChanged
from server.protocols.postgres.planning import WITHHELD
from tests.attacks.changes_tried import Laboratory, laboratory
from tests.fixtures.postgres import SampleDatabase
from tests.server.protocols.conftest import shop_database

__all__ = ["shop_database"]

pytestmark = pytest.mark.anyio

SETUP: Final = """
CREATE TABLE plain (id integer PRIMARY KEY, n integer, t text);
INSERT INTO plain SELECT n, n, 'x' FROM generate_series(1, 300) AS n;
CREATE TABLE whole (id integer, n integer) PARTITION BY RANGE ((id + boom(0)));
CREATE TABLE whole_1 PARTITION OF whole FOR VALUES FROM (0) TO (1000);
INSERT INTO whole_1 VALUES (1, 1);
CREATE DOMAIN small AS integer CHECK (VALUE > boom(0));
CREATE DOMAIN smaller AS small;
CREATE TABLE checks (id integer PRIMARY KEY, n integer CHECK ((n::smaller) IS NOT NULL));
CREATE TABLE defaults_cast (id integer PRIMARY KEY, n integer DEFAULT (5::small));
CREATE TABLE defaults (id integer PRIMARY KEY, n integer DEFAULT boom(7));
CREATE TABLE indexed_cast (id integer PRIMARY KEY, n integer);
CREATE INDEX ON indexed_cast ((n::small));
CREATE TABLE indexed (id integer PRIMARY KEY, n integer);
CREATE INDEX ON indexed ((n + boom(1)));
CREATE TABLE partly (id integer PRIMARY KEY, n integer);
CREATE INDEX ON partly (n) WHERE n > boom(1);
CREATE TABLE domains (id integer PRIMARY KEY, n smaller);
CREATE TABLE domains_listed (id integer PRIMARY KEY, n integer, list small[]);
CREATE TABLE statistics (id integer PRIMARY KEY, n integer);
CREATE STATISTICS told ON (n + boom(1)), id FROM statistics;
CREATE TABLE computed (id integer PRIMARY KEY, n integer,
  more integer GENERATED ALWAYS AS (n + boom(1)) STORED);
CREATE TABLE referred (id integer PRIMARY KEY, n integer);
CREATE TABLE refers (id integer PRIMARY KEY, n integer REFERENCES referred);
CREATE INDEX ON refers ((id + boom(1)));
CREATE TYPE mood AS ENUM ('1', '2');
CREATE FUNCTION mood_of(integer) RETURNS mood LANGUAGE plpgsql IMMUTABLE AS
  $$BEGIN PERFORM {s}.boom($1); RETURN '1'; END$$;
CREATE CAST (integer AS mood) WITH FUNCTION mood_of(integer) AS ASSIGNMENT;
CREATE TABLE moods (id integer PRIMARY KEY, n integer, m mood);
CREATE TABLE secured (id integer PRIMARY KEY, n integer);
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON secured USING (id = tenant());
CREATE VIEW tenants AS SELECT id FROM secured WHERE id = tenant();
CREATE TABLE by_view (id integer PRIMARY KEY, n integer);
ALTER TABLE by_view ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON by_view USING (id IN (SELECT id FROM tenants));
CREATE TABLE by_table (id integer PRIMARY KEY, n integer);
ALTER TABLE by_table ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON by_table USING (id IN (SELECT id FROM secured));
CREATE VIEW counting AS SELECT nextval('{s}.taken')::integer AS id;
CREATE TABLE by_sequence (id integer PRIMARY KEY, n integer);
ALTER TABLE by_sequence ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON by_sequence USING (id IN (SELECT id FROM counting));
INSERT INTO by_sequence VALUES (1, 1);
CREATE FOREIGN DATA WRAPPER away; CREATE SERVER away FOREIGN DATA WRAPPER away;
CREATE TABLE spread (id integer, n integer) PARTITION BY LIST (id);
CREATE TABLE spread_1 PARTITION OF spread FOR VALUES IN (1);
CREATE FOREIGN TABLE spread_2 PARTITION OF spread FOR VALUES IN (2) SERVER away;
CREATE TABLE ruled (id integer PRIMARY KEY, n integer);
CREATE RULE r AS ON UPDATE TO ruled DO ALSO SELECT boom(1);
CREATE TABLE heirs (id integer PRIMARY KEY, n integer); CREATE TABLE heirs_1 () INHERITS (heirs);
INSERT INTO heirs VALUES (1, 1); INSERT INTO heirs_1 VALUES (1, 2);
"""

CHANGES: Final = (
    "UPDATE whole_1 SET n = 5 WHERE id = 1",
    "INSERT INTO whole_1 VALUES (2, 2)",
    "UPDATE whole SET n = 5 WHERE id = 1",
    "UPDATE checks SET n = 5 WHERE id = 1",
    "INSERT INTO checks VALUES (1, 5)",
    "INSERT INTO defaults_cast (id) VALUES (2)",
    "INSERT INTO defaults (id) VALUES (2)",
    "UPDATE defaults SET n = DEFAULT WHERE id = 2",
    "INSERT INTO indexed_cast VALUES (1, 1)",
    "UPDATE indexed SET n = 5 WHERE id = 1",
    "INSERT INTO partly VALUES (1, 1) ON CONFLICT (id) DO NOTHING",
    "INSERT INTO domains VALUES (1, 6)",
    "INSERT INTO domains_listed VALUES (1, 1, '{6}')",
    "UPDATE statistics SET n = 2 WHERE id = 1",
    "INSERT INTO computed VALUES (1, 1)",
    "INSERT INTO moods VALUES (1, 1, 1)",
    "UPDATE moods SET m = 1 WHERE id = 1",
    "UPDATE secured SET n = 2 WHERE id = 1",
    "INSERT INTO secured VALUES (1, 2)",
    "UPDATE by_view SET n = 2 WHERE id = 1",
    "DELETE FROM by_table WHERE id = 1",
    "DELETE FROM spread WHERE id = 2",
    "UPDATE ruled SET n = 1 WHERE id = 1",
)

READS: Final = (
    "UPDATE plain SET n = 1 WHERE id IN (SELECT id FROM by_table)",
    "SELECT id FROM secured",
    "SELECT id FROM by_view",
    "SELECT id FROM by_table WHERE n = 3",
    "SELECT id FROM plain WHERE id IN (SELECT id FROM by_table)",
)
"""Reads of what a row policy guards by users' functions."""


@pytest.fixture(scope="module")
async def laboratory_(shop_database: SampleDatabase) -> AsyncIterator[Laboratory]:
    async with laboratory(shop_database, SETUP) as found:
        yield found


@pytest.mark.parametrize("text", CHANGES)
async def test_a_preview_calls_no_users_code_that_the_statement_does_not_name(
    laboratory_: Laboratory, text: str
) -> None:
    why = await laboratory_.not_tried(text)
    reasons = ("would be called", "has rules", "no plain table", "type that users made")
    assert any(reason in why for reason in reasons), why
    assert "SQLSTATE" not in why


@pytest.mark.parametrize("text", READS)
async def test_what_a_row_policy_of_users_functions_guards_is_opaque_to_reads(
    laboratory_: Laboratory, text: str
) -> None:
    opaque = analyse(text, laboratory_.catalog).opaque
    assert opaque is not None
    assert opaque.code == "FUNCTION_NOT_ALLOWED"


@pytest.mark.parametrize("text", CHANGES)
async def test_a_dry_run_plans_nothing_by_which_users_code_is_called(
    laboratory_: Laboratory, text: str
) -> None:
    [failed] = await laboratory_.planned(text)
    assert isinstance(failed, Failed)
    assert failed.sqlstate == WITHHELD


@pytest.mark.parametrize(
    "text", ["SELECT id FROM plain WHERE n > 4", "DELETE FROM plain WHERE id = 3"]
)
async def test_a_dry_run_still_plans_what_calls_nothing(laboratory_: Laboratory, text: str) -> None:
    assert isinstance((await laboratory_.planned(text))[-1], Done)


async def test_a_foreign_key_does_not_lead_to_users_code(laboratory_: Laboratory) -> None:
    assert "would be called" in await laboratory_.not_tried("DELETE FROM referred WHERE id = 1")


async def test_a_policy_of_rows_takes_no_number_from_a_sequence(laboratory_: Laboratory) -> None:
    why = await laboratory_.not_tried("UPDATE by_sequence SET n = 2 WHERE id = 1")
    assert "reads other tables" in why
    assert await laboratory_.ask("SELECT is_called FROM taken") is False


@pytest.mark.parametrize(
    "text",
    [
        "WITH gone AS (DELETE FROM plain WHERE id > 10) DELETE FROM plain WHERE id = 1",
        "WITH gone AS (DELETE FROM plain WHERE id > 10 RETURNING id) SELECT count(*) FROM gone",
        "WITH a AS (SELECT 1), b AS (UPDATE plain SET n = 0) UPDATE plain SET n = 1 WHERE id = 1",
    ],
)
async def test_the_last_count_of_several_changes_is_not_told_as_the_whole(
    laboratory_: Laboratory, text: str
) -> None:
    assert "in a WITH too" in await laboratory_.not_tried(text)


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE plain SET n = 1 WHERE id = 3"
        " OR current_setting('transaction_isolation') <> 'repeatable read'",
        "UPDATE plain SET n = 1 WHERE id = 3 OR pg_backend_pid() % 2 = 0",
        "UPDATE plain SET n = 1 WHERE id = 3 OR now() = statement_timestamp()",
    ],
)
async def test_a_change_that_can_tell_a_preview_from_its_run_is_not_tried_out(
    laboratory_: Laboratory, text: str
) -> None:
    assert "the session that it runs in" in await laboratory_.not_tried(text)


async def test_values_that_make_rows_are_not_tried_out(laboratory_: Laboratory) -> None:
    text = "INSERT INTO plain (id) VALUES (generate_series(1000, 30000))"
    assert "makes rows by itself" in await laboratory_.not_tried(text)


async def test_rows_that_are_others_at_every_look_are_counted_and_not_shown(
    laboratory_: Laboratory,
) -> None:
    text = "UPDATE plain SET t = 'r' WHERE id = 1 + (random() * 250)::integer"
    tried = await laboratory_.tried(text)
    assert (tried.before, tried.after) == ((), ())


async def test_rows_with_the_same_key_are_not_shown_as_what_others_became(
    laboratory_: Laboratory,
) -> None:
    tried = await laboratory_.tried("UPDATE heirs SET n = n + 10 WHERE id = 1")
    assert (tried.changed, len(tried.before), tried.after) == (2, 2, ())


async def test_nothing_is_tried_out_on_a_target_that_has_changed_since(
    laboratory_: Laboratory,
) -> None:
    await laboratory_.prepare("CREATE TABLE replaced (id integer PRIMARY KEY, n integer)")
    await laboratory_.learn()
    grant = laboratory_.judged(
        "UPDATE plain SET n = 1 WHERE id = 1 AND id NOT IN (SELECT id FROM replaced)"
    )
    await laboratory_.prepare(
        "ALTER TABLE replaced RENAME TO aside;"
        "CREATE VIEW replaced AS SELECT nextval('{s}.taken')::integer AS id"
    )
    assert "has been changed" in await laboratory_.not_tried(grant)
    assert await laboratory_.ask("SELECT is_called FROM taken") is False


async def test_nothing_is_planned_on_a_target_that_has_changed_since(
    laboratory_: Laboratory,
) -> None:
    await laboratory_.prepare("CREATE TABLE renamed (id integer PRIMARY KEY, n integer, s integer)")
    await laboratory_.learn()
    await laboratory_.prepare(
        "ALTER TABLE renamed RENAME n TO other; ALTER TABLE renamed RENAME s TO n"
    )
    with pytest.raises(CatalogChanged):
        await laboratory_.planned("SELECT id FROM renamed WHERE n > 4")
