"""The packs decide what their own cases say; a case that is wrong is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies import packs
from policies.cases import Case, Expect, Who, run
from policies.cedar import CedarDecisionPoint, load
from policies.loading import load_policy_sets
from policies.mentions import actions, members
from server.case_files import CaseSource, offline, read_cases

PACKS = {pack.name: pack for pack in packs.PACKS}
LOADED = {name: load(name) for name in PACKS}
SOURCES = {name: read_cases(pack.directory / "cases.yaml") for name, pack in PACKS.items()}
STATEMENTS = {action for action in members() if action.startswith("sql.")} | {"connect"}
STATEMENTS -= {
    "sql.preview"
}  # the gateway asks it, not a statement: tests/policies/test_previews.py
CASES = [(name, case) for name, source in SOURCES.items() for case in source.file.cases]


def decided(point: CedarDecisionPoint, source: CaseSource, case: Case, who: Who) -> bool:
    return run(case, who, point=point, around=offline(source, {})).good


@pytest.mark.parametrize(("name", "case"), CASES, ids=lambda v: v if isinstance(v, str) else v.name)
def test_a_pack_decides_as_its_cases_say(name: str, case: Case) -> None:
    source = SOURCES[name]
    outcome = run(case, source.file.who(case), point=LOADED[name], around=offline(source, {}))
    assert outcome.differences == ()


@pytest.mark.parametrize("name", PACKS)
def test_every_policy_about_statements_is_spoken_of_by_a_case(name: str) -> None:
    """A policy that no case would miss may be taken out unseen."""
    source, point = SOURCES[name], LOADED[name]
    fired = set()
    for case in source.file.cases:
        outcome = run(case, source.file.who(case), point=point, around=offline(source, {}))
        fired |= {policy for q in outcome.decision.questions for policy in q.policies}
    sets = load_policy_sets(PACKS[name].directory, targets=None, labels=(), groups=None)
    spoken_of = {p.id for p in sets.policies.values() if actions(p.document) & STATEMENTS}
    assert spoken_of - fired == set()


def test_nothing_is_permitted_to_whoever_is_in_no_group() -> None:
    for name, source in SOURCES.items():
        for case in source.file.cases:
            stranger = case.model_copy(update={"expect": Expect(decision="deny")})
            nobody = Who(user="nobody", agent="agent")
            assert decided(LOADED[name], source, stranger, nobody), (name, case.name)


def test_a_pack_is_its_name_and_a_directory_of_that_name_is_not() -> None:
    assert packs.directory_of("analytics") == PACKS["analytics"].directory
    assert packs.directory_of("./analytics") == Path("analytics")
    assert packs.directory_of(Path("analytics")) == Path("analytics")
