"""Tokens that must be refused, by line of the list of attacks; each for an issuer that runs."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import HMACAlgorithm

from server.identity.strict import write_base64url
from tests.server.identity.issuer import AUDIENCE, NOW, Issuer, compact, public_jwk, rsa_key

Attack = Callable[[Issuer], str]


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


J01: Final[Mapping[str, Attack]] = {
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
}
"""What signs, and with which key."""

J02: Final[Mapping[str, Attack]] = {
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
}
"""Header parameters."""

J03: Final[Mapping[str, Attack]] = {
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
    "an ID token by at_hash": _claims(at_hash="x"),
    "an ID token by c_hash": _claims(c_hash="x"),
    "an ID token by Keycloak's typ": _claims(typ="ID"),
    "a refresh token by Keycloak's typ": _claims(typ="Refresh"),
    "an ID token by Cognito's token_use": _claims(token_use="id"),
    "typ a list in the claims": _claims(typ=["Bearer"]),
    "a token bound to a key": _claims(cnf={"jkt": "x"}),
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
}
"""Claims."""

J04: Final[Mapping[str, Attack]] = {
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
"""Encodings."""
