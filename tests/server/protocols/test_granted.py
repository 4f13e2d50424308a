"""What the gateway does by itself is granted like anything else, and refused on the record."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from policies.errors import Denied
from policies.model import AccessRequest, Channel, SqlStatement
from policies.sql.facts import SqlEffect, SqlFacts
from server.gate import new_session
from tests.fixtures.postgres import PostgresDatabase, SampleDatabase
from tests.server.protocols.gateway import opened
from tests.server.protocols.grants import ADA, SHOP

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "text", ["DELETE FROM customers", "UPDATE orders SET status = 'x' WHERE id = 1"]
)
async def test_a_grant_that_policy_withholds_is_recorded_as_refused(
    shop_database: SampleDatabase, store_database: PostgresDatabase, text: str
) -> None:
    request = AccessRequest(
        principal=ADA,
        target=SHOP,
        action=SqlStatement(text),
        channel=Channel.GATEWAY,
        now=datetime.now(UTC),
        session=new_session(),
        facts=SqlFacts(SqlEffect.WRITE),
    )
    async with opened(shop_database, store_database) as door:
        with pytest.raises(Denied):
            await door.gate.granted(request)
        rows = await door.store.pool.fetch(
            "SELECT kind, document FROM records WHERE session = $1", request.session
        )
    assert [row["kind"] for row in rows] == ["decision"]
    assert json.loads(rows[0]["document"])["effect"] == "deny"
