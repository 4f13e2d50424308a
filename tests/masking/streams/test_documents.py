"""JSON and YAML in a stream: walked, the same shape and spelling where nothing was found."""

from __future__ import annotations

import base64
import json
import random

import pytest
import yaml

from masking.scanning import StreamFinder
from masking.streams.bounds import Bounds
from masking.streams.stream import text_stream
from tests.masking.streams.feeding import CARD, EMAIL, chunked, fed

pytestmark = pytest.mark.anyio


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def masked(finder: StreamFinder, text: str) -> str:
    """The whole text at once, which must come out as it does in pieces."""
    whole = await fed(text_stream(finder), [text.encode()])
    for number in range(3):
        pieces = chunked(text.encode(), random.Random(number))
        assert (await fed(text_stream(finder), pieces)).output == whole.output
    return whole.output.decode()


async def test_numbers_dates_and_blanks_keep_their_form(finder: StreamFinder) -> None:
    text = (
        '{ "a":1.10,"b" : -2e+07, "c":[ null,true ,"2026-11-22"],\n\t"d": 12345678901234567890 }\n'
    )
    assert await masked(finder, text) == text


async def test_values_and_keys_are_searched(finder: StreamFinder) -> None:
    text = json.dumps({EMAIL: [CARD, int(CARD), {"note": f'a "{EMAIL}"\n'}], "n": 1})
    assert json.loads(await masked(finder, text + "\n")) == {
        "<EMAIL_ADDRESS>": ["<CREDIT_CARD>", "<CREDIT_CARD>", {"note": 'a "<EMAIL_ADDRESS>"\n'}],
        "n": 1,
    }


@pytest.mark.parametrize(
    "name", ["password", "DB_PASSWORD", "clientSecret", "access_token", "api-key", "auth", "pwd"]
)
async def test_names_that_say_secret_are_enough(finder: StreamFinder, name: str) -> None:
    assert json.loads(await masked(finder, json.dumps({name: "xyzzy", "b": "c"}) + "\n")) == {
        name: "<PASSWORD>",
        "b": "c",
    }


@pytest.mark.parametrize(
    "member",
    [
        {"nextPageToken": "CAUQAA"},
        {"secretName": "db-credentials"},
        {"password": None},
        {"password": ""},
        {"password": "${DB_PASSWORD}"},
        {"max_tokens": 100},
        {"automountServiceAccountToken": False},
    ],
)
async def test_names_that_only_sound_like_it_are_not(
    finder: StreamFinder, member: dict[str, object]
) -> None:
    assert json.loads(await masked(finder, json.dumps(member) + "\n")) == member


SECRET = {
    "apiVersion": "v1",
    "data": {"user": b64("admin"), "mail": b64(EMAIL), "raw": "AAEC/w=="},
    "kind": "Secret",
    "metadata": {"name": "db", "annotations": {}},
    "stringData": {"note": "plain"},
}


def hidden(kind: type = dict) -> dict[str, object]:
    return {
        **SECRET,
        "data": {"user": "<PASSWORD>", "mail": "<EMAIL_ADDRESS>", "raw": "<PASSWORD>"},
        "stringData": {"note": "<PASSWORD>"},
    }


@pytest.mark.parametrize("indent", [None, 4])
async def test_data_of_a_kubernetes_secret_goes_and_is_judged(
    finder: StreamFinder, indent: int | None
) -> None:
    listed = {"apiVersion": "v1", "items": [SECRET, {**SECRET, "kind": "ConfigMap"}]}
    output = json.loads(await masked(finder, json.dumps(listed, indent=indent) + "\n"))
    assert output["items"][0] == hidden()
    assert output["items"][1]["data"]["user"] == b64("admin")


async def test_a_document_in_an_annotation_is_walked(finder: StreamFinder) -> None:
    applied = {**SECRET, "metadata": {"annotations": {"last-applied": json.dumps(SECRET)}}}
    output = json.loads(await masked(finder, json.dumps(applied) + "\n"))
    assert json.loads(output["metadata"]["annotations"]["last-applied"]) == hidden()


async def test_yaml_secrets_are_walked_and_all_else_stays(finder: StreamFinder) -> None:
    text = (
        "apiVersion: v1\ndata:\n  user: YWRtaW4=\n  cert: |\n    line one\n    line two\n"
        f"kind: Secret\nmetadata:\n  # ask {EMAIL}\n  name: 'db'\n  n: 0x1F\n  when: 2026-11-22\n"
    )
    assert await masked(finder, text) == (
        'apiVersion: v1\ndata:\n  user: "<PASSWORD>"\n  cert: "<PASSWORD>"\n'
        "kind: Secret\nmetadata:\n  # ask <EMAIL_ADDRESS>\n  name: 'db'\n  n: 0x1F\n"
        "  when: 2026-11-22\n"
    )


async def test_a_kubeconfig_loses_its_users_secrets(finder: StreamFinder) -> None:
    text = yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "a", "cluster": {"server": "https://a:6443"}}],
            "users": [
                {"name": "a", "user": {"token": "abcdefgh", "client-key-data": b64("k" * 60)}},
                {"name": "b", "user": {"username": "b", "password": "xyzzy"}},
            ],
        }
    )
    output = await masked(finder, text)
    users = yaml.safe_load(output)["users"]
    assert users[0]["user"]["token"] == "<PASSWORD>"
    assert users[0]["user"]["client-key-data"].startswith("<")
    assert users[1]["user"] == {"username": "b", "password": "<PASSWORD>"}
    assert yaml.safe_load(output)["clusters"] == yaml.safe_load(text)["clusters"]


async def test_yaml_documents_follow_each_other(finder: StreamFinder) -> None:
    one = "apiVersion: v1\nkind: Secret\ndata: {a: YWRtaW4=}\n"
    output = await masked(finder, one + "---\n" + one + "---\n" + one)
    assert [each["data"] for each in yaml.safe_load_all(output)] == [{"a": "<PASSWORD>"}] * 3


@pytest.mark.parametrize(
    "text",
    [
        "[INFO] started\n[2026-11-22] ok\n{not json}\n[]\n{}\n",
        "--- a/file\n+++ b/file\n---\nprose: and more\n\tno yaml: [\n",
        '{"a": 1} and {"b": 2}\n{"open": [1, 2\nnot closed\n',
        "{\n}\n[\n]\nif (x) {\n  y();\n}\n",
    ],
)
async def test_what_only_looks_like_a_document_is_text(finder: StreamFinder, text: str) -> None:
    assert await masked(finder, text) == text
    assert EMAIL not in await masked(finder, text + f"{EMAIL}\n" + text)


async def test_lines_of_json_between_text_are_walked(finder: StreamFinder) -> None:
    text = f'start\n{{"card": {CARD}}}\n{{"msg": "ok", "took": 0.30}}\nend\n'
    assert await masked(finder, text) == (
        'start\n{"card": "<CREDIT_CARD>"}\n{"msg": "ok", "took": 0.30}\nend\n'
    )


async def test_a_document_over_the_bound_is_searched_as_text(finder: StreamFinder) -> None:
    text = json.dumps(
        {"filler": ["x"] * 300, "mail": EMAIL, "password": "hunter2hunter2"}, indent=1
    )
    stream = text_stream(finder, bounds=Bounds(document=256))
    output = (await fed(stream, [text[:200].encode(), text[200:].encode()])).output.decode()
    assert EMAIL not in output
    assert "hunter2" not in output


@pytest.mark.parametrize("form", ["yaml", "json"])
async def test_secrets_in_a_list_over_the_bound_go_too(finder: StreamFinder, form: str) -> None:
    items = [
        {**SECRET, "data": {"x": b64(f"zebra {n}")}, "metadata": {"name": f"of-{n}"}}
        for n in range(40)
    ]
    text = json.dumps({"apiVersion": "v1", "items": items, "kind": "List"}, indent=4) + "\n"
    text = yaml.safe_dump(json.loads(text)) if form == "yaml" else text
    raw = text.encode()
    stream = text_stream(finder, bounds=Bounds(document=1000))
    output = await fed(stream, [raw[n : n + 300] for n in range(0, len(raw), 300)])
    assert [n for n in range(40) if b64(f"zebra {n}") in output.output.decode()] == []
    assert output.counts["PASSWORD"] == 80
    assert yaml.safe_load(output.output)["items"][39]["metadata"] == {"name": "of-39"}


@pytest.mark.parametrize(
    "text",
    [
        "kind: Secret\napiVersion: v1\ndata:\n  user: YWRtaW4=\n",
        "apiVersion: v1\nkind: Secret\ndata:\n  user: YWRtaW4=\n  {{- if .Values.more }}\n",
        "apiVersion: v1\nkind: Secret\ndata:\n  user: YWRtaW4=\nmore:\n\t- [\n",
    ],
)
async def test_secrets_that_begin_otherwise_or_can_not_be_parsed_go_too(
    finder: StreamFinder, text: str
) -> None:
    assert "YWRtaW4=" not in await masked(finder, text)


VALUE = "YWRtaW4taHVudGVy"


@pytest.mark.parametrize(
    "text",
    [
        f"data:\n  user: {VALUE}\nkind: Secret\nmetadata:\n  name: x\n",
        f"    apiVersion: v1\n    kind: Secret\n    data:\n      user: {VALUE}\n",
        f"log\n    kind: Secret\n    data:\n      user: {VALUE}\nmore\n",
        f"- apiVersion: v1\n  kind: Secret\n  data:\n    user: {VALUE}\n",
        f"items:\n- data:\n    user: {VALUE}\n  kind: Secret\n  apiVersion: v1\n",
        f"{{kind: Secret, data: {{user: {VALUE}}}}}\n",
        f"  kind: Secret\n  data: {{user: {VALUE}}}\n",
        f"apiVersion: v1\nx: &a\n  user: {VALUE}\nkind: Secret\ndata: *a\n",
        f"apiVersion: v1\nmetadata:\n  name: &p {VALUE}\nkind: Secret\ndata:\n  user: *p\n",
        f"apiVersion: v1\nx: &a\n  user: {VALUE}\nkind: Secret\ndata:\n  <<: *a\n",
        f"apiVersion: v1\nx: &k Secret\nkind: *k\ndata:\n  user: {VALUE}\n",
        f"kind: Secret\ndata:\n  user:\n    {VALUE}\n\t- [\n",
        f'  "kind": "Secret",\n  "data": {{\n    "user": "{VALUE}"\n  }}\n',
        f'got {{"kind":"Secret","data":{{"a{{b":"x}}y","user":"{VALUE}"}}}} ok\n',
        f"kind: Secret # mine\ndata:\n  user: {VALUE}\n",
    ],
)
async def test_secrets_go_wherever_and_however_they_stand(finder: StreamFinder, text: str) -> None:
    for pieces in ([text.encode()], chunked(text.encode(), random.Random(1))):
        assert VALUE.encode() not in (await fed(text_stream(finder), pieces)).output


@pytest.mark.parametrize(
    "text",
    [
        f"apiVersion: v1\ndata:\n  user: {VALUE}\nkind: Secret\n",
        f"apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n  user: {VALUE}\n",
        f"- data:\n    user: {VALUE}\n  kind: Secret\n",
        f'{{\n "kind": "Secret",\n "data": {{\n  "user": "{VALUE}"\n }}\n}}\n',
    ],
)
async def test_secrets_that_come_line_by_line_with_long_pauses_go_too(
    finder: StreamFinder, text: str
) -> None:
    stream, output = text_stream(finder), b""
    for number, line in enumerate(text.splitlines(keepends=True)):
        output += (await stream.feed(line.encode())).output
        output += (await stream.tick(10 * number)).output
        output += (await stream.tick(10 * number + 5)).output
    output += (await stream.feed(b"$ echo name: done\n")).output
    output += (await stream.end()).output
    assert VALUE.encode() not in output
    assert output.endswith(b"$ echo name: done\n")


async def test_an_alias_of_hostile_size_is_text(finder: StreamFinder) -> None:
    wide = ", ".join(["x"] * 200)
    text = f"apiVersion: v1\na: &a [{wide}]\nb: [{', '.join(['*a'] * 200)}]\nm: {EMAIL}\n"
    assert EMAIL not in await masked(finder, text)


async def test_a_document_that_does_not_end_goes_out_when_its_time_is_up(
    finder: StreamFinder,
) -> None:
    stream = text_stream(finder)
    first = await stream.feed(f'{{\n  "mail": "{EMAIL}",\n'.encode())
    await stream.tick(0)
    assert (first + await stream.tick(1)).output == b""
    assert (await stream.tick(3)).output == b'{\n  "mail": "<EMAIL_ADDRESS>",\n'


async def test_hostile_depth_is_text(finder: StreamFinder) -> None:
    text = "[" * 3000 + f'"{EMAIL}"' + "]" * 3000 + "\n"
    assert EMAIL.encode() not in (await fed(text_stream(finder), [text.encode()])).output
