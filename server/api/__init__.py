"""The HTTP API of the command line."""
