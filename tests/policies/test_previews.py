"""Which packs let a change be tried out before it is approved, and what policy is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.cedar import CedarDecisionPoint, load
from policies.model import Effect, SqlPreview
from policies.sql.facts import SqlFacts
from policies.sql.postgres import analyse
from tests.policies.catalogs import catalog
from tests.policies.requests import LABORATORY, Asker, person

CHANGE = "UPDATE users SET name = 'x' WHERE id = 1"
EVERYBODY_PREVIEWS = """
@id("previews")
permit (principal, action == Action::"sql.preview", resource in Environment::"development");
@id("masks")
@mask("pii, secret, salary")
forbid (principal, action == Action::"sql.select", resource);
"""


def previews(
    point: CedarDecisionPoint, text: str = CHANGE, facts: SqlFacts | None = None
) -> Effect:
    asker = Asker(point, person("developers", "operators"))
    found = facts or analyse(text, catalog())
    return asker.ask(SqlPreview("ap_1", text), found).effect


@pytest.mark.parametrize(
    ("pack", "effect"),
    [
        ("starter", Effect.PERMIT),
        ("product-team", Effect.PERMIT),
        ("analytics", Effect.DENY),
        ("compliance", Effect.DENY),
    ],
)
def test_a_pack_previews_changes_or_does_not(pack: str, effect: Effect) -> None:
    point = load(pack, targets={"shop"}, labels={"pii", "secret"})
    assert previews(point) is effect


@pytest.mark.parametrize(
    "text", ["SELECT id FROM users", "DROP TABLE users; SELECT 1", "SELECT pg_sleep(1)", "SHOW x"]
)
def test_what_changes_nothing_or_is_not_understood_is_never_previewed(text: str) -> None:
    point = load("starter", targets={"shop"}, labels={"pii", "secret"})
    assert previews(point, text) is Effect.DENY


def test_previews_can_be_limited_to_an_environment(tmp_path: Path) -> None:
    (tmp_path / "only.cedar").write_text(EVERYBODY_PREVIEWS)
    point = load(tmp_path, targets={"shop"}, labels={"pii", "secret"})
    assert previews(point) is Effect.DENY
    laboratory = Asker(point, person("developers"), LABORATORY)
    decision = laboratory.ask(SqlPreview("ap_1", CHANGE), analyse(CHANGE, catalog()))
    assert decision.effect is Effect.PERMIT


def test_permission_to_read_and_change_is_none_to_preview(tmp_path: Path) -> None:
    (tmp_path / "only.cedar").write_text(
        '@id("all") permit (principal, action in [Action::"read", Action::"change",'
        ' Action::"destroy", Action::"admin"], resource);\n'
        '@id("masks") @mask("pii, secret, salary")'
        ' forbid (principal, action == Action::"sql.select", resource);'
    )
    point = load(tmp_path, targets={"shop"}, labels={"pii", "secret"})
    assert previews(point) is Effect.DENY
