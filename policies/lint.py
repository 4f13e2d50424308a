"""What is wrong, or looks wrong, in a directory of policies: all of it, each with what to do.

Errors are what does not load; warnings are what loads and hardly means what it says.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import cedarpy

from policies.loading import (
    Policy,
    PolicyError,
    read_files,
    read_policy,
    same_id,
    unmasked_labels,
)
from policies.mentions import (
    SCHEMA,
    about_anybody,
    actions,
    entities,
    is_unconditional,
    labels_named,
    members,
    narrowing,
    principal_groups,
    targets_named,
)
from policies.model import Target
from policies.policy_text import split_policies
from policies.questions import ON_CHANNELS, WRITE_MASKED

_DECIDE: Final = "approval.decide"


class Level(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at; `place` is a `file:line`, or the directory."""

    place: str
    level: Level
    policy: str
    problem: str
    advice: str = ""

    def __str__(self) -> str:
        about = f"policy {self.policy}: " if self.policy else ""
        advice = f"; {self.advice}" if self.advice else ""
        return f"{self.place}: {self.level}: {about}{self.problem}{advice}"


@dataclass(frozen=True, slots=True)
class Known:
    """What a configuration has, for policies to name; None where no configuration is at hand."""

    targets: Collection[Target] | None = None
    labels: Collection[str] | None = None
    groups: Collection[str] | None = None


_NOTHING: Final = Known()


def lint(directory: Path, known: Known = _NOTHING) -> list[Finding]:
    """Everything found, errors first. Raises ConfigError where the files can't be read."""
    findings: list[Finding] = []
    policies = _read(directory, findings)
    for policy in policies:
        findings += _of_one(policy, known)
    findings += _approvers(policies)
    if known.labels is not None:
        findings += _unmasked(directory, policies, known.labels)
    return sorted(findings, key=lambda f: f.level is not Level.ERROR)


def _read(directory: Path, findings: list[Finding]) -> list[Policy]:
    """The policies that can be read; of the others, why not."""
    schema = cedarpy.Schema.from_str(SCHEMA.read_text(encoding="utf-8"))
    found: dict[str, Policy] = {}
    for name, content in read_files(directory):
        for text in split_policies(name, content):
            try:
                policy = read_policy(text, schema)
                if policy.id in found:
                    raise same_id(policy, found[policy.id])
            except PolicyError as error:
                findings.append(Finding(error.place, Level.ERROR, error.policy, error.problem))
            else:
                found[policy.id] = policy
    return list(found.values())


def _of_one(policy: Policy, known: Known) -> Iterator[Finding]:
    yield from _targets(policy, known)
    yield from _groups(policy, known)
    yield from _labels(policy, known)
    if policy.document["effect"] == "permit":
        yield from _wide(policy)


def _targets(policy: Policy, known: Known) -> Iterator[Finding]:
    if known.targets is None:
        return
    names = {target.name for target in known.targets}
    for name, written in sorted(set(targets_named(policy.document))):
        if name not in names:
            advice = f"write one of {_list(names)}, or take the policy out"
            yield _error(policy, f"names {written}, which is none", advice)
    have = {
        "Environment": {target.environment for target in known.targets},
        "TargetGroup": {group for target in known.targets for group in target.groups},
    }
    for kind, name in sorted(set(entities(narrowing(policy.document)))):
        if kind in have and name not in have[kind]:
            advice = f"there are {_list(have[kind])}; correct it, or give a target that one"
            yield _warning(policy, f'names {kind}::"{name}", which no target has', advice)


def _groups(policy: Policy, known: Known) -> Iterator[Finding]:
    if known.groups is None:
        return
    named = {name for kind, name in entities(policy.document) if kind == "Group"}
    for name in sorted((named | policy.note.approver_groups) - set(known.groups)):
        advice = f"write one of {_list(known.groups)}, or add it to `groups` in the configuration"
        yield _error(policy, f"names {name}, which is no group", advice)


def _labels(policy: Policy, known: Known) -> Iterator[Finding]:
    if known.labels is None:
        return
    advice = f"columns carry {_list(known.labels)}; correct it, or label a column"
    masked, carried = policy.note.masked_labels, set(known.labels)
    # Masking more labels than columns carry is how a new column starts masked.
    if masked and not masked & carried:
        yield _warning(policy, f"masks {_list(masked)}, which no column carries", advice)
    bodies = [condition["body"] for condition in policy.document["conditions"]]
    for label in sorted(set(labels_named(bodies)) - carried):
        yield _warning(policy, f"names the label {label}, which no column carries", advice)


def _wide(policy: Policy) -> Iterator[Finding]:
    """Permits that say more than their author may think."""
    document = policy.document
    if not is_unconditional(document):
        return
    about = actions(document)
    if document["action"]["op"] == "All":
        advice = 'name the actions, such as action in [Action::"connect", Action::"read"]'
        problem = "permits every action, also deciding approvals and reading recordings"
        yield _warning(policy, problem, advice)
    elif "sql.opaque" in about:
        advice = 'leave Action::"admin" and Action::"sql.opaque" out; write Action::"sql.session"'
        problem = "permits statements that are not understood, which are refused all the same"
        yield _warning(policy, problem, advice)
    everybody = about_anybody(document) and document["resource"]["op"] == "All"
    if everybody and about & _STATEMENTS:
        advice = 'name who may: principal in Group::"…"'
        yield _warning(policy, "permits everybody who signs in", advice)


_STATEMENTS: Final = frozenset({"connect", WRITE_MASKED, *ON_CHANNELS.values()}).union(
    *(members()[group] for group in ("read", "change", "destroy", "admin"))
)


def _approvers(policies: Collection[Policy]) -> Iterator[Finding]:
    permits = [p for p in policies if p.document["effect"] == "permit"]
    for gate in policies:
        approvers = gate.note.approver_groups
        if approvers:
            yield from _undecided(gate, approvers, permits)
            yield from _among_themselves(gate, approvers, permits)


def _undecided(
    gate: Policy, approvers: frozenset[str], permits: Iterable[Policy]
) -> Iterator[Finding]:
    """Being named by a gate is not enough: deciding is an action that a policy permits."""
    deciders = _who(permits, lambda about: _DECIDE in about)
    for group in sorted(approvers - deciders) if deciders is not None else ():
        advice = f'permit (principal in Group::"{group}", action == Action::"{_DECIDE}", resource)'
        problem = f"asks {group}, whom no policy permits to decide"
        yield _warning(gate, problem, f"add a policy: {advice}")


def _among_themselves(
    gate: Policy, approvers: frozenset[str], permits: Iterable[Policy]
) -> Iterator[Finding]:
    gated = actions(gate.document) & _STATEMENTS
    requesters = _who(permits, lambda about: bool(about & gated))
    if requesters is not None and requesters == approvers and len(approvers) == 1:
        (group,) = approvers
        advice = "name another group in @approve, or permit others to ask"
        problem = f"only {group} may ask for it, and only {group} approves"
        yield _warning(gate, problem, advice)


def _who(
    permits: Iterable[Policy], wanted: Callable[[frozenset[str]], bool]
) -> frozenset[str] | None:
    """The groups that may do what is wanted; None where it can't be told from groups alone."""
    found = frozenset[str]()
    for permit in permits:
        if not wanted(actions(permit.document)):
            continue
        groups = principal_groups(permit.document)
        if groups is None:
            return None
        found |= groups
    return found


def _unmasked(
    directory: Path, policies: Iterable[Policy], labels: Collection[str]
) -> Iterator[Finding]:
    for label in unmasked_labels(policies, labels):
        advice = (
            f'add a gate: @id("mask-{label}") @mask("{label}") '
            'forbid (principal, action == Action::"sql.select", resource);'
        )
        problem = f"columns carry the label {label!r}, and no policy masks it"
        yield Finding(str(directory), Level.ERROR, "", problem, advice)


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _error(policy: Policy, problem: str, advice: str) -> Finding:
    return Finding(policy.source.place, Level.ERROR, policy.id, problem, advice)


def _warning(policy: Policy, problem: str, advice: str) -> Finding:
    return Finding(policy.source.place, Level.WARNING, policy.id, problem, advice)
