"""LISTEN and NOTIFY: what is known of them, and that only a policy that names them permits them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from policies import cedar
from policies.model import Decision, Effect
from policies.recorded import facts_of
from policies.sql.asked_settings import of_one_call
from policies.sql.facts import SqlEffect
from policies.sql.postgres import analyse
from server.records import facts_document
from tests.e2e.policy_sets import starter_copy
from tests.policies.catalogs import catalog
from tests.policies.requests import Asker, person
from tests.policies.test_recorded import seen

EVERYBODY = ("analysts", "approvers", "dba", "developers", "leads", "operators", "stewards")
PACKS = ("starter", "analytics", "product-team", "compliance")
PERMIT = """
@id("ops-hear-of-orders")
permit (
  principal in Group::"ops",
  action in [Action::"sql.listen", Action::"sql.notify"],
  resource == Target::"shop"
)
when { ["orders_changed"].containsAll(context.sql.channels) };
"""
CHANNELS = {
    "LISTEN gossip": "gossip",
    "LISTEN Gossip": "gossip",
    'LISTEN "Gossip"': "Gossip",
    "listen/**/GOSSIP;": "gossip",
    'LISTEN U&"goss\\0069p"': "gossip",
    'LISTEN "a ""b"" c"': 'a "b" c',
    "UNLISTEN Gossip": "gossip",
    "NOTIFY Gossip": "gossip",
    "NOTIFY \"Gossip\", 'LISTEN other'": "Gossip",
}


def code(decision: Decision) -> str:
    return decision.refusal.code if decision.refusal else ""


def permitting(directory: Path, more: str = "") -> Asker:
    permits = starter_copy(directory / "policies") / "permits.cedar"
    permits.write_text(permits.read_text() + PERMIT + more)
    return Asker(cedar.load(permits.parent), person("developers", "ops"))


@pytest.mark.parametrize("text", CHANNELS)
def test_the_channel_is_a_fact_as_the_server_folds_it(text: str) -> None:
    facts = analyse(text, catalog())
    kind = text.partition(" ")[0].partition("/")[0].lower()
    effect = SqlEffect.WRITE if kind == "notify" else SqlEffect.SESSION
    assert (facts.effect, facts.kinds) == (effect, {kind}), facts.opaque
    assert facts.channels == {CHANNELS[text]}


def test_unlisten_of_all_names_no_channel() -> None:
    assert analyse("UNLISTEN *", catalog()).channels == frozenset()


@pytest.mark.parametrize("name", ["Ärger", '"Ärger"', "a" * 63, '"' + "a" * 80 + '"'])
@pytest.mark.parametrize("verb", ["LISTEN", "NOTIFY"])
def test_a_name_that_the_server_may_fold_or_cut_otherwise_is_refused(verb: str, name: str) -> None:
    opaque = analyse(f"{verb} {name}", catalog()).opaque
    assert opaque is not None
    assert opaque.code == "NAME_NOT_FOLLOWED"


@pytest.mark.parametrize("text", ["LISTEN gossip", "NOTIFY gossip", "NOTIFY gossip, 'x'"])
@pytest.mark.parametrize("pack", PACKS)
def test_no_pack_permits_it_to_anybody(pack: str, text: str) -> None:
    asker = Asker(cedar.load(pack), person(*EVERYBODY), reason="because")
    assert code(asker.run("SELECT id FROM users")) == ""
    for decision in (asker.run(text), asker.prepare(text)):
        assert code(decision) == "NOTIFICATIONS"
        assert decision.refusal is not None
        assert "channel gossip" in decision.refusal.reason
        assert f"sql.{text.partition(' ')[0].lower()}" in decision.refusal.next_step


def test_a_policy_permits_the_channels_that_it_names(tmp_path: Path) -> None:
    asker = permitting(tmp_path)
    for text in ("LISTEN orders_changed", "LISTEN Orders_Changed", "NOTIFY orders_changed, 'x'"):
        assert asker.run(text).effect is Effect.PERMIT
    for text in ("LISTEN gossip", 'LISTEN "Orders_Changed"', "NOTIFY gossip"):
        assert code(asker.run(text)) == "NOTIFICATIONS"
    others = Asker(asker.point, person("developers"))
    assert code(others.run("LISTEN orders_changed")) == "NOTIFICATIONS"


def test_to_listen_is_a_change_of_the_session_besides(tmp_path: Path) -> None:
    forbid = '@id("no") forbid (principal, action == Action::"sql.session", resource);'
    assert code(permitting(tmp_path, forbid).run("LISTEN orders_changed")) == "FORBIDDEN"


def test_a_gate_asks_for_approval_and_a_forbid_has_its_own_words(tmp_path: Path) -> None:
    more = (
        '@id("agreed") @approve("dba")\n'
        'forbid (principal, action == Action::"sql.listen", resource);\n'
        '@id("quiet") @reason("Nobody is told.")\n'
        'forbid (principal, action == Action::"sql.notify", resource);\n'
    )
    asker = permitting(tmp_path, more)
    asked = asker.run("LISTEN orders_changed")
    assert [approval.policy for approval in asked.approvals] == ["agreed"]
    refused = asker.run("NOTIFY orders_changed").refusal
    assert refused is not None
    assert (refused.code, refused.reason) == ("FORBIDDEN", "Nobody is told.")


@pytest.mark.parametrize("text", CHANNELS)
def test_what_was_recorded_is_asked_again_with_its_channel(text: str) -> None:
    facts = analyse(text, catalog())
    document = json.loads(json.dumps(facts_document(facts)))
    assert document["channels"] == [CHANNELS[text]]
    assert seen(facts_of(document)) == seen(facts)


def test_what_stands_alone_does_not_listen_and_may_notify() -> None:
    listening = of_one_call(analyse("LISTEN gossip", catalog())).opaque
    assert listening is not None
    assert listening.code == "NOTIFICATIONS"
    assert of_one_call(analyse("NOTIFY gossip", catalog())).opaque is None


@pytest.mark.parametrize(
    "text",
    [
        "SELECT pg_notify('gossip', 'x')",
        "SELECT * FROM pg_notify('gossip', 'x')",
        "DO $$ BEGIN LISTEN gossip; END $$",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'NOTIFY gossip'",
        "CREATE RULE r AS ON INSERT TO orders DO ALSO NOTIFY gossip",
        "PREPARE p AS LISTEN gossip",
        "EXPLAIN LISTEN gossip",
    ],
)
def test_no_other_statement_listens_or_notifies(text: str) -> None:
    assert analyse(text, catalog()).effect is SqlEffect.OPAQUE
