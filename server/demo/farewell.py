"""What to paste into another terminal once the tour has ended."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def farewell(url: str, state: Path, postgres: int) -> list[str]:
    """Lines that work as they stand, in any directory, by whoever may read `state`."""
    rita, victor = (shlex.quote(str(state / f"{name}.token")) for name in ("rita", "victor"))
    command = Path(sys.executable).with_name("ostiary")
    bearer = f'"Authorization: Bearer $(cat {rita})"'
    return [
        "",
        f"The gateway stays up at {url}/mcp until Ctrl-C. Paste into another terminal:",
        "",
        "  # Claude Code, as rita",
        f"  claude mcp add --transport http ostiary {url}/mcp --header {bearer}",
        "",
        "  # MCP Inspector (Node 22.19 or newer), as rita",
        "  npx -y @modelcontextprotocol/inspector@2.12.0 --cli --transport http \\",
        f"    --server-url {url}/mcp --header {bearer} \\",
        "    --protocol-era modern --method tools/call --tool-name run_sql \\",
        "    --tool-arg target=shop 'sql=SELECT id, name, ssn FROM customers LIMIT 3'",
        "",
        "  # psql, as rita",
        f"  PGPASSWORD=$(cat {rita}) psql -h 127.0.0.1 -p {postgres} -U rita shop",
        "",
        "  # the approval page, in a browser: sign in as victor",
        f"  {url}/approvals",
        "",
        "  # what waits for approval, as victor",
        f"  export OSTIARY_GATEWAY={url} OSTIARY_TOKEN=$(cat {victor})",
        f"  {shlex.quote(str(command))} approvals watch",
        "",
        "The tokens are good for 12 hours:",
        f"  rita   (asks)      {rita}",
        f"  victor (approves)  {victor}",
        "",
    ]
