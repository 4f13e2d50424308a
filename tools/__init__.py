"""The MCP tools: typed arguments -> action, events -> result. No I/O."""
