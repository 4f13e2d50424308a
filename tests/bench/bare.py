"""The other side of the benchmark: the SDK's own server with one tool over asyncpg, no gateway."""

from __future__ import annotations

import os
import sys

import asyncpg
import uvicorn
from mcp.server import MCPServer

server = MCPServer("bare", log_level="WARNING")


@server.tool()
async def run_sql(target: str, sql: str) -> str:
    """Run a statement; `target` is there so that both sides get the same call."""
    pool = await _pool()
    return str([tuple(row) for row in await pool.fetch(sql)])


_POOLS: list[asyncpg.Pool[asyncpg.Record]] = []


async def _pool() -> asyncpg.Pool[asyncpg.Record]:
    if not _POOLS:
        _POOLS.append(await asyncpg.create_pool(os.environ["BARE_DSN"], min_size=1, max_size=8))
    return _POOLS[0]


if __name__ == "__main__":
    app = server.streamable_http_app()
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
