"""Tokens that count, tokens that don't (attack lines J01 to J04), and keys that change (J05)."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import HMACAlgorithm

from policies.errors import ConfigError, Unauthenticated
from server.identity.claims import LEEWAY
from server.identity.fetch import open_http
from server.identity.jwks import FRESH, MAX_AGE, REFETCH_EVERY
from server.identity.oidc import REMEMBER, IssuerSettings, Verifier
from server.identity.strict import write_base64url
from tests.server.identity.conftest import Clock
from tests.server.identity.issuer import (
    AUDIENCE,
    NOW,
    Issuer,
    PrivateKey,
    compact,
    public_jwk,
    rsa_key,
)

pytestmark = pytest.mark.anyio

Attack = Callable[[Issuer], str]


async def test_a_good_token_names_its_principal(issuer: Issuer, verifier: Verifier) -> None:
    token = issuer.token(email="rita@example.com", email_verified=True)
    principal = await verifier.verify(token)
    assert principal.id == "corp:rita"
    assert principal.name == "Rita"
    assert principal.agent == "claude-code"
    assert principal.groups == {"developers"}
    assert principal.email == "rita@example.com"


GOOD: dict[str, dict[str, Any]] = {
    "audience in a list": {"aud": ["other", AUDIENCE]},
    "fractional expiry": {"exp": NOW + 1.5},
    "expired within the leeway": {"exp": NOW - 59},
    "issued within the leeway": {"iat": NOW + 59, "nbf": NOW + 59},
    "no iat": {"iat": ...},
    "no groups": {"groups": ...},
    "a name that can't be shown": {"preferred_username": "Ri\u202eta"},
}


@pytest.mark.parametrize("changes", GOOD.values(), ids=GOOD)
async def test_a_harmless_variation_is_accepted(
    issuer: Issuer, verifier: Verifier, changes: dict[str, Any]
) -> None:
    assert (await verifier.verify(issuer.token(**changes))).id == "corp:rita"


async def test_a_group_claim_that_is_one_string_is_one_group(
    issuer: Issuer, verifier: Verifier
) -> None:
    principal = await verifier.verify(issuer.token(groups="dba developers"))
    assert principal.groups == {"dba developers"}


async def test_an_unverified_email_is_not_taken_over(issuer: Issuer, verifier: Verifier) -> None:
    principal = await verifier.verify(issuer.token(email="victor@example.com"))
    assert principal.email is None


async def test_a_name_that_could_mislead_falls_back_to_the_subject(
    issuer: Issuer, verifier: Verifier
) -> None:
    principal = await verifier.verify(issuer.token(preferred_username="\x1b[2Jroot"))
    assert principal.name == "rita"


async def test_the_agent_falls_back_to_client_id_and_then_to_unknown(
    issuer: Issuer, verifier: Verifier
) -> None:
    with_client = await verifier.verify(issuer.token(azp=..., client_id="inspector"))
    without = await verifier.verify(issuer.token(azp=...))
    assert (with_client.agent, without.agent) == ("inspector", "unknown")


@pytest.mark.parametrize("kind", ["JWT", "at+jwt", "application/at+jwt", ...])
async def test_access_token_types_are_accepted(
    issuer: Issuer, verifier: Verifier, kind: object
) -> None:
    token = issuer.sign(header={"typ": kind})
    assert (await verifier.verify(token)).id == "corp:rita"


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("PS256", rsa_key()),
        ("ES256", ec.generate_private_key(ec.SECP256R1())),
        ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
    ],
    ids=["PS256", "ES256", "EdDSA"],
)
async def test_each_asymmetric_family_verifies(
    issuer: Issuer, verifier: Verifier, algorithm: str, key: PrivateKey
) -> None:
    issuer.jwks = [public_jwk(key, kid=issuer.kid)]
    token = issuer.sign(key=key, algorithm=algorithm)
    assert (await verifier.verify(token)).id == "corp:rita"


def _unsigned(algorithm: object) -> Attack:
    def attack(issuer: Issuer) -> str:
        header = {"kid": issuer.kid, "typ": "JWT", "alg": algorithm}
        kept = {name: value for name, value in header.items() if value is not ...}
        return compact(json.dumps(kept).encode(), json.dumps(issuer.claims()).encode(), b"")

    return attack


def _shared_secret(secret: Callable[[Issuer], bytes]) -> Attack:
    """HS256, with the public key as if it were the secret."""

    def attack(issuer: Issuer) -> str:
        header = json.dumps({"alg": "HS256", "kid": issuer.kid, "typ": "JWT"}).encode()
        payload = json.dumps(issuer.claims()).encode()
        signed = f"{write_base64url(header)}.{write_base64url(payload)}"
        signature = HMACAlgorithm(HMACAlgorithm.SHA256).sign(signed.encode(), secret(issuer))
        return compact(header, payload, signature)

    return attack


def _public_bytes(encoding: Encoding) -> Callable[[Issuer], bytes]:
    return lambda issuer: issuer.key.public_key().public_bytes(
        encoding, PublicFormat.SubjectPublicKeyInfo
    )


def _zero_signature(issuer: Issuer) -> str:
    issuer.jwks = [public_jwk(ec.generate_private_key(ec.SECP256R1()), kid=issuer.kid)]
    good = issuer.sign(header={"alg": "ES256"})
    return ".".join([*good.split(".")[:2], write_base64url(bytes(64))])


def _weak_rsa(issuer: Issuer) -> str:
    weak = rsa_key(1024)
    issuer.jwks = [public_jwk(weak, kid=issuer.kid)]
    return issuer.sign(key=weak)


def _wrong_curve(issuer: Issuer) -> str:
    key = ec.generate_private_key(ec.SECP384R1())
    issuer.jwks = [public_jwk(key, kid=issuer.kid)]
    return issuer.sign(header={"alg": "ES256"}, key=key, algorithm="ES384")


def _small_order(point: str) -> Attack:
    """A signature that holds for every message under a key of small order."""

    def attack(issuer: Issuer) -> str:
        x = bytes.fromhex(point)
        issuer.jwks = [{"kty": "OKP", "crv": "Ed25519", "kid": issuer.kid, "x": write_base64url(x)}]
        header = json.dumps({"alg": "EdDSA", "kid": issuer.kid}).encode()
        identity = b"\x01" + bytes(31)
        return compact(header, json.dumps(issuer.claims()).encode(), identity + bytes(32))

    return attack


def _key_says(**parameters: Any) -> Attack:
    """A good token, but the provider's key is not meant for it."""

    def attack(issuer: Issuer) -> str:
        issuer.jwks = [public_jwk(issuer.key, kid=issuer.kid) | parameters]
        return issuer.token()

    return attack


def _ambiguous_key(issuer: Issuer) -> str:
    issuer.jwks = [public_jwk(key, kid=issuer.kid) for key in (issuer.key, rsa_key())]
    return issuer.token()


def _header(**parameters: Any) -> Attack:
    return lambda issuer: issuer.sign(header=parameters)


def _header_with_own_key(name: str) -> Attack:
    """The token brings its own key, or says where to fetch it."""

    def attack(issuer: Issuer) -> str:
        mine = rsa_key()
        value: object = f"{issuer.url}/mine"
        if name == "jwk":
            value = public_jwk(mine)
        elif name == "x5c":
            der = mine.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            value = [base64.b64encode(der).decode()]
        return issuer.sign(header={name: value, "kid": "mine"}, key=mine)

    return attack


def _claims(**changes: Any) -> Attack:
    return lambda issuer: issuer.token(**changes)


def _payload(change: Callable[[Issuer, str], str]) -> Attack:
    """Claims as exact text, signed as they are."""
    return lambda issuer: issuer.sign(payload=change(issuer, json.dumps(issuer.claims())).encode())


def _rewritten(change: Callable[[str], str]) -> Attack:
    return lambda issuer: change(issuer.token())


def _noncanonical(token: str) -> str:
    """Change bits of the last character that decoding throws away (342 characters, 256 bytes)."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) + 1]


ATTACKS: dict[str, Attack] = {
    # J01
    "alg none": _unsigned("none"),
    "alg None": _unsigned("None"),
    "alg nOnE": _unsigned("nOnE"),
    "alg missing": _unsigned(...),
    "alg empty": _unsigned(""),
    "alg a list": _unsigned(["RS256"]),
    "alg RS256 without signature": _unsigned("RS256"),
    "HS256 with the public key's PEM": _shared_secret(
        lambda issuer: b"-" + _public_bytes(Encoding.PEM)(issuer)
    ),
    "HS256 with the public key's DER": _shared_secret(_public_bytes(Encoding.DER)),
    "HS256 with the JWK's text": _shared_secret(lambda i: json.dumps(i.jwks[0]).encode()),
    "ES256 with r = s = 0": _zero_signature,
    "RSA key of 1024 bits": _weak_rsa,
    "alg of another key type": _header(alg="ES256"),
    "alg not in the issuer's list": lambda issuer: issuer.sign(algorithm="RS512"),
    "ES256 over P-384": _wrong_curve,
    "EdDSA key of order 1": _small_order("01" + "00" * 31),
    "EdDSA key of order 1, sign bit set": _small_order("01" + "00" * 30 + "80"),
    "EdDSA key of order 1, not reduced": _small_order("ee" + "ff" * 30 + "7f"),
    "EdDSA key of order 2": _small_order("ec" + "ff" * 30 + "7f"),
    "EdDSA key of order 4": _small_order("00" * 32),
    "EdDSA key of order 8": _small_order(
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
    ),
    "somebody else's key": lambda issuer: issuer.sign(key=rsa_key()),
    "a key for encryption": _key_says(use="enc"),
    "a key for other operations": _key_says(key_ops=["encrypt"]),
    "a key for another algorithm": _key_says(alg="PS256"),
    "a key that was published with its private part": _key_says(d="AQAB"),
    "two keys with one kid": _ambiguous_key,
    # J02
    "kid is a path": _header(kid="../../etc/passwd"),
    "kid is SQL": _header(kid="k1' or '1'='1"),
    "kid is a URL": _header(kid="http://127.0.0.1:9/key"),
    "kid empty": _header(kid=""),
    "kid a number": _header(kid=1),
    "jku": _header_with_own_key("jku"),
    "x5u": _header_with_own_key("x5u"),
    "jwk": _header_with_own_key("jwk"),
    "x5c": _header_with_own_key("x5c"),
    "crit": _header(crit=["exp"], exp=NOW + 300),
    "crit empty": _header(crit=[]),
    "b64": _header(b64=True),
    "zip": _header(zip="DEF"),
    "nested token": _header(cty="JWT"),
    "encryption header": _header(enc="A256GCM", p2c=2**31),
    # J03
    "aud missing": _claims(aud=...),
    "aud null": _claims(aud=None),
    "aud empty list": _claims(aud=[]),
    "aud a prefix": _claims(aud=AUDIENCE[:-1]),
    "aud longer": _claims(aud=AUDIENCE + "/"),
    "aud in another case": _claims(aud=AUDIENCE.upper()),
    "aud several in one string": _claims(aud=f"other {AUDIENCE}"),
    "aud a list with something else in it": _claims(aud=[AUDIENCE, 1]),
    "aud an object": _claims(aud={AUDIENCE: True}),
    "iss with a slash": lambda issuer: issuer.token(iss=issuer.url + "/"),
    "iss longer": lambda issuer: issuer.token(iss=issuer.url + "/common"),
    "iss a prefix": lambda issuer: issuer.token(iss=issuer.url[:-1]),
    "iss in another case": lambda issuer: issuer.token(iss=issuer.url.upper()),
    "iss a list": lambda issuer: issuer.token(iss=[issuer.url]),
    "iss missing": _claims(iss=...),
    "typ of a logout token": _header(typ="logout+jwt"),
    "typ of a security event": _header(typ="secevent+jwt"),
    "typ empty": _header(typ=""),
    "typ a list": _header(typ=["JWT"]),
    "a logout token without typ": _claims(
        events={"http://schemas.openid.net/event/backchannel-logout": {}}
    ),
    "exp missing": _claims(exp=...),
    "exp a string": _claims(exp=str(NOW + 300)),
    "exp true": _claims(exp=True),
    "exp negative": _claims(exp=-1),
    "exp null": _claims(exp=None),
    "exp 1e400": _payload(lambda _, text: text.replace(f'"exp": {NOW + 300}', '"exp": 1e400')),
    "exp NaN": _payload(lambda _, text: text.replace(f'"exp": {NOW + 300}', '"exp": NaN')),
    "exp of 5000 digits": _payload(
        lambda _, text: text.replace(f'"exp": {NOW + 300}', '"exp": ' + "9" * 5000)
    ),
    "exp of 400 digits": _payload(
        lambda _, text: text.replace(f'"exp": {NOW + 300}', '"exp": ' + "9" * 400)
    ),
    "expired past the leeway": _claims(exp=NOW - 60),
    "iat in the future": _claims(iat=NOW + 61),
    "iat a string": _claims(iat="now"),
    "nbf in the future": _claims(nbf=NOW + 61),
    "nbf null": _claims(nbf=None),
    "sub missing": _claims(sub=...),
    "sub empty": _claims(sub=""),
    "sub a number": _claims(sub=1),
    "sub with a null byte": _claims(sub="rita\x00"),
    "sub with a line break": _claims(sub="rita\nvictor"),
    "sub with a bidi override": _claims(sub="rita\u202e"),
    "sub with a zero-width space": _claims(sub="ri\u200bta"),
    "sub a lone surrogate": _claims(sub="rita\ud800"),
    "sub of 256 characters": _claims(sub="r" * 256),
    "azp a list": _claims(azp=["claude-code"]),
    "azp empty": _claims(azp=""),
    "groups an object": _claims(groups={"dba": True}),
    "groups null": _claims(groups=None),
    "groups with a number": _claims(groups=["developers", 1]),
    "groups with a list": _claims(groups=[["dba"]]),
    "groups elsewhere": _claims(groups=..., _claim_names={"groups": "src1"}),
    # J04
    "a claim twice": _payload(lambda _, text: text[:-1] + ', "sub": "victor"}'),
    "a header parameter twice": lambda issuer: issuer.sign(
        header=b'{"alg":"none","alg":"RS256","kid":"k1"}'
    ),
    "a key twice, once escaped": _payload(lambda _, text: text[:-1] + ', "\\u0073ub": "victor"}'),
    "payload a list": _payload(lambda _, text: f"[{text}]"),
    "payload with a byte order mark": _payload(lambda _, text: "\ufeff" + text),
    "payload with trailing text": _payload(lambda _, text: text + "{}"),
    "payload in UTF-16": lambda i: i.sign(payload=json.dumps(i.claims()).encode("utf-16")),
    "payload nested too deeply": _payload(
        lambda _, text: text[:-1] + ', "x": ' + "[" * 5000 + "]" * 5000 + "}"
    ),
    "base64 with padding": _rewritten(lambda token: token + "=="),
    "base64 not canonical": _rewritten(_noncanonical),
    "standard base64 alphabet": _rewritten(lambda t: t.replace("-", "+").replace("_", "/") + "+"),
    "a space at the end": _rewritten(lambda token: token + " "),
    "a line break inside": _rewritten(lambda token: token[:20] + "\n" + token[20:]),
    "trailing bytes": _rewritten(lambda token: token + "AAAA"),
    "not ASCII": _rewritten(lambda token: token[:-1] + "é"),
    "one part": lambda _: "abc",
    "two parts": _rewritten(lambda token: token.rpartition(".")[0]),
    "five parts": _rewritten(lambda token: token + ".AAAA.AAAA"),
    "empty": lambda _: "",
    "a megabyte": _claims(padding="x" * 2**20),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
async def test_a_forged_or_foreign_token_is_refused_without_a_hint(
    issuer: Issuer, verifier: Verifier, caplog: pytest.LogCaptureFixture, attack: Attack
) -> None:
    token = attack(issuer)
    with caplog.at_level(logging.DEBUG, "server.identity"), pytest.raises(Unauthenticated) as said:
        await verifier.verify(token)
    assert str(said.value) == "the token is not valid here: sign in again"
    assert any("token refused" in record.message for record in caplog.records)
    assert not token or token not in caplog.text


async def test_a_token_says_its_issuer_and_another_issuers_key_does_not_verify_it(
    issuer: Issuer, tls: ssl.SSLContext
) -> None:
    other = IssuerSettings(
        name="other", issuer="http://127.0.0.1:9", audience=AUDIENCE, algorithms=("RS256",)
    )
    async with open_http(tls) as http:
        verifier = Verifier([issuer.settings(), other], http=http, now=lambda: NOW)
        with pytest.raises(Unauthenticated):
            await verifier.verify(issuer.token(iss=other.issuer))
        assert (await verifier.verify(issuer.token())).id == "corp:rita"


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
    clock.seconds += REMEMBER
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
    clock.seconds += REMEMBER
    with pytest.raises(Unauthenticated):
        await verifier.verify(old)


async def test_a_removed_key_is_refused_after_the_bound(
    issuer: Issuer, verifier: Verifier, clock: Clock
) -> None:
    await verifier.verify(issuer.token())
    issuer.jwks = []
    clock.seconds += MAX_AGE + 1
    with pytest.raises(Unauthenticated):
        await verifier.verify(issuer.token())


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
    token = issuer.token()
    await verifier.verify(token)
    issuer.key, issuer.kid = rsa_key(), "k2"
    issuer.jwks = [public_jwk(issuer.key, kid="k2")]
    clock.seconds += MAX_AGE + 1 - REMEMBER
    other = issuer.token(sub="other")
    await verifier.verify(other)
    clock.seconds += REMEMBER - 1
    assert (await verifier.verify(other)).id == "corp:other"
    with pytest.raises(Unauthenticated):
        await verifier.verify(token)


async def test_a_token_is_never_believed_past_its_expiry(
    issuer: Issuer, clock: Clock, tls: ssl.SSLContext
) -> None:
    now = Clock(NOW)
    async with open_http(tls) as http:
        verifier = Verifier([issuer.settings()], http=http, clock=clock, now=now)
        token = issuer.token(exp=NOW + 10)
        await verifier.verify(token)
        now.seconds += 9
        await verifier.verify(token)
        now.seconds += LEEWAY + 1
        with pytest.raises(Unauthenticated):
            await verifier.verify(token)


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


@pytest.fixture
async def construct(tls: ssl.SSLContext) -> AsyncIterator[Callable[..., Verifier]]:
    async with open_http(tls) as http:
        yield lambda *issuers: Verifier(issuers, http=http)


def _settings(**changes: Any) -> IssuerSettings:
    values = {"name": "corp", "issuer": "https://idp.example", "audience": AUDIENCE}
    return IssuerSettings(**values | changes)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"issuer": "http://idp.example"}, "https"),
        ({"issuer": "ftp://127.0.0.1"}, "https"),
        ({"issuer": "https://user@idp.example"}, "URL"),
        ({"issuer": "http://127.0.0.1.example.com"}, "https"),
        ({"algorithms": ("HS256",)}, "HS256"),
        ({"algorithms": ("none",)}, "none"),
        ({"algorithms": ()}, "algorithms"),
        ({"audience": ""}, "audience"),
        ({"name": "corp:x"}, "name"),
    ],
)
async def test_settings_that_are_not_safe_do_not_load(
    construct: Callable[..., Verifier], changes: dict[str, Any], word: str
) -> None:
    with pytest.raises(ConfigError, match=word):
        construct(_settings(**changes))


async def test_two_issuers_never_share_a_name_or_an_address(
    construct: Callable[..., Verifier],
) -> None:
    with pytest.raises(ConfigError, match="same name"):
        construct(_settings(), _settings(issuer="https://other.example"))
    with pytest.raises(ConfigError, match="same issuer"):
        construct(_settings(), _settings(name="other"))
