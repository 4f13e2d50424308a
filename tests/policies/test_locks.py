"""LOCK TABLE: a read of its tables in the mode that reads take, and nothing in any other."""

from __future__ import annotations

import pytest

from policies.sql.facts import SqlEffect
from policies.sql.postgres import analyse
from tests.policies.catalogs import catalog


@pytest.mark.parametrize("how", ["", " NOWAIT"])
def test_a_lock_that_reads_take_is_a_read_of_each_table_without_a_column(how: str) -> None:
    facts = analyse(f"LOCK TABLE ONLY users, hr.salaries IN ACCESS SHARE MODE{how}", catalog())
    assert (facts.effect, facts.kinds, facts.locks) == (SqlEffect.READ, {"lock"}, {"access_share"})
    assert [(str(u.table), u.verb, u.columns) for u in facts.tables if not u.through] == [
        ("public.users", "select", frozenset()),
        ("hr.salaries", "select", frozenset()),
    ]
    assert not facts.labels_read
    assert {oid for _, oid in facts.objects} == {
        catalog().relations[use.table].oid for use in facts.tables
    }


def test_what_is_behind_a_view_is_locked_with_it() -> None:
    facts = analyse("LOCK v_users IN ACCESS SHARE MODE", catalog())
    assert "public.users" in {str(use.table) for use in facts.tables if use.through}


@pytest.mark.parametrize(
    "mode",
    [
        *("ROW SHARE", "ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "SHARE"),
        *("SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"),
    ],
)
def test_every_other_mode_is_refused_with_the_one_that_passes(mode: str) -> None:
    opaque = analyse(f"LOCK TABLE users IN {mode} MODE", catalog()).opaque
    assert opaque is not None
    assert "ACCESS SHARE" in opaque.reason


@pytest.mark.parametrize("name", ["nowhere", "pg_authid", "s1", "elsewhere.public.users"])
def test_what_is_not_read_is_not_locked(name: str) -> None:
    assert analyse(f"LOCK {name} IN ACCESS SHARE MODE", catalog()).opaque is not None
