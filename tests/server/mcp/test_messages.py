"""The one reading of a body: JSON that all readers read alike, and one JSON-RPC message."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.mcp.messages import NotAMessage, read_message
from server.mcp.strict_json import MOST_DEPTH, NotStrict

CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"run_sql"}}'


def nested(depth: int) -> bytes:
    """A message that is `depth` deep in all."""
    inner = b"[" * (depth - 2) + b"]" * (depth - 2)
    return b'{"jsonrpc":"2.0","method":"m","params":{"a":' + inner + b"}}"


@pytest.mark.parametrize(
    "body",
    [
        CALL,
        b"  " + CALL + b"\n",
        b'{"jsonrpc":"2.0","method":"notifications/initialized"}',
        b'{"jsonrpc":"2.0","id":"a","result":{}}',
        b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}',
        b'{"jsonrpc":"2.0","method":"m","params":{"a":1.5e3,"b":-9223372036854775807,"c":"\xc3\xa4\\ud83d\\ude00"}}',
        nested(MOST_DEPTH),
        b'{"jsonrpc":"2.0","method":"m","params":{"a":' + json.dumps([{}] * 500).encode() + b"}}",
    ],
)
def test_a_message_is_read_as_it_is(body: bytes) -> None:
    assert read_message(body) == json.loads(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"method":"a","method":"b"}',
        b'{"method":"m","params":{"name":"list_targets","name":"run_sql"}}',
        b'{"method":"m","params":{"a":[{"b":1,"b":1}]}}',
        b'{"method":"m","m\\u0065thod":"n"}',
        b"\xef\xbb\xbf" + CALL,
        CALL.decode().encode("utf-16"),
        CALL.decode().encode("utf-16-le"),
        CALL.decode().encode("utf-32"),
        b'{"method":"\xff"}',
        b'{"method":"\xc0\xaf"}',
        b'{"method":"\xed\xa0\x80"}',
        b'{"params":{"a":NaN}}',
        b'{"params":{"a":-Infinity}}',
        b'{"params":{"a":1e400}}',
        b'{"params":{"a":' + b"9" * 20 + b"}}",
        b'{"id":' + b"9" * 5000 + b',"method":"m"}',
        nested(MOST_DEPTH + 1),
        nested(100_000),
        b"[" * 100_000,
        b"",
        b"{",
        CALL + CALL,
        CALL + b"x",
        b"{'method':'m'}",
        b'{"method":"m",}',
        b'{"method":"a\nb"}',
        b"// no\n" + CALL,
    ],
)
def test_what_two_readers_may_read_differently_is_refused(body: bytes) -> None:
    with pytest.raises(NotStrict):
        read_message(body)


@pytest.mark.parametrize(
    "document",
    [
        [],
        [json.loads(CALL)],
        [json.loads(CALL)] * 2,
        "tools/call",
        1,
        None,
        {},
        {"jsonrpc": "2.0"},
        {"jsonrpc": "2.0", "id": 1},
        {"method": "m"},
        {"jsonrpc": "1.0", "method": "m"},
        {"jsonrpc": 2.0, "method": "m"},
        {"jsonrpc": "2.0", "Method": "tools/call"},
        {"jsonrpc": "2.0", "method": "tools/list", "Method": "tools/call"},
        {"jsonrpc": "2.0", "method": "m", "Params": {}},
        {"jsonrpc": "2.0", "method": ["m"]},
        {"jsonrpc": "2.0", "method": "m", "params": ["run_sql"]},
        {"jsonrpc": "2.0", "method": "m", "params": None},
        {"jsonrpc": "2.0", "method": "m", "result": {}},
        {"jsonrpc": "2.0", "id": 1, "result": {}, "error": {"code": 1, "message": ""}},
        {"jsonrpc": "2.0", "id": 1, "result": []},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": "1", "message": ""}},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": True, "message": ""}},
        {"jsonrpc": "2.0", "id": 1, "error": "x"},
        {"jsonrpc": "2.0", "result": {}},
        {"jsonrpc": "2.0", "method": "m", "id": None},
        {"jsonrpc": "2.0", "method": "m", "id": 1.5},
        {"jsonrpc": "2.0", "method": "m", "id": 1.0},
        {"jsonrpc": "2.0", "method": "m", "id": True},
        {"jsonrpc": "2.0", "method": "m", "id": [1]},
        {"jsonrpc": "2.0", "method": "m", "id": {}},
        {"jsonrpc": "2.0", "method": "m", "id": "x" * 257},
    ],
)
def test_what_is_no_single_message_is_refused(document: Any) -> None:
    with pytest.raises(NotAMessage):
        read_message(json.dumps(document).encode())


@pytest.mark.parametrize("body", [b'{"canary-7f3a":NaN}', b'{"canary-7f3a" 1}', b'{"x\xff7f3a"}'])
def test_the_words_of_a_refusal_repeat_nothing_of_the_body(body: bytes) -> None:
    with pytest.raises(NotStrict) as caught:
        read_message(body)
    assert "7f3a" not in str(caught.value)
