"""Gateways of a line's own, beside the one that all attacks share."""

from __future__ import annotations

from tests.e2e.conftest import module_worlds

__all__ = ["module_worlds"]
