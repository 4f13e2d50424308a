"""`ostiary policy test`: the cases of YAML files against policies, here or with live catalogs."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from policies import cedar
from policies.cases import Outcome, Surroundings, determining, run
from policies.errors import ConfigError
from policies.model import Decision, Target
from policies.packs import directory_of
from server.case_files import (
    CaseSource,
    case_files,
    configured_targets,
    named_policies,
    offline,
    read_cases,
)
from server.commands.gateway_client import open_gateway
from server.commands.live_facts import LiveFacts
from server.commands.terminal import say
from server.config import Configuration, load

_DEFAULT: Final = "policies"

Around = Callable[[CaseSource], Surroundings]


def test(arguments: Namespace) -> int:
    """Run every case; 1 if one comes out otherwise than expected."""
    configuration = load(Path(arguments.config)) if arguments.config else None
    files = [read_cases(path) for path in _paths(arguments, configuration)]
    points = Points(arguments.policies, configuration)
    with ExitStack() as lifetime:
        around = _around(arguments, configuration, lifetime)
        failed = sum(_run(cases, points.of(cases), around(cases)) for cases in files)
    total = sum(len(cases.file.cases) for cases in files)
    say(f"{failed} of {total} cases failed" if failed else f"good: {total} cases")
    return 1 if failed else 0


def _paths(arguments: Namespace, configuration: Configuration | None) -> Iterator[Path]:
    said = configuration.policies if configuration else arguments.policies or _DEFAULT
    for path in map(directory_of, arguments.paths or [said]):
        found = case_files(path) if path.is_dir() else [path]
        if not found:
            raise ConfigError(f"{path}: no *.yaml files with cases; see `ostiary policy packs`")
        yield from found


def _around(
    arguments: Namespace, configuration: Configuration | None, lifetime: ExitStack
) -> Around:
    if arguments.gateway is not None:
        client = lifetime.enter_context(open_gateway(arguments.gateway, os.environ))
        live = LiveFacts.of(client)
        return lambda _: live
    targets: Mapping[str, Target] = configured_targets(configuration) if configuration else {}
    return lambda cases: offline(cases, targets)


@dataclass(slots=True)
class Points:
    """Which policies a file's cases are decided by, each set loaded once.

    Those of --policies, else the configuration's, else those that the file names, else those
    beside it.
    """

    said: str | None
    configuration: Configuration | None
    loaded: dict[Path, cedar.CedarDecisionPoint] = field(default_factory=dict)

    def of(self, cases: CaseSource) -> cedar.CedarDecisionPoint:
        """Raises `ConfigError` for a set that does not load."""
        directory = self._directory(cases)
        if directory not in self.loaded:
            self.loaded[directory] = cedar.load(directory)
        return self.loaded[directory]

    def _directory(self, cases: CaseSource) -> Path:
        configured = self.configuration.policies if self.configuration else None
        said = self.said or configured or named_policies(cases) or cases.path.parent
        return directory_of(said)


def _run(cases: CaseSource, point: cedar.CedarDecisionPoint, around: Surroundings) -> int:
    """How many cases of a file failed."""
    failed = 0
    for number, case in enumerate(cases.file.cases):
        place = cases.place(number)
        try:
            outcome = run(case, cases.file.who(case), point=point, around=around)
        except ConfigError as error:
            raise ConfigError(f"{place}: {error}") from None
        if not outcome.good:
            failed += 1
            say(f"FAILED {place}: {case.name}")
            for line in _told(outcome, point):
                say(f"  {line}")
    return failed


def _told(outcome: Outcome, point: cedar.CedarDecisionPoint) -> Iterator[str]:
    for difference in outcome.differences:
        yield f"{difference.about}: expected {difference.expected}, came {difference.came}"
    yield from _reasons(outcome.decision)
    for policy in determining(outcome.decision):
        sentence = point.sentence(policy)
        place = point.location(policy) or "built in"
        yield f"by {policy} ({place})" + (f": {sentence}" if sentence else "")


def _reasons(decision: Decision) -> Iterator[str]:
    refusal = decision.refusal
    if refusal is not None:
        yield f"refused: {refusal.reason} ({refusal.code}, {refusal.subject or 'the statement'})"
