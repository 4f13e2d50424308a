"""The MCP door in both eras: listing, calling, refusing."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator

import pytest

from policies.model import Parameter, SqlStatement
from tests.fixtures.gateway import ALICE, FakeGateway, shop
from tests.fixtures.mcp import Door, connected, serving, text_of

pytestmark = pytest.mark.anyio
ERAS = pytest.mark.parametrize("era", ["auto", "legacy"])
READ = {"target": "shop", "sql": "SELECT id, ssn FROM customers"}


@pytest.fixture
def gateway() -> FakeGateway:
    return shop()


@pytest.fixture
async def door(gateway: FakeGateway) -> AsyncIterator[Door]:
    async with serving(gateway) as door:
        yield door


@ERAS
async def test_a_requester_sees_the_tools_but_not_the_reviewers_tool(door: Door, era: str) -> None:
    async with connected(door, era) as client:
        listed = await client.list_tools()
    assert [tool.name for tool in listed.tools] == ["run_sql", "list_targets", "approval_wait"]


@ERAS
async def test_a_reviewer_sees_the_reviewers_tool(door: Door, era: str) -> None:
    async with connected(door, era, token="bob-token") as client:
        listed = await client.list_tools()
    assert [tool.name for tool in listed.tools][-1] == "review_approvals"


@ERAS
async def test_a_read_comes_back_as_text_and_as_structured_content(door: Door, era: str) -> None:
    async with connected(door, era) as client:
        result = await client.call_tool("run_sql", {**READ, "params": [1, None, True, "x", 0.5]})
    assert not result.is_error
    content = result.structured_content
    assert content["columns"] == [
        {"name": "id", "type": "int4", "masked": False},
        {"name": "ssn", "type": "text", "masked": True},
    ]
    assert content["rows"] == [[1, "*****6789"], [2, None]]
    assert content["masked_columns"] == {"ssn": "pii: keep_last(4)"}
    assert (content["row_count"], content["truncated"], content["session"]) == (2, False, "ses_1")
    assert "1\t*****6789\n2\t\\N" in text_of(result)


async def test_the_gate_gets_the_callers_principal_and_the_exact_statement(door: Door) -> None:
    async with connected(door, "auto") as client:
        await client.call_tool(
            "run_sql",
            {**READ, "params": [1, None, True, "null", 0.5], "reason": "why", "max_rows": 7},
        )
    parameters = (
        Parameter(b"1", scalar="integer"),
        Parameter(None),
        Parameter(b"true", scalar="boolean"),
        Parameter(b"null"),
        Parameter(b"0.5", scalar="float"),
    )
    statement = SqlStatement(READ["sql"], parameters, skip=0, max_rows=7)
    assert door.gateway.performed == [(ALICE, "shop", statement, "why")]


@ERAS
async def test_a_refusal_says_code_policy_reason_span_and_next_step(door: Door, era: str) -> None:
    async with connected(door, era) as client:
        result = await client.call_tool("run_sql", {"target": "shop", "sql": "DROP TABLE orders"})
    assert result.is_error
    assert result.structured_content is None
    assert json.loads(text_of(result)) == {
        "code": "POLICY_DENIED",
        "reason": "Nobody drops tables.",
        "policy": "no-ddl",
        "subject": "table public.orders",
        "span": [11, 17],
        "next_step": "Ask a DBA.",
    }


@ERAS
async def test_the_targets_own_error_is_an_error_with_its_sqlstate(door: Door, era: str) -> None:
    async with connected(door, era) as client:
        result = await client.call_tool("run_sql", {"target": "shop", "sql": "SELECT nope"})
    problem = json.loads(text_of(result))
    assert result.is_error
    assert (problem["code"], problem["sqlstate"], problem["position"]) == ("SQL_ERROR", "42703", 8)


@ERAS
async def test_a_hidden_tool_and_an_unknown_tool_get_the_same_answer(door: Door, era: str) -> None:
    async with connected(door, era) as client:
        hidden = await client.call_tool("review_approvals", {})
        unknown = await client.call_tool("no_such_tool", {"x": 1})
    assert hidden.is_error
    assert hidden.content == unknown.content
    assert json.loads(text_of(hidden))["code"] == "TOOL_UNKNOWN"


@ERAS
async def test_each_unknown_or_wrong_argument_is_named_and_no_value_is_echoed(
    door: Door, era: str
) -> None:
    arguments = {**READ, "max_rows": "canary-1", "params": [["canary-2"]], "databse": "canary-3"}
    async with connected(door, era) as client:
        result = await client.call_tool("run_sql", arguments)
    reason = json.loads(text_of(result))["reason"]
    assert result.is_error
    assert "databse: unknown argument" in reason
    assert "max_rows: " in reason
    assert "params[0]: wrong type" in reason
    assert "canary" not in text_of(result)
    assert "pydantic" not in text_of(result)


async def test_what_never_reaches_the_gate_is_recorded_as_refused(door: Door) -> None:
    async with connected(door, "auto") as client:
        await client.call_tool("run_sql", {"sql": "SELECT 1"})
        await client.call_tool("review_approvals", {})
    assert door.gateway.refusals == [
        ("corp:alice", "run_sql", "ARGUMENTS_INVALID"),
        ("corp:alice", "review_approvals", "TOOL_UNKNOWN"),
    ]


@ERAS
async def test_an_unexpected_error_gives_an_id_that_only_the_log_explains(
    door: Door, era: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        async with connected(door, era) as client:
            result = await client.call_tool("run_sql", {"target": "shop", "sql": "SELECT crash"})
    problem = json.loads(text_of(result))
    assert problem["code"] == "INTERNAL_ERROR"
    assert "canary-7f3a" not in text_of(result)
    number = problem["reason"].split("error ")[1].rstrip(").")
    assert number in caplog.text
    assert "canary-7f3a" in caplog.text


@ERAS
async def test_targets_are_listed_with_what_will_need_approval(door: Door, era: str) -> None:
    async with connected(door, era) as client:
        result = await client.call_tool("list_targets", {})
    assert result.structured_content == {
        "targets": [
            {
                "name": "shop",
                "kind": "postgres",
                "environment": "production",
                "notes": ["update: needs approval by dba"],
            }
        ]
    }


@ERAS
async def test_a_string_that_looks_like_json_stays_a_string(door: Door, era: str) -> None:
    async with connected(door, era) as client:
        await client.call_tool("run_sql", {**READ, "sql": "null", "reason": '{"a": 1}'})
    _, _, action, reason = door.gateway.performed[0]
    assert isinstance(action, SqlStatement)
    assert (action.text, reason) == ("null", '{"a": 1}')


@ERAS
async def test_no_prompts_and_no_resources_are_advertised(door: Door, era: str) -> None:
    async with connected(door, era) as client:
        capabilities = client.server_capabilities
    assert capabilities is not None
    assert capabilities.prompts is None
    assert capabilities.resources is None
    assert capabilities.tools is not None
