"""The MCP door: tools over Streamable HTTP and stdio."""
