"""What names in SQL stand for: followed without a server, in every order of the answers."""

from __future__ import annotations

import pytest

from policies.model import SqlStatement, Stage
from policies.sql.facts import Named, Opaque, SqlEffect, SqlFacts
from recordings.events import Done
from server.gate import Grant
from server.protocols.postgres import frontend as f
from server.protocols.postgres.awaited import Portal, Statement
from server.protocols.postgres.named_statements import MOST_NAMES, NamedStatements
from server.protocols.postgres.names import Names
from tests.server.protocols.grants import judged

PATH = ("public",)
READS = SqlFacts(SqlEffect.READ, frozenset({"select"}))
EXECUTE, FETCH = Named("execute", "s"), Named("fetch", "s")


@pytest.fixture
def names() -> NamedStatements:
    return NamedStatements((Names[Statement](), Names[Portal]()))


def making(names: NamedStatements, kind: str, query: str, *, stage: Stage = Stage.WHOLE) -> Grant:
    """The grant of a statement that calls another one `s`, admitted."""
    text = f"{kind} s AS {query}"
    named = Named(kind, "s", text.index(query))
    found = names.stands_for(named, text, PATH)
    assert found == query
    grant = judged(SqlStatement(text, stage=stage), names.facts(named, query, READS))
    names.admitted(grant, PATH)
    return grant


def prepared(names: NamedStatements, query: str = "SELECT 1") -> None:
    names.succeeded(making(names, "prepare", query), Done("PREPARE"))


def declared(names: NamedStatements, query: str = "SELECT 1") -> None:
    names.succeeded(making(names, "declare", query), Done("DECLARE CURSOR"))


def admit(names: NamedStatements, *kinds: str, **facts: Named) -> None:
    of = SqlFacts(SqlEffect.SESSION, frozenset(kinds), **facts)
    names.admitted(judged(SqlStatement("text"), of), PATH)


def stands_for(names: NamedStatements, named: Named = EXECUTE) -> str | None:
    found = names.stands_for(named, "", PATH)
    return None if isinstance(found, Opaque) else found


def test_a_name_is_known_once_it_is_confirmed(names: NamedStatements) -> None:
    grant = making(names, "prepare", "SELECT 1")
    assert stands_for(names) is None
    names.succeeded(grant, Done("PREPARE"))
    assert (stands_for(names), stands_for(names, FETCH)) == ("SELECT 1", None)


def test_only_the_newest_making_is_confirmed(names: NamedStatements) -> None:
    """The server has refused it, if the first one succeeded."""
    first, second = (making(names, "prepare", query) for query in ("SELECT 1", "SELECT 2"))
    names.succeeded(first, Done("PREPARE"))
    assert stands_for(names) is None
    names.succeeded(second, Done("PREPARE"))
    assert stands_for(names) == "SELECT 2"


def test_what_was_taken_meanwhile_is_not_confirmed(names: NamedStatements) -> None:
    grant = making(names, "prepare", "SELECT 1")
    names.announced({"s"}, set())
    names.succeeded(grant, Done("PREPARE"))
    assert stands_for(names) is None


def test_another_answer_confirms_nothing(names: NamedStatements) -> None:
    grant = making(names, "prepare", "SELECT 1")
    names.succeeded(grant, Done(""))
    assert stands_for(names) is None


def test_what_was_not_answered_by_the_end_makes_no_name(names: NamedStatements) -> None:
    grant = making(names, "prepare", "SELECT 1")
    names.ready("I")
    names.succeeded(grant, Done("PREPARE"))
    assert stands_for(names) is None


@pytest.mark.parametrize("stage", [Stage.BIND, Stage.EXECUTE])
def test_what_is_bound_alone_makes_no_name(names: NamedStatements, stage: Stage) -> None:
    grant = making(names, "prepare", "SELECT 1", stage=stage)
    names.succeeded(grant, Done("PREPARE"))
    assert stands_for(names) is None


def test_statements_and_cursors_of_one_name_are_apart(names: NamedStatements) -> None:
    prepared(names, "SELECT 1")
    declared(names, "SELECT 2")
    assert (stands_for(names), stands_for(names, FETCH)) == ("SELECT 1", "SELECT 2")
    admit(names, "close", named=Named("close", "s"))
    assert (stands_for(names), stands_for(names, FETCH)) == ("SELECT 1", None)
    admit(names, "deallocate", named=Named("deallocate", ""))
    assert stands_for(names) is None


@pytest.mark.parametrize("kind", ["commit", "rollback", "rollback_to"])
def test_cursors_end_with_what_may_end_their_transaction(names: NamedStatements, kind: str) -> None:
    prepared(names)
    declared(names)
    admit(names, kind)
    assert (stands_for(names), stands_for(names, FETCH)) == ("SELECT 1", None)


@pytest.mark.parametrize(("status", "expected"), [("I", None), ("T", "SELECT 1")])
def test_cursors_end_when_no_transaction_is_open(
    names: NamedStatements, status: str, expected: str | None
) -> None:
    declared(names)
    names.ready(status)
    assert stands_for(names, FETCH) == expected


def test_what_is_not_understood_may_have_changed_every_name(names: NamedStatements) -> None:
    prepared(names)
    opaque = SqlFacts(SqlEffect.OPAQUE, opaque=Opaque("X", "", ""))
    names.admitted(judged(SqlStatement("DO $$ $$"), opaque), PATH)
    assert stands_for(names) is None


def test_names_that_a_driver_has_are_not_given_in_sql(names: NamedStatements) -> None:
    names.taken[0].define("s", Statement("SELECT 1"))
    found = names.stands_for(Named("prepare", "s", 13), "PREPARE s AS SELECT 1", PATH)
    assert isinstance(found, Opaque)
    assert found.code == "NAME_TAKEN"


def test_a_driver_does_not_run_what_has_a_name_in_sql(names: NamedStatements) -> None:
    prepared(names)
    declared(names)
    assert names.has(f.Bind("", "s"))
    assert names.has(f.Execute("s"))
    assert not names.has(f.Bind("s", ""))


def test_a_cursor_whose_tables_mean_something_else_now_is_not_read(names: NamedStatements) -> None:
    declared(names)
    assert names.facts(FETCH, "SELECT 1", READS).opaque is None
    other = SqlFacts(SqlEffect.READ, frozenset({"select"}), labels_read=frozenset({"pii"}))
    changed = names.facts(FETCH, "SELECT 1", other).opaque
    assert changed is not None
    assert changed.code == "CURSOR_CHANGED"


def test_rows_of_a_cursor_are_counted_until_it_is_declared_anew(names: NamedStatements) -> None:
    declared(names)
    fetch = judged(SqlStatement("FETCH s"), names.facts(FETCH, "SELECT 1", READS))
    for expected in (0, 7, 14):
        assert names.fetched(FETCH) == expected
        names.succeeded(fetch, Done("FETCH 7", 7))
    declared(names)
    assert names.fetched(FETCH) == 0


def test_no_more_names_are_kept_than_are_bounded(names: NamedStatements) -> None:
    for number in range(MOST_NAMES + 1):
        named = Named("prepare", f"n{number}", 0)
        grant = judged(SqlStatement("SELECT 1"), names.facts(named, "SELECT 1", READS))
        names.admitted(grant, PATH)
        names.succeeded(grant, Done("PREPARE"))
    assert stands_for(names, Named("execute", "n0")) == "SELECT 1"
    assert stands_for(names, Named("execute", f"n{MOST_NAMES}")) is None
