"""Keys and tokens of clouds and vendors, private keys, JWTs and HTTP's headers."""

from __future__ import annotations

import json
import string
from random import Random

from tests.masking.quality.samples import (
    BASE64URL,
    HEX,
    LETTERS_AND_DIGITS,
    Kind,
    base64_of,
    base64url_of,
    digits,
    draw,
    encoded,
    hexadecimal,
    host,
    password,
    pem_body,
    word,
)

_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_AWS_ID = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html"
_AWS_FILES = "https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html"
_GITHUB = "https://github.blog/2021-04-05-behind-githubs-new-authentication-token-formats/"
_GITLAB = "https://docs.gitlab.com/security/tokens/#token-prefixes"
_RFC_7468 = "https://www.rfc-editor.org/rfc/rfc7468"
_RFC_7519 = "https://www.rfc-editor.org/rfc/rfc7519"
_RFC_7617 = "https://www.rfc-editor.org/rfc/rfc7617"
_RFC_6750 = "https://www.rfc-editor.org/rfc/rfc6750"
_RFC_6265 = "https://www.rfc-editor.org/rfc/rfc6265"
_KUBECONFIG = "https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/"


def _part(content: dict[str, object]) -> str:
    return (
        encoded(json.dumps(content, separators=(",", ":")))
        .rstrip("=")
        .translate(str.maketrans("+/", "-_"))
    )


def _jwt(random: Random) -> str:
    claims = {
        "sub": digits(random, 10),
        "iss": host(random),
        "exp": random.randint(1 << 30, 1 << 31),
    }
    return f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(claims)}.{base64url_of(random, 32)}"


def _jwe(random: Random) -> str:
    """RFC 7516: five parts."""
    parts = [base64url_of(random, n) for n in (64, 12, 48, 16)]
    return ".".join([_part({"alg": "RSA-OAEP", "enc": "A256GCM"}), *parts])


def _aws_id(random: Random) -> str:
    return random.choice(("AKIA", "ASIA")) + draw(random, _BASE32, 16)


def _aws_secret(random: Random) -> str:
    return draw(random, LETTERS_AND_DIGITS + "/+", 40)


def _pem(random: Random, label: str) -> str:
    return (
        f"-----BEGIN {label}-----\n{pem_body(random, random.randint(100, 900))}\n"
        f"-----END {label}-----"
    )


def _basic(random: Random) -> str:
    return encoded(f"{word(random)}:{password(random)}")


def _service_account(random: Random) -> str:
    key = _pem(random, "PRIVATE KEY").replace("\n", "\\n")
    return f'{{"type": "service_account", "project_id": "{word(random)}", "private_key": "⟦{key}⟧\\n"}}'


TOKEN = "CLOUD_TOKEN"
KEY = "PRIVATE_KEY"
HEADER = "AUTH_HEADER"

KINDS = (
    Kind("AWS access key id", "AWS_KEY", _AWS_ID, lambda r: f"⟦{_aws_id(r)}⟧"),
    Kind("AWS credentials file", "AWS_KEY", _AWS_FILES,
         lambda r: f"[default]\naws_access_key_id = ⟦{_aws_id(r)}⟧\n"
                   f"aws_secret_access_key = ⟦{_aws_secret(r)}⟧"),
    Kind("AWS secret in the environment", "AWS_KEY", _AWS_FILES,
         lambda r: f"export AWS_SECRET_ACCESS_KEY=⟦{_aws_secret(r)}⟧"),
    Kind("AWS secret in JSON", "AWS_KEY",
         "https://docs.aws.amazon.com/STS/latest/APIReference/API_Credentials.html",
         lambda r: f'{{"SecretAccessKey": "⟦{_aws_secret(r)}⟧"}}'),
    Kind("AWS session token", "PASSWORD", _AWS_FILES,
         lambda r: f"aws_session_token = ⟦IQoJb3JpZ2luX2Vj{base64_of(r, 120)}⟧"),
    Kind("Google API key", TOKEN, "https://cloud.google.com/docs/authentication/api-keys",
         lambda r: f"maps_key: ⟦AIza{draw(r, BASE64URL, 35)}⟧"),
    Kind("Google access token", TOKEN, "https://cloud.google.com/docs/authentication/token-types",
         lambda r: f"⟦ya29.{draw(r, BASE64URL, 120)}⟧"),
    Kind("Google service account", KEY, "https://cloud.google.com/iam/docs/keys-create-delete",
         _service_account),
    Kind("Azure storage", TOKEN,
         "https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string",
         lambda r: f"DefaultEndpointsProtocol=https;AccountName={word(r)};"
                   f"AccountKey=⟦{base64_of(r, 64)}⟧;EndpointSuffix=core.windows.net"),
    Kind("Azure Service Bus", TOKEN,
         "https://learn.microsoft.com/azure/service-bus-messaging/service-bus-sas",
         lambda r: f"Endpoint=sb://{word(r)}.servicebus.windows.net/;SharedAccessKeyName=root;"
                   f"SharedAccessKey=⟦{base64_of(r, 32)}⟧"),
    Kind("Azure SAS URL", TOKEN,
         "https://learn.microsoft.com/rest/api/storageservices/create-service-sas",
         lambda r: f"https://{word(r)}.blob.core.windows.net/x?sv=2024-11-04&sp=r&sig="
                   f"⟦{base64_of(r, 32).replace('+', '%2B').replace('/', '%2F').replace('=', '%3D')}⟧"),
    Kind("GitHub token", TOKEN, _GITHUB,
         lambda r: f"{r.choice(('', 'token '))}⟦gh{r.choice('pousr')}_{draw(r, LETTERS_AND_DIGITS, 36)}⟧"),
    Kind("GitHub fine-grained token", TOKEN, _GITHUB,
         lambda r: f"⟦github_pat_{draw(r, LETTERS_AND_DIGITS, 22)}_{draw(r, LETTERS_AND_DIGITS, 59)}⟧"),
    Kind("GitLab token", TOKEN, _GITLAB, lambda r: f"⟦glpat-{draw(r, BASE64URL, 20)}⟧"),
    Kind("GitLab runner and feed tokens", TOKEN, _GITLAB,
         lambda r: f"⟦{r.choice(('glrt', 'gldt', 'glft', 'glagent', 'glimt'))}-{draw(r, BASE64URL, 20)}⟧"),
    Kind("Slack token", TOKEN, "https://docs.slack.dev/authentication/tokens",
         lambda r: f"⟦xox{r.choice('bp')}-{digits(r, 12)}-{digits(r, 12)}-{draw(r, LETTERS_AND_DIGITS, 24)}⟧"),
    Kind("Slack app token", TOKEN, "https://docs.slack.dev/authentication/tokens",
         lambda r: f"⟦xapp-1-A{draw(r, _BASE32, 10)}-{digits(r, 13)}-{hexadecimal(r, 64)}⟧"),
    Kind("Slack webhook", TOKEN,
         "https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks",
         lambda r: f"https://hooks.slack.com/services/⟦T{draw(r, _BASE32, 8)}/B{draw(r, _BASE32, 8)}/"
                   f"{draw(r, LETTERS_AND_DIGITS, 24)}⟧"),
    Kind("Stripe key", TOKEN, "https://docs.stripe.com/keys",
         lambda r: f"⟦{r.choice(('sk', 'rk'))}_{r.choice(('live', 'test'))}_{draw(r, LETTERS_AND_DIGITS, 24)}⟧"),
    Kind("Stripe webhook secret", TOKEN, "https://docs.stripe.com/webhooks",
         lambda r: f"⟦whsec_{draw(r, LETTERS_AND_DIGITS, 32)}⟧"),
    Kind("npm token", TOKEN, "https://github.blog/2021-09-23-announcing-npms-new-access-token-format/",
         lambda r: f"//registry.example.com/:_authToken=⟦npm_{draw(r, LETTERS_AND_DIGITS, 36)}⟧"),
    Kind("PyPI token", TOKEN, "https://github.com/pypi/warehouse (API tokens)",
         lambda r: f"⟦pypi-AgEIcHlwaS5vcmc{draw(r, BASE64URL, 150)}⟧"),
    Kind("OpenAI key", TOKEN, "https://platform.openai.com/docs/api-reference/authentication",
         lambda r: f"⟦sk-proj-{draw(r, BASE64URL, 100)}⟧"),
    Kind("Anthropic key", TOKEN, "https://docs.anthropic.com/en/api/getting-started",
         lambda r: f"⟦sk-ant-api03-{draw(r, BASE64URL, 93)}AA⟧"),
    Kind("Hugging Face token", TOKEN, "https://huggingface.co/docs/hub/security-tokens",
         lambda r: f"⟦hf_{draw(r, string.ascii_letters, 34)}⟧"),
    Kind("Vault token", TOKEN,
         "https://developer.hashicorp.com/vault/docs/concepts/tokens#token-prefixes",
         lambda r: f"⟦hvs.{draw(r, BASE64URL, 90)}⟧"),
    Kind("DigitalOcean token", TOKEN, "https://docs.digitalocean.com/reference/api/",
         lambda r: f"⟦do{r.choice('opr')}_v1_{hexadecimal(r, 64)}⟧"),
    Kind("SendGrid key", TOKEN, "https://www.twilio.com/docs/sendgrid/ui/account-and-settings/api-keys",
         lambda r: f"⟦SG.{draw(r, BASE64URL, 22)}.{draw(r, BASE64URL, 43)}⟧"),
    Kind("Twilio key", TOKEN, "https://www.twilio.com/docs/iam/api-keys",
         lambda r: f"⟦SK{hexadecimal(r, 32)}⟧"),
    Kind("Telegram bot", TOKEN, "https://core.telegram.org/bots/api#authorizing-your-bot",
         lambda r: f"⟦{digits(r, 9)}:AA{draw(r, BASE64URL, 33)}⟧"),
    Kind("Databricks token", TOKEN, "https://docs.databricks.com/en/dev-tools/auth/pat.html",
         lambda r: f"⟦dapi{hexadecimal(r, 32)}⟧"),
    Kind("Grafana token", TOKEN,
         "https://grafana.com/docs/grafana/latest/administration/service-accounts/",
         lambda r: f"⟦glsa_{draw(r, LETTERS_AND_DIGITS, 32)}_{hexadecimal(r, 8)}⟧"),
    Kind("Terraform Cloud token", TOKEN,
         "https://developer.hashicorp.com/terraform/cloud-docs/users-teams-organizations/api-tokens",
         lambda r: f"⟦{draw(r, LETTERS_AND_DIGITS, 14)}.atlasv1.{draw(r, BASE64URL, 67)}⟧"),
    Kind("Shopify token", TOKEN, "https://shopify.dev/changelog/length-of-the-shopify-access-token-is-increasing",
         lambda r: f"⟦shp{r.choice(('at', 'ca', 'pa', 'ss'))}_{hexadecimal(r, 32)}⟧"),
    Kind("age key", TOKEN, "https://age-encryption.org/v1",
         lambda r: f"⟦AGE-SECRET-KEY-1{draw(r, 'QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L', 58)}⟧"),
    Kind("PKCS #8 key", KEY, _RFC_7468, lambda r: f"⟦{_pem(r, 'PRIVATE KEY')}⟧"),
    Kind("RSA key", KEY, _RFC_7468, lambda r: f"tls.key: |\n⟦{_pem(r, 'RSA PRIVATE KEY')}⟧\n"),
    Kind("EC key", KEY, "https://www.rfc-editor.org/rfc/rfc5915", lambda r: f"⟦{_pem(r, 'EC PRIVATE KEY')}⟧"),
    Kind("encrypted key", KEY, _RFC_7468, lambda r: f"⟦{_pem(r, 'ENCRYPTED PRIVATE KEY')}⟧"),
    Kind("OpenSSH key", KEY,
         "https://cvsweb.openbsd.org/src/usr.bin/ssh/PROTOCOL.key?annotate=HEAD",
         lambda r: f"⟦{_pem(r, 'OPENSSH PRIVATE KEY')}⟧\n$ "),
    Kind("PGP key", KEY, "https://www.rfc-editor.org/rfc/rfc9580#name-forming-ascii-armor",
         lambda r: "⟦" + _pem(r, "PGP PRIVATE KEY BLOCK").replace("-----\n", "-----\n\n", 1) + "⟧"),
    Kind("PuTTY key", KEY, "https://the.earth.li/~sgtatham/putty/latest/htmldoc/AppendixC.html",
         lambda r: "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: x\n"
                   f"Public-Lines: 1\n{base64_of(r, 51)}\nPrivate-Lines: 1\n⟦{base64_of(r, 36)}⟧\n"
                   f"Private-MAC: {hexadecimal(r, 64)}"),
    Kind("kubeconfig", KEY, _KUBECONFIG,
         lambda r: f"users:\n- name: admin\n  user:\n    client-certificate-data: {base64_of(r, 90)}\n"
                   f"    client-key-data: ⟦{base64_of(r, 300)}⟧"),
    Kind("WireGuard key", KEY, "https://man7.org/linux/man-pages/man8/wg.8.html",
         lambda r: f"[Interface]\nPrivateKey = ⟦{base64_of(r, 32)}⟧\nAddress = 10.0.0.2/32"),
    Kind("bare JWT", "JWT", _RFC_7519, lambda r: f"⟦{_jwt(r)}⟧"),
    Kind("JWT in JSON", "JWT", _RFC_6750, lambda r: f'{{"id_token": "⟦{_jwt(r)}⟧", "expires_in": 3600}}'),
    Kind("JWE", "JWT", "https://www.rfc-editor.org/rfc/rfc7516", lambda r: f"cookie⟦{_jwe(r)}⟧"[6:]),
    Kind("service account token in a kubeconfig", "JWT", _KUBECONFIG,
         lambda r: f"  user:\n    token: ⟦{_jwt(r)}⟧"),
    Kind("Basic", HEADER, _RFC_7617, lambda r: f"Authorization: Basic ⟦{_basic(r)}⟧"),
    Kind("Basic for a proxy", HEADER, _RFC_7617, lambda r: f"proxy-authorization: basic ⟦{_basic(r)}⟧"),
    Kind("Bearer", HEADER, _RFC_6750, lambda r: f"> Authorization: Bearer ⟦{draw(r, BASE64URL, 43)}⟧"),
    Kind("Bearer in curl", HEADER, _RFC_6750,
         lambda r: f'curl -H "Authorization: Bearer ⟦{draw(r, BASE64URL, 43)}⟧" https://{host(r)}/'),
    Kind("Bearer in JSON", HEADER, _RFC_6750,
         lambda r: f'{{"headers": {{"authorization": "Bearer ⟦{hexadecimal(r, 40)}⟧"}}}}'),
    Kind("Token scheme", HEADER, "https://www.django-rest-framework.org/api-guide/authentication/",
         lambda r: f"Authorization: Token ⟦{hexadecimal(r, 40)}⟧"),
    Kind("Digest", HEADER, "https://www.rfc-editor.org/rfc/rfc7616",
         lambda r: f'Authorization: Digest username="{word(r)}", realm="x", response="⟦{hexadecimal(r, 32)}⟧"'),
    Kind("AWS signature", HEADER,
         "https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-auth-using-authorization-header.html",
         lambda r: "Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/eu-west-1/s3/"
                   f"aws4_request,SignedHeaders=host;x-amz-date,Signature=⟦{hexadecimal(r, 64)}⟧"),
    Kind("API key header", HEADER, "https://swagger.io/docs/specification/v3_0/authentication/api-keys/",
         lambda r: f"X-API-Key: ⟦{draw(r, LETTERS_AND_DIGITS, 32)}⟧"),
    Kind("Vault header", HEADER, "https://developer.hashicorp.com/vault/api-docs#authentication",
         lambda r: f"X-Vault-Token: ⟦{hexadecimal(r, 8)}-{hexadecimal(r, 4)}-{hexadecimal(r, 4)}⟧"),
    Kind("Cookie", HEADER, _RFC_6265, lambda r: f"Cookie: ⟦sid={draw(r, BASE64URL, 32)}; theme=dark⟧"),
    Kind("Set-Cookie", HEADER, _RFC_6265,
         lambda r: f"set-cookie: session=⟦{draw(r, HEX, 40)}⟧; Path=/; HttpOnly; Secure"),
    Kind("cookie of curl", HEADER, "https://curl.se/docs/manpage.html#-b",
         lambda r: f"curl -b 'sessionid=⟦{draw(r, LETTERS_AND_DIGITS, 32)}⟧' https://{host(r)}/"),
)  # fmt: skip
