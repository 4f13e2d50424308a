"""Every tool in the one list, judged by the same rules."""

from __future__ import annotations

import json

import pytest

from server.mcp.results import tool_listing
from tools.registry import TOOLS
from tools.schema import compact_schema
from tools.tool import Tool

EACH_TOOL = pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)


def test_the_tool_list_is_at_most_1500_tokens() -> None:
    listed = [
        tool_listing(tool).model_dump(mode="json", by_alias=True, exclude_none=True)
        for tool in TOOLS
    ]
    assert len(json.dumps({"tools": listed})) / 4 <= 1500


def test_no_two_tools_share_a_name() -> None:
    assert len({tool.name for tool in TOOLS}) == len(TOOLS)


@EACH_TOOL
def test_a_description_has_one_to_three_sentences(tool: Tool) -> None:
    assert 1 <= tool.description.replace("e.g.", "").count(". ") + 1 <= 3
    assert tool.description.endswith(".")


@EACH_TOOL
def test_every_parameter_is_described_with_an_example(tool: Tool) -> None:
    properties = compact_schema(tool.arguments)["properties"]
    assert isinstance(properties, dict)
    bare = [n for n, p in properties.items() if not isinstance(p, dict) or "e.g." not in str(p)]
    assert bare == []


@EACH_TOOL
def test_unknown_arguments_are_forbidden_in_the_published_schema(tool: Tool) -> None:
    assert compact_schema(tool.arguments)["additionalProperties"] is False


@EACH_TOOL
def test_a_schema_has_no_references(tool: Tool) -> None:
    schemas = json.dumps([compact_schema(tool.arguments), compact_schema(tool.output)])
    assert "$ref" not in schemas
    assert "$defs" not in schemas
