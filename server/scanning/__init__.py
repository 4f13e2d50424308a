"""Proposals of labels from samples of a target's tables. Values are looked at and never shown."""
