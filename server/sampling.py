"""What connectors and scans know of each other: a table that gave no sample."""

from __future__ import annotations


class NotSampled(Exception):
    """A table was not sampled; the text says why, in our words."""
