"""The label of what a server keeps secret: its passwords, keys and the settings that may hold them.

It is put on columns of system catalogs by this code, never by a configuration.
"""

from __future__ import annotations

from typing import Final

SERVER_SECRET: Final = "server-secret"  # noqa: S105 -- a label
"""Masked for everybody, whatever policies say."""
