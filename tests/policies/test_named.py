"""PREPARE, DECLARE and their names by themselves: opaque, with the statement inside told apart."""

from __future__ import annotations

import pytest

from policies.sql.facts import Named, SqlEffect
from policies.sql.postgres import analyse
from tests.policies.catalogs import catalog

INSIDE = {
    "PREPARE a AS SELECT 1": ("prepare", "a", " SELECT 1"),
    "PREPARE A (integer, pg_catalog.text) AS  SELECT $1 ; ": ("prepare", "a", "  SELECT $1 ; "),
    'PREPARE "as" AS(SELECT \'as\' AS "AS")': ("prepare", "as", "(SELECT 'as' AS \"AS\")"),
    "prepare/* as */a--as\nas/**/select 1 as as_": ("prepare", "a", "/**/select 1 as as_"),
    "PREPARE a AS WITH b AS (SELECT 1) SELECT * FROM b": (
        *("prepare", "a", " WITH b AS (SELECT 1) SELECT * FROM b"),
    ),
    "DECLARE c CURSOR FOR SELECT 1 FOR UPDATE": ("declare", "c", " SELECT 1 FOR UPDATE"),
    'DECLARE "for" NO SCROLL CURSOR WITHOUT HOLD FOR\nSELECT 1 -- é': (
        *("declare", "for", "\nSELECT 1 -- é"),
    ),
    "/* é for */ DECLARE c INSENSITIVE SCROLL CURSOR FOR SELECT 1": ("declare", "c", " SELECT 1"),
}


@pytest.mark.parametrize("text", INSIDE)
def test_the_statement_inside_is_cut_out_to_the_byte(text: str) -> None:
    facts = analyse(text, catalog())
    assert facts.effect is SqlEffect.OPAQUE
    assert facts.named is not None
    inside = text.encode()[facts.named.begins :].decode()
    assert (facts.named.kind, facts.named.name, inside) == INSIDE[text]


USES = {
    "EXECUTE a": Named("execute", "a"),
    "EXECUTE \"A\"(1, -1.5, 'x', NULL, true, 'x'::text, B'1')": Named("execute", "A"),
    "FETCH c": Named("fetch", "c", rows=1),
    "FETCH FORWARD 5 FROM c": Named("fetch", "c", rows=5),
    "FETCH -3 c": Named("fetch", "c", rows=3),
    "FETCH BACKWARD ALL IN c": Named("fetch", "c"),
    "FETCH 0 c": Named("fetch", "c", rows=1),
    "FETCH ABSOLUTE 700 c": Named("fetch", "c", rows=1),
    "MOVE ALL c": Named("move", "c"),
}


@pytest.mark.parametrize("text", USES)
def test_what_runs_by_a_name_is_opaque_without_a_session(text: str) -> None:
    facts = analyse(text, catalog())
    assert (facts.effect, facts.named) == (SqlEffect.OPAQUE, USES[text])
    assert facts.opaque is not None
    assert facts.opaque.code == "NAME_OF_SESSION"


DROPS = {
    "CLOSE c": Named("close", "c"),
    "CLOSE ALL": Named("close", ""),
    "DEALLOCATE PREPARE a": Named("deallocate", "a"),
    "DEALLOCATE ALL": Named("deallocate", ""),
}


@pytest.mark.parametrize("text", DROPS)
def test_what_drops_a_name_changes_the_session_only(text: str) -> None:
    facts = analyse(text, catalog())
    assert (facts.effect, facts.named) == (SqlEffect.SESSION, DROPS[text])


WITHOUT_A_NAME = [
    "EXECUTE a(now())",
    "EXECUTE a($1)",
    "EXECUTE a((SELECT 1))",
    "EXECUTE a(1 + 1)",
    "EXECUTE a('x'::text::int)",
    "EXECUTE a('x'::evil.type)",
    "PREPARE a (evil.type) AS SELECT 1",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "DECLARE c BINARY CURSOR FOR SELECT 1",
    "EXPLAIN EXECUTE a",
    "CREATE TABLE t AS EXECUTE a",
    f"PREPARE {'n' * 63} AS SELECT 1",
    f"EXECUTE {'n' * 80}",
    'FETCH "é"',
]


@pytest.mark.parametrize("text", WITHOUT_A_NAME)
def test_no_session_looks_up_what_is_not_understood(text: str) -> None:
    facts = analyse(text, catalog())
    assert (facts.effect, facts.named) == (SqlEffect.OPAQUE, None)
