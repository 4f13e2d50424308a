"""Keys that change (attack line J05): fetched seldom, kept for a bounded time."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from policies.errors import Unauthenticated
from server.identity.jwks import FRESH, MAX_AGE, REFETCH_EVERY, RENEW
from server.identity.oidc import REMEMBER, Verifier
from tests.server.identity.conftest import Clock
from tests.server.identity.issuer import Issuer, public_jwk, rsa_key

pytestmark = pytest.mark.anyio


async def test_a_flood_of_unknown_keys_fetches_once(issuer: Issuer, verifier: Verifier) -> None:
    await verifier.verify(issuer.token())
    flood = [issuer.sign(header={"kid": f"k{n}"}) for n in range(2, 40)]
    answers = await asyncio.gather(*map(verifier.verify, flood), return_exceptions=True)
    assert {type(answer) for answer in answers} == {Unauthenticated}
    assert issuer.asked["jwks"] == 1


async def test_unknown_keys_fetch_again_once_in_ten_seconds(
    issuer: Issuer, verifier: Verifier, clock: Clock
) -> None:
    for _ in range(5):
        for _ in range(3):
            with pytest.raises(Unauthenticated):
                await verifier.verify(issuer.sign(header={"kid": "unknown"}))
        clock.seconds += REFETCH_EVERY
    assert issuer.asked["jwks"] == 5


async def test_concurrent_callers_share_one_fetch(issuer: Issuer, verifier: Verifier) -> None:
    principals = await asyncio.gather(*(verifier.verify(issuer.token()) for _ in range(20)))
    assert len(principals) == 20
    assert issuer.asked == {"discovery": 1, "jwks": 1}


async def test_a_caller_who_leaves_does_not_take_the_fetch_away(
    issuer: Issuer, verifier: Verifier
) -> None:
    issuer.gate.clear()
    asked = asyncio.Event()
    issuer.on_asked = partial(asyncio.get_running_loop().call_soon_threadsafe, asked.set)
    leaver = asyncio.create_task(verifier.verify(issuer.token()))
    stayer = asyncio.create_task(verifier.verify(issuer.token()))
    async with asyncio.timeout(5):
        await asked.wait()
    leaver.cancel()
    issuer.gate.set()
    assert (await stayer).id == "corp:rita"
    assert issuer.asked["discovery"] == 1


async def test_a_rotated_key_is_found_by_its_new_id(
    issuer: Issuer, verifier: Verifier, clock: Clock
) -> None:
    old = issuer.token()
    await verifier.verify(old)
    issuer.key, issuer.kid = rsa_key(), "k2"
    issuer.jwks = [public_jwk(issuer.key, kid="k2")]
    clock.seconds += REFETCH_EVERY
    assert (await verifier.verify(issuer.token())).id == "corp:rita"
    with pytest.raises(Unauthenticated):
        await verifier.verify(old)


async def test_keys_that_are_no_longer_fresh_are_fetched_while_requests_go_on(
    issuer: Issuer, verifier: Verifier, clock: Clock
) -> None:
    await verifier.verify(issuer.token())
    old = issuer.token()
    issuer.key, issuer.kid = rsa_key(), "k2"
    issuer.jwks = [public_jwk(issuer.key, kid="k2")]
    clock.seconds += FRESH + 1
    assert (await verifier.verify(old)).id == "corp:rita"
    async with asyncio.timeout(10):
        await verifier.verify(issuer.token())
    assert issuer.asked["jwks"] == 2
    with pytest.raises(Unauthenticated):
        await verifier.verify(old)


async def test_a_removed_key_is_refused_after_the_bound(
    issuer: Issuer, verifier: Verifier, clock: Clock
) -> None:
    await verifier.verify(issuer.token())
    issuer.jwks = []
    clock.seconds += RENEW + 1
    with pytest.raises(Unauthenticated):
        await verifier.verify(issuer.token())


async def test_other_keys_end_the_belief_in_what_the_old_ones_verified(
    issuer: Issuer, verifier: Verifier, clock: Clock
) -> None:
    token = issuer.token()
    await verifier.verify(token)
    issuer.jwks = []
    clock.seconds += REFETCH_EVERY
    assert (await verifier.verify(token)).id == "corp:rita"
    with pytest.raises(Unauthenticated):
        await verifier.verify(issuer.sign(header={"kid": "unknown"}))
    with pytest.raises(Unauthenticated):
        await verifier.verify(token)


async def test_the_same_keys_again_change_nothing(
    issuer: Issuer, verifier: Verifier, clock: Clock
) -> None:
    token = issuer.token()
    await verifier.verify(token)
    clock.seconds += REFETCH_EVERY
    with pytest.raises(Unauthenticated):
        await verifier.verify(issuer.sign(header={"kid": "unknown"}))
    issuer.status = 503
    assert (await verifier.verify(token)).id == "corp:rita"
    assert issuer.asked["jwks"] == 2


async def test_keys_serve_on_while_the_provider_is_down_and_not_past_the_bound(
    issuer: Issuer, verifier: Verifier, clock: Clock
) -> None:
    await verifier.verify(issuer.token())
    issuer.status = 503
    clock.seconds += MAX_AGE
    assert (await verifier.verify(issuer.token())).id == "corp:rita"
    clock.seconds += REMEMBER
    with pytest.raises(Unauthenticated):
        await verifier.verify(issuer.token())


async def test_a_verified_token_is_believed_for_a_minute_and_no_longer(
    issuer: Issuer, verifier: Verifier, clock: Clock
) -> None:
    await verifier.verify(issuer.token())
    issuer.status, clock.seconds = 503, clock.seconds + MAX_AGE
    late = issuer.token(sub="late")
    assert (await verifier.verify(late)).id == "corp:late"
    clock.seconds += REMEMBER - 1
    assert (await verifier.verify(late)).id == "corp:late"
    clock.seconds += 1
    with pytest.raises(Unauthenticated):
        await verifier.verify(late)


async def test_a_provider_that_is_down_at_the_start_refuses_and_recovers(
    issuer: Issuer, verifier: Verifier, clock: Clock
) -> None:
    issuer.status = 503
    with pytest.raises(Unauthenticated):
        await verifier.verify(issuer.token())
    issuer.status = 200
    clock.seconds += REFETCH_EVERY
    assert (await verifier.verify(issuer.token())).id == "corp:rita"


async def test_a_redirect_of_the_provider_is_not_followed(
    issuer: Issuer, verifier: Verifier
) -> None:
    issuer.redirect_to = f"{issuer.url}/jwks"
    with pytest.raises(Unauthenticated):
        await verifier.verify(issuer.token())
    assert issuer.asked["jwks"] == 0


@pytest.mark.parametrize("suffix", ["/", "/other", "?x"])
async def test_a_discovery_document_of_another_issuer_is_refused(
    issuer: Issuer, verifier: Verifier, suffix: str
) -> None:
    issuer.claimed_issuer = issuer.url + suffix
    with pytest.raises(Unauthenticated):
        await verifier.verify(issuer.token())
    assert issuer.asked["jwks"] == 0


async def test_an_oversized_key_set_is_refused(issuer: Issuer, verifier: Verifier) -> None:
    issuer.jwks = [*issuer.jwks, {"kty": "RSA", "n": "A" * 600_000}]
    with pytest.raises(Unauthenticated):
        await verifier.verify(issuer.token())
