"""`ostiary demo`: the main job, shown on this machine."""

from __future__ import annotations

from argparse import Namespace

from server.demo.run import run


def demo(arguments: Namespace) -> int:
    """Set up the demo, play its tour; 0 if each step did what it says."""
    return run(arguments)
