"""A flood of refusals is two records a minute: the first, and the number of the others."""

from __future__ import annotations

import pytest

from policies.errors import Denied
from policies.model import Principal
from server.admission import repeats
from server.admission.settings import Limits
from tests.fixtures.postgres import PostgresDatabase
from tests.server.admission.conftest import Gateway, gateway

pytestmark = pytest.mark.anyio

RITA = Principal("corp:rita", "Rita", "claude-code")
ROY = Principal("corp:roy", "Roy", "cursor")
TIGHT = Limits.model_validate({"per_principal": {"statements_per_minute": 1}})


def flood(here: Gateway, principal: Principal, times: int) -> int:
    refused = 0
    for _ in range(times):
        try:
            here.admission.check(principal)
        except Denied:
            refused += 1
    return refused


async def test_a_flood_is_the_first_refusal_and_the_number_of_the_others(
    database: PostgresDatabase,
) -> None:
    async with gateway(database, TIGHT) as here:
        refused = flood(here, RITA, 1000)
        here.admission.repeats.close_window()
        here.admission.repeats._wake.set()
        first, rest = await here.recorded("decision", at_least=2)
        assert first["refusal"]["code"] == rest["refusal"]["code"] == "RATE_LIMITED"
        assert first["principal"] == rest["principal"] == RITA.id
        assert "repeated" not in first
        assert rest["repeated"] == refused - 1


async def test_each_principal_has_records_of_their_own(database: PostgresDatabase) -> None:
    async with gateway(database, TIGHT) as here:
        flood(here, RITA, 2)
        flood(here, ROY, 2)
        records = await here.recorded("decision", at_least=2)
    assert {r["principal"] for r in records} == {RITA.id, ROY.id}


async def test_the_number_is_recorded_when_the_gateway_stops(database: PostgresDatabase) -> None:
    async with gateway(database, TIGHT) as here:
        refused = flood(here, RITA, 50)
    async with gateway(database, TIGHT) as later:
        _, rest = await later.recorded("decision", at_least=2)
    assert rest["repeated"] == refused - 1


async def test_more_kinds_than_there_is_room_for_share_one_count(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "MOST_KINDS", 3)
    async with gateway(database, TIGHT) as here:
        for number in range(20):
            flood(here, Principal(f"corp:{number}", "x", "claude-code"), 2)
    async with gateway(database, TIGHT) as later:
        records = await later.recorded("decision", at_least=5)
    assert len(records) == 5
    assert sum(r.get("repeated", 1) for r in records) == 20
