"""Approval tickets: asked for, decided, used once."""
