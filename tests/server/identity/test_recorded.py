"""Refused tokens are recorded without the token, and a flood of them does not fill the store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from policies.errors import Denied, Unauthenticated
from policies.model import Blockable, BlockAgent, Channel, Principal
from server.admission.settings import Limits
from server.identity import recorded
from server.identity.oidc import OVERAGE, Verifier
from server.identity.recorded import AdmittedVerifier, RecordedVerifier, admitted
from tests.fixtures.postgres import PostgresDatabase
from tests.server.admission.conftest import Gateway, gateway
from tests.server.identity.issuer import NOW, Issuer

pytestmark = pytest.mark.anyio


@pytest.fixture
async def here(database: PostgresDatabase) -> AsyncIterator[Gateway]:
    async with gateway(database, Limits()) as opened:
        yield opened


@pytest.fixture
def recording(here: Gateway, verifier: Verifier) -> RecordedVerifier:
    return RecordedVerifier(verifier, here.journal, here.admission)


async def refuse(recording: RecordedVerifier, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await recording.verify(token)


async def test_a_refused_token_is_recorded_by_its_length_alone(
    here: Gateway, recording: RecordedVerifier
) -> None:
    await refuse(recording, "a-secret-token")
    (record,) = await here.recorded("sign_in_failed")
    assert record["characters"] == len("a-secret-token")
    assert "a-secret-token" not in str(record)


async def test_left_out_groups_are_recorded_with_what_to_do(
    here: Gateway, recording: RecordedVerifier, issuer: Issuer
) -> None:
    await refuse(recording, issuer.token(groups=..., hasgroups=True))
    (record,) = await here.recorded("sign_in_failed")
    assert record["reason"] == OVERAGE


async def test_a_flood_of_bad_tokens_is_counted_and_not_kept_one_by_one(
    here: Gateway, recording: RecordedVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording._single.left = recording._single.most = 5
    for number in range(50):
        await refuse(recording, f"token {number}")
    here.admission.repeats.close_window()
    here.admission.repeats._wake.set()
    records = await here.recorded("sign_in_failed", at_least=7)
    assert len(records) <= 8  # five, the first beyond them, the count; and one by the clock
    assert sum(record.get("repeated", 1) for record in records) == 50
    assert recorded.PER_MINUTE <= 60


async def test_a_good_token_says_until_when_it_counts(
    recording: RecordedVerifier, issuer: Issuer
) -> None:
    identified = await recording.identify(issuer.token())
    assert identified.principal.id == "corp:rita"
    assert identified.refused_from == NOW + 300 + 60


async def test_a_blocked_agents_token_opens_no_door(
    here: Gateway, recording: RecordedVerifier, issuer: Issuer
) -> None:
    door, token = AdmittedVerifier(recording), issuer.token()
    assert (await door.verify(token)).agent == "claude-code"
    sean = Principal("corp:sean", "Sean", "ostiary-cli")
    block = BlockAgent(Blockable.AGENT, "claude-code")
    await here.switch.block(sean, block, channel=Channel.API)
    with pytest.raises(Denied):
        await door.verify(token)

    async def caller() -> Principal:
        return await recording.verify(token)

    with pytest.raises(Denied):
        await admitted(caller, here.admission)()
