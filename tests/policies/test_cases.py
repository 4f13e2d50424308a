"""Cases: what is expected is compared with what is decided, part by part."""

from __future__ import annotations

from typing import Any

import pytest

from policies.case_catalogs import Offline, written
from policies.cases import Case, CaseCatalog, Outcome, Who, run
from policies.cedar import load
from policies.errors import ConfigError
from policies.model import Target

CATALOG = written(
    CaseCatalog.model_validate(
        {
            "tables": {
                "public.customers": {"id": "bigint", "email": {"type": "text", "label": "pii"}},
                "public.orders": {"id": "bigint", "status": "text"},
            },
            "functions": ("public.score",),
        }
    )
)
SHOP = Target("shop", "postgres", "production")
AROUND = Offline({"shop": SHOP, "bare": Target("bare", "postgres", "test")}, {"shop": CATALOG})
STARTER = load("starter")
RITA = {"user": "rita", "groups": ("developers",)}


def outcome(expect: dict[str, Any], sql: str | None = "SELECT 1", **more: Any) -> Outcome:
    said = {"name": "x", "who": RITA, "target": "shop", "sql": sql, "expect": expect, **more}
    case = Case.model_validate(said)
    assert isinstance(case.who, Who)
    return run(case, case.who, point=STARTER, around=AROUND)


UPDATE = "UPDATE orders SET status = 'x' WHERE id = 1"


@pytest.mark.parametrize(
    ("sql", "expect"),
    [
        ("SELECT email FROM customers", {"decision": "allow", "masked": ("pii",)}),
        ("SELECT id FROM customers", {"decision": "allow", "masked": (), "row_limit": 1000}),
        ("SELECT score(1)", {"decision": "allow", "timeout": "15s", "approvers": ()}),
        (UPDATE, {"decision": "approve", "approvers": ("dba",), "people": 1}),
        (UPDATE, {"decision": "approve", "rules": ("changes-need-approval",), "audited": ()}),
        ("DELETE FROM orders", {"decision": "deny", "code": "FORBIDDEN"}),
        ("DELETE FROM orders", {"decision": "deny", "rules": ("no-whole-table-changes",)}),
        ("SELECT 1 FROM nowhere", {"decision": "deny", "code": "RELATION_UNKNOWN"}),
        (None, {"decision": "allow"}),
    ],
)
def test_what_is_decided_as_expected_is_good(sql: str | None, expect: dict[str, Any]) -> None:
    assert outcome(expect, sql).differences == ()


@pytest.mark.parametrize(
    ("sql", "expect", "about"),
    [
        (UPDATE, {"decision": "allow"}, "decision"),
        (UPDATE, {"decision": "deny"}, "decision"),
        ("SELECT 1", {"decision": "approve"}, "decision"),
        (UPDATE, {"decision": "approve", "approvers": ("leads",)}, "approvers"),
        (UPDATE, {"decision": "approve", "people": 2}, "people"),
        (UPDATE, {"decision": "approve", "rules": ("no-schema-changes",)}, "rules"),
        ("SELECT email FROM customers", {"decision": "allow", "masked": ()}, "masked"),
        ("SELECT id FROM customers", {"decision": "allow", "masked": ("pii",)}, "masked"),
        ("SELECT id FROM orders", {"decision": "allow", "row_limit": 10}, "row_limit"),
        ("SELECT id FROM orders", {"decision": "allow", "row_limit": None}, "row_limit"),
        ("SELECT 1", {"decision": "allow", "timeout": "1s"}, "timeout"),
        ("SELECT 1", {"decision": "allow", "audited": ("x",)}, "audited"),
        ("DELETE FROM orders", {"decision": "deny", "code": "NOT_PERMITTED"}, "code"),
    ],
)
def test_each_part_that_came_out_otherwise_is_named(
    sql: str, expect: dict[str, Any], about: str
) -> None:
    assert [each.about for each in outcome(expect, sql).differences] == [about]


def test_who_may_not_connect_asks_nothing() -> None:
    stranger = {"user": "otto"}
    found = outcome({"decision": "deny", "code": "NOT_PERMITTED"}, "DELETE FROM x", who=stranger)
    assert found.good
    assert found.facts is None


def test_a_target_that_nothing_describes_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"no target 'shp' \(there are: bare, shop\)"):
        outcome({"decision": "allow"}, target="shp")


def test_a_target_without_a_catalog_is_an_error_for_statements_only() -> None:
    assert outcome({"decision": "allow"}, None, target="bare").good
    with pytest.raises(ConfigError, match="no catalog here"):
        outcome({"decision": "allow"}, target="bare")
