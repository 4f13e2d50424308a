"""TOOLS: the one list of MCP tools, in the order in which clients see them."""

from __future__ import annotations

from typing import Final

from tools.approval_wait import APPROVAL_WAIT
from tools.list_targets import LIST_TARGETS
from tools.review_approvals import REVIEW_APPROVALS
from tools.run_sql import RUN_SQL
from tools.tool import Tool

TOOLS: Final[tuple[Tool, ...]] = (RUN_SQL, LIST_TARGETS, APPROVAL_WAIT, REVIEW_APPROVALS)
