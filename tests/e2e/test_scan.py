"""`ostiary scan` against a running gateway: proposals with evidence, and no value leaves it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from server.identity.demo import RITA, VICTOR, Account
from tests.e2e.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.gateways]

DEADLINE = 60.0
VALUES = ("canary", "4242", "219-09-9991", "555 01", "hunter", "ghp_")
SCHEMA = """
CREATE SCHEMA hr;
CREATE TABLE hr.people (
    id integer, mail text, mobile text, "Social Security" text, pan text, token text,
    remark text, salary numeric, logo bytea, kind text, seen_at timestamptz, hidden text
);
INSERT INTO hr.people SELECT n, 'p' || n || '.canary@example.com',
    '+1 202 555 01' || lpad(n::text, 2, '0'),
    '219-09-' || (9000 + n), '4242 4242 4242 4242', 'ghp_' || repeat(md5(n::text), 2),
    CASE WHEN n % 10 = 0 THEN 'mail r' || n || '.canary@example.com today' ELSE 'all is well' END,
    n * 1000, '\\x00', 'kind ' || n % 3, now(), NULL
FROM generate_series(1, 60) AS n;
CREATE TABLE hr.empty_ones (id integer, iban text, colour text);
CREATE TABLE hr.withheld (id integer, email text);
CREATE TABLE hr.large AS SELECT n AS id, 'u' || n || '@example.org' AS contact, n * 7 AS points
    FROM generate_series(1, 40000) AS n;
CREATE VIEW hr.reachable AS SELECT id, mail AS address FROM hr.people;
ANALYZE hr.large;
"""


@pytest.fixture(scope="module")
def world(module_worlds: Callable[..., World]) -> World:
    made = module_worlds()
    made.direct_execute(SCHEMA)
    vera = Account("vera", ("security",), "somebody of security, who reads nothing")
    made.provider.provider.accounts = {a.name: a for a in (RITA, VICTOR, vera)}
    made.start()
    return made


def scanned(world: World, *arguments: str) -> dict[str, Any]:
    """The tables of a scan by name, each a mapping of its columns by name."""
    done = world.cli("victor", "scan", "shop", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    tables = [json.loads(line) for line in done.stdout.splitlines()]
    return {f"{t['schema']}.{t['table']}": {c["column"]: c for c in t["columns"]} for t in tables}


def rules(columns: dict[str, Any]) -> dict[str, str]:
    found = {name: column["rule"] for name, column in columns.items()}
    return {name: f"{rule['label']} {rule['mask']}" for name, rule in found.items() if rule}


async def outcomes(world: World) -> list[dict[str, Any]]:
    """What was recorded of scans, in order."""
    async with world.journal() as journal:
        rows = await journal.fetch(
            "SELECT kind, document FROM records WHERE session IN (SELECT session FROM records"
            " WHERE document LIKE '%ScanTarget%') ORDER BY at, stream, sequence"
        )
    return [{"kind": row[0], **json.loads(row[1])} for row in rows]


def test_what_is_personal_is_proposed_and_what_is_clean_is_not(world: World) -> None:
    columns = scanned(world, "--table", "hr.people")["hr.people"]
    assert rules(columns) == {
        "mail": "pii email",
        "mobile": "pii keep_last(2)",
        "Social Security": "pii keep_last(4)",
        "pan": "financial keep_last(4)",
        "token": "secret redact",
        "salary": "financial redact",
    }
    assert columns["mail"]["evidence"][0]["share"] == 1.0
    assert [e["entity"] for e in columns["remark"]["evidence"]] == ["EMAIL_ADDRESS"]
    assert columns["kind"]["evidence"] == columns["seen_at"]["evidence"] == []


def test_the_rules_are_yaml_that_the_configuration_takes(world: World, tmp_path: Path) -> None:
    done = world.cli("victor", "scan", "shop")
    assert done.returncode == 0, done.stderr
    proposed = yaml.safe_load(done.stdout)["columns"]
    names = {rule["column"] for rule in proposed}
    assert {'hr.people."Social Security"', "hr.large.contact", "hr.empty_ones.iban"} <= names
    assert not names & {f"public.customers.{name}" for name in ("email", "ssn", "phone")}
    assert "public.customers.ssn has a label already: pii" in done.stdout
    document = world.configuration()
    document["targets"]["shop"]["columns"] += proposed
    file = tmp_path / "ostiary.yaml"
    file.write_text(yaml.safe_dump(document))
    checked = world.cli("victor", "check", str(file))
    assert "columns" not in checked.stderr, checked.stderr


def test_no_value_leaves_the_gateway(world: World) -> None:
    for extra in ((), ("--json",)):
        done = world.cli("victor", "scan", "shop", *extra)
        said = done.stdout + done.stderr
        assert "xxxx" in said
        assert [value for value in VALUES if value in said] == []


def test_the_same_table_gives_the_same_answer(world: World) -> None:
    first, second = (world.cli("victor", "scan", "shop", "--json").stdout for _ in range(2))
    assert first == second


def test_a_large_table_is_sampled_all_over_and_within_bounds(world: World) -> None:
    done = world.cli("victor", "scan", "shop", "--json", "--table", "hr.large", "--sample", "50")
    [table] = [json.loads(line) for line in done.stdout.splitlines()]
    assert 0 < table["rows"] <= 50
    assert table["columns"][1]["rule"] == {"label": "pii", "mask": "email"}


def test_views_columns_and_tables_can_be_named(world: World) -> None:
    found = scanned(world, "--table", "hr.reachable", "--table", "orders", "--column", "address")
    assert {name: set(columns) for name, columns in found.items()} == {
        "hr.reachable": {"address"},
        "public.orders": set(),
    }
    assert rules(found["hr.reachable"]) == {"address": "pii email"}


def test_a_table_that_is_not_there_is_said_so(world: World) -> None:
    done = world.cli("victor", "scan", "shop", "--table", "hr.nothing")
    assert done.returncode == 1
    assert "there is no table hr.nothing to scan" in done.stderr
    assert world.cli("victor", "scan", "shop", "--table", "pg_catalog.pg_authid").returncode == 1


@pytest.mark.parametrize(
    ("account", "target", "code"),
    [("rita", "shop", "NOT_PERMITTED"), ("rita", "nowhere", "TARGET_UNKNOWN")],
)
async def test_only_administrators_scan_and_a_refusal_is_recorded(
    world: World, account: str, target: str, code: str
) -> None:
    done = world.cli(account, "scan", target)
    assert done.returncode == 1
    assert code in done.stderr
    assert any(o["kind"] == "decided" or "refusal" in o for o in await outcomes(world))


def test_security_scans_a_target_that_it_may_not_read(world: World) -> None:
    assert world.cli("vera", "scan", "shop", "--table", "orders").returncode == 0


async def test_a_scan_is_recorded_before_it_runs_and_with_what_it_proposed(world: World) -> None:
    scanned(world, "--table", "hr.empty_ones")
    found = await outcomes(world)
    asked = [o for o in found if "hr.empty_ones" in json.dumps(o) and o["kind"] == "intent"]
    assert asked
    done = [o for o in found if o["kind"] == "outcome" and o.get("status") == "done"]
    assert ["hr.empty_ones.iban: financial"] in [o["proposed"] for o in done]


def test_a_table_that_goes_away_is_said_so(world: World) -> None:
    world.direct_execute("CREATE TABLE hr.gone_soon (id integer, email text)")
    scanned(world, "--table", "hr.gone_soon")
    world.direct_execute("DROP TABLE hr.gone_soon")
    done = world.cli("victor", "scan", "shop", "--table", "hr.gone_soon", "--table", "hr.people")
    assert done.returncode == 1
    told = "hr.gone_soon was not sampled: it is not there any more" in done.stdout
    assert told or "there is no table hr.gone_soon" in done.stderr


async def test_a_scan_that_its_caller_leaves_ends_and_is_recorded_so(world: World) -> None:
    """The table is locked, so that the scan is under way for certain when its caller goes."""
    headers = {"Authorization": f"Bearer {world.token('victor', agent='ostiary-cli')}"}
    before = len([o for o in await outcomes(world) if o["kind"] == "outcome"])
    async with world.direct() as direct, direct.transaction():
        await direct.execute("LOCK TABLE hr.large IN ACCESS EXCLUSIVE MODE")
        body = {"target": "shop", "tables": ["hr.large", "hr.people"]}
        async with (
            httpx2.AsyncClient(timeout=DEADLINE) as http,
            http.stream("POST", f"{world.url}/api/scan", json=body, headers=headers) as response,
        ):
            async for line in response.aiter_lines():
                assert json.loads(line)["tables"] == 2
                break
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(DEADLINE):
        while len(found) <= before:
            found = [o for o in await outcomes(world) if o["kind"] == "outcome"]
    assert [o["status"] for o in found].count("interrupted") == 1
    assert scanned(world, "--table", "hr.people")["hr.people"]
