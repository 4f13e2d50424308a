"""Lint: each mistake is found, with file, line and what to do; what is right is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies import packs
from policies.lint import Finding, Known, Level, lint
from policies.model import Target

SHOP = Target("shop", "postgres", "production", frozenset({"eu"}))
KNOWN = Known([SHOP], ["pii"], ["developers", "dba"])
SELECT = 'forbid (principal, action == Action::"sql.select", resource)'
MASK = f'@id("mask") @mask("pii") {SELECT};\n'
DECIDE = (
    '@id("decide") permit (principal in Group::"dba", '
    'action == Action::"approval.decide", resource);\n'
)
READ = '@id("read") permit (principal in Group::"{group}", action in Action::"change", resource);'
GATE = '@id("gate") @approve("dba") forbid (principal, action in Action::"change", resource);'


def found(directory: Path, text: str, known: Known = KNOWN) -> list[Finding]:
    (directory / "rules.cedar").write_text(MASK + text, encoding="utf-8")
    return lint(directory, known)


def one(directory: Path, text: str, known: Known = KNOWN) -> Finding:
    findings = found(directory, text, known)
    assert len(findings) == 1, findings
    return findings[0]


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("forbid (principal, action, resource);", "needs an @id"),
        (f'@id("mask") {SELECT};', "has the @id of the policy at"),
        ('@id("x") permit (principal, action, resource);', "permits everything"),
        ('@id("x") permit (principal is User, action, resource);', "permits everything"),
        ('@id("x") @mask("pii") permit (principal in Group::"dba", action, resource);', "@mask on"),
        ('@id("x") permit (principal', "does not parse"),
        ('@id("x") forbid (principal, action, resource in Target::"shp");', 'Target::"shp"'),
        (
            '@id("x") forbid (principal, action, resource == Table::"shp/public/a");',
            'Table::"shp/public/a"',
        ),
        ('@id("x") forbid (principal in Group::"dbas", action, resource);', "dbas, which is no"),
        (
            '@id("x") forbid (principal, action, resource) when {principal in Group::"dev"};',
            "dev, which is no group",
        ),
        (f'@id("x") @approve("oncall") {SELECT};', "oncall, which is no group"),
    ],
)
def test_what_does_not_load_or_names_nothing_is_an_error_with_its_place(
    tmp_path: Path, policy: str, says: str
) -> None:
    errors = [f for f in found(tmp_path, "\n\n" + policy) if f.level is Level.ERROR]
    assert len(errors) == 1, errors
    assert errors[0].place == f"{tmp_path / 'rules.cedar'}:4"
    assert says in str(errors[0])


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        (
            '@id("x") forbid (principal, action, resource in Environment::"prod");',
            'Environment::"prod", which no target has; there are production',
        ),
        (
            '@id("x") forbid (principal, action, resource) when {resource in TargetGroup::"us"};',
            'TargetGroup::"us"',
        ),
        (f'@id("x") {SELECT} when {{ context.sql.labels.contains("pi") }};', "the label pi"),
        (
            f'@id("x") {SELECT} when {{ ["pii", "ssn"].containsAll(context.sql.labels_read) }};',
            "the label ssn",
        ),
        (f'@id("x") @mask("person") {SELECT};', "masks person, which"),
        (
            '@id("x") permit (principal in Group::"dba", action in Action::"admin", resource);',
            "not understood",
        ),
        ('@id("x") permit (principal in Group::"dba", action, resource);', "every action"),
        (
            '@id("x") permit (principal, action in Action::"read", resource);',
            "everybody who signs in",
        ),
        (
            '@id("x") permit (principal is User, action in Action::"read", resource)when { true };',
            "everybody who signs in",
        ),
    ],
)
def test_what_hardly_means_what_it_says_is_a_warning(
    tmp_path: Path, policy: str, says: str
) -> None:
    finding = one(tmp_path, policy)
    assert finding.level is Level.WARNING
    assert says in str(finding)
    assert finding.advice


def test_a_label_that_nothing_in_force_masks_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "rules.cedar").write_text(MASK.replace("@mask", '@mode("audit") @mask'))
    (finding,) = lint(tmp_path, KNOWN)
    assert finding.level is Level.ERROR
    assert "no policy masks it" in finding.problem


def test_whoever_is_asked_must_be_permitted_to_decide(tmp_path: Path) -> None:
    assert "no policy permits to decide" in one(tmp_path, GATE).problem
    assert found(tmp_path, GATE + DECIDE) == []


def test_approvers_that_only_approve_each_other_are_warned_of(tmp_path: Path) -> None:
    own = one(tmp_path, GATE + DECIDE + READ.format(group="dba"))
    assert "only dba may ask" in own.problem
    assert found(tmp_path, GATE + DECIDE + READ.format(group="developers")) == []


@pytest.mark.parametrize(
    "policy",
    [
        f'@id("x") @approve("self") {SELECT};',
        '@id("x") forbid (principal, action, resource) unless {resource in Environment::"test"};',
        f'@id("x") @mask("pii, secret") {SELECT};',
        f'@id("x") {SELECT} when {{ ["mcp"].contains(context.request.channel) }};',
        '@id("x") permit (principal in Group::"dba", action == Action::"sql.session", resource);',
        '@id("x") permit (principal, action == Action::"policy.explain", resource)'
        "when { resource == principal };",
    ],
)
def test_what_is_meant_is_left_alone(tmp_path: Path, policy: str) -> None:
    assert found(tmp_path, policy) == []


def test_everything_is_found_at_once_and_errors_stand_first(tmp_path: Path) -> None:
    findings = found(
        tmp_path,
        '@id("a") permit (principal, action in Action::"read", resource);\n'
        "forbid (principal, action, resource);\n"
        f'@id("b") @nask("pii") {SELECT};\n',
    )
    assert [f.level for f in findings] == [Level.ERROR, Level.ERROR, Level.WARNING]
    assert [f.place.rpartition(":")[2] for f in findings] == ["3", "4", "2"]


def test_without_a_configuration_names_are_not_judged(tmp_path: Path) -> None:
    text = '@id("x") forbid (principal in Group::"g", action, resource in Target::"t");'
    assert found(tmp_path, text, Known()) == []


@pytest.mark.parametrize("pack", packs.PACKS, ids=lambda pack: pack.name)
def test_the_packs_have_no_findings_and_name_their_groups(pack: packs.Pack) -> None:
    targets = [Target(name, "postgres", name) for name in ("production", "staging")]
    labels = ["pii", "secret"]
    assert lint(pack.directory, Known(targets, labels, pack.groups)) == []
    fewer = lint(pack.directory, Known(targets, labels, pack.groups[1:]))
    assert fewer
    assert all(f"names {pack.groups[0]}, which is no group" in f.problem for f in fewer)
