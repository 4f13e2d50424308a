"""`ostiary policy check`: do the policies load; file and policy id where they do not."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from policies import cedar
from server.commands.terminal import say
from server.config import Configuration, load


def check(arguments: Namespace) -> int:
    """Load the policies of a directory, or those that a configuration names."""
    if arguments.config:
        configuration = load(Path(arguments.config))
        chosen, point = configuration.policies, configured(configuration)
    else:
        chosen, point = arguments.where, cedar.load(arguments.where)
    say(f"{chosen}: good, version {point.version[:12]}")
    return 0


def configured(configuration: Configuration) -> cedar.CedarDecisionPoint:
    """The policies as the gateway would load them: for its targets, and for its labels."""
    labels = {rule.label for target in configuration.targets.values() for rule in target.columns}
    return cedar.load(configuration.policies, targets=configuration.targets.keys(), labels=labels)
