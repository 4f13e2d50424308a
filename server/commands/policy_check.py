"""`ostiary policy check`: do the policies load, and do they mean what they say."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from policies import cedar
from policies.lint import Known, Level, lint
from policies.packs import directory_of
from server.case_files import configured_targets
from server.commands.terminal import complain, say
from server.config import Configuration, load


def check(arguments: Namespace) -> int:
    """Lint the policies of a directory, or those that a configuration names, and load them."""
    configuration = load(Path(arguments.config)) if arguments.config else None
    chosen = configuration.policies if configuration else arguments.where
    findings = lint(directory_of(chosen), known(configuration))
    for finding in findings:
        complain(str(finding))
    if any(finding.level is Level.ERROR for finding in findings):
        return 1
    point = configured(configuration) if configuration else cedar.load(chosen)
    say(f"{chosen}: good, version {point.version[:12]}")
    return 0


def known(configuration: Configuration | None) -> Known:
    """What policies may name; nothing is known without a configuration."""
    if configuration is None:
        return Known()
    targets = list(configured_targets(configuration).values())
    return Known(targets, _labels(configuration), configuration.groups or None)


def configured(
    configuration: Configuration, source: Path | str | None = None
) -> cedar.CedarDecisionPoint:
    """The policies, or others, as the gateway would load them: for its targets and labels."""
    return cedar.load(
        configuration.policies if source is None else source,
        targets=configuration.targets.keys(),
        labels=_labels(configuration),
        groups=configuration.groups or None,
    )


def _labels(configuration: Configuration) -> set[str]:
    return {rule.label for target in configuration.targets.values() for rule in target.columns}
